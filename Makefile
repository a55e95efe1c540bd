# Everything needs python3 (3.11 or newer, with venv), make and git, and nothing else.
PYTHON ?= python3
# Quick tests wait as much as they compute: five at a time keep two cores busy. Others start whole systems: four. The order
# of the files is kept: tests/conftest.py has those first that take longest.
test: AT_A_TIME = 5
explore test-engines drills roles: AT_A_TIME = 4
PYTEST = python -m pytest -n $(or $(WORKERS),$(AT_A_TIME)) --dist loadfile --no-loadscope-reorder --max-worker-restart 1
BIN := .venv/bin
PINS := deploy/requirements
PIP := $(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-deps
# Runs pip, shows how far it is, and keeps its own words for when it fails.
INSTALL = { $(PIP) $(1) 2>&1; echo "pip's code $$?"; } | tee .venv/.pip.log | awk -v all=$$(grep -c '^[a-z].*==' $(2)) \
  '/^(Collecting|Requirement already)/ { n++; if (n % 10 == 0) { print "  " n " of at most " all " packages"; fflush() } } \
  /^Installing/ { print "  installing"; fflush() }'; \
  grep -q "^pip's code 0$$" .venv/.pip.log || { cat .venv/.pip.log >&2; exit 1; }
# What of pyproject.toml makes the package. Only if it changed is the package installed anew: meanwhile the command
# `invoices` is missing, also to tests and processes that run.
PACKAGING = sed '/^\[tool\.pytest/,$$d' pyproject.toml
COMPILE := uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate --no-emit-index-url

.DEFAULT_GOAL := help
.PHONY: help .venv dev demo up test explore test-engines drills check dist image licences format pictures bench bench-check soak profile chaos failover mutants pins rivals rights roles scale

help: ## this list
	@echo "make demo    installs and shows everything at work; make test    runs the tests. All targets:"
	@echo
	@sed -n 's/^\([a-z.][a-z.-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

.venv: .venv/.stamp-run ## prepares .venv with the `invoices` command

dev: .venv/.stamp-dev ## the same with everything that tests and checks need

# The environment itself is never made anew: a changed requirement file is installed into it.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed: '$(PYTHON)' is missing or older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "'$(PYTHON) -m venv' failed: install its venv module (Debian: python3-venv)." >&2; rm -rf .venv; exit 1; }

.venv/.stamp-run: $(PINS)/run.txt pyproject.toml | .venv/bin/python
	@echo "installing into .venv ..."
	@$(call INSTALL,-r $(PINS)/run.txt,$(PINS)/run.txt)
	@$(PACKAGING) | cmp -s - .venv/.packaged || { $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-index --no-deps --no-build-isolation --editable . && $(PACKAGING) >.venv/.packaged; }
	@touch $@

.venv/.stamp-dev: $(PINS)/dev.txt .venv/.stamp-run
	@echo "installing what tests and checks need ..."
	@$(call INSTALL,-r $(PINS)/dev.txt,$(PINS)/dev.txt)
	@touch $@

demo: .venv ## orders at both sandbox providers, shown live until each has ended; KEEP=1 goes on with the console open
	@$(if $(KEEP),exec )$(BIN)/invoices demo$(if $(KEEP), --stay)

up: .venv ## starts and supervises all processes (Ctrl-C stops); OBSERVE=1 a Prometheus too
	@PATH="$(CURDIR)/$(BIN):$$PATH" exec $(BIN)/invoices up $(if $(OBSERVE),--observe)

# Where the environment sets it, every process of a test run would compile every file anew.
test explore test-engines drills: export PYTHONDONTWRITEBYTECODE =

test: dev ## the quick tests; WORKERS=5 at a time
	@$(BIN)/$(PYTEST) -m "not engines"

explore: dev ## rules that must hold for all inputs, with TIMES=20 as many examples, others in each run
	@EXAMPLES_TIMES=$(or $(TIMES),20) $(BIN)/$(PYTEST) -m "hypothesis and not engines" -o timeout=0 -o faulthandler_timeout=7200

# Playwright's event loop goes on in the process that once drove a browser: nothing else can run its own there.
test-engines: dev ## slower tests, more engines, load
	@$(BIN)/$(PYTEST) -m "engines and not drills" --ignore tests/console/browser -o faulthandler_timeout=1800 -rs --durations 20
	@$(BIN)/$(PYTEST) -m "engines and not drills" -o faulthandler_timeout=1800 -rs --durations 20 tests/console/browser

drills: dev ## the wheel in an empty Debian, the image, systemd's units, a failover, every key changed: each as a whole
	@$(BIN)/$(PYTEST) -m drills -o faulthandler_timeout=1800 -rs --durations 20

check: dev ## format, lint, types, import rules, supply chain, receivers and senders in empty environments
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if grep -n '://' $(PINS)/*; then echo "addresses have no place in requirement files" >&2; exit 1; fi
	@$(BIN)/python -m tests.supply
	@$(BIN)/python -m pip check --disable-pip-version-check
	@sh deploy/requirements/audit.sh
	@sh deploy/requirements/check_image.sh
	@sh deploy/receivers/check.sh
	@sh deploy/senders/check.sh
	@sh tests/books/environment.sh

dist: dev ## a wheel, its source, pinned requirements, SBOM and hashes, in dist/; the same commit gives the same bytes
	@$(BIN)/python -m tests.release

image: dist ## a container image by docker, podman or buildah; BASE=python:3.13-slim-bookworm IMAGE=invoices:latest
	@BASE="$(BASE)" IMAGE="$(IMAGE)" sh deploy/image.sh

licences: dev ## makes the list of licences anew
	@$(BIN)/python -m tests.supply --write

format: dev ## formats the code and repairs what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

pictures: dev ## pictures of the real console, from the demo's orders, in deploy/console
	@$(BIN)/python -m tests.console.pictures

rivals: .venv/rivals/.stamp ## the task queues that `make bench` compares with, in .venv/rivals

.venv/rivals/.stamp: $(PINS)/rivals.txt | .venv/bin/python
	@echo "installing what benchmarks compare with ..."
	@$(PYTHON) -m venv .venv/rivals
	@.venv/rivals/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(PINS)/rivals.txt
	@touch $@

bench: dev rivals ## benchmarks, 35 minutes; ROWS="create claim" some rows only, BENCH_FULL=1 more of all, BENCH_TINY=1 a trial
	@$(BIN)/python -m tests.bench $(ROWS)

bench-check: dev rivals ## the same, compared with the kept results; prints what got worse by more than a fifth
	@$(BIN)/python -m tests.bench --check $(ROWS)

scale: dev ## orders a second on 1, 2, … HOSTS=4 hosts (network namespaces; as root), fairness, a host that comes and one that dies
	@$(BIN)/python -m tests.hosts --hosts $(or $(HOSTS),4) $(if $(ONLY),--only $(ONLY))

roles: dev ## all tests that start processes, each process with its own login and rights; FILES=tests/acceptance/test_why.py some
	@$(BIN)/python -m tests.under_roles -n $(or $(WORKERS),$(AT_A_TIME)) $(FILES)

rights: dev ## acceptance stories under each process's own rights: which of them are needed, which are not
	@$(BIN)/python -m tests.rights_used

soak: dev ## half of the capacity for MINUTES=30: is memory, bloat, latency flat?
	@$(BIN)/python -m tests.bench.soak --minutes $(or $(MINUTES),30)

profile: dev ## flame graphs of the three hottest paths, in deploy/bench/profiles
	@$(BIN)/python -m tests.bench.profiles

chaos: dev ## crash campaign: kills and outages under load, then an audit; SEED=1 KILLS=100 MINUTES=15 HOSTS=1 ENGINE=postgresql CALM=1
	@$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --kills $(or $(KILLS),100) --minutes $(or $(MINUTES),15) \
	  --hosts $(or $(HOSTS),1) --engine $(or $(ENGINE),postgresql) $(if $(CALM),--calm) $(if $(RESULTS),--results $(RESULTS))

.venv/.stamp-mutants: $(PINS)/mutants.txt .venv/.stamp-dev
	@echo "installing what changes the code to see whether tests notice ..."
	@$(PIP) -r $(PINS)/mutants.txt
	@touch $@

failover: dev ## PostgreSQL's primary is killed under load, its replica promoted; ORDERS=300 WAYS="on pooled", of all six
	@$(BIN)/python -m tests.failover --orders $(or $(ORDERS),300) $(if $(WAYS),--ways $(WAYS))

mutants: .venv/.stamp-mutants ## changes the deciding code in one place at a time: do tests notice? MINUTES=20 SINCE=HEAD~20 ONLY='domain.money.*' GO_ON=1
	@$(BIN)/python -m tests.mutants --minutes $(or $(MINUTES),20) --since $(or $(SINCE),HEAD~20) $(if $(ONLY),--only '$(ONLY)') $(if $(GO_ON),--go-on)

pins: ## compiles the requirement files anew (needs uv on the PATH)
	@command -v uv >/dev/null || { echo "uv is needed to compile requirement files" >&2; exit 1; }
	$(COMPILE) $(UPGRADE) pyproject.toml $(PINS)/run.in -o $(PINS)/run.txt
	$(COMPILE) $(UPGRADE) pyproject.toml --extra otel $(PINS)/run.in -c $(PINS)/run.txt -o $(PINS)/otel.txt
	$(COMPILE) $(UPGRADE) pyproject.toml --extra test --extra check --extra profile --extra otel $(PINS)/run.in -c $(PINS)/otel.txt -o $(PINS)/dev.txt
	$(COMPILE) $(UPGRADE) $(PINS)/mutants.in -c $(PINS)/dev.txt -o $(PINS)/mutants.txt
	$(COMPILE) $(UPGRADE) $(PINS)/audit.in -o $(PINS)/audit.txt
	$(COMPILE) $(UPGRADE) $(PINS)/rivals.in -o $(PINS)/rivals.txt
	$(COMPILE) $(UPGRADE) $(PINS)/image.in -c $(PINS)/dev.txt -o $(PINS)/image.txt
	$(COMPILE) $(UPGRADE) $(PINS)/chart.in -o $(PINS)/chart.txt
	$(COMPILE) $(UPGRADE) $(PINS)/beancount.in -o $(PINS)/beancount.txt
	@if grep -n '://' $(PINS)/*; then echo "addresses have no place in requirement files" >&2; exit 1; fi
