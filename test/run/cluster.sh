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

# Not by pg_ctl: as a child of ours a server that is killed is gone when we
# have waited for it, whoever process 1 is, and does not stay as a zombie that
# keeps it from being started again.  Sets SERVER_PID.
start_server()
{
    local tries=600

    become_user setsid postgres -D "$1/data" >> "$1/server.log" 2>&1 &
    SERVER_PID=$!
    until as_user pg_isready -q -U postgres -d postgres -h "$1/socket" -p "$(sed -n 's/^port = //p' "$1/data/postgresql.conf" | tail -n 1)"; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ] || ! kill -0 $SERVER_PID 2> /dev/null; then
            tail -n 30 "$1/server.log" >&2
            die "the server in $1 does not start"
        fi
        sleep 0.1
    done
}

# A fast shutdown; fails if the server is still there after a minute.
stop_server()
{
    local pid tries=600

    pid=$(head -n 1 "$1/data/postmaster.pid" 2> /dev/null) || return 0
    kill -INT "$pid"
    while kill -0 "$pid" 2> /dev/null && [ -e "$1/data/postmaster.pid" ]; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ]; then
            return 1
        fi
        sleep 0.1
    done
}
