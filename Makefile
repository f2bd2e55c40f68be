# Everything goes through .venv, which `make` sets up from requirements.lock on the first call.
#   make demo      a language model speaks on the simulated chip
#   make test      the tests; `make nightly` runs the ones that take long, `make nightly SLICE=2/4` the second quarter of them
#   make synth     one tile through synthesis, placement and routing for an ECP5
#   make doctor    what this machine has and what it lacks
#   make lint | clean | distclean | lock
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
# The workers share the cores: threads of numpy's matrix products, and of simulations, would only stand in one another's
# way.
# What each test took is added to this file; `python scripts/durations.py` makes it what workers and slices are balanced by.
PYTEST := OPENBLAS_NUM_THREADS=1 HAYATE_SIM_THREADS=1 $(BIN)/pytest -n $(WORKERS) --record build/durations.json --durations 15 --durations-min 5

# What a user's shell has for other programs of Python must not find its way in here.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP

.PHONY: help demo test nightly synth lint doctor clean distclean lock requirements

help:
	@sed -n 's/^#   //p' Makefile

# Plain sh, so that the first thing a fresh machine says is what it lacks.
requirements:
	@sh scripts/requirements.sh $(PYTHON)

# Says where .venv was set up: one that came here with a copied or moved checkout is set up again.
ifneq ($(shell cat .venv/ready 2>/dev/null),$(shell pwd -P))
.PHONY: .venv/ready
endif
.venv/ready: requirements.lock pyproject.toml setup.py
	@sh scripts/requirements.sh $(PYTHON)
	@echo "setting up .venv (a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@rm -f $(BIN)/activate* && $(BIN)/python -m venv --without-pip .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@$(BIN)/python -I scripts/movable.py
	@rm -rf hayate.egg-info
	@pwd -P > $@

.venv/fpga-ready: requirements-fpga.lock .venv/ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-fpga.lock
	@touch $@

demo: requirements .venv/ready
	@$(BIN)/hayate demo

# Its machines run for seconds: compiled with -Og, they take less altogether than with the -O2 that longer runs gain from.
test: requirements .venv/ready
	@HAYATE_SIM_OPTIMIZE=-Og $(PYTEST) -m "not nightly and not torch"

# With SLICE=K/N the K-th of N parts, which take about equally long; synthesis belongs to the first.
nightly: requirements .venv/fpga-ready
	@$(PYTEST) -m nightly $(if $(SLICE),--slice $(SLICE))
	@$(if $(filter-out 1/%,$(SLICE)),true,$(BIN)/python -m hayate.fpga.synth --check)

synth: requirements .venv/fpga-ready
	@$(BIN)/python -m hayate.fpga.synth

lint: .venv/ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python scripts/typecheck.py

doctor: .venv/ready
	@$(BIN)/hayate doctor

clean:
	rm -rf build .pytest_cache .hypothesis .ruff_cache

distclean: clean
	rm -rf .venv

# Resolves the newest versions that pyproject.toml allows and pins them; synthesis is installed first because it holds one back.
lock:
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet setuptools wheel
	build/lock/bin/pip install --quiet --no-build-isolation --editable .[sim,test,lint,fpga]
	$(PYTHON) scripts/lock.py build/lock/bin/pip
	rm -rf build/lock hayate.egg-info
