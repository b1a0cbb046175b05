# A helper that is put into another container's network to cut, drop and slow its traffic; nothing is needed in there.
ARG NETFAULT_BASE_IMAGE=debian:trixie-slim
FROM ${NETFAULT_BASE_IMAGE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends iproute2 iptables \
    && rm -rf /var/lib/apt/lists/*
LABEL maro.image=netfault
