# One image for chat pods, the controller and `helm test`. Dependencies come before the code, and lie in a layer of their own: a change
# of code rebuilds and ships one small layer.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# What Kubernetes' client wants for its asynchronous half, which nothing here imports (a test does without both).
ARG UNUSED="aiohttp aiohttp-retry aiohappyeyeballs aiosignal attrs frozenlist multidict propcache yarl"
WORKDIR /src
COPY locks/ locks/
# pip and the build backend stay in /opt/build, outside of what is shipped.
RUN python3 -m venv /opt/build && /opt/build/bin/python -m pip install --quiet --require-hashes -r locks/build.txt
RUN python3 -m venv --without-pip /opt/holdfast \
 && /opt/build/bin/python -m pip --python /opt/holdfast/bin/python install --quiet --no-compile --require-hashes -r locks/runtime.txt \
 && /opt/build/bin/python -m pip --python /opt/holdfast/bin/python uninstall --quiet --yes ${UNUSED} \
 && rm -rf /opt/holdfast/lib/python3*/site-packages/kubernetes/aio \
 && find /opt/holdfast -name tests -type d -prune -exec rm -rf {} + \
 && { /opt/holdfast/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/holdfast/lib || true; }

FROM dependencies AS code
COPY pyproject.toml README.md LICENSE ./
COPY service/ service/
# The chat page is built on it: service/holdfast/web/page/client is a link to it, and the wheel has the files.
COPY clients/javascript/src/ clients/javascript/src/
RUN /opt/build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/build/bin/python -m pip --python /opt/holdfast/bin/python install --quiet --no-compile --no-deps --no-warn-script-location --root /code /dist/*.whl \
 && /opt/holdfast/bin/python -m compileall -q --invalidation-mode checked-hash -s /code /code

FROM ${PYTHON_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="Holdfast" \
      org.opencontainers.image.description="A highly available WebSocket chat service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=dependencies /opt/holdfast /opt/holdfast
COPY --from=code /code/opt/holdfast /opt/holdfast
ENV PATH=/opt/holdfast/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000 9000
STOPSIGNAL SIGTERM
ENTRYPOINT ["holdfast"]
CMD ["serve"]
