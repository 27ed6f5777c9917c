#!/bin/bash
#
# make soak: the same tests again and again, for what shows once in a while.
#
# Runs all isolation specs and TAP scripts SOAK_ROUNDS times (default 10) on
# the server found, each time on new servers.  It finds races and crashes that
# one run is too short to meet; it makes up no load and no faults beyond those
# that the tests make.  ONLY restricts it as in make test.  Goes on after a
# failure, whose output it shows.
#
# shellcheck source=test/run/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=test/run/suite.sh
. "$(dirname "$0")/suite.sh"

need_server
make_work
build_and_install plain || finish
PASSED=0

rounds=${SOAK_ROUNDS:-10}
bad=0
for round in $(seq "$rounds"); do
    before=$FAILED
    run_isolation > "$WORK/round.log" 2>&1
    run_tap >> "$WORK/round.log" 2>&1
    if [ "$FAILED" -gt "$before" ]; then
        bad=$((bad + 1))
        cat "$WORK/round.log"
    fi
    say "round $round of $rounds: $((FAILED - before)) failed, $bad rounds with failures so far"
done
[ $((PASSED + FAILED)) -gt 0 ] || failed "there is no test named like ${ONLY:-}"
finish
