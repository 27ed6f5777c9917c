# shellcheck shell=bash
#
# cluster.sh: private servers for commands that need one to work on.
# Sourced after lib.sh.
#
# A server has a folder with data/, socket/ and server.log.  It listens on a
# socket only, in a folder that only its user may enter.
#

# Arguments: folder, port (it names the socket); standard input is appended
# to the configuration.
make_server()
{
    mkdir -p "$1/socket"
    chmod 700 "$1" "$1/socket"
    own "$1"
    as_user initdb -D "$1/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
        > "$1/initdb.log" 2>&1 || {
        cat "$1/initdb.log" >&2
        die "initdb failed"
    }
    configure_server "$1" "$2"
    as_user tee -a "$1/data/postgresql.conf" > /dev/null
}

# Where a server listens and what it says; also for a copy of another one.
configure_server()
{
    as_user tee -a "$1/data/postgresql.conf" > /dev/null << CONF
listen_addresses = ''
unix_socket_directories = '$1/socket'
unix_socket_permissions = 0700
port = $2
fsync = on
log_line_prefix = '%m [%p] %q%a '
CONF
}

# --silent, because the server would inherit the pipe of a caller.
start_server()
{
    as_user pg_ctl -D "$1/data" -l "$1/server.log" -w -t 60 --silent start > /dev/null || {
        tail -n 30 "$1/server.log" >&2
        die "the server in $1 does not start"
    }
}

stop_server()
{
    [ -e "$1/data/postmaster.pid" ] || return 0
    as_user pg_ctl -D "$1/data" -w -t 60 --silent -m "${2:-fast}" stop > /dev/null
}
