# shellcheck shell=bash
#
# source.sh: the sources of the server under test, from Debian's own package,
# for its tests.  Sourced by soak.sh.
#
# Apt is given lists of its own in $WORK, made of those of this machine, so
# that nothing is added to the machine's for good; root is not needed.
#
SERVER_SOURCE=

apt_private()
{
    local command=$1

    shift
    "$command" -q \
        -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$WORK/apt/parts" \
        -o Dir::State::Lists="$WORK/apt/lists" -o Dir::Cache="$WORK/apt/cache" \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 -o Acquire::Languages=none "$@"
}

# Sets SERVER_SOURCE; fails, with the reason said, if there are none.
need_server_source()
{
    local package wanted version list

    [ -z "$SERVER_SOURCE" ] || return 0
    if [ -n "${SOAK_SOURCE:-}" ]; then
        [ -d "$SOAK_SOURCE/src/test/isolation/specs" ] || die "SOAK_SOURCE=$SOAK_SOURCE is not a tree of the server's sources"
        SERVER_SOURCE=$SOAK_SOURCE
        return
    fi
    if [ -z "$PG_DEBIAN" ]; then
        say "the server is not Debian's: set SOAK_SOURCE to its sources"
        return 1
    fi

    package=postgresql-$PG_DEBIAN
    wanted=$(dpkg-query -W -f '${source:Version}' "$package")
    need_packages dpkg-dev
    mkdir -p "$WORK/apt/lists/partial" "$WORK/apt/cache/archives/partial" "$WORK/apt/parts"
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [ -e "$list" ] || continue
        sed -E 's/^Types:.*/Types: deb-src/; s/^deb /deb-src /' "$list" > "$WORK/apt/parts/$(basename "$list")"
    done
    # Not every archive need have sources.
    apt_private apt-get update > "$WORK/apt/log" 2>&1 || tail -n 5 "$WORK/apt/log"
    # A mirror may list a version and not have it: then the nearest older one.
    for version in $(apt_private apt-cache showsrc "$package" 2> /dev/null | sed -n 's/^Version: //p' | sort -u |
        while read -r list; do
            if dpkg --compare-versions "$list" le "$wanted"; then echo "$list"; fi
        done | sort -rV); do
        say "fetching the sources of $package $version"
        rm -rf "${WORK:?}/source"
        mkdir "$WORK/source"
        if (cd "$WORK/source" && apt_private apt-get source --download-only "$package=$version" &&
            dpkg-source --no-check -x ./*.dsc server) > "$WORK/apt/log" 2>&1; then
            SERVER_SOURCE=$WORK/source/server
            [ "$version" = "$wanted" ] || say "the server is $wanted, its tests are those of $version, the nearest older to be had"
            return 0
        fi
        grep '^E:' "$WORK/apt/log" | head -n 1
    done
    say "the mirror has no sources of $package $wanted or older"
    return 1
}
