#!/bin/bash
#
# make test: the whole suite against the server found.
#
# Installs what is missing, builds, installs, then runs the pg_regress tests,
# the isolation specs and the TAP scripts on temporary instances, as an
# unprivileged user.  make test ONLY="blocking recovery" runs the tests whose
# name contains one of the words.
#
# Counted are the builds and the installation, each pg_regress test, each
# isolation spec, and each assertion of a TAP script.
#
# shellcheck source=test/run/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=test/run/suite.sh
. "$(dirname "$0")/suite.sh"

need_server
make_work
say "servers run as $WORK_USER in $WORK"

if build_and_install strict; then
    BEFORE=$((PASSED + FAILED))
    need_for_tap
    # shellcheck disable=SC2119
    run_sql
    run_isolation
    run_tap
    [ $((PASSED + FAILED)) -gt $BEFORE ] || failed "there is no test named like ${ONLY:-}"
fi

say "PostgreSQL $PG_MAJOR"
finish
