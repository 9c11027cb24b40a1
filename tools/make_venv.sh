#!/bin/sh
# Make the virtual environment DIR with PYTHON, or say exactly what is missing.
#
# A bare Debian has Python but not the package that holds `venv`. Where we may (root, apt-get there), we
# install it; where we may not, we say which command would, and stop.
set -eu
dir=$1
python=$2

fail() {
    printf 'keystead: %s\n' "$@" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 ||
    fail "there is no '$python' here; install Python 3.11 or newer, or name yours: make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed; '$python' is $("$python" -V 2>&1). Name another: make PYTHON=/path/to/python3"

rm -rf "$dir"
if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing python3-venv, which this Python needs to make a virtual environment"
        export DEBIAN_FRONTEND=noninteractive
        # The package lists may be empty on a fresh machine; refresh them only if they are needed.
        apt-get install -qq -y --no-install-recommends python3-venv >/dev/null 2>&1 ||
            { apt-get update -qq && apt-get install -qq -y --no-install-recommends python3-venv >/dev/null; }
    else
        fail "this Python cannot make virtual environments (its 'venv' or 'ensurepip' is missing)." \
            "On Debian and Ubuntu:  sudo apt-get install python3-venv" \
            "Then run the same make command again."
    fi
fi
"$python" -m venv "$dir"
