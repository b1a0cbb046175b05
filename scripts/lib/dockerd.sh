# shellcheck shell=bash
# Sourced by engine.sh: installs an engine and starts it, where no engine answers and where that is allowed.

# engine_pid: the process of the engine that was started here, if it still runs.
engine_pid() {
    local pid
    pid="$(read_pid "$ENGINE_STATE/pid")"
    is_live "$pid" dockerd && echo "$pid"
}

# is_live PID NAME: whether this process lives; neither a zombie nor another program that got the number.
is_live() {
    local comm=""
    [ -n "$1" ] && { read -r comm <"/proc/$1/comm"; } 2>/dev/null || return 1
    [ "$comm" = "$2" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

engine_up() {
    if engine_answers; then
        return
    fi
    local endpoint
    endpoint="$(engine_endpoint)"
    if [ "$endpoint" != "$ENGINE_SOCKET" ] && [ -z "${MARO_ENGINE_ROOT:-}" ]; then
        say "no Docker engine answers at $endpoint: start it, or see what DOCKER_HOST and 'docker context ls' say"
        return "$ENGINE_UNAVAILABLE"
    fi
    if docker version 2>&1 | grep -qi 'permission denied'; then
        say "you may not use the Docker engine here: have yourself added to the group docker, then log in again"
        return "$ENGINE_UNAVAILABLE"
    fi
    if [ "$(id -u)" != 0 ] || [ "$(uname -s)" != Linux ]; then
        say "no Docker engine answers here: start yours, or install one, see $ENGINE_DOCS"
        return "$ENGINE_UNAVAILABLE"
    fi
    engine_install || return
    # The package, or the machine, may have started it as a service.
    if [ -z "${MARO_ENGINE_ROOT:-}" ] && { engine_answers || start_service; }; then
        return
    fi
    engine_launch || return
    # Whatever a killed engine ran is of no use to anybody.
    remove_labelled || say "what an earlier engine left could not be removed; scripts/engine clean tries again"
}

# engine_endpoint: where the docker command looks for its engine.
engine_endpoint() {
    local host="${DOCKER_HOST:-}"
    [ -n "$host" ] || host="$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || true)"
    printf '%s\n' "${host:-$ENGINE_SOCKET}"
}

engine_install() {
    if ! command -v dockerd >/dev/null 2>&1; then
        if ! engine_apt_install docker.io iptables || ! command -v dockerd >/dev/null 2>&1; then
            say "no Docker engine answers here, and apt-get can't install docker.io: install one, see $ENGINE_DOCS"
            return "$ENGINE_UNAVAILABLE"
        fi
    fi
    # Debian keeps the client in a package of its own since trixie; a newer one that is on PATH stays.
    if ! command -v docker >/dev/null 2>&1 && ! engine_apt_install docker-cli; then
        say "there is a dockerd but no docker command: install one, see $ENGINE_DOCS"
        return "$ENGINE_UNAVAILABLE"
    fi
    command -v iptables >/dev/null 2>&1 || engine_apt_install iptables || true
    [ -n "$(init_program)" ] || engine_apt_install tini || true
}

# A service that a package starts must not inherit the lock.
engine_apt_install() {
    apt_install "$@" 8>&-
}

# What runs as process 1 of containers with `init: true`.
init_program() {
    command -v docker-init || command -v tini-static || command -v tini || true
}

# start_service: a machine with an init system has its engine as a service, which then is no business of ours.
start_service() {
    if [ ! -d /run/systemd/system ] || ! systemctl start docker >/dev/null 2>&1 || ! engine_answers; then
        return 1
    fi
    say "started this machine's docker service; it goes on afterwards"
}

engine_launch() {
    local tries
    rm -f "$ENGINE_STATE/users/keep"
    : >"$ENGINE_LOG"
    for tries in 1 2 3; do
        clear_pid_files || return
        engine_answers && return
        launch_dockerd
        if wait_for_engine; then
            say "started a Docker engine $(engine_version) (process $(engine_pid), log in $ENGINE_LOG)"
            return
        fi
        set_networks_aside
        # What a killed engine left behind may take a moment to go.
        [ "$tries" = 3 ] || sleep 2
    done
    tail -n 5 "$ENGINE_LOG" >&2
    say "the Docker engine does not start; the lines above say why, $ENGINE_LOG says more"
    return 1
}

# set_networks_aside: an engine that ended while it made a network may have noted half of it, over which every later one
# panics (reservePools in moby's libnetwork). Without the file the networks are forgotten, and can be made again.
set_networks_aside() {
    local file="${MARO_ENGINE_ROOT:-/var/lib/docker}${MARO_ENGINE_ROOT:+/data}/network/files/local-kv.db"
    if [ -f "$file" ] && grep -q 'libnetwork.*reservePools' "$ENGINE_LOG"; then
        mv -f "$file" "$file.broken"
        say "an earlier engine left its list of networks broken: it is now $file.broken, and a new one is begun"
    fi
}

# clear_pid_files: an engine that was killed leaves its pid files, and the next one would wait for the dead.
clear_pid_files() {
    local pid deadline=$((SECONDS + 30))
    pid="$(read_pid "$ENGINE_PIDFILE")"
    while is_live "$pid" dockerd; do
        # Another one is on its way up or down.
        if engine_answers; then
            return
        elif [ "$SECONDS" -ge "$deadline" ]; then
            say "a Docker engine runs (process $pid) but does not answer: stop it, then start again"
            return 1
        fi
        sleep 1
    done
    rm -f "$ENGINE_PIDFILE"
    is_live "$(read_pid "$ENGINE_EXEC/containerd/containerd.pid")" containerd ||
        rm -f "$ENGINE_EXEC/containerd/containerd.pid"
}

# read_pid FILE: what is in it, if it is there; the last line may be without its end.
read_pid() {
    local pid=""
    { read -r pid <"$1"; } 2>/dev/null || true
    printf '%s\n' "$pid"
}

launch_dockerd() {
    local init arguments
    init="$(init_program)"
    arguments=(dockerd --pidfile "$ENGINE_PIDFILE")
    if [ -n "$init" ]; then
        arguments+=(--init-path "$init")
    fi
    if [ -n "${MARO_ENGINE_ROOT:-}" ]; then
        # The bridge docker0 and the rules of iptables belong to the machine's first engine: this one has a network of
        # its own, in which there is nothing but its containers.
        # shellcheck disable=SC2016  # for the inner shell
        arguments=(unshare --net sh -c 'ip link set lo up; exec "$@"' sh "${arguments[@]}" --host "$DOCKER_HOST"
            --data-root "$MARO_ENGINE_ROOT/data" --exec-root "$ENGINE_EXEC")
    fi
    (
        # Whoever waits for the end of one of the streams of this script must not wait for the engine.
        local descriptor
        for descriptor in /proc/self/fd/*; do
            descriptor="${descriptor##*/}"
            if [ "$descriptor" -gt 2 ] && [ "$descriptor" != 255 ]; then
                eval "exec $descriptor>&-"
            fi
        done
        cd /
        exec setsid "${arguments[@]}" </dev/null >>"$ENGINE_LOG" 2>&1
    ) &
    ENGINE_CHILD=$!
    # At once, so that it is known for ours even if this script is interrupted before the engine answers.
    printf '%s\n' "$ENGINE_CHILD" >"$ENGINE_STATE/pid"
}

wait_for_engine() {
    local deadline=$((SECONDS + 90))
    while ! engine_answers; do
        if ! kill -0 "$ENGINE_CHILD" 2>/dev/null; then
            return 1
        elif [ "$SECONDS" -ge "$deadline" ]; then
            kill "$ENGINE_CHILD" 2>/dev/null || true
            return 1
        fi
        sleep 0.3
    done
}

# stop_dockerd PID: end it, at the latest after half a minute.
stop_dockerd() {
    local deadline=$((SECONDS + 30))
    kill "$1" 2>/dev/null || true
    while is_live "$1" dockerd; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            say "the Docker engine does not end when asked to, so it is killed"
            kill -KILL "$1" 2>/dev/null || true
            break
        fi
        sleep 0.2
    done
    if [ -n "${MARO_ENGINE_ROOT:-}" ]; then
        unmount_below "$MARO_ENGINE_ROOT"
    fi
}

# unmount_below FOLDER: what an engine had mounted that was killed once, so that its folder can be removed.
unmount_below() {
    local point
    while read -r _ point _; do
        case "$point" in "$1"/*) umount "$point" 2>/dev/null || true ;; esac
    done </proc/mounts
}
