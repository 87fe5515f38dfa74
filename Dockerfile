# One image for chat pods, the controller and `helm test`. Dependencies come before the code: a change of code rebuilds two layers.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
RUN python3 -m venv --copies /opt/holdfast
WORKDIR /src
COPY locks/ locks/
RUN /opt/holdfast/bin/python -m pip install --quiet --no-compile --require-hashes -r locks/runtime.txt
RUN python3 -m venv /opt/build && /opt/build/bin/python -m pip install --quiet --require-hashes -r locks/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY service/ service/
RUN /opt/build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/holdfast/bin/python -m pip install --quiet --no-compile --no-deps /dist/*.whl \
 && /opt/holdfast/bin/python -m pip uninstall --quiet --yes setuptools pip \
 && find /opt/holdfast -name tests -type d -prune -exec rm -rf {} + \
 && { /opt/holdfast/bin/python -m compileall -q -j 0 /opt/holdfast/lib || true; }

FROM ${PYTHON_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Holdfast" \
      org.opencontainers.image.description="A highly available WebSocket chat service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/holdfast /opt/holdfast
ENV PATH=/opt/holdfast/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000 9000
STOPSIGNAL SIGTERM
ENTRYPOINT ["holdfast"]
CMD ["serve"]
