# shellcheck shell=bash
#
# lib.sh: what every command under test/run/ stands on.  Sourced, not run.
#
# It finds the server, installs what is missing where it may, works in a
# temporary folder of its own as an unprivileged user, and leaves nothing
# behind: neither files nor processes.  It touches no cluster but its own.
#
# Settings from outside (environment, or make NAME=VALUE):
#   PG_CONFIG   pg_config of the server to use; found by itself if not set
#   FT_USER     as root: the unprivileged user to run servers as
#   FT_ROOTS    where the roots of other Debian releases are kept
#   KEEP        1 leaves the temporary folder behind, to look at
#
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
COMMAND=$(basename "$0" .sh)
# shellcheck disable=SC2034  # for roots.sh
ROOTS=${FT_ROOTS:-/var/cache/fault_tolerance/roots}
WORK=

# Nothing of the calling make, git or server session may leak in.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
unset PGDATA PGHOST PGPORT PGUSER PGDATABASE PGOPTIONS PGSERVICE
export LC_ALL=C.UTF-8
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
umask 022
exec < /dev/null

say()
{
    printf '==> %s\n' "$*"
}

die()
{
    printf '%s: %s\n' "$COMMAND" "$*" >&2
    exit 1
}

# --- privilege and packages ------------------------------------------------

is_root()
{
    [ "$(id -u)" -eq 0 ]
}

can_be_root()
{
    is_root || sudo -n true 2> /dev/null
}

as_root()
{
    if is_root; then
        "$@"
    else
        sudo -n "$@"
    fi
}

# Run the whole command again as root, or say that it cannot be done without.
require_root()
{
    is_root && return
    can_be_root ||
        die "needs root to $1; run it as root, or allow sudo without a password"
    exec sudo -n --preserve-env=ONLY,VERSIONS,KEEP,FT_ROOTS,FT_MIRROR,http_proxy,https_proxy \
        bash "$0"
}

apt_updated=

# Quiet unless it fails: the log of a package manager hides what matters.
apt_get()
{
    local log

    log=$(mktemp)
    if ! as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 \
        apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        "$@" > "$log" 2>&1; then
        tail -n 40 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

apt_update()
{
    [ -z "$apt_updated" ] || return 0
    say "apt-get update"
    apt_get update
    apt_updated=1
}

is_installed()
{
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]
}

# Make sure of packages.  A server package would make and start a cluster
# "main" of its own; a drop-in file switches that off just while it installs.
need_packages()
{
    local package missing=()

    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    if ! command -v apt-get > /dev/null || ! can_be_root; then
        die "missing packages, install them first:
    apt-get install --no-install-recommends ${missing[*]}"
    fi

    apt_update
    say "installing ${missing[*]}"
    (
        drop_in=/etc/postgresql-common/createcluster.d/zz-fault-tolerance.conf
        case " ${missing[*]}" in
            *" postgresql-"[0-9]*)
                apt_get install --no-install-recommends postgresql-common
                trap 'as_root rm -f $drop_in' EXIT
                as_root mkdir -p "$(dirname $drop_in)"
                echo "create_main_cluster = false" | as_root tee $drop_in > /dev/null
                ;;
        esac
        apt_get install --no-install-recommends "${missing[@]}"
    ) || die "apt-get could not install ${missing[*]}"
}

# All that building and testing on Debian's PostgreSQL of a version takes.
server_packages()
{
    echo gcc make libc6-dev \
        "postgresql-$1" "postgresql-server-dev-$1" \
        "postgresql-$1-cron" "postgresql-$1-pgtap" libipc-run-perl
}

# Prometheus and its exporter, for one test.  The packages would start services
# and bring a web interface along, so the programs are taken out of them.  Kept
# beside the roots where that can be written, else fetched for this run only.
# Sets PROMETHEUS_BIN, empty if they are installed; needs $WORK.
need_prometheus()
{
    local dir package packages

    PROMETHEUS_BIN=
    if command -v prometheus promtool prometheus-sql-exporter > /dev/null; then
        return 0
    fi
    if ! command -v apt-get > /dev/null; then
        die "missing programs, install them first: prometheus, promtool, prometheus-sql-exporter"
    fi

    dir=$(dirname "$ROOTS")/programs
    if ! mkdir -p "$dir" 2> /dev/null || [ ! -w "$dir" ]; then
        dir=$WORK/programs
        mkdir -p "$dir"
    fi
    PROMETHEUS_BIN=$dir/usr/bin
    [ ! -e "$dir/complete" ] || return 0

    apt_update
    # Debian trixie took promtool out of prometheus.
    packages=(prometheus prometheus-sql-exporter)
    [ -z "$(apt-cache show promtool 2> /dev/null)" ] || packages+=(promtool)
    say "fetching ${packages[*]} (once; about 25 MB)"
    (
        mkdir "$WORK/packages"
        cd "$WORK/packages"
        apt-get -q download "${packages[@]}" > "$WORK/fetch.log" 2>&1 || {
            cat "$WORK/fetch.log" >&2
            exit 1
        }
        for package in *.deb; do
            dpkg-deb -x "$package" "$dir"
        done
        chmod -R a+rX "$dir"
        touch "$dir/complete"
    ) || die "could not fetch prometheus and prometheus-sql-exporter"
}

