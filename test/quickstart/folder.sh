# shellcheck shell=bash
#
# folder.sh: where the servers of quickstart are, and how they go.
# Sourced after lib.sh.
#
# The folder is in /var/tmp, which is on disk and makes a short path for the
# sockets.  Anybody may write there, so it is used and removed only if it is
# really ours.
#

quickstart_folder()
{
    QUICKSTART=/var/tmp/ft-quickstart-$WORK_USER
}

is_quickstart()
{
    [ -d "$QUICKSTART" ] && [ ! -L "$QUICKSTART" ] &&
        [ "$(stat -c %U "$QUICKSTART")" = "$WORK_USER" ] &&
        [ -e "$QUICKSTART/.made_by_quickstart" ]
}

remove_quickstart()
{
    is_quickstart || die "$QUICKSTART was not made by quickstart; remove it yourself"
    end_processes_in "$QUICKSTART" postgres
    rm -rf --one-file-system "$QUICKSTART"
}
