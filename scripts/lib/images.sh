# shellcheck shell=bash
# Sourced by engine.sh: the images. The public ones where they are there or can be pulled, else one local image, made
# from Debian packages, which serves as the base for Python, as the Redis, and for the faults of the network.

PUBLIC_BASE=python:3.13-slim
PUBLIC_REDIS=redis:8-alpine
PUBLIC_NET=maro-netfault:latest
LOCAL_SUITE=trixie
LOCAL_BASE="maro-local-base:$LOCAL_SUITE"
LOCAL_ROOTFS="maro-local-rootfs:$LOCAL_SUITE"
LOCAL_PACKAGES=python3,python3-pip,python3-venv,ca-certificates,redis-server,iproute2,iptables
# Images of this project have this label; its value tells them apart.
IMAGE_LABEL=maro.image
ENGINE_CACHE="${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/maro"
# Count up whenever the recipe of the root file system changes.
LOCAL_RECIPE=1

image_is_there() {
    within 20 docker image inspect "$1" >/dev/null 2>&1
}

# image_label IMAGE LABEL
image_label() {
    docker image inspect --format "{{index .Config.Labels \"$2\"}}" "$1" 2>/dev/null
}

# pull_image IMAGE: pull it, unless a pull has failed already in this run: registries are reached or they are not.
pull_image() {
    [ -z "${PULL_FAILED:-}" ] || return 1
    say "pulling $1"
    if within "${MARO_PULL_TIMEOUT_S:-300}" docker pull --quiet "$1" >/dev/null 2>&1; then
        return
    fi
    PULL_FAILED=yes
    say "$1 can't be pulled here"
    return 1
}

# chosen_image VARIABLE PUBLIC: the one that the user names, else the public one, else the local one if it is there.
chosen_image() {
    local wanted="${!1:-$2}"
    if [ "$wanted" = "$2" ] && ! image_is_there "$2" && image_is_there "$LOCAL_BASE"; then
        wanted="$LOCAL_BASE"
    fi
    printf '%s\n' "$wanted"
}

base_images_up() {
    base_image_up MARO_BASE_IMAGE "$PUBLIC_BASE" && base_image_up REDIS_IMAGE "$PUBLIC_REDIS"
}

# base_image_up VARIABLE PUBLIC
base_image_up() {
    local wanted
    wanted="$(chosen_image "$1" "$2")"
    if [ "$wanted" = "$LOCAL_BASE" ]; then
        local_base_up
    elif image_is_there "$wanted" || pull_image "$wanted"; then
        return
    elif [ "$wanted" = "$2" ]; then
        local_base_up
    else
        say "$1 names $wanted, which is not there and can't be pulled"
        return "$ENGINE_UNAVAILABLE"
    fi
}

# --- the local base --------------------------------------------------------------------------------------------------

# local_base_up: the root file system with what this host needs to reach a package index: certificates and settings.
local_base_up() {
    local work="$ENGINE_STATE/base" key
    rm -rf "$work"
    # Everybody may read the files in the image; here the folder is closed, as settings of pip may hold a password.
    (umask 022 && mkdir -m 700 "$work" && write_host_settings "$work" && write_base_dockerfile "$work") || return
    key="$(cat "$work"/* | cksum | tr ' ' -)"
    if [ "$(image_label "$LOCAL_BASE" maro.host)" = "$key" ]; then
        return
    fi
    rootfs_up || return
    docker_build "$LOCAL_BASE" "$work" --label "maro.host=$key" || return
    say "built the base image $LOCAL_BASE"
}

write_base_dockerfile() {
    local certificates=""
    [ ! -e "$1/ca-certificates.crt" ] || certificates="COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt"
    cat >"$1/Dockerfile" <<TEXT
# recipe $LOCAL_RECIPE, packages $LOCAL_PACKAGES
FROM $LOCAL_ROOTFS
$certificates
COPY pip.conf /etc/pip.conf
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
LABEL $IMAGE_LABEL=base
CMD ["python3"]
TEXT
}

