# The same commands for people and for CI. Everything is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
# One process a core. Each takes whole files, so that fixtures are made once, and computes with one thread, so
# that they do not fight for the cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

# Which build of PyTorch to install: cpu, or a CUDA version such as cu126, from PyTorch's own index. Empty: what
# the package index has, which on Linux is a CUDA build of some gigabytes.
TORCH ?=

.PHONY: demo test test-all lint licences audit format bench docs lock image image-test deploy-tools clean

demo: .venv/installed
	$(BIN)/python scripts/demo.py

# All but the slow tests. Tests of programs that are not installed are skipped, and say so.
test: .venv/installed
	$(PYTEST) -m "not slow"

# Every test. Needs the programs and the X-rays that CONTRIBUTING.md names.
test-all: .venv/installed
	$(PYTEST) --cov --cov-report=term --cov-fail-under=95

lint: .venv/installed licences
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

# The licences of what the image installs; fails for one that pyproject.toml does not allow.
licences: .venv/installed
	$(BIN)/pip-licenses --packages torch torchvision $$($(BIN)/python -c \
	    'import pathlib, re; print(*re.findall(r"(?m)^[\w.-]+(?===)", pathlib.Path("requirements-image.txt").read_text()))')

# Known vulnerabilities of everything that CI installs. Asks the package index's own advisories, which PyPI has and
# mirrors mostly have not: there it fails, for it has audited nothing.
audit: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed
	$(BIN)/python -m benchmarks

# The documentation site, in site/. Needs no network.
docs: .venv/installed
	$(BIN)/mkdocs build --strict

# What the container image installs, with hashes: all but PyTorch and what it brings, whose builds come from
# PyTorch's own index and have other hashes there.
lock: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	printf '%s\n' 'torch; python_version < "3"' 'torchvision; python_version < "3"' \
	    | $(BIN)/uv pip compile pyproject.toml --extra dicom --extra openvino --extra postgres --constraint constraints.txt --overrides - \
	        --universal --generate-hashes --no-emit-index-url --no-annotate --quiet \
	        --custom-compile-command 'make lock' --output-file requirements-image.txt

# What the tests of deploy/ and of archives on Ray need (1 GB): Helm without its program, Kubernetes' schemas,
# podman-compose, Ray; and KServe's client, whose pins are not ours, in an environment of its own.
deploy-tools: .venv/installed .venv-kserve/installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group deploy

# The container image TARGET (serve, gpu, train or archive), and its bill of materials in dist/, with docker, podman or
# buildah, whichever works here. BASE: the image to build on; a release names it by digest (IMAGE_OPTIONS=--release).
# TORCH_BACKEND: cpu, or a CUDA version, from PyTorch's own index; empty: what the package index has.
TARGET ?= serve
BASE ?= python:3.12-slim
IMAGE_OPTIONS ?=
BACKEND := $(if $(filter undefined,$(origin TORCH_BACKEND)),,--torch-backend "$(TORCH_BACKEND)")
image:
	$(PYTHON) scripts/image.py build --target $(TARGET) --base $(BASE) $(BACKEND) $(IMAGE_OPTIONS)

# Builds the image and one of Debian's Orthanc, on a base made here where none can be pulled, runs the compose file and
# looks at what it does.
image-test: deploy-tools
	$(BIN)/python scripts/image.py test $(BACKEND)

clean:
	rm -rf .venv .venv-kserve demo-output build dist site *.egg-info .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
ifneq ($(TORCH),)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend $(TORCH) \
	    --constraint constraints.txt torch torchvision
endif
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv-kserve/installed: .venv/installed tests/service/api/kserve_requirements.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-kserve
	$(BIN)/uv pip install --quiet --python .venv-kserve/bin/python --requirement tests/service/api/kserve_requirements.txt
	touch $@
