#!/bin/sh
# Put the standalone server into a folder: sh deploy/build.sh FOLDER
#
# The Dockerfile runs this, and so does a test. It makes FOLDER/venv (without pip: nothing is installed
# there later), FOLDER/app with manage.py and the project, and FOLDER/static.
set -eu
target=$1
python=${PYTHON:-python3}

"$python" -m venv --without-pip "$target/venv"
"$python" -m pip --python "$target/venv/bin/python" install \
    --quiet --no-cache-dir --disable-pip-version-check --root-user-action ignore ".[server,redis,postgresql,metrics]"

mkdir -p "$target/app"
cp -R manage.py bindserver_project "$target/app/"
find "$target/app" -name __pycache__ -prune -exec rm -rf {} +

# Debug mode for this one command, which needs settings and no secret.
cd "$target/app"
env DEBUG=1 DATABASE_URL=sqlite://:memory: STATIC_ROOT="$target/static" \
    DJANGO_SETTINGS_MODULE=bindserver_project.settings \
    "$target/venv/bin/python" manage.py collectstatic --noinput --verbosity 0
chmod -R a+rX,go-w "$target"
