# One program in two images; it is run as `yuqing scrape`, `yuqing work` or `yuqing alert`. The model is in them: nothing is fetched at start.
#
#   docker build --target cpu  -t yuqing:0.1.0-cpu .    ONNX Runtime runs the model; no torch, 5 GB less
#   docker build --target cuda -t yuqing:0.1.0-cuda .   torch and CUDA; without a GPU it runs as well
#
# INDEX is the address of a package index of your own, for builds that do not reach the usual one. Whatever index answers, hashes are checked.
FROM python:3.11-slim AS python
ENV PATH=/opt/yuqing/bin:$PATH \
    PYTHONUNBUFFERED=1

FROM python AS tools
ARG INDEX=
ENV PIP_INDEX_URL=$INDEX \
    UV_DEFAULT_INDEX=$INDEX \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    VIRTUAL_ENV=/opt/yuqing
WORKDIR /build
COPY requirements-uv.lock.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements-uv.lock.txt \
 && uv venv /opt/yuqing

FROM tools AS cpu-libraries
COPY requirements-cpu.lock.txt ./
RUN uv pip install --require-hashes -r requirements-cpu.lock.txt

FROM cpu-libraries AS cuda-libraries
COPY requirements.lock.txt ./
RUN uv pip install --require-hashes -r requirements.lock.txt

FROM cpu-libraries AS wheel
COPY . .
RUN uv build --wheel --no-build-isolation --offline --python /opt/yuqing/bin/python --out-dir /wheel .

# Both graphs of ONNX Runtime, so that either backend finds its own; readable for every user, whatever it is that a cluster gives us.
FROM wheel AS model
ENV YUQING_KAFKA=elsewhere:9092 \
    YUQING_MODEL_DIR=/opt/models
RUN uv pip install --no-deps --offline /wheel/*.whl \
 && YUQING_BACKEND=onnx yuqing prepare \
 && YUQING_BACKEND=onnx-int8 yuqing prepare \
 && chmod -R a+rX /opt/models

# What is written goes to /data, which is a volume, and to /tmp: the rest may be read-only. Settings are read from /etc/yuqing/yuqing.toml where there is one.
FROM python AS runtime
RUN groupadd --gid 10001 yuqing \
 && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin yuqing \
 && install -d -o 10001 -g 10001 -m 0750 /data \
 && install -d /etc/yuqing
ENV HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    YUQING_API_HOST=0.0.0.0 \
    YUQING_DATA_DIR=/data \
    YUQING_MODEL_DIR=/opt/models
WORKDIR /etc/yuqing
VOLUME ["/data"]
EXPOSE 8600 8601 8602
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 CMD ["yuqing", "health"]
CMD ["yuqing", "--help"]

FROM runtime AS cuda
COPY --from=cuda-libraries /opt/yuqing /opt/yuqing
COPY --from=model /opt/models /opt/models
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip --python /opt/yuqing/bin/python install --no-cache-dir --no-index --no-deps /wheel/*.whl
USER 10001:10001

FROM runtime AS cpu
COPY --from=cpu-libraries /opt/yuqing /opt/yuqing
COPY --from=model /opt/models /opt/models
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip --python /opt/yuqing/bin/python install --no-cache-dir --no-index --no-deps /wheel/*.whl
USER 10001:10001
