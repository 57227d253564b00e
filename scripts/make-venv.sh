#!/bin/sh
# Make a virtual environment: sh scripts/make-venv.sh PYTHON FOLDER
set -eu
python=$1 folder=$2

if ! command -v "$python" >/dev/null 2>&1; then
    echo "bindserver needs Python 3.11 or newer; '$python' is not here. Install it, or name one: make run PYTHON=/path/to/python" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "bindserver needs Python 3.11 or newer; '$python' is $("$python" --version 2>&1). Name another: make run PYTHON=/path/to/python" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    sh "$(dirname "$0")/need.sh" - python3-venv "Python's venv module"
fi
echo "Making a virtual environment in $folder ..."
"$python" -m venv "$folder"
