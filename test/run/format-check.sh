#!/bin/bash
#
# make format-check: whether the C files are as make format would leave them.
#
# shellcheck source=test/run/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=test/run/pgindent.sh
. "$(dirname "$0")/pgindent.sh"

[ -x /usr/lib/postgresql/$PGINDENT_VERSION/bin/pgindent ] ||
    require_root "run pgindent of PostgreSQL $PGINDENT_VERSION in a root of its own"
make_work
copy_tree "$WORK/tree"
cp -a "$WORK/tree/src" "$WORK/src"
pgindent

check "the C files are formatted (make format does it)" diff -ru "$WORK/src" "$WORK/tree/src"
finish
