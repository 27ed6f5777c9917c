#!/bin/bash
#
# make format: format the C files in place, as the server's own are.
#
# shellcheck source=test/run/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=test/run/pgindent.sh
. "$(dirname "$0")/pgindent.sh"

[ -x /usr/lib/postgresql/$PGINDENT_VERSION/bin/pgindent ] ||
    require_root "run pgindent of PostgreSQL $PGINDENT_VERSION in a root of its own"
make_work
copy_tree "$WORK/tree"
pgindent

changed=0
for file in $(cd "$WORK/tree" && find src -name '*.[ch]' | sort); do
    cmp -s "$WORK/tree/$file" "$TOP/$file" && continue
    # Written into, not replaced, so that owner and mode stay.
    cat "$WORK/tree/$file" > "$TOP/$file"
    echo "formatted $file"
    changed=$((changed + 1))
done
say "$changed files changed"
