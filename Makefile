# bindserver: `make run` serves the demo, `make test` runs everything. `make help` lists the rest.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
DATABASE_URL ?= sqlite:///bindserver.sqlite3
SECONDS ?= 300
MINUTES ?= 30
EXAMPLES ?= 20000
DATABASE ?= sqlite
SEED ?=
CELLS ?=
APPS ?=
PEERS ?=
UPGRADE ?=
JOBS ?= 3
AT_ONCE = -n $(call quoted,$(JOBS)) --dist loadfile --no-loadscope-reorder
VENV := .venv
BIN := $(VENV)/bin
DRIVER := $(if $(filter postgres%,$(DATABASE_URL)),postgresql,$(if $(filter mysql%,$(DATABASE_URL)),mysql))
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser)
# What somebody gave is one word of the shell's, whatever stands in it.
quoted = '$(subst ','\'',$(1))'

# What is run with the settings of the tests' own project, whatever the caller's environment says; and with bytecode
# that is kept, since tests start hundreds of servers and commands, each of which would compile the package again.
PYTEST = env -u DATABASE_URL -u DEBUG -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help run test needs fast style quick-tests lint unit-tests python-tests js-tests browser-tests oracle differential matrix strangers soak bench lock format clean

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: $(VENV)/.run$(DRIVER:%=-%) ## Serve the demo shop; takes PORT, HOST and DATABASE_URL
	@DEBUG=$${DEBUG-1} DEMO=1 DATABASE_URL=$(call quoted,$(value DATABASE_URL)) \
		$(BIN)/python manage.py serve_demo --host $(call quoted,$(HOST)) --port $(call quoted,$(PORT))

test: needs lint js-tests unit-tests python-tests browser-tests ## Run linters, type checkers and every test

needs:
	@CHROMIUM=$(call quoted,$(CHROMIUM)) sh scripts/needs.sh

fast: $(VENV)/.fast ## Check style, types, imports and what is quick among the unit tests; needs Python alone
	@$(MAKE) --no-print-directory --jobs 2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) style quick-tests

quick-tests: $(VENV)/.fast
	$(PYTEST) tests/unit -n 2 --dist loadfile -m "not slow"

lint: style client-js/node_modules/.done ## Check style, types and the order of imports
	cd client-js && npm run --silent check

style: $(VENV)/.fast
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

js-tests: client-js/node_modules/.done ## Run the JavaScript client's tests
	cd client-js && npm test --silent

unit-tests: $(VENV)/.fast ## Run the unit tests, which need Python alone, and say what they cover
	$(PYTEST) tests/unit $(AT_ONCE) --cov --cov-report=
	@$(BIN)/python scripts/coverage_told.py

python-tests: $(VENV)/.dev .make/redis .make/nginx .make/postgresql ## Run the other Python tests, a part of the oracle and of the comparison with DRF among them
	$(PYTEST) $(AT_ONCE) --ignore tests/unit -m "not browser"

browser-tests: $(VENV)/.fast client-js/node_modules/.done .make/chromium ## Drive the demo in Chromium
	CHROMIUM=$(call quoted,$(CHROMIUM)) $(PYTEST) $(AT_ONCE) tests/projects -m browser

oracle: $(VENV)/.$(if $(filter mysql,$(DATABASE)),dev,fast) $(if $(filter postgresql,$(DATABASE)),.make/postgresql) ## Run the oracle on DATABASE for SECONDS, from SEED where given
	$(BIN)/python -m tests.oracle --database $(call quoted,$(DATABASE)) --seconds $(call quoted,$(SECONDS)) \
		$(if $(SEED),--seed $(call quoted,$(SEED)))

differential: $(VENV)/.dev .make/postgresql ## Compare EXAMPLES generated bindings with DRF, over three databases, from SEED where given
	$(BIN)/python -m tests.differential --database all --examples $(call quoted,$(EXAMPLES)) \
		$(if $(SEED),--seed $(call quoted,$(SEED)))

soak: $(VENV)/.$(if $(filter mysql,$(DATABASE)),dev,fast) .make/redis $(if $(filter postgresql,$(DATABASE)),.make/postgresql) ## Serve, write and kill on DATABASE for MINUTES; all must come back to where it was. Draws soak.svg
	$(BIN)/python -m tests.soak --database $(call quoted,$(DATABASE)) --minutes $(call quoted,$(MINUTES)) \
		$(if $(SEED),--seed $(call quoted,$(SEED)))

