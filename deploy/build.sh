#!/bin/sh
# Put the standalone server into a folder: sh deploy/build.sh FOLDER
#
# The Dockerfile runs this, and so does a test. It makes FOLDER/venv (without pip: nothing is installed
# there later), FOLDER/app with manage.py and the project, and FOLDER/static. What is installed is what
# deploy/requirements.txt pins, with hashes; `make lock` writes that.
set -eu
target=$1
python=${PYTHON:-python3}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

# pip, for the virtual environment in a folder: pip_in FOLDER COMMAND ...
pip_in() {
    environment=$1 command=$2
    shift 2
    "$python" -m pip --python "$environment/bin/python" "$command" \
        --quiet --no-cache-dir --disable-pip-version-check --no-deps "$@"
}

# Our own wheel, built by what deploy/build-requirements.txt pins.
"$python" -m venv --without-pip "$build/venv"
pip_in "$build/venv" install --root-user-action ignore --require-hashes -r deploy/build-requirements.txt
pip_in "$build/venv" wheel --no-build-isolation --wheel-dir "$build" .

"$python" -m venv --without-pip "$target/venv"
pip_in "$target/venv" install --root-user-action ignore --require-hashes --only-binary :all: -r deploy/requirements.txt
# Though another build of the same version may be there.
pip_in "$target/venv" install --root-user-action ignore --force-reinstall "$build"/bindserver-*.whl

mkdir -p "$target/app"
cp -R manage.py bindserver_project "$target/app/"
find "$target/app" -name __pycache__ -prune -exec rm -rf {} +

# Debug mode for this one command, which needs settings and no secret.
cd "$target/app"
env DEBUG=1 DATABASE_URL=sqlite://:memory: STATIC_ROOT="$target/static" \
    DJANGO_SETTINGS_MODULE=bindserver_project.settings \
    "$target/venv/bin/python" manage.py collectstatic --noinput --verbosity 0
chmod -R a+rX,go-w "$target"
