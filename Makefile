# Two commands on a fresh machine: `make demo` and `make test`. Needs Python 3.11+, g++ and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
COUNT ?= 200
SEED ?= 0
JOBS ?= 2

.PHONY: demo test lint fuzz bench train golden clean

demo: $(VENV)/ready
	$(BIN)/squat-deploy demo

test: lint
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Random networks over every option until COUNT of them are proven; torch, NumPy and C++ must agree on every value.
fuzz: $(VENV)/ready
	$(BIN)/python -m tests.fuzz --count $(COUNT) --seed $(SEED) --jobs $(JOBS)

bench: $(VENV)/ready
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.run

# The bundled model, from scratch: about 10 minutes on two cores. Copy runs/fashion_mnist/model.safetensors to examples/.
train: $(VENV)/ready
	$(BIN)/squat-deploy train --resume

golden: $(VENV)/ready
	$(BIN)/python -m pytest tests/test_hls.py -k golden_project --update-golden

# constraints.txt pins torch before anything can ask for a newer one.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("squat_deploy needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
