# shellcheck shell=bash disable=SC2034
#
# rounds.sh: a part of make soak: the extension's isolation specs and TAP
# scripts SOAK_ROUNDS times, each time on new servers.  It finds races and
# crashes that one run is too short to meet; it makes up no load and no faults
# beyond those that the tests make.  Goes on after a failure, whose output it
# shows.
#
soak_rounds()
{
    local rounds=${SOAK_ROUNDS:-10} round before all=$((PASSED + FAILED)) bad=0

    need_for_tap
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
    [ $((PASSED + FAILED)) -gt "$all" ] || failed "there is no test named like ${SOAK_TESTS:-}"
    NOTE="$rounds rounds, $bad with failures"
}
