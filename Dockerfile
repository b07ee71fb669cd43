# Four images from one file:
#   docker build --target serve .    answers requests on the CPU (the default)
#   docker build --target gpu .      answers requests on an NVIDIA GPU
#   docker build --target train .    the offline commands: train, evaluate, reproduce
#   docker build --target archive .  scores whole archives, on one machine or on a Ray cluster
# `make image` builds them with docker, podman or buildah, and writes their bill of materials.

# Releases pin it by digest: python:3.12-slim@sha256:...
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS source
# The certificates that the base image trusts: those of a proxy are mounted there while building.
ENV UV_SYSTEM_CERTS=1 UV_LINK_MODE=copy
RUN python3 -m venv /opt/tools \
    && /opt/tools/bin/pip install --no-cache-dir uv==0.13.9 cyclonedx-bom==7.5.0 \
    && python3 -m venv --without-pip /opt/wscxr
WORKDIR /src
# Every package but PyTorch, what it brings and what one image alone has, each file checked against its hash (`make lock`).
COPY requirements-image.txt ./
RUN --mount=type=cache,target=/root/.cache/uv \
    /opt/tools/bin/uv pip install --python /opt/wscxr/bin/python --compile-bytecode \
    --require-hashes --no-deps --requirements requirements-image.txt
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY wscxr wscxr
COPY training training
COPY service service
COPY model_store/cxr-adult model_store/cxr-adult
COPY model_store/cxr-pediatric-pneumonia model_store/cxr-pediatric-pneumonia
COPY scripts/image_install.sh ./

# TORCH_BACKEND is "cpu" or a CUDA version, and is looked up in PyTorch's own index; empty takes what
# the index in use has, which is a CUDA build on PyPI.
FROM source AS serve-packages
ARG TORCH_BACKEND=cpu
RUN --mount=type=cache,target=/root/.cache/uv sh image_install.sh '.[dicom,openvino,postgres]'

FROM source AS gpu-packages
ARG TORCH_BACKEND=cu132
RUN --mount=type=cache,target=/root/.cache/uv sh image_install.sh '.[dicom,postgres]'

FROM source AS train-packages
ARG TORCH_BACKEND=cu132
RUN --mount=type=cache,target=/root/.cache/uv sh image_install.sh '.[dicom,train]'

# Ray's dashboard is what takes a job.
FROM source AS archive-packages
ARG TORCH_BACKEND=cpu
RUN --mount=type=cache,target=/root/.cache/uv sh image_install.sh '.[dicom,openvino,ray]' 'ray[default]'

FROM ${BASE_IMAGE} AS runtime
RUN groupadd --gid 10001 wscxr \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent wscxr
ENV PATH=/opt/wscxr/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["wscxr"]

FROM runtime AS train
COPY --from=train-packages /opt/wscxr /opt/wscxr
RUN mkdir /data && chown 10001 /data
USER 10001
WORKDIR /data
CMD ["--help"]

FROM runtime AS archive
COPY --from=archive-packages /opt/wscxr /opt/wscxr
USER 10001
CMD ["archive", "--help"]

FROM runtime AS service
# The service reads /model_store where one is mounted, else the bundle that ships with it.
ENV WSCXR_HOST=0.0.0.0 \
    WSCXR_PORT=8000
# The watcher keeps its cursor here: a named volume takes over the owner.
RUN mkdir /state && chown 10001 /state
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['WSCXR_PORT']}/health/ready\", timeout=4)"]
CMD ["serve"]

FROM service AS gpu
COPY --from=gpu-packages /opt/wscxr /opt/wscxr

# The last stage is what a build without --target makes.
FROM service AS serve
COPY --from=serve-packages /opt/wscxr /opt/wscxr
