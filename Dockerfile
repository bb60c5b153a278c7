# One image for every process of the network; the command says which. Two stages: what builds is not in the result.
# The package indexes are pip's and npm's own configuration: build arguments PIP_INDEX_URL, NPM_CONFIG_REGISTRY and
# the like override them for one build, and are in no layer of the result.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.lock ./
RUN python -m venv /opt/venv
RUN /opt/venv/bin/python -m pip install --quiet --require-hashes --no-deps --only-binary :all: -r requirements.lock
RUN /opt/venv/bin/python -m pip uninstall --quiet --yes pip
COPY . /app
RUN chmod -R a+rX /app && /opt/venv/bin/python -m compileall -q -j 0 /opt/venv/lib /app

# The node of the local chain, from npm; npm itself comes from PyPI.
FROM ${PYTHON_IMAGE} AS node
ARG PIP_INDEX_URL
ARG NPM_CONFIG_REGISTRY
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements-node.lock package.json package-lock.json .npmrc ./
RUN python -m venv /opt/npm
RUN /opt/npm/bin/python -m pip install --quiet --require-hashes --no-deps --only-binary :all: -r requirements-node.lock
RUN PATH=/opt/npm/bin:$PATH npm ci --omit=dev --ignore-scripts --no-fund --no-audit --loglevel=error \
    && cp node_modules/@foundry-rs/anvil-*/bin/anvil /opt/anvil

FROM ${PYTHON_IMAGE} AS base
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="BTRST Network" \
      org.opencontainers.image.description="The services, the gateway and the tools of the BTRST Network" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The last are folders for volumes: a new volume takes over their owner.
RUN groupadd --gid 10001 btrst \
    && useradd --uid 10001 --gid 10001 --home-dir /app --no-create-home --shell /usr/sbin/nologin btrst \
    && install -d -o 10001 -g 10001 -m 0750 /run/secrets/btrst /data /settings \
       /settings/postgres /settings/databases /settings/identity /settings/jobs /settings/rewards \
       /settings/governance /settings/gateway /settings/deployer /settings/guardian
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "scripts.healthy"]

# The local chain: for development only, so the product's image does not carry it.
FROM base AS chain
COPY --from=node /opt/anvil /opt/anvil
ENV ANVIL=/opt/anvil HEALTH_URL=http://127.0.0.1:8545
EXPOSE 8545
CMD ["python", "-m", "scripts.chain", "/data", "--host", "0.0.0.0"]

# The product, built unless told otherwise. A service: `python -m chassis.serve services.<name>.app:build`.
FROM base AS network
ENV GATEWAY_HOST=0.0.0.0 HEALTH_URL=http://127.0.0.1:8080/readyz
EXPOSE 8080
CMD ["python", "-m", "gateway"]
