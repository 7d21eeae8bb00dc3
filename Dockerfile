# syntax=docker/dockerfile:1
# One image for every process. Two targets: `cpu` (the default: openvino, no torch) and `cuda` (torch on an NVIDIA GPU;
# run it with --gpus all).
#
#   docker build -t groundswell .
#   docker build -t groundswell:cuda --target cuda .

FROM python:3.11-slim-bookworm AS build
# Byte code is written once, here: the runtime may not write it, and would make it anew at each start.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /src
COPY constraints.txt ./
RUN python -m venv /opt/groundswell && /opt/groundswell/bin/pip install -c constraints.txt uv
COPY pyproject.toml README.md ./
COPY domain domain
COPY models models
COPY alerts alerts
COPY store store
COPY stream stream
COPY service service
COPY migrations migrations

FROM build AS build-cpu
RUN /opt/groundswell/bin/uv pip install --python /opt/groundswell/bin/python -c constraints.txt -b constraints.txt .

FROM build AS build-cuda
RUN /opt/groundswell/bin/uv pip install --python /opt/groundswell/bin/python -c constraints.txt -b constraints.txt '.[torch]'

FROM python:3.11-slim-bookworm AS runtime
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/groundswell --create-home groundswell
ENV PATH=/opt/groundswell/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    GROUNDSWELL_DATA_DIR=/var/lib/groundswell GROUNDSWELL_LOG_FORMAT=json \
    GROUNDSWELL_HTTP_HOST=0.0.0.0 GROUNDSWELL_METRICS_HOST=0.0.0.0 GROUNDSWELL_METRICS_PORT=8401
WORKDIR /var/lib/groundswell
# Every process listens on one of the two: serve on the first, worker and watch on the second.
EXPOSE 8400 8401
HEALTHCHECK --interval=15s --timeout=6s --start-period=60s --retries=3 \
    CMD ["python", "-m", "service.http.alive", "8400", "8401"]
ENTRYPOINT ["groundswell"]
CMD ["--help"]

FROM runtime AS cuda
COPY --from=build-cuda /opt/groundswell /opt/groundswell
USER 10001

FROM runtime AS cpu
COPY --from=build-cpu /opt/groundswell /opt/groundswell
USER 10001
