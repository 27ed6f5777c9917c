# shellcheck shell=bash
#
# pgindent.sh: runs the server's own formatter over the C files.
# Sourced after lib.sh.
#
# It is the pgindent of PostgreSQL 17, so that everybody gets the same result:
# the one installed here, if there is one, else the one of the root with 17.
# Its list of type names comes with it; ours are read from the sources.
#
# shellcheck source=test/run/roots.sh
. "$(dirname "${BASH_SOURCE[0]}")/roots.sh"

PGINDENT_VERSION=17

# The names that the sources in the current folder define as types: at the
# end of a struct, union or enum, or by a typedef on one line.
own_typedefs()
{
    find src -name '*.[ch]' -exec cat {} + |
        sed -n 's/^} *\([A-Za-z_][A-Za-z0-9_]*\);.*/\1/p
                s/^typedef .*(\*\([A-Za-z_][A-Za-z0-9_]*\)) *(.*/\1/p
                s/^typedef [^(]*[ *]\([A-Za-z_][A-Za-z0-9_]*\);.*/\1/p' |
        sort -u
}

# Format the copy of the tree in $WORK/tree.
pgindent()
{
    local bin=/usr/lib/postgresql/$PGINDENT_VERSION/bin
    local share=/usr/share/postgresql/$PGINDENT_VERSION
    local run command

    (cd "$WORK/tree" && own_typedefs) > "$WORK/tree/typedefs"
    # shellcheck disable=SC2016
    command='cd "$1" && PATH=$2:$PATH && sort -u typedefs "$3/typedefs.list" > typedefs.all &&
        pgindent --typedefs=typedefs.all src'
    if [ -x $bin/pgindent ]; then
        run=(bash -c "$command" bash "$WORK/tree" "$bin" "$share")
    else
        need_root_of $PGINDENT_VERSION
        run=(in_root "$WORK/tree" bash -c "$command" bash /mnt "$bin" "$share")
    fi
    "${run[@]}"
}
