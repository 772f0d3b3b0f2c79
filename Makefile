# The two commands of the README are `make demo` and `make test`; both prepare .venv first. `make soak` sends steady
# traffic through deliveries and kills for MINUTES; `make bench` measures serving against other ways to serve a model.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
MINUTES ?= 10
STAMP := $(VENV)/.setup-done

.PHONY: setup demo test soak bench bench-sweep bench-setup lint types check clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("mlops_ray needs Python 3.11 or newer, found " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: setup
	$(BIN)/mlops-ray demo

test: setup
	$(BIN)/pytest

soak: setup
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES) --output benchmarks/results/soak.json

bench: setup bench-setup
	$(BIN)/python -m benchmarks.serving --output benchmarks/results/serving.json

bench-sweep: setup
	$(BIN)/python -m benchmarks.sweep --output benchmarks/results/sweep.json

bench-setup: $(BENCH)/.setup-done

# BentoML gets an environment of its own: its requirements and ours need not agree.
$(BENCH)/.setup-done: benchmarks/bentoml-requirements.txt
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check --requirement benchmarks/bentoml-requirements.txt
	touch $(BENCH)/.setup-done

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

check: lint types test

clean:
	rm -rf $(VENV) $(BENCH) .mlops_ray
