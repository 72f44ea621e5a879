#!/bin/sh
# Installs the Debian packages of the list given as $1 that are missing; says nothing when none is.
# SKIP_DEPS=1 in the environment leaves the system alone, where the tools come from elsewhere.
set -eu

list=$1
if [ "${SKIP_DEPS:-}" = 1 ]; then
    exit 0
fi

die()
{
    printf 'deps: %s\n' "$1" >&2
    printf 'deps: packages needed: %s\n' "$(echo $wanted)" >&2
    printf 'deps: install them yourself, then run make again (SKIP_DEPS=1 skips this check)\n' >&2
    exit 1
}

wanted=$(sed -e 's/#.*//' "$list")
command -v dpkg-query >/dev/null 2>&1 || die "this system has no dpkg-query; it is no Debian"

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
    sed -n 's/^installed //p') || true
missing=
for package in $wanted; do
    printf '%s\n' "$installed" | grep -qxF -- "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || die "missing:$missing; neither root nor sudo to install them"
    sudo=sudo
fi
command -v apt-get >/dev/null 2>&1 || die "missing:$missing; no apt-get to install them"

printf 'deps: installing:%s\n' "$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -q >&2 || die "missing:$missing; apt-get update failed"
$sudo env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends $missing </dev/null >&2 ||
    die "missing:$missing; apt-get install failed"
