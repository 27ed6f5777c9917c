# shellcheck shell=bash
#
# suite.sh: build the tree, install it, run its tests and count them.
# Sourced after lib.sh.
#
# Two copies of the tree are worked in.  $WORK/build belongs to the caller,
# because what is installed as root should not come out of a folder that
# somebody else can write; $WORK/tree belongs to the unprivileged user, who
# runs the tests.
#
# ONLY="blocking recovery" restricts a run to the tests whose name contains
# one of the words.
#

# Warnings are errors, less those that the server raises: parameters that its
# signatures prescribe, and the sign of lengthof().
strict_flags()
{
    echo "-Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare" \
        "-isystem $("$PG_CONFIG" --includedir-server)" \
        "-isystem $("$PG_CONFIG" --includedir)"
}

build()
{
    make -s -j"$(nproc)" -C "$WORK/build" PG_CONFIG="$PG_CONFIG"
}

# Outside of the source folder, so that VPATH builds are known to work too,
# from the copy in which nothing was built: make would find what is there.
strict_build()
{
    local make=(make -s -C "$WORK/strict" -f "$WORK/tree/Makefile" VPATH="$WORK/tree"
        PG_CONFIG="$PG_CONFIG" with_llvm=no COPT="$(strict_flags)")

    rm -rf "$WORK/strict"
    mkdir "$WORK/strict"
    "${make[@]}" -j"$(nproc)" &&
        "${make[@]}" DESTDIR="$WORK/strict/destdir" install &&
        cmp "$WORK/build/"fault_tolerance--*.sql "$WORK/strict/"fault_tolerance--*.sql
}

install_build()
{
    local install=(make -s -C "$WORK/build" PG_CONFIG="$PG_CONFIG" install)

    if [ -w "$("$PG_CONFIG" --pkglibdir)" ] && [ -w "$("$PG_CONFIG" --sharedir)/extension" ]; then
        "${install[@]}"
    elif can_be_root; then
        as_root "${install[@]}"
    else
        echo "cannot write to $("$PG_CONFIG" --pkglibdir): run this as root, allow sudo without a password, or set PG_CONFIG to a server of your own"
        return 1
    fi
}

# Everything up to where tests can run; fails if they cannot.  Argument:
# "strict" also builds to look for warnings, "plain" does not.
build_and_install()
{
    say "copying and building"
    copy_tree "$WORK/build"
    cp -a "$WORK/build" "$WORK/tree"
    own "$WORK/tree"
    check "build" build
    check "install" install_build
    [ "$FAILED" -eq 0 ] || return
    if [ "$1" = strict ]; then
        check "build without warnings (-Wall -Wextra), outside the source folder" strict_build
        rm -rf "$WORK/strict"
    fi
}

# Those of the names that ONLY selects, and WITHOUT does not.
selected()
{
    local name word

    for name in "$@"; do
        for word in ${WITHOUT:-}; do
            case "$(basename "$name")" in
                *"$word"*) continue 2 ;;
            esac
        done
        if [ -z "${ONLY:-}" ]; then
            echo "$name"
            continue
        fi
        for word in $ONLY; do
            case "$(basename "$name")" in
                *"$word"*)
                    echo "$name"
                    break
                    ;;
            esac
        done
    done
}

# A list of the Makefile: REGRESS, ISOLATION, ...
make_list()
{
    make -s -C "$WORK/build" PG_CONFIG="$PG_CONFIG" "show-$1"
}

installcheck()
{
    as_user make -s -C "$WORK/tree" PG_CONFIG="$PG_CONFIG" "$@" installcheck
}

# Count what pg_regress printed: "test x ... ok" in 15, TAP since 16.
# Arguments: log, exit status, number of tests that should have run.
count_pg_regress()
{
    local ok not_ok

    ok=$(grep -cE '^ok [0-9]+ |\.\.\. ok ' "$1" || true)
    not_ok=$(grep -cE '^not ok [0-9]+ |\.\.\. FAILED' "$1" || true)
    if [ $((ok + not_ok)) -lt "$3" ]; then
        not_ok=$(($3 - ok))
    elif [ "$2" -ne 0 ] && [ "$not_ok" -eq 0 ]; then
        not_ok=1
    fi
    PASSED=$((PASSED + ok))
    FAILED=$((FAILED + not_ok))
    [ "$not_ok" -eq 0 ]
}

# Show why: the differences, and what the server had to say if it broke.
show_pg_regress()
{
    local dir=$1 log=$2/log/postmaster.log

    if [ -s "$dir/regression.diffs" ]; then
        say "$dir/regression.diffs"
        head -n 400 "$dir/regression.diffs"
    fi
    if grep -qE 'PANIC|FATAL|terminated by signal|TRAP' "$log" 2> /dev/null; then
        say "$log"
        grep -E 'PANIC|FATAL|terminated by signal|TRAP' "$log" | tail -n 20
        tail -n 20 "$log"
    fi
}

# Arguments: title, make variables of the kinds that are not to run, and others;
# then the variable and the tests.
run_pg_regress()
{
    local title=$1 off=$2 variable=$3 dir=$4 instance=$5 status=0

    shift 5
    [ $# -gt 0 ] || return 0
    say "$title ($#)"
    # shellcheck disable=SC2086
    installcheck $off "$variable=$*" 2>&1 | tee "$WORK/$variable.log" || status=$?
    count_pg_regress "$WORK/$variable.log" $status $# ||
        show_pg_regress "$WORK/tree/$dir" "$WORK/tree/$instance"
}

# Arguments: further variables for make.
run_sql()
{
    # shellcheck disable=SC2046
    run_pg_regress "pg_regress tests" "ISOLATION= TAP_TESTS= $*" REGRESS . tmp_check_sql \
        $(selected $(make_list REGRESS))
}

run_isolation()
{
    # shellcheck disable=SC2046
    run_pg_regress "isolation specs" "REGRESS= TAP_TESTS=" ISOLATION output_iso tmp_check_isolation \
        $(selected $(make_list ISOLATION))
}

# Files under a folder of the tree that end so and that ONLY selects.
selected_files()
{
    # shellcheck disable=SC2046
    (cd "$WORK/tree" && selected $(find "$1" -name "$2" 2> /dev/null | sort))
}

# Programs for those of the scripts that need one.
need_for_tap()
{
    [ -z "$(selected 115_prometheus.pl)" ] || need_prometheus
    [ -z "$(selected 085_model.pl)" ] || need_spin
}

# Arguments: variables for make, which the scripts find in their environment.
run_tap()
{
    local scripts ok not_ok

    scripts=$(selected_files test/tap '*.pl' | tr '\n' ' ')
    [ -n "$scripts" ] || return 0
    # shellcheck disable=SC2086
    say "TAP scripts ($(set -- $scripts; echo $#))"
    rm -f "$WORK/tmp/tap_counts"
    installcheck "$@" REGRESS= ISOLATION= PROVE="perl $WORK/tree/test/run/tap.pl $WORK/tmp/tap_counts" \
        PROVE_TESTS="$scripts" 2>&1 || true
    if [ -s "$WORK/tmp/tap_counts" ]; then
        read -r ok not_ok < "$WORK/tmp/tap_counts"
    else
        ok=0
        not_ok=1
    fi
    PASSED=$((PASSED + ok))
    FAILED=$((FAILED + not_ok))
}