matrix: .make/redis .make/postgresql .make/mariadb ## Run the Python tests with each Python and Django there is here; CELLS names some
	@python3 scripts/matrix.py $(foreach cell,$(CELLS),$(call quoted,$(cell)))

strangers: $(VENV)/.fast ## Make foreign apps live on DATABASE, and compare every state; APPS names some
	@$(BIN)/python -m tests.strangers --database $(call quoted,$(DATABASE)) $(foreach app,$(APPS),$(call quoted,$(app)))
	@STRANGERS=1 STRANGERS_DATABASE=$(call quoted,$(DATABASE)) $(BIN)/python -m pytest tests/strangers/test_strangers.py

bench: $(VENV)/.fast .bench/.done ## Measure how fast one server tells 1,000 clients, beside others; PEERS names some. Draws bench.svg
	$(BIN)/python -m benchmarks.peers $(foreach peer,$(PEERS),$(call quoted,$(peer))) --plot bench.svg

lock: ## Pin what the image installs, with hashes; UPGRADE=1 takes the newest of all
	@PYTHON=$(call quoted,$(PYTHON)) UPGRADE=$(call quoted,$(UPGRADE)) sh deploy/lock.sh

format: $(VENV)/.fast ## Put Python code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove what was installed and made
	rm -rf $(VENV) .make .matrix .strangers .bench benchmarks/peers/programs/node_modules client-js/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@sh scripts/make-venv.sh $(call quoted,$(PYTHON)) $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "Installing the server's packages ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[server]"
	@touch $@

$(VENV)/.run-postgresql: pyproject.toml | $(BIN)/python
	@echo "Installing the server's packages, with PostgreSQL's driver ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[server,postgresql]"
	@touch $@

$(VENV)/.run-mysql: pyproject.toml | $(BIN)/python
	@sh scripts/need.sh mariadb_config "libmariadb-dev pkg-config gcc python3-dev" "MariaDB's client library"
	@echo "Installing the server's packages, with MariaDB's driver ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[server,mysql]"
	@touch $@

$(VENV)/.fast: pyproject.toml | $(BIN)/python
	@echo "Installing linters and what tests need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[server,redis,postgresql,daphne,metrics,tracing,fast]" --group dev
	@touch $@

$(VENV)/.dev: $(VENV)/.fast .make/mariadb
	@echo "Installing MariaDB's driver ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[mysql]"
	@touch $@

client-js/node_modules/.done: client-js/package.json client-js/package-lock.json
	@sh scripts/need.sh npm "nodejs npm" "Node.js 20 or newer, with npm"
	cd client-js && npm ci --no-audit --no-fund --silent
	@touch $@

.bench/.done: benchmarks/peers/programs/requirements.txt benchmarks/peers/programs/package.json
	@sh scripts/need.sh npm "nodejs npm" "Node.js 20 or newer, with npm"
	@sh scripts/need.sh cc gcc "a C compiler"
	@echo "Installing what benchmarks compare with ..."
	@$(call quoted,$(PYTHON)) -m venv .bench/venv
	@.bench/venv/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers/programs/requirements.txt
	cd benchmarks/peers/programs && npm install --no-audit --no-fund --no-package-lock --silent
	@sh benchmarks/peers/programs/nchan.sh .bench/nchan
	@touch $@

.make/redis:
	@sh scripts/need.sh redis-server redis-server "Redis"
	@mkdir -p .make && touch $@

.make/mariadb:
	@PATH="$$PATH:/usr/sbin" sh scripts/need.sh mariadbd mariadb-server "MariaDB"
	@sh scripts/need.sh mariadb_config "libmariadb-dev pkg-config gcc python3-dev" "MariaDB's client library"
	@mkdir -p .make && touch $@

.make/nginx:
	@PATH="$$PATH:/usr/sbin" sh scripts/need.sh nginx nginx-light "nginx"
	@sh scripts/need.sh openssl openssl "OpenSSL"
	@mkdir -p .make && touch $@

.make/postgresql:
	@command -v initdb >/dev/null || sh scripts/need.sh pg_ctlcluster "postgresql" "PostgreSQL"
	@PATH="$$PATH:/usr/sbin" sh scripts/need.sh pgbouncer pgbouncer "PgBouncer"
	@mkdir -p .make && touch $@

.make/chromium:
	@CHROMIUM=$(call quoted,$(CHROMIUM)) sh scripts/need.sh chromium chromium "Chromium"
	@mkdir -p .make && touch $@
