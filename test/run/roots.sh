# shellcheck shell=bash
#
# roots.sh: Debian releases in folders, each with its PostgreSQL.
# Sourced after lib.sh; needs root.
#
# A root is made once by debootstrap and kept under $ROOTS.  It is complete
# when its stamp is there, which is written last and names what the root was
# made of, so that a half-made one, or one of another list of packages, is
# made anew.  To have it made anew for other reasons, delete its folder.
#
# FT_MIRROR is the mirror to take packages from.
#

# shellcheck disable=SC2034
MATRIX="17 18"

root_suite()
{
    case $1 in
        17) echo trixie ;;
        18) echo forky ;;
        *) die "there is no root with PostgreSQL $1" ;;
    esac
}

# In a root nothing is started by being installed.
root_packages()
{
    echo "$(server_packages "$1")" prometheus prometheus-sql-exporter spin
}

# Argument: version of PostgreSQL.  Sets ROOT.
need_root_of()
{
    local suite wanted script=/usr/share/debootstrap/scripts log

    suite=$(root_suite "$1")
    ROOT=${ROOTS:?}/$1
    wanted="$suite $(root_packages "$1")"

    mkdir -p "$ROOTS"
    exec 8> "$ROOTS/$1.lock"
    flock -n 8 || {
        say "waiting for another command that uses $ROOT"
        flock 8
    }
    [ "$(cat "$ROOT/etc/fault_tolerance_root" 2> /dev/null)" != "$wanted" ] || return 0

    need_packages debootstrap debian-archive-keyring ca-certificates
    [ -e "$script/$suite" ] || ln -s sid "$script/$suite"
    say "making a root of Debian $suite with PostgreSQL $1 in $ROOT (once; about 2 minutes)"
    log=$ROOT.log
    rm -rf --one-file-system "$ROOT"
    mkdir -p "$ROOT"
    # shellcheck disable=SC2046
    if ! debootstrap --variant=minbase \
        --include="$(set -- $(root_packages "$1"); IFS=,; echo "$*")" \
        "$suite" "$ROOT" "${FT_MIRROR:-http://deb.debian.org/debian}" > "$log" 2>&1; then
        tail -n 40 "$log" "$ROOT/debootstrap/debootstrap.log" >&2 || true
        die "debootstrap failed, see $log"
    fi
    rm -rf "$ROOT"/var/cache/apt/archives/*.deb "$ROOT"/var/lib/apt/lists/*
    echo "$wanted" > "$ROOT/etc/fault_tolerance_root"
}

# Run a command as root in $ROOT, in namespaces of its own, so that what it
# mounts, and every process it starts, ends with it.  The folder given first
# is to be seen there as /mnt.
#
# Where / is no mount point, as in a chroot, mounts cannot be made private;
# should they be seen outside for that, they are at least taken away again.
in_root()
{
    local source=$1

    shift
    # shellcheck disable=SC2016
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root LANG=C.UTF-8 ONLY="${ONLY:-}" TAP_VERBOSE="${TAP_VERBOSE:-0}" \
        unshare --mount --propagation unchanged --pid --ipc --fork --kill-child bash -c '
            set -e
            root=$1 source=$2
            shift 2
            mount --make-rprivate / 2> /dev/null || true
            trap "umount -l \"$root/mnt\" \"$root/dev/shm\" \"$root/dev\" \"$root/proc\"" EXIT
            mount -t proc proc "$root/proc"
            mount --rbind /dev "$root/dev"
            mount --make-rprivate "$root/dev"
            mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
            mount --bind "$source" "$root/mnt"
            chroot "$root" "$@"' bash "$ROOT" "$source" "$@"
}
