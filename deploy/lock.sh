#!/bin/sh
# Pin what the image installs, with hashes: sh deploy/lock.sh, or `make lock`. Commit what it writes.
#
# deploy/requirements.txt is what the server needs, deploy/build-requirements.txt what builds its wheel; for every
# Python and platform that pyproject.toml allows. With UPGRADE=1 the newest versions are taken, else those that are
# pinned stay as long as they fit.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv>=0.5"
# uv has no pip's configuration: it is told where pip looks.
index=$("$python" -m pip config get global.index-url 2>/dev/null || true)

compile() {
    "$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --custom-compile-command "make lock" ${UPGRADE:+--upgrade} ${index:+--default-index "$index"} "$@" >/dev/null
}

compile pyproject.toml --extra server --extra redis --extra postgresql --extra metrics --extra fast \
    --output-file deploy/requirements.txt
"$python" - > "$work/build.in" <<'END'
import pathlib, tomllib
print(*tomllib.loads(pathlib.Path("pyproject.toml").read_text())["build-system"]["requires"], sep="\n")
END
compile "$work/build.in" --no-annotate --output-file deploy/build-requirements.txt
