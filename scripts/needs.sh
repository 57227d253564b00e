#!/bin/sh
# Say what `make test` is going to need, what of it is not here yet, and how long it takes.
set -eu
PATH="$PATH:/usr/sbin"
missing=""

need() { # COMMAND NAME
    command -v "$1" >/dev/null 2>&1 || missing="$missing, $2"
}

need redis-server Redis
command -v initdb >/dev/null 2>&1 || need pg_ctlcluster PostgreSQL
need pgbouncer PgBouncer
need mariadbd MariaDB
need mariadb_config "MariaDB's client library"
need nginx nginx
need openssl OpenSSL
need npm "Node.js with npm"
[ -n "${CHROMIUM:-}" ] || need chromium Chromium

echo "All tests need Redis, PostgreSQL with PgBouncer, MariaDB, nginx, Node.js and Chromium, beside Python."
if [ -n "$missing" ]; then
    how="install it, or make says how"
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && how="make installs it"
    echo "Not here yet: ${missing#, } ($how)."
fi
echo "They take half an hour or so on two cores. What is quick comes first; \`make fast\` is that alone."
