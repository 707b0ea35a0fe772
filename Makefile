# Every target needs Python >= 3.11 and make; what else is needed is installed into .venv, once.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Tests run under the threshold of the coverage, several at a time: most wait for a clock or a
# server. A part of them is over sooner without either; ARGS may ask for both. Those that attack,
# fuzz, come in crowds, or need browsers, proxies or mounts are a target of their own.
ifeq ($(filter tests/% ./tests/% -k% -m% --lf --last-failed --co --collect-only,$(ARGS)),)
WORKERS ?= 4
TESTS   := -n $(WORKERS) --dist worksteal --cov -m "not long"
TIME    := All tests but the long ones, with branch coverage: less than three minutes on two cores.
else
TIME    := A part of the tests, without coverage: as a rule some seconds.
endif

# Without compiled files every process that the tests start would compile the hub anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-long check bench bench-isolation bench-views bench-workers bench-compression bench-hostile bench-sampling bench-page pictures clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.run ## serve the feed; flags go in ARGS, as in: make run ARGS="--port 8000"
	@exec $(BIN)/python -m hub $(ARGS)

test: $(VENV)/.test ## run all tests with branch coverage, or a part: make test ARGS="tests/feed"
	@echo "$(TIME)"
	$(BIN)/python -m pytest $(TESTS) $(ARGS)

test-long: $(VENV)/.test ## run the tests that attack, fuzz, come in crowds, need browsers, proxies or mounts
	@echo "The long tests: about six minutes on two cores, or what HUB_FUZZ_STEPS asks for."
	$(BIN)/python -m pytest -n 2 --dist worksteal -m long $(ARGS)

check: $(VENV)/.test ## lint, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/.test ## compare the hub with other servers; flags go in ARGS, --record renews benchmarks/results
	$(BIN)/python -m benchmarks $(ARGS)
ifeq ($(filter-out --record,$(ARGS)),)
	$(BIN)/python -m benchmarks.workers --rounds 1 $(ARGS)
	$(BIN)/python -m benchmarks.compression --rounds 1 $(ARGS)
endif

bench-isolation: $(VENV)/.test ## measure what stalled clients cost the healthy clients; flags as above
	$(BIN)/python -m benchmarks.isolation $(ARGS)

bench-views: $(VENV)/.test ## measure what many different views cost; flags as above
	$(BIN)/python -m benchmarks.views $(ARGS)

bench-workers: $(VENV)/.test ## measure what several workers gain and cost; flags as above
	$(BIN)/python -m benchmarks.workers $(ARGS)

bench-compression: $(VENV)/.test ## measure what compression costs and saves; flags as above
	$(BIN)/python -m benchmarks.compression $(ARGS)

bench-hostile: $(VENV)/.test ## measure what hostile clients cost; flags as above
	$(BIN)/python -m benchmarks.hostile $(ARGS)

bench-sampling: $(VENV)/.test ## measure what sampling costs, as root also among 400 interfaces; flags as above
	$(BIN)/python -m benchmarks.sampling $(ARGS)

bench-page: $(VENV)/.test ## measure what the live page costs its browser; flags as above
	$(BIN)/python -m benchmarks.page $(ARGS)

pictures: $(VENV)/.test ## renew the README's pictures in benchmarks/results
	$(BIN)/python -m benchmarks.pictures

clean: ## remove what the targets above have made
	rm -rf $(VENV) build .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find hub tests benchmarks -name __pycache__ -prune -exec rm -r {} +

# A stamp file per set of packages: a second call finds it and installs nothing.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python pyproject.toml
	$(PIP) install --editable .
	@touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml
	$(PIP) install --editable '.[test]'
	@touch $@
