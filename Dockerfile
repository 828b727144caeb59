# syntax=docker/dockerfile:1
# A base image of your own, or this one by its digest: --build-arg PYTHON_IMAGE=python@sha256:...
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements/runtime.lock requirements/aws.lock requirements/telemetry.lock requirements/build.lock requirements/
# Wheels only: nothing is compiled here, and every file has the hash that the lock files say.
RUN python -m venv --without-pip /opt/eventbus \
 && python -m pip --python /opt/eventbus/bin/python install --require-hashes --only-binary :all: \
        -r requirements/runtime.lock -r requirements/aws.lock -r requirements/telemetry.lock \
 && python -m pip install --require-hashes --only-binary :all: -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m pip wheel --no-deps --no-index --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/eventbus/bin/python install --no-deps --no-index --find-links dist eventbus-gateway

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="eventbus-gateway" \
      org.opencontainers.image.description="HTTP in, Kafka in the middle, HTTP out" \
      org.opencontainers.image.licenses="Apache-2.0"
# What installs packages has no business in the image that runs.
RUN python -m pip uninstall --yes setuptools wheel pip
COPY --from=build /opt/eventbus /opt/eventbus
# Modules are compiled already; nothing is written but to what is mounted.
ENV PATH=/opt/eventbus/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
WORKDIR /home
# 8080 for callers, 8081 for probes, metrics and other replicas. There is no HEALTHCHECK: Kubernetes ignores it and asks
# /livez and /readyz of the internal port itself, and every check from inside would start another interpreter.
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["eventbus"]
CMD ["serve"]
