# shellcheck shell=bash disable=SC2034
#
# regress.sh: a part of make soak: the server's regression suite, with all
# diagnostics called beside it.  See beside.sh.
#
# Its library is built here, because no package has it.
#
run_server_regress()
{
    as_user bash -c 'cd "$1" && timeout -k 10 3600 "$2/pg_regress" --host="$3/socket" --port=5432 --user=postgres \
            --use-existing --dbname="$4" --inputdir="$5" --outputdir="$1" --bindir="$6" --dlpath="$5" \
            --max-connections=20 --schedule="$5/parallel_schedule"' \
        bash "$3" "$(dirname "$("$PG_CONFIG" --pgxs)")/../test/regress" "$1" "$2" "$WORK/regress" "$PG_BINDIR"
}

build_regress_library()
{
    local library

    # shellcheck disable=SC2046
    as_user $("$PG_CONFIG" --cc) -O1 -fPIC -shared -w -I"$("$PG_CONFIG" --includedir-server)" \
        -o "$WORK/regress/regress.so" "$WORK/regress/regress.c" || return 1
    for library in autoinc refint; do
        as_user cp "$("$PG_CONFIG" --pkglibdir)/$library.so" "$WORK/regress/" || return 1
    done
}

soak_regress()
{
    if ! need_server_source; then
        NOTE="not run: no sources of the server"
        return
    fi
    cp -r "$SERVER_SOURCE/src/test/regress" "$WORK/regress"
    own "$WORK/regress"
    check "build the library of the server's suite" build_regress_library
    SUITE_EXPECTED=$WORK/regress/expected
    suite_beside regress regression run_server_regress
}
