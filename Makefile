# Two commands on a fresh machine: `make demo` and `make test`. Needs Python 3.11+, g++ and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORE ?= .venv-core
FORMS := step sequence finn
COUNT ?= 200
SEED ?= 0
RTL ?= 0
JOBS ?= 2

.PHONY: demo hw test test-core docs lint fuzz bench bench-epoch train results golden support clean

demo: $(VENV)/ready
	$(BIN)/squat-deploy demo

# The bundled model as SystemVerilog: simulated, proven, synthesised, placed and routed. Some minutes.
hw: $(VENV)/ready
	rm -rf build/hw && mkdir -p build/hw
	$(BIN)/squat-deploy lower examples/fashion_mnist/model.py:factory --steps 10 --out build/hw/net.safetensors \
	  --checkpoint examples/fashion_mnist/model.safetensors
	$(BIN)/squat-deploy rtl build/hw/net.safetensors --pe lif1=32 --pe lif2=2 --simd 2 --out build/hw/core
	$(MAKE) -C build/hw/core PYTHON=$(abspath $(BIN)/python) lint sim
	$(BIN)/squat-deploy prove build/hw/core
	$(BIN)/squat-deploy synth build/hw/core --target xc7
	$(BIN)/squat-deploy synth build/hw/core --target ecp5

test:
	$(MAKE) --jobs=2 lint docs test-core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# The wheel, made of the sdist, in a fresh environment without torch: each ONNX form reads back, gives the HLS project byte for byte, and verifies.
test-core: $(VENV)/ready $(CORE)/ready
	rm -rf dist
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m build --outdir dist . >/dev/null
	$(BIN)/twine check --strict dist/*
	$(CORE)/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall dist/*.whl
	cd / && $(abspath $(CORE))/bin/python -c "import squat_deploy, pathlib; assert pathlib.Path(squat_deploy.__file__).with_name('py.typed').exists()"
	! $(CORE)/bin/python -c 'import torch' 2>/dev/null
	rm -rf build/core && mkdir -p build/core
	$(BIN)/squat-deploy lower examples/fashion_mnist/model.py:factory --steps 10 --out build/core/net.safetensors \
	  --checkpoint examples/fashion_mnist/model.safetensors >build/core/log
	$(BIN)/squat-deploy hls build/core/net.safetensors --out build/core/hls_network >>build/core/log
	set -e; for form in $(FORMS); do \
	  $(BIN)/squat-deploy qonnx build/core/net.safetensors --form $$form --out build/core/$$form.onnx >>build/core/log; \
	  $(CORE)/bin/squat-deploy hls build/core/$$form.onnx --out build/core/hls_$$form >>build/core/log; \
	  diff -r build/core/hls_network build/core/hls_$$form; \
	  $(CORE)/bin/squat-deploy verify build/core/$$form.onnx --samples 4; \
	done

# The site: build/docs/index.html. A warning, such as a link that leads nowhere, is an error.
docs: $(VENV)/ready
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -d build/doctrees docs build/docs

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Random networks over every option until COUNT of them are proven; all executors must agree on every value.
# Then COUNT random models of stock parts, and COUNT forwards in many spellings, against a plain loop of stock snnTorch and
# Brevitas.
fuzz: $(VENV)/ready
	$(BIN)/python -m tests.fuzz --count $(COUNT) --seed $(SEED) --jobs $(JOBS) --rtl $(RTL)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.oracle.fuzz --count $(COUNT) --seed $(SEED) --jobs $(JOBS)

bench: $(VENV)/ready
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.run

# A whole epoch of training on two threads, against stock snnTorch + Brevitas: some minutes.
bench-epoch: $(VENV)/ready
	$(BIN)/python -m benchmarks.epoch --threads 2

# docs/results.md and its pictures, from the stored cells; `squat-deploy study run` makes the cells.
results: $(VENV)/ready
	$(BIN)/squat-deploy study report docs/results/* --out docs/results.md

# The bundled model, from scratch: about 10 minutes on two cores. Copy runs/fashion_mnist/model.safetensors to examples/.
train: $(VENV)/ready
	$(BIN)/squat-deploy train --resume

golden: $(VENV)/ready
	$(BIN)/python -m pytest tests/test_hls.py -k golden_project --update-golden

# docs/support.md, from the tables of the code.
support: $(VENV)/ready
	$(BIN)/python -m pytest -q tests/test_support.py --update-golden

# constraints.txt pins torch before anything can ask for a newer one.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("squat_deploy needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(CORE)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(CORE)
	$(CORE)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt '.[qonnx]'
	touch $@

clean:
	rm -rf $(VENV) $(CORE) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
