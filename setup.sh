#!/bin/sh
# Make .venv (or VENV) with what requirements files name, and see that there is a Java for Spark.
# Usage: ./setup.sh REQUIREMENTS...      `make run` and `make test` call this; nothing is done twice.
#        ./setup.sh browsers             sees that there are Chromium and Firefox for the page's tests
set -eu
cd "$(dirname "$0")"
venv=${VENV:-.venv}

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

debian_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

apt_install() { # REASON PACKAGE...: installs the first of the packages that there is
    say "$1: installing $2 with apt-get, which asks for the network"
    reason=$1
    shift
    apt-get update -qq || true
    for package in "$@"; do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null 2>&1 && return
    done
    fail "$reason, and apt-get could not install $*; install it by hand and run this again"
}

java_version() { # the major version of the Java that Spark will start; nothing if there is none
    "${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1 |
        sed -n 's/.*version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p' | head -n 1
}

find_python() {
    for python in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
}

if [ "$*" = browsers ]; then
    for names in "chromium chromium-browser google-chrome" "firefox-esr firefox"; do
        for name in $names; do
            command -v "$name" >/dev/null && continue 2
        done
        if debian_root; then
            # shellcheck disable=SC2086  # the names are words; the tests say what follows from none
            (apt_install "the page is tested in ${names%% *}" $names) || true
        else
            say "no ${names%% *} here: install it, or the page's tests in it are skipped"
        fi
    done
    exit
fi

version=$(java_version || true)
if [ "${version:-0}" -lt 17 ]; then
    if debian_root && [ -z "${JAVA_HOME:-}" ]; then
        apt_install "Spark needs Java 17 or later (found: ${version:-none})" \
            openjdk-17-jre-headless openjdk-21-jre-headless
    else
        fail "Spark needs Java 17 or later (found: ${version:-none}). Debian, Ubuntu: apt install" \
            "openjdk-17-jre-headless; Fedora: dnf install java-21-openjdk-headless; macOS: brew" \
            "install openjdk@17. If it is installed, set JAVA_HOME to its folder."
    fi
fi

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    [ -n "$python" ] || fail "Python 3.11 or later is needed; name yours with PYTHON=/path/to/python3"
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        debian_root || fail "this Python has no venv; on Debian, Ubuntu: apt install python3-venv"
        number=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "this Python cannot make a venv" "python$number-venv" python3-venv
    fi
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi

for requirements in "$@"; do
    say "installing what $requirements names into $venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" ||
        fail "pip could not install $requirements; is the package index reachable?"
done
