# Needs Python 3.11 or newer and make, nothing else; `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
# Extra arguments of pytest, soak and bench: make test ARGS="tests/unit -x"
ARGS ?=

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
PIP := $(BIN)/python -m pip --disable-pip-version-check
UV_COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --quiet --no-emit-index-url \
	--custom-compile-command "make pins"

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-push demo-rollout test check format soak mutants bench docs pins clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

venv: $(STAMP) ## Create the environment from the pinned, hashed requirements

# The stamp is written last: an interrupted installation starts again.
$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Headway needs Python 3.11 or newer, this is %s: make PYTHON=python3.12 ..." % sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(DOCS_STAMP): requirements/docs.txt $(STAMP)
	$(PIP) install --quiet --require-hashes -r requirements/docs.txt
	@touch $@

demo: $(STAMP) ## Run a small shop's jobs, with no server, and watch what happens
	$(BIN)/headway demo $(ARGS)

demo-push: $(STAMP) ## The same jobs, pushed by an emulator of Cloud Tasks, every fifth of them twice
	$(BIN)/headway demo --push $(ARGS)

demo-rollout: $(STAMP) ## A queue moves from SQLite to that emulator, guarded, while jobs flow; a fault sends it back once
	$(BIN)/headway demo --rollout $(ARGS)

# Where Python is told to keep no bytecode (images do that), each of a thousand processes would compile everything anew.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(STAMP) ## Run all tests; each starts the servers that it needs
	$(BIN)/python -m pytest -n 4 --dist loadgroup --durations 10 $(ARGS)

check: $(STAMP) ## Lint, formatting, types (mypy, basedpyright) and the directions of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: $(STAMP) ## Format and fix what can be fixed
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

soak: $(STAMP) ## Run 400 random histories of jobs and faults and count what is lost (ARGS="--histories 20 --seed 1")
	$(BIN)/python -m tests.faults.soak $(ARGS)

mutants: $(STAMP) ## Change the source in small wrong ways, one at a time, and show which test notices (ARGS="no-fence")
	$(BIN)/python -m tests.mutants $(ARGS)

bench: $(STAMP) ## Measure Headway and its peers on this machine and write docs/reference/performance.md
	$(BIN)/python -m bench $(or $(ARGS),all)

docs: $(DOCS_STAMP) ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet $(ARGS)

pins: $(STAMP) ## Pin the newest versions that pyproject.toml allows into requirements/
	$(UV_COMPILE) --upgrade pyproject.toml --all-extras --group dev --output-file requirements/dev.txt
	$(UV_COMPILE) --upgrade --group docs --constraint requirements/dev.txt --output-file requirements/docs.txt

clean: ## Remove the environment and everything that was built
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage htmlcov
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
