#!/bin/sh
# Put the standalone server into a folder: sh deploy/build.sh FOLDER
#
# The Dockerfile runs this, and so does a test. It makes FOLDER/venv (without pip: nothing is installed
# there later), FOLDER/app with manage.py and the project, and FOLDER/static. What is installed is what
# deploy/requirements.txt pins, with hashes; `make lock` writes that. PYTHON names the interpreter.
#
# A server may run from the folder meanwhile. What was there stays whole until all of the new is there,
# and is as it was if that fails.
set -eu
mkdir -p "$1"
target=$(cd "$1" && pwd)
python=${PYTHON:-python3}
build=$(mktemp -d)
# Beside the old environment, so that one renaming puts it in place.
next=$target/venv.next
# And for the same reason the old one stays beside it until then.
old=$target/venv.old
trap 'rm -rf "$build" "$next"' EXIT

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

"$python" -m venv --clear --without-pip "$next"
pip_in "$next" install --root-user-action ignore --require-hashes --only-binary :all: -r deploy/requirements.txt
pip_in "$next" install --root-user-action ignore "$build"/bindserver-*.whl
# Its scripts name it.
grep -rlIF "$next" "$next/bin" | while read -r script; do
    sed -i "s|$next|$target/venv|g" "$script"
done

mkdir "$build/app"
cp -R manage.py bindserver_project "$build/app/"
find "$build/app" -name __pycache__ -prune -exec rm -rf {} +

# Debug mode for this one command, which needs settings and no secret; and nothing of the caller's environment, which
# may be that of a server.
(cd "$build/app" && env -i PATH="$PATH" PYTHONDONTWRITEBYTECODE=1 DEBUG=1 DATABASE_URL=sqlite://:memory: \
    STATIC_ROOT="$target/static" DJANGO_SETTINGS_MODULE=bindserver_project.settings \
    "$next/bin/python" manage.py collectstatic --noinput --verbosity 0)

mkdir -p "$target/app"
cp -R "$build/app/." "$target/app/"
rm -rf "$old"
if [ -e "$target/venv" ]; then
    mv "$target/venv" "$old"
fi
mv "$next" "$target/venv"
rm -rf "$old"
chmod -R a+rX,go-w "$target/venv" "$target/app" "$target/static"

# Where the interpreter is in somebody's home, nobody else can run it, nor a unit with ProtectHome.
home=$(readlink -f "$target/venv/bin/python")
case $home in
    /root/* | /home/*)
        echo "deploy/build.sh: $target/venv runs $home, which other users may not reach, nor a systemd" \
            "unit with ProtectHome. Name another interpreter: PYTHON=/usr/bin/python3 sh deploy/build.sh $1" >&2
        ;;
esac
