SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help docs settings-docs lock-deps setup demo test dist installed soak lint type gpu-wheels gpu-check gpu-tables bench clean

BIN := .venv/bin
# Succeeds for a Python 3.11-3.13 that can make virtual environments (Debian splits that off as python3-venv).
CHECK := import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(shell $(p) -c '$(CHECK)' 2>/dev/null && echo $(p))))

help:  ## this list
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | awk -F ':.*  ## ' '{printf "make %-10s %s\n", $$1, $$2}'

setup: .venv/.installed  ## .venv with the pinned packages and dfer, editable (PYTHON=python3.12 picks another Python)

# The packages have the hashes of the lock. torch has none: its builds for CPUs and for each CUDA differ; pip takes the
# pinned version from your index, and with it the CUDA libraries that this build requires.
# pip compiles what it installs on one core; compileall takes all of them, and the demo does without.
PIP := $(BIN)/python -m pip --disable-pip-version-check
define INSTALL
@$(PIP) --version >/dev/null 2>&1 || { \
  python='$(PYTHON)'; $${python:-false} -c '$(CHECK)' 2>/dev/null || { \
    echo "error: $${python:-python3} is no Python 3.11-3.13 with venv; install one, or name it: make setup PYTHON=/path/to/python3.12" >&2; exit 1; }; \
  echo "making .venv with $$python"; $$python -m venv --clear .venv; }
$(PIP) install --quiet --no-compile --no-deps --require-hashes -r $(1)
$(PIP) install --quiet --no-compile -c constraints.txt torch
$(PIP) install --quiet --no-compile --no-deps --no-build-isolation -e .
endef

.venv/.installed: pyproject.toml constraints.txt requirements.lock
	$(call INSTALL,requirements.lock)
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	@touch $@ .venv/.runs

.venv/.runs: pyproject.toml constraints.txt requirements-train.lock
	$(call INSTALL,requirements-train.lock)
	@touch $@

# Locks for all platforms and Python 3.11-3.13; without torch and its CUDA libraries, with what else it needs.
LOCK := $(BIN)/uv --no-config pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --custom-compile-command 'make lock-deps' -c constraints.txt --excludes <(echo torch) pyproject.toml
TORCH_NEEDS := filelock fsspec jinja2 networkx setuptools sympy typing-extensions

lock-deps: setup  ## requirements*.lock: the hashes of the versions in constraints.txt
	$(PIP) install --quiet -c constraints.txt uv
	printf '%s\n' $(TORCH_NEEDS) | $(LOCK) --extra dev -o requirements.lock -
	printf '%s\n' $(TORCH_NEEDS) | $(LOCK) --extra train -o requirements-train.lock -
	$(subst 3.11 ,3.11.5 ,$(LOCK)) --extra docs -o requirements-docs.lock  # as its packages require

demo: .venv/.runs  ## rendered heads -> face clips -> training -> WAR/UAR table, in build/demo
	@rm -rf build/demo
	$(BIN)/dfer demo --out build/demo

# Two files at a time; threads that wait for each other's work sleep instead of spinning on the other's core, and modules
# stay compiled for the hundreds of processes that the tests start, whatever the shell has set.
test: setup  ## the tests, small samples
	PYTHONDONTWRITEBYTECODE= OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

dist: setup  ## dist/: the source archive, and the wheel built from it
	rm -rf dist dfer.egg-info
	$(BIN)/python -m build --no-isolation --outdir dist >/dev/null
	@ls dist/dfer-*

installed: setup  ## the built wheel in empty environments: newest packages, newest with torch, oldest
	.ci/installed

soak: setup  ## the tests with full counts (hours)
	$(BIN)/python -m pytest -m soak
	.ci/installed oldest-train

lint: setup  ## ruff and the import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

type: setup  ## mypy, strict
	$(BIN)/mypy cli dfer_data lstpnet tests benchmarks examples .ci/check_wheel.py

.venv/.docs: .venv/.installed requirements-docs.lock
	$(PIP) install --quiet --no-compile --no-deps --require-hashes -r requirements-docs.lock
	@touch $@

# No request to another host: what is built here, works without a network and from a folder.
docs: .venv/.docs  ## the documentation site, in build/site (open index.html)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --site-dir build/site

settings-docs: setup  ## docs/reference/settings.md from the declared settings
	$(BIN)/python -m tests.settings_docs

# A machine with a GPU and no package index: its own torch, numpy, pandas and OpenCV, and these.
GPU_PYTHON ?= python3
GPU_PLATFORMS := $(foreach v,2014_x86_64 _2_17_x86_64 _2_27_x86_64 _2_28_x86_64,--platform manylinux$(v))
GPU_PACKAGES := av simplejpeg dlib-bin platformdirs openpyxl et_xmlfile \
  pydantic pydantic_core annotated-types typing_extensions typing-inspection

gpu-wheels: setup  ## .whl/: what `make gpu-check` needs on a machine without a package index (Python 3.12, x86-64)
	$(PIP) download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp $(GPU_PLATFORMS) \
	  --dest .whl $(shell grep -xE '($(subst $() $(),|,$(GPU_PACKAGES)))==.*' constraints.txt)
	$(PIP) wheel --quiet --no-deps --wheel-dir .whl .
	DFER_CACHE=.whl/cache $(BIN)/python -c "from dfer_data.weights.fetch import fetch_weights; from tests.videos import fetch_videos; \
	  fetch_weights('retinaface-mobilenet0.25'); fetch_videos()"
	rm -f .whl/cache/*/*.whl .whl/cache/*/*.lock

gpu-check:  ## what a CUDA GPU does, in eight minutes; build/gpu-check.json (GPU_PYTHON names a Python with torch)
	@mkdir -p build
	$(GPU_PYTHON) -m pip install --quiet --no-index --no-deps --no-compile --upgrade --target build/gpu-site .whl/*.whl
	PYTHONPATH=build/gpu-site DFER_CACHE=.whl/cache $(GPU_PYTHON) -m benchmarks.gpu_check --json build/gpu-check.json

gpu-tables: setup  ## the GPU figures of README and docs, from benchmarks/results/gpu-*.json
	$(BIN)/python -m benchmarks.gpu_tables

bench: setup  ## every benchmark
	@for name in $(filter-out gpu_check gpu_tables,$(notdir $(basename $(wildcard benchmarks/*.py)))); do \
	  echo "\$$ python -m benchmarks.$$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:  ## remove .venv, builds and caches (data, prepared and runs stay)
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dfer.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
