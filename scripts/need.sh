#!/bin/sh
# See that a command is here, and install it where root may: sh scripts/need.sh COMMAND PACKAGES NAME
# COMMAND "-" means that the caller has looked already.
set -eu
command=$1 packages=$2 name=$3

if [ "$command" != - ] && command -v "$command" >/dev/null 2>&1; then
    exit 0
fi
if [ "$command" = chromium ] && [ -n "${CHROMIUM:-}" ]; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing $name ($packages) ..."
    apt-get update -qq
    # shellcheck disable=SC2086  # several packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
else
    echo "$name is missing. On Debian or Ubuntu: sudo apt-get install $packages" >&2
    exit 1
fi
