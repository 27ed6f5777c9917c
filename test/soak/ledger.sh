# shellcheck shell=bash disable=SC2034
#
# ledger.sh: a part of make soak: the TAP scripts of the ledger, with
# FT_SOAK_KILLS kills at random moments.  The seed it prints, given as
# FT_LEDGER_SEED, has the same processes killed in the same order.
#
# As root, in a mount namespace of its own (see soak.sh), the WAL of one server
# gets a small file system, to be filled; else what is full there is simulated.
#
soak_ledger()
{
    local kills=${FT_SOAK_KILLS:-500}

    MOUNTED=
    if [ -n "${FT_OWN_MOUNTS:-}" ]; then
        mkdir "$WORK/small"
        if mount -t tmpfs -o size=96m none "$WORK/small"; then
            MOUNTED=$WORK/small
            own "$MOUNTED"
        fi
    fi
    ONLY=066_ledger run_tap FT_LEDGER_KILLS="$kills" TAP_VERBOSE=1 \
        ${MOUNTED:+FT_SMALL_DISK="$MOUNTED"} ${FT_LEDGER_SEED:+FT_LEDGER_SEED="$FT_LEDGER_SEED"}
    NOTE="$kills kills, the full disk simulated"
    if [ -n "$MOUNTED" ]; then
        NOTE="$kills kills, a full disk"
    fi
}
