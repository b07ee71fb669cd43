# syntax=docker/dockerfile:1
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim AS build
# "cpu", or the CUDA version to build for: docker build --build-arg TORCH_BACKEND=cu132 .
ARG TORCH_BACKEND=cpu
WORKDIR /src
RUN pip install --no-cache-dir uv==0.13.9 && python -m venv /opt/wscxr
# Every package but PyTorch and what it brings, each file checked against its hash (`make lock`).
COPY requirements-image.txt ./
RUN uv pip install --no-cache --python /opt/wscxr/bin/python --compile-bytecode \
    --require-hashes --no-deps --requirements requirements-image.txt
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY wscxr wscxr
COPY training training
COPY service service
COPY model_store/cxr-pediatric-pneumonia model_store/cxr-pediatric-pneumonia
RUN uv pip install --no-cache --python /opt/wscxr/bin/python --compile-bytecode \
    --torch-backend "${TORCH_BACKEND}" --constraints constraints.txt '.[dicom]'

FROM python:${PYTHON_VERSION}-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent wscxr
COPY --from=build /opt/wscxr /opt/wscxr
ENV PATH=/opt/wscxr/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WSCXR_MODEL_STORE=/model_store \
    WSCXR_HOST=0.0.0.0 \
    WSCXR_PORT=8000
# The watcher keeps its cursor here: a named volume takes over the owner.
RUN mkdir /state && chown 10001 /state
USER 10001
VOLUME /model_store
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
ENTRYPOINT ["wscxr"]
CMD ["serve"]
