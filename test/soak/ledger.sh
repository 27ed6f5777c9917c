# shellcheck shell=bash disable=SC2034
#
# ledger.sh: a part of make soak: the TAP script of the ledger with
# FT_SOAK_KILLS kills at random moments.  The seed it prints, given as
# FT_LEDGER_SEED, has the same processes killed in the same order.
#
soak_ledger()
{
    local kills=${FT_SOAK_KILLS:-500}

    ONLY=066_ledger run_tap FT_LEDGER_KILLS="$kills" TAP_VERBOSE=1 \
        ${FT_LEDGER_SEED:+FT_LEDGER_SEED="$FT_LEDGER_SEED"}
    NOTE="$kills kills"
}
