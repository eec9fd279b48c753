# Everything here needs GNU make, Python 3.11 to 3.13 and PyPI. Environments are made on first use.

# Options: PYTHON=python3.12, SWEEP_ARGS="--scenario short_cp", PAPER_ARGS="--table statements",
# QUICK=1 (the paper on smaller budgets), PYTEST_ARGS="-k ring", BENCHMARK_ARGS="--filter gram"
PYTHON ?=
SWEEP_ARGS ?=
PAPER_ARGS ?=
QUICK ?=
PYTEST_ARGS ?=
BENCHMARK_ARGS ?=

# On Linux x86-64, PyPI's torch brings gigabytes of CUDA. To take a CPU build, name its index
# (PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu) or a wheel (TORCH=torch-....whl).
TORCH ?= torch==2.13.0

VENV := .venv
TORCH_VENV := .venv-torch
READY := $(VENV)/.ready
TORCH_READY := $(TORCH_VENV)/.ready

# By name through python -m: the scripts of an environment break when a path has spaces in it.
RUN := PYTHONPATH=. $(VENV)/bin/python
RUN_TORCH := PYTHONPATH=. KERAS_BACKEND=torch $(TORCH_VENV)/bin/python
PIP_INSTALL := -m pip install -qq --disable-pip-version-check --constraint constraints.txt
PYTEST := -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# The numerics, which run on Keras' other backends too.
PORTABLE_TESTS := $(foreach name,poles theory backend recurrence readout layers,tests/test_$(name)*.py)

CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
says_yes = $(shell $(1) -c 'import sys; $(2) and print("yes")' 2>/dev/null)
IS_SUPPORTED := (3, 11) <= sys.version_info < (3, 14)
HAS_VENV := all(map(__import__, ["venv", "ensurepip"]))
SUPPORTED = $(foreach p,$(CANDIDATES),$(if $(call says_yes,$(p),$(IS_SUPPORTED)),$(p)))
USABLE = $(firstword $(foreach p,$(SUPPORTED),$(if $(call says_yes,$(p),$(HAS_VENV)),$(p))))
NO_VENV = $(firstword $(SUPPORTED)) has no venv module: install it (Debian: python3-venv)
NO_PYTHON = Python 3.11, 3.12 or 3.13 is needed, none of these is one: $(CANDIDATES). Set PYTHON=
FOUND_PYTHON = $(or $(USABLE),$(error $(if $(SUPPORTED),$(NO_VENV),$(NO_PYTHON))))

.PHONY: venv sweep paper benchmark test test-slow test-torch lint format
venv: $(READY)
	@echo "$(VENV) is ready"

sweep: $(READY)
	@$(RUN) scripts/ber_sweep.py $(SWEEP_ARGS)

paper: $(READY)
	@$(RUN) scripts/reproduce_paper.py $(if $(filter-out 0,$(QUICK)),--quick) $(PAPER_ARGS)

benchmark: $(VENV)/.benchmark
	@$(RUN) scripts/benchmark.py --json results/benchmark.json $(BENCHMARK_ARGS)

test: $(READY)
	@$(RUN) $(PYTEST) $(PYTEST_ARGS)

test-slow: $(READY)
	@$(RUN) $(PYTEST) -m slow $(PYTEST_ARGS)

test-torch: $(TORCH_READY)
	@$(RUN_TORCH) $(PYTEST) -m "not slow and not tensorflow_only" $(PORTABLE_TESTS) $(PYTEST_ARGS)

lint: $(READY)
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check
	@$(RUN) -m mypy

format: $(READY)
	@$(RUN) -m ruff check --fix
	@$(RUN) -m ruff format

# The stamp is written last, so an environment that was cut short is made again from nothing.
$(READY): pyproject.toml constraints.txt
	@echo "Installing into $(VENV): 1 to 5 minutes, this once"
	@test -e $@ || $(FOUND_PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python $(PIP_INSTALL) --editable ".[sims,cluster,test,lint]"
	@touch $@

# The peers of the benchmark, on top of it.
$(VENV)/.benchmark: $(READY)
	@$(VENV)/bin/python $(PIP_INSTALL) --editable ".[sims,cluster,test,lint,benchmark]"
	@touch $@

# Without Sionna and TensorFlow, hence --no-deps; constraints.txt does not pin torch.
$(TORCH_READY): pyproject.toml constraints.txt
	@echo "Installing $(TORCH) into $(TORCH_VENV): some minutes, this once"
	@test -e $@ || $(FOUND_PYTHON) -m venv --clear $(TORCH_VENV)
	@$(TORCH_VENV)/bin/python $(PIP_INSTALL) "$(TORCH)" keras numpy scipy pytest pytest-xdist
	@$(TORCH_VENV)/bin/python $(PIP_INSTALL) --no-deps --editable .
	@touch $@
