#!/bin/bash
#
# make test-matrix: the suite of make test on the PostgreSQL of other Debian
# releases, each in a root of its own (see roots.sh).  VERSIONS=17 runs it on
# that one only; ONLY selects tests as in make test.
#
# shellcheck source=test/run/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=test/run/roots.sh
. "$(dirname "$0")/roots.sh"

require_root "make roots of other Debian releases and to run in them"
make_work
copy_tree "$WORK/tree"

for version in ${VERSIONS:-$MATRIX}; do
    need_root_of "$version"
    say "PostgreSQL $version in $ROOT"
    status=0
    in_root "$WORK/tree" bash /mnt/test/run/test.sh 2>&1 | tee "$WORK/$version.log" || status=$?
    counts=$(tail -n 1 "$WORK/$version.log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
    if [ -n "$counts" ]; then
        PASSED=$((PASSED + ${counts% *}))
        FAILED=$((FAILED + ${counts#* }))
        [ $status -eq 0 ] || [ "${counts#* }" -gt 0 ] || FAILED=$((FAILED + 1))
    else
        failed "the suite on PostgreSQL $version did not end as it should"
    fi
done

say "PostgreSQL ${VERSIONS:-$MATRIX}"
finish
