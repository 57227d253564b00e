#!/bin/sh
# Unpack nginx's module nchan into a folder, where this is Debian or Ubuntu; nothing of the system is changed.
set -eu
if ! command -v apt-get >/dev/null 2>&1; then
    echo "No nchan here: it is left out."
    exit 0
fi
mkdir -p "$1"
cd "$1"
apt-get download -q libnginx-mod-nchan >/dev/null 2>&1 && dpkg -x libnginx-mod-nchan*.deb . ||
    echo "nchan could not be fetched: it is left out."