# The model checker, for one test.
need_spin()
{
    command -v spin > /dev/null || need_packages spin
}

# --- the server ------------------------------------------------------------

# A pg_config counts if the server itself is beside it.
is_server()
{
    local bindir

    bindir=$("$1" --bindir 2> /dev/null) && [ -x "$bindir/postgres" ]
}

newest_debian_server()
{
    local candidate newest=

    for candidate in $(printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -V); do
        if is_server "$candidate"; then
            newest=$candidate
        fi
    done
    echo "$newest"
}

# Sets PG_CONFIG, PG_BINDIR, PG_MAJOR and PG_DEBIAN (the version in package
# names, empty if the server is not Debian's), installing a server if there
# is none, and what is needed to build against it and to test on it.
need_server()
{
    local release

    if [ -n "${PG_CONFIG:-}" ]; then
        is_server "$PG_CONFIG" || die "there is no server beside PG_CONFIG=$PG_CONFIG"
    elif is_server pg_config; then
        PG_CONFIG=$(command -v pg_config)
    else
        PG_CONFIG=$(newest_debian_server)
    fi

    if [ -z "$PG_CONFIG" ]; then
        if ! command -v apt-get > /dev/null || ! can_be_root; then
            die "no PostgreSQL server found; install one (15, 17 or 18) with its development files, or set PG_CONFIG.  On Debian:
    apt-get install --no-install-recommends postgresql postgresql-server-dev-all"
        fi
        apt_update
        release=$(apt-cache show postgresql | sed -n 's/^Depends:.*\bpostgresql-\([0-9][0-9]*\).*/\1/p' | sort -n | tail -n 1)
        [ -n "$release" ] || die "apt knows no package postgresql"
        # shellcheck disable=SC2046
        need_packages $(server_packages "$release")
        PG_CONFIG=/usr/lib/postgresql/$release/bin/pg_config
    fi

    PG_BINDIR=$("$PG_CONFIG" --bindir)
    PG_MAJOR=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
    [ "$PG_MAJOR" -ge 15 ] || die "PostgreSQL 15 or newer is needed, $PG_CONFIG is of $PG_MAJOR"

    # shellcheck disable=SC2034  # for those who source this
    PG_DEBIAN=
    if [ "$PG_BINDIR" = "/usr/lib/postgresql/$PG_MAJOR/bin" ] && command -v dpkg-query > /dev/null; then
        # shellcheck disable=SC2034
        PG_DEBIAN=$PG_MAJOR
        # shellcheck disable=SC2046
        need_packages $(server_packages "$PG_MAJOR")
    else
        need_by_hand
    fi
    export PG_CONFIG
    say "server: $("$PG_CONFIG" --version), $PG_BINDIR"
}

