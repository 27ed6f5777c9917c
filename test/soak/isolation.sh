# shellcheck shell=bash disable=SC2034
#
# isolation.sh: a part of make soak: the server's isolation specs, with all
# diagnostics called beside them.  See beside.sh.
#
run_server_isolation()
{
    as_user bash -c 'cd "$1" && timeout -k 10 3600 "$2/pg_isolation_regress" --host="$3/socket" --port=5432 --user=postgres \
            --use-existing --dbname="$4" --inputdir="$5" --outputdir="$1" --bindir="$6" \
            --schedule="$5/isolation_schedule" prepared-transactions prepared-transactions-cic' \
        bash "$3" "$(dirname "$("$PG_CONFIG" --pgxs)")/../test/isolation" "$1" "$2" "$WORK/isolation" "$PG_BINDIR"
}

soak_isolation()
{
    if ! need_server_source; then
        NOTE="not run: no sources of the server"
        return
    fi
    cp -r "$SERVER_SOURCE/src/test/isolation" "$WORK/isolation"
    own "$WORK/isolation"
    SUITE_EXPECTED=$WORK/isolation/expected
    suite_beside isolation isolation_regression run_server_isolation
}
