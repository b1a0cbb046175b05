# shellcheck shell=bash
# Sourced by the scripts: makes the virtual environment `.venv` in the checkout and keeps it up to date.
# Works with bash 3.2 and up, without a terminal, and needs nothing but Python.

set -euo pipefail

MARO_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
VENV="$MARO_ROOT/.venv"
STAMP="$VENV/.maro-setup"
SETUP_LOG="$VENV/setup.log"
# shellcheck disable=SC2034  # for the scripts that source this file
PYTHON="$VENV/bin/python"

cd "$MARO_ROOT"

# Hosts set these for reasons of their own; here every topology names its components itself.
unset COMPONENT_NAME COMPONENT_TYPE CONTAINER_NAME JOB_ID

# These would have pip or Python look outside the virtual environment.
unset PYTHONHOME PIP_TARGET PIP_PREFIX
export PIP_USER=0

# A closed stdin would lend its number to the next file that is opened.
[ -e /dev/fd/0 ] || exec </dev/null

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "error: $*"
    exit 1
}

# setup EXTRAS: see to it that .venv holds the project, editable, with these extras (separated by commas).
setup() {
    local extras="$1"
    # Said here, for what finds the interpreter runs in a subshell, whose exit would be overlooked.
    if [ -n "${MARO_PYTHON:-}" ] && ! is_recent "$MARO_PYTHON"; then
        fail "MARO_PYTHON=$MARO_PYTHON is no Python 3.10 or later; name one that is, or unset MARO_PYTHON"
    fi
    if is_set_up "$extras"; then
        return
    fi
    mkdir -p "$VENV" 2>/dev/null || fail "$MARO_ROOT belongs to somebody else; make a clone of your own"
    [ -w "$VENV" ] || fail "$VENV belongs to somebody else; remove it, or make a clone of your own"
    # Two scripts that start at once must not build the same folder; without flock (macOS) they had better not.
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$VENV/.setup-lock"
        flock 9
    fi
    if ! is_set_up "$extras"; then
        if ! venv_is_usable; then
            make_venv
        fi
        install_project "$extras"
    fi
    exec 9>&-
}

# is_set_up EXTRAS: whether .venv holds these extras, of the project as pyproject.toml describes it now.
is_set_up() {
    [ -x "$PYTHON" ] && [ -r "$STAMP" ] && venv_is_of_wanted_python || return 1
    local key="" installed=""
    { read -r key && read -r installed; } <"$STAMP" || return 1
    [ "$key" = "$(setup_key)" ] && covers "$installed" "$1"
}

# What makes an installation outdated: another list of dependencies, or a checkout that has moved.
setup_key() {
    printf '%s %s\n' "$(cksum <pyproject.toml)" "$MARO_ROOT"
}

# covers INSTALLED WANTED: whether the first list of extras includes the second.
covers() {
    case ",$1," in *,all,*) return 0 ;; esac
    local extra
    for extra in ${2//,/ }; do
        case ",$1," in *",$extra,"*) ;; *) return 1 ;; esac
    done
}

is_recent() {
    "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 10))' </dev/null >/dev/null 2>&1
}

venv_is_usable() {
    is_recent "$PYTHON" && venv_is_of_wanted_python && "$PYTHON" -m pip --version </dev/null >/dev/null 2>&1
}

# Without MARO_PYTHON any Python will do that .venv was made with.
venv_is_of_wanted_python() {
    [ -z "${MARO_PYTHON:-}" ] || [ "$(origin "$PYTHON")" = "$(origin "$MARO_PYTHON")" ]
}

origin() {
    "$1" -c 'import os, sys; print(sys.version, os.path.realpath(sys.base_prefix))' </dev/null 2>/dev/null || echo none
}

find_python() {
    local candidate
    for candidate in ${MARO_PYTHON:+"$MARO_PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
        # Asked by running it: a name on PATH may be a shim without an interpreter behind it.
        if is_recent "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
}

make_venv() {
    local python
    python="$(find_python)"
    [ -n "$python" ] || fail "there is no Python 3.10 or later on PATH; install one, or name one in MARO_PYTHON"
    say "making .venv with $("$python" --version) ($python)"
    if ! can_make_venv "$python"; then
        # Debian keeps a part of the standard library in a package of its own.
        apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" ||
            apt_install python3-venv || true
    fi
    if can_make_venv "$python"; then
        "$python" -m venv --clear "$VENV" </dev/null || fail "$python could not make the virtual environment $VENV"
    elif "$python" -c 'import venv' 2>/dev/null && "$python" -m pip --version </dev/null >/dev/null 2>&1; then
        "$python" -m venv --clear --without-pip "$VENV" </dev/null || fail "$python could not make $VENV"
        run_pip "$python" -m pip --python "$PYTHON" install pip
    else
        fail "this Python lacks its venv module; type 'sudo apt-get install python3-venv', then start again"
    fi
}

can_make_venv() {
    "$1" -c 'import ensurepip, venv; ensurepip.version()' </dev/null >/dev/null 2>&1
}

install_project() {
    local extras="$1" key="" installed=""
    if [ -r "$STAMP" ]; then
        { read -r key && read -r installed; } <"$STAMP" || true
    fi
    if covers "$installed" all || [ "$extras" = all ]; then
        extras=all
    elif [ -n "$installed" ]; then
        extras="$installed,$extras"
    fi
    say "installing the project with what it needs ($extras) into .venv; the first time this takes a minute or two"
    run_pip "$PYTHON" -m pip install --editable ".[$extras]"
    # Last, so that what was interrupted is done again.
    printf '%s\n%s\n' "$(setup_key)" "$extras" >"$STAMP"
}

# run_pip COMMAND...: run pip quietly; where it fails, tell a missing network from everything else.
run_pip() {
    if "$@" --quiet --disable-pip-version-check --no-input </dev/null >"$SETUP_LOG" 2>&1; then
        return
    fi
    if grep -q 'cancelled by user' "$SETUP_LOG"; then
        exit 130
    fi
    local network='name resolution|NewConnectionError|ConnectTimeout|ReadTimeout|Network is unreachable'
    network="$network|Connection (refused|reset|aborted)|No route to host|ProxyError|Max retries exceeded|SSLError"
    if grep -Eq "$network" "$SETUP_LOG"; then
        fail "pip cannot reach its package index. Connect to the network, or name a mirror in PIP_INDEX_URL, then" \
            "start again; what is installed already is kept. $SETUP_LOG has pip's own words"
    fi
    tail -n 20 "$SETUP_LOG" >&2
    fail "pip could not install what the project needs; the lines above say why, $SETUP_LOG says more"
}

# apt_install PACKAGE...: install Debian packages where that is possible without asking anybody.
apt_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    say "installing $* with apt-get"
    apt_get install --no-install-recommends "$@" && return
    # A fresh image has no package lists.
    apt_get update && apt_get install --no-install-recommends "$@"
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 "$@" </dev/null >/dev/null 2>&1
}
