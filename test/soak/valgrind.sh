# shellcheck shell=bash disable=SC2034
#
# valgrind.sh: a part of make soak: the extension's pg_regress tests, then
# every call that test/sql/calls.sql knows beside the background workers, in a
# server that runs under valgrind.
#
# Counted are errors with a function of the extension among the four innermost
# of their stack, the C library's own apart: further out there is nearly always
# one, as the extension's hooks stand around all statements, while the server
# itself writes padding and the like.  A server
# as packaged does not tell valgrind of its memory contexts, so what is seen is
# what concerns memory from malloc(), the stack, and what is handed to the
# kernel: reading past the end of a chunk, or after pfree(), is not.  A server
# built with -DUSE_VALGRIND shows that too: give it by PG_CONFIG.
#
# The tests' output is not judged: they are slow here, and some look at time.
#
start_valgrind_server()
{
    local tries=1800 suppressions=()

    if [ -n "$SERVER_SOURCE" ] && [ -e "$SERVER_SOURCE/src/tools/valgrind.supp" ]; then
        cp "$SERVER_SOURCE/src/tools/valgrind.supp" "$WORK/valgrind.supp"
        suppressions=(--suppressions="$WORK/valgrind.supp")
    fi
    become_user setsid valgrind --tool=memcheck --leak-check=no --trace-children=yes --num-callers=40 \
        --fullpath-after= --error-limit=no --log-file="$1/valgrind/%p.log" "${suppressions[@]}" \
        "$PG_BINDIR/postgres" -D "$1/data" >> "$1/server.log" 2>&1 &
    VALGRIND_PID=$!
    until as_user pg_isready -q -U postgres -d postgres -h "$1/socket" -p 5432; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ] || ! kill -0 $VALGRIND_PID 2> /dev/null; then
            tail -n 20 "$1/server.log"
            return 1
        fi
        sleep 0.1
    done
}

soak_valgrind()
{
    local server=$WORK/valgrind tests n=0

    need_packages valgrind
    need_server_source || true
    make_server "$server" 5432 << CONF
$(cat "$WORK/tree/test/regress.conf")
shared_buffers = 32MB
fsync = off
authentication_timeout = 10min
log_error_verbosity = verbose
CONF
    mkdir "$server/valgrind"
    own "$server/valgrind"
    if ! start_valgrind_server "$server"; then
        failed "the server does not start under valgrind"
        return
    fi
    # shellcheck disable=SC2046
    tests=$(selected $(make_list REGRESS) | tr '\n' ' ')
    say "pg_regress tests: $tests"
    installcheck ISOLATION= TAP_TESTS= REGRESS="$tests" \
        REGRESS_OPTS="--host=$server/socket --port=5432 --user=postgres --inputdir=. --dbname=contrib_regression --load-extension=plpgsql" \
        > "$WORK/valgrind.out" 2>&1 || true
    say "$(count_tests "$WORK/valgrind.out") tests ran, not judged: $(failed_tests "$WORK/valgrind.out" | tr '\n' ' ')"
    [ "$(count_tests "$WORK/valgrind.out")" -gt 0 ] || {
        tail -n 20 "$WORK/valgrind.out"
        failed "no test ran under valgrind"
    }
    end_server "$server"

    as_user tee -a "$server/data/postgresql.conf" <<< "fault_tolerance.workers = on" > /dev/null
    if start_valgrind_server "$server"; then
        psql_in "$server" postgres postgres -c "CREATE DATABASE calls"
        psql_in "$server" calls postgres -c "CREATE EXTENSION fault_tolerance"
        psql_in "$server" calls postgres -F "$(printf '\t')" -f "$WORK/tree/test/sql/calls.sql" |
            awk -F '\t' '{ print "BEGIN; SELECT count(t::text) FROM " $4 " AS t;\n\\echo called\nROLLBACK;" }' > "$WORK/valgrind.sql"
        SOAK_STOP=0 psql_in "$server" calls postgres -c "SET statement_timeout = '5min'" -f "$WORK/valgrind.sql" \
            > "$WORK/valgrind.called" 2> "$WORK/valgrind.errors" || true
        n=$(grep -c '^called' "$WORK/valgrind.called") || true
        say "$n calls"
        [ "$n" -gt 0 ] || failed "nothing was called under valgrind: $(head -n 5 "$WORK/valgrind.errors")"
        end_server "$server"
    else
        failed "the server does not start again under valgrind"
    fi
    judge_log "$server"
    judge_valgrind "$server/valgrind"
    NOTE="$(count_tests "$WORK/valgrind.out") tests, $n calls, $(find "$server/valgrind" -name '*.log' | wc -l) processes"
}

# Errors whose stack has a function of ours, each kind of stack once.
judge_valgrind()
{
    cat "$1"/*.log | perl -e '
        my ($ours) = @ARGV;
        my (%block, %seen, $all, $of_ours, $around);
        my $end = sub {
            my $b = $block{ $_[0] } // return;
            delete $block{ $_[0] };
            my @frames = grep { /^\s+(?:at|by) 0x/ } @$b;
            return unless @frames;
            $all++;
            my $is_ours = sub { grep { /\(\Q$ours\E|fault_tolerance\.so/ } @_ };
            my @inner = grep { /\Q$ours\E|fault_tolerance\.so|\/bin\/postgres|\/src\// } @frames;
            $#inner = 3 if @inner > 4;
            $around++ if $is_ours->(@frames);
            return unless $is_ours->(@inner);
            $of_ours++;
            my $key = join "|", map { /: (\S+)/ ? $1 : $_ } @frames[0 .. ($#frames < 7 ? $#frames : 7)];
            print "@@ ", join("\n", map { substr($_, 0, 160) } @$b), "\n" unless $seen{$key}++;
        };
        while (<STDIN>) {
            /^==(\d+)== ?(.*)$/ or next;
            if ($2 eq "") { $end->($1) } else { push @{ $block{$1} }, $2 }
        }
        $end->($_) foreach keys %block;
        printf "%d in all, %d within a call of ours, %d ours, of %d kinds\n", $all // 0, $around // 0, $of_ours // 0, scalar keys %seen;
    ' "$WORK/build/" > "$WORK/valgrind.found"
    say "errors: $(tail -n 1 "$WORK/valgrind.found")"
    if grep -q '^@@' "$WORK/valgrind.found"; then
        grep -c '^@@' "$WORK/valgrind.found" > "$WORK/valgrind.kinds"
        failed "$(cat "$WORK/valgrind.kinds") kinds of errors under valgrind with a function of ours"
        sed '$d' "$WORK/valgrind.found" | head -n 400
    else
        passed "valgrind has nothing to say of ours"
    fi
}
