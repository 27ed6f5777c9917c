#!/bin/bash
#
# make soak: long runs, for what shows once in a while or under strange use.
#
# Parts, each a file under test/soak, chosen by ONLY="isolation sqlsmith":
#
#   isolation  the server's own isolation specs, with everything of the
#              extension on and all its diagnostics called beside them
#   regress    the same with the server's regression suite
#   sqlsmith   random queries over what is in schema ft
#   valgrind   the extension's pg_regress tests in a server under valgrind
#   assert     the extension's whole suite on a server that is built with
#              assertions, memory checks and reports of leaks
#   ledger     a ledger that executors write while they and the server are
#              killed, many times; also while standbys are promoted, owners
#              go, and a disk is full (a small one of its own, as root)
#   retention  very many steps, while retention removes what has ended: nothing
#              that is kept may grow
#   rounds     the extension's isolation specs and TAP scripts, many times
#
# What a part finds is one FAILED line each, with what is needed to see it
# again.  A part that cannot run here (a package that is not to be had) says
# so, and is not counted.
#
# Settings:
#   SOAK_CALLERS           sessions that call diagnostics (default 3)
#   SOAK_CALL_LIMIT        seconds that a call may take (default 20)
#   SOAK_SOURCE            unpacked sources of the server; else apt's are used
#   SOAK_SQLSMITH_SECONDS  how long (default 600)
#   SOAK_SQLSMITH_SEED     where sqlsmith begins (default: by the clock)
#   FT_SOAK_KILLS          how many kills of the ledger (default 500)
#   FT_LEDGER_SEED         of its random numbers (default: by the clock)
#   FT_SOAK_STEPS          how many steps of retention (default 1000000)
#   FT_SOAK_SNAPSHOT_STEPS how many more beside an old snapshot (default 100000)
#   SOAK_ROUNDS            how many rounds (default 10)
#   SOAK_TESTS             words: rounds, valgrind and assert run the tests whose
#                          name contains one of them (default all)
#
# shellcheck source=test/run/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=test/run/suite.sh
. "$(dirname "$0")/suite.sh"
# shellcheck source=test/run/cluster.sh
. "$(dirname "$0")/cluster.sh"
for part in beside source isolation regress sqlsmith valgrind assert ledger retention rounds; do
    # shellcheck source=/dev/null
    . "$TOP/test/soak/$part.sh"
done

# What a part mounts goes with this process.
if is_root && [ -z "${FT_OWN_MOUNTS:-}" ] && unshare --mount true 2> /dev/null; then
    exec unshare --mount env FT_OWN_MOUNTS=1 bash "$0"
fi

PARTS=${ONLY:-isolation regress sqlsmith valgrind assert ledger retention rounds}
for part in $PARTS; do
    declare -F "soak_$part" > /dev/null || die "there is no part $part: isolation, regress, sqlsmith, valgrind, assert, ledger, retention, rounds"
done
# From here on it selects tests.
ONLY=${SOAK_TESTS:-}

need_server
make_work
build_and_install plain || finish
PASSED=0

SUMMARY=()
for part in $PARTS; do
    say "soak: $part"
    before=$FAILED
    SECONDS=0
    NOTE=
    "soak_$part"
    SUMMARY+=("$(printf '%-10s %5s s  %3s findings  %s' "$part" "$SECONDS" "$((FAILED - before))" "$NOTE")")
done

say "PostgreSQL $("$PG_CONFIG" --version)"
printf '%s\n' "${SUMMARY[@]}"
finish