# A server that is nobody's package: look for the pieces themselves.
need_by_hand()
{
    local missing=() extension sharedir

    sharedir=$("$PG_CONFIG" --sharedir)
    for extension in pg_cron pgtap; do
        [ -e "$sharedir/extension/$extension.control" ] || missing+=("$extension")
    done
    [ -e "$("$PG_CONFIG" --pgxs)" ] || missing+=("the server's development files")
    command -v "$("$PG_CONFIG" --cc | cut -d' ' -f1)" > /dev/null || missing+=("a C compiler")
    perl -MIPC::Run -MTAP::Harness -e 1 2> /dev/null || missing+=("Perl with IPC::Run")
    [ ${#missing[@]} -eq 0 ] ||
        die "missing for the server of $PG_CONFIG: $(printf '%s; ' "${missing[@]}")install it first"
}

# --- a folder and a user of our own ----------------------------------------

# Processes that work in a folder, which is how those that we started are
# told from all others: a server's working directory is its data folder.  Only
# those with our root: a path in a chroot may look the same from outside.
# Arguments: folder, and the name of the program if only its processes count.
processes_in()
{
    local cwd folder process

    # Processes come and go while find looks.
    { find /proc/[0-9]*/cwd -maxdepth 0 -printf '%p %l\n' 2> /dev/null || true; } |
        while read -r cwd folder; do
            case $folder in
                "$1" | "$1"/* | "$1 (deleted)")
                    process=${cwd%/cwd}
                    [ "$process/root" -ef / ] || continue
                    if [ -z "${2:-}" ] || [ "$(basename "$(readlink "$process/exe")")" = "$2" ]; then
                        echo "${process#/proc/}"
                    fi
                    ;;
            esac
        done
}

# End what still runs in a folder, and wait until it has.  Arguments as above.
# SIGQUIT stops a server at once, SIGTERM ends scripts, which ignore the
# former; what is there after 5 s gets SIGKILL.
end_processes_in()
{
    local signals signal pids tries

    for signals in "QUIT TERM" KILL; do
        tries=50
        while pids=$(processes_in "$@") && [ -n "$pids" ] && [ $tries -gt 0 ]; do
            if [ $tries -eq 50 ]; then
                for signal in $signals; do
                    # shellcheck disable=SC2086
                    kill -"$signal" $pids 2> /dev/null || true
                done
            fi
            sleep 0.1
            tries=$((tries - 1))
        done
    done
}

clean_up()
{
    local status=$?

    trap - EXIT INT TERM HUP
    cd /
    if [ -n "$WORK" ]; then
        end_processes_in "$WORK"
        [ -z "${MOUNTED:-}" ] || umount "$MOUNTED" || true
        if [ "${KEEP:-}" = 1 ]; then
            say "kept: $WORK"
        else
            rm -rf "$WORK"
        fi
    fi
    exit $status
}

choose_user()
{
    if ! is_root; then
        WORK_USER=$(id -un)
    elif [ -n "${FT_USER:-}" ]; then
        WORK_USER=$FT_USER
    elif [ "${SUDO_USER:-root}" != root ]; then
        WORK_USER=$SUDO_USER
    else
        WORK_USER=nobody
    fi
    id -u "$WORK_USER" > /dev/null 2>&1 || die "there is no user $WORK_USER"
    [ "$(id -u "$WORK_USER")" -ne 0 ] || die "servers do not run as root: FT_USER must be another user"
}

# The folder is in /tmp because the path of a socket has at most 107 bytes.
make_work()
{
    choose_user
    trap clean_up EXIT
    trap 'exit 130' INT TERM HUP
    WORK=$(mktemp -d "/tmp/ft-$COMMAND.XXXXXX")
    chmod 711 "$WORK"
    mkdir "$WORK/home" "$WORK/tmp"
    own "$WORK/home" "$WORK/tmp"
    cd "$WORK"
}

# Give files to the unprivileged user.
own()
{
    if is_root; then
        chown -R "$WORK_USER:$(id -g "$WORK_USER")" "$@"
    fi
}

# Go on as a command of the unprivileged user, in a clean environment.
become_user()
{
    local drop=()

    if is_root; then
        drop=(setpriv "--reuid=$WORK_USER" "--regid=$(id -g "$WORK_USER")" --clear-groups)
    fi
    exec "${drop[@]}" env -i HOME="$WORK/home" TMPDIR="$WORK/tmp" \
        USER="$WORK_USER" LOGNAME="$WORK_USER" \
        PATH="${PG_BINDIR:+$PG_BINDIR:}${PROMETHEUS_BIN:+$PROMETHEUS_BIN:}/usr/local/bin:/usr/bin:/bin" \
        LANG=C.UTF-8 PG_CONFIG="${PG_CONFIG:-}" "$@"
}

# Run a command as the unprivileged user.
as_user()
{
    (become_user "$@")
}

# Copy the tree, as it is in the checkout, without what a build left there.
# The checkout may be another user's, so git is told not to mind.
copy_tree()
{
    mkdir -p "$1"
    (
        cd "$TOP"
        if git -c safe.directory='*' ls-files -co --exclude-standard -z > "$WORK/files" 2> /dev/null; then
            xargs -0 -r sh -c 'for f; do [ -f "$f" ] && printf "%s\0" "$f"; done; :' sh < "$WORK/files" |
                tar -c --null -T - -f -
        else
            tar -c --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
                --exclude='./tmp_check*' --exclude="./fault_tolerance--*.sql" -f - .
        fi
    ) | tar -x -C "$1" -f - --no-same-owner
    rm -f "$WORK/files"
}

# --- counting --------------------------------------------------------------

PASSED=0
FAILED=0

passed()
{
    PASSED=$((PASSED + 1))
    printf 'ok      %s\n' "$*"
}

failed()
{
    FAILED=$((FAILED + 1))
    printf 'FAILED  %s\n' "$*"
}

# Run a command as one counted item; what it prints is shown if it fails.
check()
{
    local what=$1 log

    shift
    log=$(mktemp)
    if "$@" > "$log" 2>&1; then
        passed "$what"
    else
        failed "$what"
        sed 's/^/        /' "$log" | tail -n "${CHECK_LINES:-60}"
    fi
    rm -f "$log"
}

# The last line of every command that tests something.
finish()
{
    printf '%d passed, %d failed\n' "$PASSED" "$FAILED"
    [ "$FAILED" -eq 0 ] && [ "$PASSED" -gt 0 ]
    exit
}
