#!/bin/bash
#
# make lint: the rules of the house that a program can check.
#
# Each rule is one item of the count.  Sizes only warn.  Needs the server's
# development files, cppcheck and shellcheck, and installs what is missing.
#
# shellcheck source=test/run/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=test/run/suite.sh
. "$(dirname "$0")/suite.sh"

need_server
[ -z "$PG_DEBIAN" ] || need_packages cppcheck shellcheck binutils
make_work
copy_tree "$WORK/tree"
copy_tree "$WORK/build"
cd "$WORK/tree"

C_FILES=$(find src -name '*.[ch]' | sort)
PARTS=$(find src -name '*.sql' -not -path 'src/upgrade/*' | sort)
SCRIPTS=$(find . -name '*.sh' -o -path './.ci/run' | sort)
PERL=$(find test -name '*.pl' -o -name '*.pm' | sort)

# Lines of standard input, each one a complaint: none is success, however the
# commands that looked for them ended.
set +o pipefail

none()
{
    ! grep .
}

# Complain of what is in one sorted list only.  Arguments: list, what to say
# of a line that only it has; the same of the other list.
same()
{
    {
        comm -23 <(echo "$1" | sort -u) <(echo "$3" | sort -u) | sed "/./s|\$| $2|"
        comm -13 <(echo "$1" | sort -u) <(echo "$3" | sort -u) | sed "/./s|\$| $4|"
    } | none
}

# --- C ---------------------------------------------------------------------

# One configuration, that of this server, with assertions, from which cppcheck
# learns: its headers have far too many.  Not wanted: that a parameter could be
# const (the server's signatures prescribe them), that a variable could be
# declared further in (they stand at the head of a function, as the server has
# them), that it is named like an SQL function (such as now), what the server's
# macros for lists and calls look like, and what is without effect, as are macros
# for other versions of the server.
rule_cppcheck()
{
    cppcheck --quiet --error-exitcode=1 -j "$(nproc)" --std=c99 --inline-suppr \
        --enable=warning,style,performance,portability \
        -D__GNUC__=12 -D__x86_64__ -DUSE_ASSERT_CHECKING=1 -Isrc -I"$("$PG_CONFIG" --includedir-server)" \
        --suppress="*:$("$PG_CONFIG" --includedir-server)/*" \
        --suppress=missingInclude --suppress=missingIncludeSystem \
        --suppress=unmatchedSuppression --suppress=variableScope \
        --suppress=constParameter --suppress=constParameterPointer \
        --suppress=shadowFunction --suppress=nullPointerRedundantCheck \
        --suppress=knownConditionTrueFalse --suppress=selfAssignment \
        --suppress=unusedStructMember \
        --suppress=constParameterCallback --suppress=normalCheckLevelMaxBranches \
        src
}

rule_functions()
{
    # shellcheck disable=SC2086
    same "$(sed -n 's/^PG_FUNCTION_INFO_V1(\(.*\));.*/\1/p' $C_FILES)" "is exposed in C but has no CREATE FUNCTION" \
        "$(cat $PARTS | tr '\n' ' ' | grep -oE "'MODULE_PATHNAME' *, *'[a-z0-9_]+'" | sed "s/.*'\([a-z0-9_]*\)'\$/\1/")" \
        "is used by a CREATE FUNCTION but not exposed in C"
}

# A function without a symbol name in AS takes its own name, which hides it
# from the rule above.
rule_function_symbols()
{
    # shellcheck disable=SC2086
    cat $PARTS | tr '\n' ' ' | grep -oE "'MODULE_PATHNAME' *[^, ][^;]*;" | none
}

rule_symbols()
{
    nm -D --defined-only "$WORK/build/fault_tolerance.so" | awk '{ print $3 }' |
        grep -vE '^(ft_.*|pg_finfo_ft_.*|_PG_init|Pg_magic_func|_init|_fini)$' | sed 's/$/ is exported/' | none
}

rule_versions()
{
    # shellcheck disable=SC2086
    grep -n 'PG_VERSION_NUM\|PG_MAJORVERSION' $C_FILES | grep -v '^src/compat.h:' | none
}

rule_settings_place()
{
    # shellcheck disable=SC2086
    grep -n 'DefineCustom[A-Z]' $C_FILES | grep -v '^src/guc.c:' | none
}

# What two domains need goes down a floor.
rule_domains()
{
    local file domain included

    # shellcheck disable=SC2086
    grep -oE '^#include "[a-z_]+/[a-z_]+\.h"' $C_FILES | sed 's/:#include "/ /; s/"$//' |
        while read -r file included; do
            [ -e "src/$included" ] || continue
            domain=$(basename "$(dirname "$file")")
            case $domain in
                diagnostics | orchestration | nodes | consistency | protection)
                    [ "${included%%/*}" = "$domain" ] || echo "$file includes $included, of another domain"
                    ;;
            esac
        done | none
}

rule_c_banners()
{
    local file

    for file in $C_FILES; do
        [ "$(sed -n '1s|^/\*--*$|banner|p;3s|^ \* ||p' "$file" | tr '\n' ' ')" = "banner $(basename "$file") " ] ||
            echo "$file has no banner that names it"
        sed -n 4p "$file" | grep -q '^ \*	  [^ ]' || echo "$file: its banner does not say what it is for"
    done | none
}

# --- lists of the Makefile -------------------------------------------------

rule_parts()
{
    same "$(make_list INSTALL_PARTS | tr ' ' '\n' | sed 's|.*|src/&.sql|')" "is in INSTALL_PARTS, but there is no such file" \
        "$PARTS" "is not in INSTALL_PARTS"
}