# write_host_settings FOLDER: the host's certificates, and what of pip's settings holds inside a container as well.
write_host_settings() {
    local bundle python="$VENV/bin/python"
    for bundle in "${PIP_CERT:-}" "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}" /etc/ssl/certs/ca-certificates.crt; do
        if [ -r "$bundle" ]; then
            cat "$bundle" >"$1/ca-certificates.crt"
            break
        fi
    done
    "$python" -m pip --version >/dev/null 2>&1 || python="$(find_python)"
    "$python" -m pip --disable-pip-version-check config list </dev/null 2>/dev/null | pip_settings >"$1/pip.conf"
}

# pip_settings: from what `pip config list` says to a pip.conf. Folders and files of the host are left out.
pip_settings() {
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n'
    # The environment is listed last and counts most; a list of addresses is shown with \n between them.
    awk -v quote="'" '
        {
            split($0, parts, "=")
            key = parts[1]
            value = substr($0, length(key) + 2)
            sub(/^.*\./, "", key)
            sub(/^default-/, "", key)
            if (key !~ /^(index-url|extra-index-url|trusted-host|proxy|timeout)$/) next
            gsub("^" quote "|" quote "$", "", value)
            gsub(/\\n/, " ", value)
            count = split(value, words, " ")
            kept = ""
            for (i = 1; i <= count; i++) if (words[i] !~ /^(file:|\/|\.)/) kept = kept " " words[i]
            if (kept != "") found[key] = kept
        }
        END { for (key in found) print key " =" found[key] }' | sort
}

# rootfs_up: import the root file system, from the cache if it is there.
rootfs_up() {
    local architecture key archive
    architecture="$(dpkg --print-architecture 2>/dev/null || uname -m)"
    key="$(printf '%s' "$LOCAL_PACKAGES" | cksum | tr ' ' -)-$LOCAL_RECIPE"
    archive="$ENGINE_CACHE/rootfs-$LOCAL_SUITE-$architecture-$key.tar"
    if [ "$(image_label "$LOCAL_ROOTFS" maro.rootfs)" = "$key" ]; then
        return
    fi
    [ -r "$archive" ] || bootstrap_rootfs "$archive" || return
    docker import --change "LABEL $IMAGE_LABEL=rootfs maro.rootfs=$key" "$archive" "$LOCAL_ROOTFS" >/dev/null && return
    say "the engine can't import $archive"
    return 1
}

# bootstrap_rootfs ARCHIVE: make it from the packages of Debian.
bootstrap_rootfs() {
    if [ "$(id -u)" != 0 ] || ! has_debootstrap; then
        say "$PUBLIC_BASE can't be pulled, and only root on Debian and its kin can build another from packages:" \
            "connect to the network, or name images that are there in MARO_BASE_IMAGE and REDIS_IMAGE"
        return "$ENGINE_UNAVAILABLE"
    fi
    mkdir -p "$ENGINE_CACHE"
    remove_trees "$ENGINE_CACHE"/rootfs.*
    say "building a base image from the packages of Debian $LOCAL_SUITE; this takes a minute or two, once"
    if (
        work="$(mktemp -d "$ENGINE_CACHE/rootfs.XXXXXX")"
        trap 'remove_trees "$work"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM HUP
        run_debootstrap "$work/tree" && trim_rootfs "$work/tree" &&
            tar -C "$work/tree" --numeric-owner -c -f "$work/tar" . && mv "$work/tar" "$1"
    ) >"$ENGINE_CACHE/rootfs.log" 2>&1; then
        return
    fi
    tail -n 5 "$ENGINE_CACHE/rootfs.log" >&2
    say "the base image could not be built; the lines above say why, $ENGINE_CACHE/rootfs.log says more"
    return "$ENGINE_UNAVAILABLE"
}

# has_debootstrap: with the keys that Debian's packages are signed with, which its kin does not have.
has_debootstrap() {
    command -v debootstrap >/dev/null 2>&1 || engine_apt_install debootstrap || return
    [ -r /usr/share/keyrings/debian-archive-keyring.gpg ] || engine_apt_install debian-archive-keyring
}

