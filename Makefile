# Keystead's tasks. `make` alone prints them; each sets up what it needs, so any of them may come first.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Tests run in two processes; a file's tests stay together, because they share servers.
JOBS   ?= 2
TESTS  ?= tests

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## print these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- set-up ----------------------------------------------------------------------------------------------

.PHONY: install
install: $(STAMP) ## make .venv with the locked dependencies and this checkout (quick when it is there)

# The lock names everything, so nothing is resolved here: `--no-deps` also keeps pip from asking for the newest
# release of what it knows as an extra (`coverage[toml]`) although the lock has pinned it.
$(STAMP): requirements/dev.txt pyproject.toml tools/make_venv.sh
	@test -x $(BIN)/python -a -x $(BIN)/pip || tools/make_venv.sh $(VENV) $(PYTHON)
	@echo "installing the locked dependencies into $(VENV) (a minute or so the first time)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

NODE_CLIENTS := tests/e2e/node/node_modules/.installed

# The JavaScript client that some tests talk to; without npm they are skipped, and say so.
$(NODE_CLIENTS): tests/e2e/node/package-lock.json
	@if command -v npm >/dev/null; then \
		echo "installing the JavaScript client that tests talk to"; \
		npm --prefix tests/e2e/node ci --silent --no-audit --no-fund && touch $@; \
	else \
		echo "NOTE: npm is not here, so nothing is tested against the AWS Encryption SDK for JavaScript"; \
	fi

.PHONY: install-bench
install-bench: $(VENV)/.installed-bench

$(VENV)/.installed-bench: requirements/bench.txt $(STAMP)
	@echo "installing the peer that is measured beside Keystead"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r requirements/bench.txt
	@touch $@

# --- use -------------------------------------------------------------------------------------------------

.PHONY: demo
demo: install ## see it work: a server, a key, files encrypted, rotated, denied, audited
	@$(BIN)/python -m keystead.cli.demo

.PHONY: dev
dev: install ## serve on this machine until Ctrl-C, with settings printed for AWS tools
	@$(BIN)/keystead dev

.PHONY: bench
bench: install ## measure operations a second, latency and CPU, with the audit on
	@$(BIN)/keystead bench

.PHONY: bench-peers
bench-peers: install-bench ## the same, side by side with OpenBao on this machine
	@$(BIN)/keystead bench --peers

# --- checks ----------------------------------------------------------------------------------------------

.PHONY: test
test: install $(NODE_CLIENTS) ## run all tests but the campaigns, and the coverage rule
	@mkdir -p .reports && rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --cov --cov-report= --junitxml=.reports/junit.xml $(TESTS)
	@$(BIN)/python tools/after_tests.py

.PHONY: test-long
test-long: install $(NODE_CLIENTS) ## run the campaigns: hundreds of kills, long random histories
	$(BIN)/python -m pytest -m long --timeout 3600 $(TESTS)

.PHONY: lint
lint: install ## style and likely mistakes (ruff)
	$(BIN)/ruff check src tests tools
	$(BIN)/ruff format --check src tests tools

.PHONY: fmt
fmt: install ## put the code into shape
	$(BIN)/ruff check --fix --select I src tests tools
	$(BIN)/ruff format src tests tools

.PHONY: types
types: install ## types, strictly (mypy)
	$(BIN)/mypy

.PHONY: floors
floors: install ## which room may import which (import-linter)
	$(BIN)/lint-imports

.PHONY: docs
docs: install ## build the documentation, strictly, into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: pages
pages: install ## draw the pages that are made from the code
	@$(BIN)/python tools/key_states.py > docs/reference/key-states.md
	@$(BIN)/python tools/aws_operations.py > docs/reference/aws-kms.md
	@$(BIN)/python tools/command_line.py > docs/reference/command-line.md

.PHONY: check
check: lint types floors docs test ## all that a change must pass

# --- upkeep ----------------------------------------------------------------------------------------------

.PHONY: changelog
changelog: install ## show the next release's changelog from the fragments
	$(BIN)/towncrier build --draft --version next

# A release must be a week old before it is taken: most bad ones are found out sooner.
LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate --exclude-newer '1 week'

.PHONY: lock
lock: install ## make the lock files anew from pyproject.toml (UPGRADE=1 takes newer releases)
	$(LOCK) $(if $(UPGRADE),--upgrade) --extra build --extra dev -o requirements/dev.txt
	$(LOCK) --extra build -c requirements/dev.txt -o requirements/run.txt
	$(LOCK) --extra build --extra bench -c requirements/dev.txt -o requirements/bench.txt

.PHONY: clean
clean: ## remove all that make made
	rm -rf $(VENV) tests/e2e/node/node_modules .reports site .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