rule_regress()
{
    local list

    list=$(make_list REGRESS | tr ' ' '\n')
    same "$list" "is in REGRESS, but sql/ has none" "$(basename -s .sql -a sql/*.sql)" "(sql) is not in REGRESS" &&
        same "$list" "is in REGRESS, but expected/ has none" \
            "$(basename -s .out -a expected/*.out | sed 's/_[1-9]$//')" "(expected) is not in REGRESS"
}

rule_isolation()
{
    local list

    list=$(make_list ISOLATION | tr ' ' '\n')
    same "$list" "is in ISOLATION, but has no spec" \
        "$(find test/isolation/specs -name '*.spec' -exec basename -s .spec -a {} + 2> /dev/null)" "(spec) is not in ISOLATION" &&
        same "$list" "is in ISOLATION, but has no expected output" \
            "$(find test/isolation/expected -name '*.out' -exec basename -s .out -a {} + 2> /dev/null | sed 's/_[1-9]$//')" \
            "(expected) is not in ISOLATION"
}

# Each subject is a stem that has its test.
rule_subjects()
{
    local part stem

    for part in $PARTS; do
        stem=$(basename "$part" .sql)
        case $part in
            src/*/*) [ -e "sql/$stem.sql" ] || echo "$part has no sql/$stem.sql" ;;
        esac
    done | none
}

# --- scripts, documents ----------------------------------------------------

rule_shellcheck()
{
    # shellcheck disable=SC2086
    shellcheck -x -P SCRIPTDIR -P . -e SC2016,SC2317,SC2329 $SCRIPTS
}

rule_perl()
{
    local file lib

    lib=$(dirname "$("$PG_CONFIG" --pgxs)")/../test/perl
    for file in $PERL; do
        perl -I "$lib" -I test/tap -c "$file" 2>&1 | grep -v ' syntax OK$'
    done | none
}

rule_banners()
{
    local file

    for file in $PARTS $SCRIPTS $PERL Makefile sql/*.sql test/pgtap/*.sql test/isolation/specs/*.spec; do
        [ -s "$file" ] || continue
        sed -n '1{/^#!/d};/./{p;q}' "$file" | grep -qE '^(#|--|/\*)' || echo "$file does not begin with a comment"
    done | none
}

rule_whitespace()
{
    local file

    find . -type f -not -path './expected/*' -not -path './test/isolation/expected/*' \
        -not -path './sql/*' | while read -r file; do
        grep -nE '[ 	]+$' "$file" /dev/null | head -n 3
        [ -z "$(tail -c 1 "$file")" ] || echo "$file: no newline at its end"
    done | none
}

rule_settings_documented()
{
    same "$(grep -oE '"fault_tolerance\.[a-z_]+"' src/guc.c | tr -d '"')" "is not in doc/settings.md" \
        "$(grep -oE '`fault_tolerance\.[a-z_]+`' doc/settings.md | tr -d '`')" "is in doc/settings.md, but not a setting"
}

rule_meta()
{
    perl -MJSON::PP -e '
        local $/;
        open my $f, "<", "META.json" or die "META.json: $!\n";
        my $meta = decode_json(<$f>);
        open $f, "<", "fault_tolerance.control" or die "fault_tolerance.control: $!\n";
        my ($version) = <$f> =~ /^default_version = .([0-9.]+)/m or die "no default_version\n";
        my $provides = $meta->{provides}{fault_tolerance}{version};
        for ($meta->{version}, $provides) {
            /^\Q$version\E(\.0)*$/ or die "META.json says version $_, the control file $version\n";
        }
        -e $meta->{provides}{fault_tolerance}{$_} or die "META.json: $_ names no file\n" for qw(docfile);'
}

# Links inside the tree, in all documents.
rule_links()
{
    local file target

    find . -name '*.md' | while read -r file; do
        grep -oE '\]\([^)# ]+' "$file" | sed 's/^](//' | grep -vE '^[a-z]+:' |
            while read -r target; do
                [ -e "$(dirname "$file")/$target" ] || echo "$file: $target is not there"
            done
    done | none
}

warn_sizes()
{
    local file limit lines

    for file in $C_FILES $PARTS; do
        case $file in *.sql) limit=250 ;; *) limit=600 ;; esac
        lines=$(wc -l < "$file")
        [ "$lines" -le $limit ] || echo "warning: $file has $lines lines, past $limit it wants splitting by subject"
    done
}

say "C"
check "cppcheck" rule_cppcheck
check "build" build
check "build without warnings (-Wall -Wextra), outside the source folder" strict_build
check "every C function exposed has its CREATE FUNCTION, and the reverse" rule_functions
check "every C function is created with the name of its symbol" rule_function_symbols
check "exported symbols start with ft_" rule_symbols
check "the server's version is tested in compat.h only" rule_versions
check "settings are defined in guc.c only" rule_settings_place
check "domains do not include one another" rule_domains
check "every C file has a banner" rule_c_banners
say "lists"
check "every install part is listed" rule_parts
check "every pg_regress test is listed and has its expected output" rule_regress
check "every isolation spec is listed and has its expected output" rule_isolation
check "every subject has its test" rule_subjects
say "scripts and documents"
check "shellcheck" rule_shellcheck
check "perl -c" rule_perl
check "every file begins by saying what it is for" rule_banners
check "no blanks at the end of a line, a newline at the end of a file" rule_whitespace
check "every setting is documented" rule_settings_documented
check "META.json is well formed and agrees with the control file" rule_meta
check "links in documents lead somewhere" rule_links
warn_sizes

finish
