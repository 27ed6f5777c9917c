#!/bin/bash
#
# make quickstart-stop: ends the servers of make quickstart, and removes them.
#
# shellcheck source=test/run/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=test/quickstart/folder.sh
. "$TOP/test/quickstart/folder.sh"

choose_user
quickstart_folder
if [ -e "$QUICKSTART" ]; then
    remove_quickstart
    say "ended and removed $QUICKSTART"
else
    say "there is no $QUICKSTART"
fi
