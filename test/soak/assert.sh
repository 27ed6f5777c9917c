# shellcheck shell=bash disable=SC2034
#
# assert.sh: a part of make soak: the extension's own suite on a server that
# watches itself: the same version, built from Debian's sources with
# assertions, in which memory that was freed is overwritten, memory contexts
# are checked for writes past the end of a chunk, and resources that a
# transaction leaves behind are reported.  The pg_regress tests run there once
# more with every query in parallel mode.
#
# Both the server and a copy of the extension are built in the folder of the
# run; what is installed on the machine stays as it is.
#
# A finding is what fails, and what the logs of the servers have of failed
# assertions, of crashes that no test asked for, and of leaks.
#

# What the tests ask of the server beyond the server itself.
ASSERT_CONTRIB="dblink pg_stat_statements test_decoding"

# Words of scripts that cannot run: pg_cron is a library for Debian's server.
ASSERT_WITHOUT="064_pg_cron"

# What the server says when something is wrong with it: assertions and crashes;
# resources that a transaction or memory contexts leave behind; memory written
# past its end or freed twice.
ASSERT_SIGNS='TRAP: |PANIC:  |LOG:  .*was terminated by signal'\
'|WARNING:  .*(leak|closed|referenced|still active|SPI stack|own a lock)'\
'|WARNING:  .*(problem in|past chunk end)|ERROR:  .*(invalid memory alloc request|called with invalid pointer)'

# Build the server in a folder.  Argument: folder.
#
# The name of the folder it is installed to must contain "postgres": else the
# libraries go where Debian's patches have them, to the installed server's.
build_assert_server()
{
    local configure=(--enable-cassert --enable-debug --enable-tap-tests --enable-nls
        --without-readline --without-icu)

    cp -r "$SERVER_SOURCE" "$1/source"
    own "$1"
    as_user bash -ec '
        cd "$1/source"
        shift
        [ ! -e config.status ] || make -s distclean
        ./configure -q --prefix="$1" CFLAGS="-O1 -g -fno-omit-frame-pointer -DUSE_VALGRIND" "${@:3}"
        make -s -j"$(nproc)"
        make -s install
        for module in $2; do
            make -s -C "contrib/$module" install
        done' bash "$1" "$1/postgresql" "$ASSERT_CONTRIB" "${configure[@]}"
}

# pgTAP is SQL alone: that of the packaged server serves.  Argument: sharedir
# of that.
install_pgtap()
{
    local file

    for file in "$1"/extension/pgtap*; do
        as_user cp "$file" "$("$PG_CONFIG" --sharedir)/extension"
    done
}

# Argument: folder to build in.
install_beside()
{
    cp -a "$WORK/tree" "$1"
    own "$1"
    as_user make -s -j"$(nproc)" -C "$1" PG_CONFIG="$PG_CONFIG" install
}

# Whose a log of the TAP scripts is: theirs begin with the name of the script,
# and so may the name of another script.
script_of()
{
    local name

    name=$(basename "$1" .log)
    while [ ! -e "$WORK/tree/test/tap/$name.pl" ]; do
        case $name in
            *_*) name=${name%_*} ;;
            *) return 1 ;;
        esac
    done
    echo "$name"
}

# Does a script make the server say so?  Arguments: name of the script, line of
# the log.
is_asked_for()
{
    case $2 in
        *"was terminated by signal 9"*)
            grep -qE "kill9|kill -9|'KILL'" "$WORK/tree/test/tap/$1.pl" 2> /dev/null
            ;;
        *"PANIC:  could not write to "* | *"was terminated by signal 6"*)
            # WAL that finds no room
            [ "$1" = 066_ledger_full_disk ]
            ;;
        *)
            return 1
            ;;
    esac
}

