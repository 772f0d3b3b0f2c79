# The two commands of the README are `make demo` and `make test`; both prepare .venv first. `make test-slow` runs the
# end-to-end tests that `make test` leaves out. `make soak` sends steady traffic through deliveries and kills for MINUTES;
# `make chaos` kills a process at every edge of the loop, CYCLES times round;
# `make bench` measures serving against other ways to serve a model.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
GREAT_EXPECTATIONS := .great-expectations-venv
MINUTES ?= 10
CYCLES ?= 5
STAMP := $(VENV)/.setup-done

.PHONY: setup demo test test-slow soak chaos bench bench-drift bench-data bench-sweep bench-images bench-electricity bench-setup lint types check clean

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
	$(BIN)/pytest -m 'not slow'

test-slow: setup
	$(BIN)/pytest -m slow

soak: setup
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES) --output benchmarks/results/soak.json

chaos: setup
	$(BIN)/python -m benchmarks.chaos --cycles $(CYCLES) --output benchmarks/results/chaos.json

bench: setup bench-setup
	$(BIN)/python -m benchmarks.serving --output benchmarks/results/serving.json

bench-data: setup $(GREAT_EXPECTATIONS)/.setup-done
	$(BIN)/python -m benchmarks.data --output benchmarks/results/data.json

bench-drift: setup
	$(BIN)/python -m benchmarks.drift --parts speed accuracy wide --wide-rows 3000000 --output benchmarks/results/drift.json
	$(BIN)/python -m benchmarks.drift --parts alarms detection --months 12 --sliding-months 1 --output benchmarks/results/drift_alarms.json

bench-sweep: setup
	$(BIN)/python -m benchmarks.sweep --output benchmarks/results/sweep.json

bench-images: setup
	$(BIN)/python -m benchmarks.images --output benchmarks/results/images.json

bench-electricity: setup
	$(BIN)/python -m benchmarks.electricity --output benchmarks/results/electricity.json --picture benchmarks/results/electricity.png
	$(BIN)/python -m benchmarks.electricity_served --output benchmarks/results/electricity_served.json

bench-setup: $(BENCH)/.setup-done $(GREAT_EXPECTATIONS)/.setup-done

# BentoML gets an environment of its own: its requirements and ours need not agree.
$(BENCH)/.setup-done: benchmarks/bentoml-requirements.txt
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check --requirement benchmarks/bentoml-requirements.txt
	touch $(BENCH)/.setup-done

$(GREAT_EXPECTATIONS)/.setup-done: benchmarks/great-expectations-requirements.txt
	test -x $(GREAT_EXPECTATIONS)/bin/python || $(PYTHON) -m venv $(GREAT_EXPECTATIONS)
	$(GREAT_EXPECTATIONS)/bin/pip install --quiet --disable-pip-version-check --requirement benchmarks/great-expectations-requirements.txt
	touch $(GREAT_EXPECTATIONS)/.setup-done

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

check: lint types test

clean:
	rm -rf $(VENV) $(BENCH) .mlops_ray
