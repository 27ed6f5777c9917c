#!/bin/bash
#
# make model: the model of the orchestration engine alone, with its figures.
#
# The same script is part of make test; see doc/model/README.md.
#
# shellcheck source=test/run/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=test/run/suite.sh
. "$(dirname "$0")/suite.sh"

need_server
need_spin
make_work

if build_and_install plain; then
    # shellcheck disable=SC2034  # for suite.sh
    ONLY=085_model
    run_tap
    sed -n 's/^\[[0-9:.]*\]([^)]*) //p' "$WORK/tree/tmp_check/log/regress_log_085_model"
fi

finish
