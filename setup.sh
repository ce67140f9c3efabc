#!/bin/sh
# Make .venv (or VENV) with what requirements files name, and see that there is a Java for Spark.
# Usage: ./setup.sh [REQUIREMENTS...]    requirements.txt if none is named; `make run` calls this.
#        ./setup.sh browsers             installs Chromium and Firefox for the page's tests (Debian, as root)
#        ./setup.sh java-remedy          prints how to install a Java here
set -eu
cd "$(dirname "$0")"
venv=${VENV:-.venv}

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

debian_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

apt_install() { # REASON PACKAGE...: installs the first of the packages that there is
    say "$1: installing $2 with apt-get (needs the internet)"
    reason=$1
    shift
    apt-get update -qq || true
    for package in "$@"; do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null 2>&1 && return
    done
    fail "$reason, and apt-get could not install $*; install it by hand and run this again"
}

java_package() { # the newest Java that this Debian has and Spark runs on
    apt-cache search --names-only '^openjdk-(17|21|25)-jre-headless$' 2>/dev/null | cut -d' ' -f1 |
        sort | tail -n 1
}

java_remedy() {
    if command -v apt-get >/dev/null; then
        package=$(java_package)
        how="apt update && apt install ${package:-openjdk-21-jre-headless}"
    elif command -v dnf >/dev/null; then
        how="dnf install java-latest-openjdk-headless"
    elif command -v brew >/dev/null; then
        how="brew install openjdk@21"
    else
        how="Java 21 from https://adoptium.net"
    fi
    echo "To install it: $how. If it is installed, set JAVA_HOME to its folder."
}

java_program() { echo "${JAVA_HOME:+$JAVA_HOME/bin/}java"; }

java_version() { # the major version of the Java that Spark will start; nothing if there is none
    "$(java_program)" -version 2>&1 |
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

if [ "$*" = java-remedy ]; then
    java_remedy
    exit
fi

[ $# -gt 0 ] || set -- requirements.txt
case $venv in /*) place=$venv ;; *) place=$(pwd)/$venv ;; esac

is_whole() { # whether the environment is of this folder and this Python, and has all its files
    grep -qF "$place/bin" "$venv/bin/pip" 2>/dev/null &&
        "$venv/bin/python" -m pip --version >/dev/null 2>&1 &&
        "$venv/bin/python" - "$@" 2>/dev/null <<'END'
import re, sys
from importlib.metadata import PackageNotFoundError, distribution
for requirements in sys.argv[1:]:
    for name in re.findall(r"^[\w.-]+", open(requirements).read(), re.MULTILINE):
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # pip will install it
        for file in package.files or ():
            if file.suffix == ".py" and not package.locate_file(file).exists():
                sys.exit(1)
END
}

is_installed() { # REQUIREMENTS: whether this script has installed what is named there
    [ -e "$venv/${1%.txt}.done" ] && [ -z "$(find "$1" requirements.txt -newer "$venv/${1%.txt}.done")" ]
}

if [ -e "$venv" ] && ! is_whole "$@"; then
    say "$venv is broken: its Python or a package is missing, or a setup was interrupted; making it again"
    rm -rf "$venv"
fi
missing=
for requirements in "$@"; do
    is_installed "$requirements" || missing=yes
done
[ -n "$missing" ] || exit 0

if command -v "$(java_program)" >/dev/null && ! said=$("$(java_program)" -version 2>&1); then
    options=$(env | grep -E '^(_JAVA_OPTIONS|JAVA_TOOL_OPTIONS|JDK_JAVA_OPTIONS)=' | paste -sd' ' -)
    line=$(echo "$said" | grep -v -e '^Picked up' -e '^Error occurred during init' | head -n 1)
    fail "Java does not start: $line; ${options:+unset or correct }${options:-install Java anew}"
fi
version=$(java_version || true)
if [ "${version:-0}" -lt 17 ]; then
    reason="Spark needs Java 17 or later (found: ${version:-none})"
    if debian_root && [ -z "${JAVA_HOME:-}" ]; then
        apt-get update -qq || true
        package=$(java_package)
        apt_install "$reason" "${package:-openjdk-21-jre-headless}"
    else
        fail "$reason. $(java_remedy)"
    fi
fi

if [ ! -e "$venv" ]; then
    python=$(find_python)
    [ -n "$python" ] || fail "Python 3.11 or later is needed; name yours with PYTHON=/path/to/python3"
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        debian_root || fail "this Python has no venv; on Debian, Ubuntu: apt install python3-venv"
        number=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "this Python cannot make a virtual environment" "python$number-venv" python3-venv
    fi
    say "making $venv with $("$python" --version)"
    "$python" -m venv "$venv" || fail "$python could not make $venv"
fi

size() { # about how much pip fetches for it
    case $1 in
    requirements.txt) echo "540 MB" ;;
    *bench*) echo "3 GB" ;;
    *) if is_installed requirements.txt; then echo "200 MB"; else echo "700 MB"; fi ;;
    esac
}

log=$venv/pip.log
for requirements in "$@"; do
    is_installed "$requirements" && continue
    say "installing what $requirements names into $venv; this fetches about $(size "$requirements")"
    shown="--quiet --progress-bar=off"
    [ -t 1 ] && shown=--progress-bar=on
    # A /tmp in memory is too small for pip to unpack in.
    mkdir -p "$place/tmp"
    # shellcheck disable=SC2086  # these are words
    if ! TMPDIR=$place/tmp "$venv/bin/python" -m pip install $shown --log "$log" \
        --disable-pip-version-check -r "$requirements" 2>"$venv/pip.errors"; then
        grep -q "No space left on device" "$log" "$venv/pip.errors" &&
            fail "the disk is full; pip also keeps a cache in your home folder"
        line=$(grep -h '^ERROR' "$venv/pip.errors" | tail -n 1)
        fail "pip could not install $requirements: ${line:-see $log}; the full log is $log"
    fi
    rm -rf "$venv/tmp"
    # Every other file brings what requirements.txt names.
    touch "$venv/${requirements%.txt}.done" "$venv/requirements.done"
done

# Java starts in half the time from an archive of the classes that a training needs; see quick_options.
archive=$place/java-$(java_version).jsa
if [ -e "$venv/bin/spark-submit" ] &&
    [ -z "$(find "$archive" -newer "$(echo "$venv"/lib/python*/site-packages/pyspark/jars)" 2>/dev/null)" ]; then
    say "preparing Java by a short training, so that Spark starts faster"
    rm -f "$archive"
    env -u SPARK_HOME -u SPARK_CONF_DIR -u SPARK_SUBMIT_OPTS -u PYSPARK_DRIVER_PYTHON \
        PYSPARK_PYTHON="$place/bin/python" SPARK_LOCAL_IP=127.0.0.1 "$venv/bin/spark-submit" \
        --master "local[1]" --driver-java-options "-XX:ArchiveClassesAtExit=\"$archive.$$\"" \
        train.py --data offline --epochs 1 --model-dir "$venv/tmp" --plots-dir "$venv/tmp" \
        >"$venv/java.log" 2>&1 && mv "$archive.$$" "$archive" 2>/dev/null || true  # it may be missing
    rm -rf "$venv/tmp" "$archive.$$"
fi