run_debootstrap() {
    local mirror proxy=""
    mirror="$(debian_mirror)"
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "$proxy" ] || export http_proxy="$proxy"
    # In a mount namespace, so that nothing stays mounted if this is killed.
    # shellcheck disable=SC2086  # no mirror: debootstrap's own choice
    unshare --mount debootstrap --force-check-gpg --variant=minbase --include="$LOCAL_PACKAGES" \
        "$LOCAL_SUITE" "$1" $mirror </dev/null
}

# debian_mirror: where this host takes its packages of Debian from; nothing on its kin.
debian_mirror() {
    # shellcheck disable=SC2016  # apt fills these in
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        sed -n 's/^Debian Debian \(https\{0,1\}:\)/\1/p' | head -n 1
}

# trim_rootfs TREE: take away what no container needs, and make it like the public image of Python.
trim_rootfs() {
    rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/* "$1"/var/log/* "$1"/usr/share/doc/* "$1"/usr/share/man/* \
        "$1"/usr/share/locale/* "$1"/etc/resolv.conf "$1"/etc/hostname
    # The public image has no such guard: pip installs into the system there.
    rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED
    ln -sf python3 "$1/usr/bin/python"
}

# remove_trees FOLDER...: without following a mount that an interrupted run may have left.
remove_trees() {
    rm -rf --one-file-system "$@"
}

# --- the images that are built here ----------------------------------------------------------------------------------

maro_image() {
    printf '%s\n' "${MARO_IMAGE:-maro:latest}"
}

maro_image_up() {
    if [ ! -r "$MARO_ROOT/docker/Dockerfile" ]; then
        say "docker/Dockerfile is missing, so the image $(maro_image) can't be built"
        return 1
    fi
    docker_build "$(maro_image)" "$MARO_ROOT" --file "$MARO_ROOT/docker/Dockerfile" \
        --build-arg "MARO_BASE_IMAGE=$(chosen_image MARO_BASE_IMAGE "$PUBLIC_BASE")"
}

# net_image: what has iptables and tc, for faults of the network.
net_image() {
    local wanted="${MARO_NET_IMAGE:-$PUBLIC_NET}"
    if [ "$wanted" = "$PUBLIC_NET" ] && ! image_is_there "$PUBLIC_NET" && image_is_there "$LOCAL_BASE"; then
        wanted="$LOCAL_BASE"
    fi
    printf '%s\n' "$wanted"
}

net_image_up() {
    local image
    image="$(net_image)"
    if image_is_there "$image"; then
        return
    elif [ "$image" != "$LOCAL_BASE" ] && pull_image debian:trixie-slim; then
        docker_build "$image" "$MARO_ROOT/docker" --file "$MARO_ROOT/docker/netfault.Dockerfile"
    else
        local_base_up
    fi
}

# docker_build IMAGE FOLDER ARGUMENTS...: build quietly; what the builder says is shown only if it fails.
docker_build() {
    local image="$1" folder="$2" name arguments log
    shift 2
    arguments=("$@")
    for name in HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL; do
        [ -z "${!name:-}" ] || arguments+=(--build-arg "$name")
    done
    log="$ENGINE_STATE/build.log"
    # A build that fails must not leave containers that hold on to its layers.
    docker build --force-rm --tag "$image" ${arguments[@]+"${arguments[@]}"} "$folder" </dev/null >"$log" 2>&1 && return
    tail -n 20 "$log" >&2
    say "the image $image could not be built; the lines above say why, $log says more"
    return 1
}

# remove_images: remove what this project built, and the cached root file system.
remove_images() {
    local image
    # Labels are inherited: images that somebody built upon ours are theirs.
    for image in $(docker image ls --filter "label=$IMAGE_LABEL" --format '{{.Repository}}:{{.Tag}}' |
        grep -E "^(maro(-[^:]*)?:|$(maro_image | sed 's/[.[*^$/]/\\&/g')(:latest)?\$)"); do
        docker image rm --force "$image" >/dev/null && say "removed the image $image"
    done
    docker image prune --force --filter "label=$IMAGE_LABEL" >/dev/null || true
    rm -f "$ENGINE_CACHE"/rootfs-*.tar
    # Only Linux builds any, and only its rm knows the option.
    [ "$(uname -s)" != Linux ] || remove_trees "$ENGINE_CACHE"/rootfs.*
}
