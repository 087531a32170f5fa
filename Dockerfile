FROM python:3.11-slim
WORKDIR /app
COPY requirements-uv.lock.txt requirements.lock.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements-uv.lock.txt \
 && uv pip install --system --no-cache --require-hashes -r requirements.lock.txt
COPY . .
RUN uv pip install --system --no-cache --no-deps --no-build-isolation --offline .
CMD ["yuqing", "--help"]