# Arguments: name of the script or of another kind of tests, one of its logs.
judge_assert_log()
{
    local line lines=() where

    [ -e "$2" ] || return 0
    ASSERT_LOGS=$((ASSERT_LOGS + 1))
    while IFS= read -r line; do
        is_asked_for "$1" "$line" || lines+=("$line")
    done < <(grep -anE "$ASSERT_SIGNS" "$2")
    [ ${#lines[@]} -gt 0 ] || return 0

    failed "$1: in the server's log are ${#lines[@]} lines such as these"
    # A failed assertion has its stack on the lines that follow.
    for line in "${lines[@]:0:5}"; do
        where=${line%%:*}
        sed -n "$where,$((where + 20))p" "$2" | cut -c 1-300 | sed 's/^/        /'
    done
}

# Run pg_regress tests and look through the log of their server.  Where all is
# well pg_regress removes that, so it gets a second name as soon as it is there.
# Arguments: folder, function that runs the tests, their name, and where their
# log may be: in 15, since 16.
run_and_judge()
{
    local folder=$1 run=$2 name=$3 keeper

    shift 3
    rm -f "$@"
    (
        until [ -e "$folder/$run.log" ]; do
            sleep 0.1
            for log in "$@"; do
                ln "$log" "$folder/$run.log" 2> /dev/null || true
            done
        done
    ) &
    keeper=$!
    "$run"
    kill $keeper 2> /dev/null || true
    wait $keeper || true
    judge_assert_log "$name" "$folder/$run.log"
}

# All queries in parallel mode, in workers where that may be: what is labelled
# PARALLEL SAFE or RESTRICTED must be able to run there.
run_sql_parallel()
{
    local setting=debug_parallel_query

    [ "$PG_MAJOR" -gt 15 ] || setting=force_parallel_mode
    as_user tee "$WORK/assert/parallel.conf" <<< "$setting = regress" > /dev/null
    run_sql "EXTRA_REGRESS_OPTS=--temp-config=$WORK/assert/parallel.conf"
}

soak_assert()
{
    local folder=$WORK/assert packaged script log
    # For the functions of lib.sh and suite.sh: another server, fewer scripts.
    local PG_CONFIG=$PG_CONFIG PG_BINDIR=$PG_BINDIR WITHOUT=$ASSERT_WITHOUT
    local before=$((PASSED + FAILED))

    if ! need_server_source; then
        NOTE="not run: no sources of the server"
        return
    fi
    need_packages bison flex gettext zlib1g-dev valgrind
    need_for_tap
    packaged=$("$PG_CONFIG" --sharedir)
    mkdir "$folder"
    say "building a server with assertions (about 10 minutes)"
    check "build of the server" build_assert_server "$folder"
    PG_CONFIG=$folder/postgresql/bin/pg_config
    PG_BINDIR=$folder/postgresql/bin
    is_server "$PG_CONFIG" || return 0
    check "build and install of the extension" install_beside "$folder/tree"
    check "pgTAP" install_pgtap "$packaged"

    ASSERT_LOGS=0
    run_and_judge "$folder" run_sql "pg_regress tests" \
        "$WORK/tree/log/postmaster.log" "$WORK/tree/tmp_check_sql/log/postmaster.log"
    run_and_judge "$folder" run_sql_parallel "pg_regress tests in parallel mode" \
        "$WORK/tree/log/postmaster.log" "$WORK/tree/tmp_check_sql/log/postmaster.log"
    run_and_judge "$folder" run_isolation "isolation specs" \
        "$WORK/tree/output_iso/log/postmaster.log" "$WORK/tree/tmp_check_isolation/log/postmaster.log"
    run_tap
    for log in "$WORK/tree/tmp_check/log/"*.log; do
        if script=$(script_of "$log"); then
            judge_assert_log "$script" "$log"
        fi
    done
    if [ $ASSERT_LOGS -eq 0 ]; then
        failed "there is no test named like ${SOAK_TESTS:-}, or no server left a log"
    else
        passed "looked through $ASSERT_LOGS logs"
    fi
    NOTE="$((PASSED + FAILED - before)) tests, $ASSERT_LOGS logs, without $ASSERT_WITHOUT"
}
