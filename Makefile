# Every target makes the environment itself: `.venv`, from requirements.lock, once for each change of the lock.

PYTHON ?= python3
WORKERS ?= 3
PY := .venv/bin/python
READY := .venv/.ready
FOLDERS := timim tests examples bench tools
TYPED := $(foreach folder,$(FOLDERS),$(if $(wildcard $(folder)/*.py),$(folder)))
CODE := $(TYPED) .ci/venv.py .ci/verify_types.py
EXAMPLES := $(filter-out examples/_%,$(wildcard examples/*.py))
BOTS := $(addprefix examples/,echo_bot.py order_desk.py group_moderator.py daily_report.py)  # they stay up until a signal
EXAMPLE_LIMIT := 120
WEB := tests/interop/web
ON_CLUSTER := $(addprefix tests/,hostile durability integration/server integration/client integration/testing)  # the rest has no server, or its folder

# Without cached bytecode each Python process compiles timim anew. The cache is in .venv, so the source folders stay clean.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/pycache

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test check lint types format layers unit coverage test-python examples docs judge bench bench-growth bench-load bench-cluster soak \
	test-cluster fuzz lock sbom licences audit clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## ?(.*)/\1\t\2/' | expand -t 14

$(READY): requirements.lock pyproject.toml .ci/venv.py
	@echo "making .venv from requirements.lock"
	@$(PYTHON) .ci/venv.py

setup: $(READY)  ## the environment alone

demo: $(READY)  ## start a server and let two users talk
	@.venv/bin/timim demo

# The rest runs beside pytest, in the time in which pytest only waits, because pytest takes longest; its closing line is the last.
# The bots of examples/ run in tests/integration/examples.
test: lint  ## everything CI wants
	@$(MAKE) --no-print-directory unit > .venv/unit.log 2>&1 & unit=$$!; code=0; \
	{ nice $(MAKE) --no-print-directory types docs examples EXAMPLES="$(filter-out $(BOTS),$(EXAMPLES))" && $(MAKE) --no-print-directory judge; } || code=$$?; \
	tail -n +1 -f --pid=$$unit .venv/unit.log; wait $$unit || code=$$?; exit $$code

check: lint types  ## ruff and mypy

lint: $(READY)  ## ruff: rules and format; codespell: names, comments and docs
	@$(PY) -m ruff check --quiet $(CODE)
	@$(PY) -m ruff format --quiet --check $(CODE) || { $(PY) -m ruff format --diff $(CODE) 2>&1 | head -40; echo "lint: run make format"; exit 1; }
	@.venv/bin/codespell $(CODE) docs *.md pyproject.toml mkdocs.yml Makefile
	@echo "lint: good"

types: $(READY)  ## mypy, strict; every public name has a known type
	@$(PY) -m mypy $(TYPED)
	@$(PY) .ci/verify_types.py

format: $(READY)  ## write what ruff can write: format, import order, safe fixes
	@$(PY) -m ruff check --quiet --fix-only $(CODE)
	@$(PY) -m ruff format $(CODE)

layers: $(READY)  ## imports go down only; importing timim stays light
	@$(PY) -m pytest -q tests/meta/test_import_rules.py tests/meta/test_import_cost.py

unit: $(READY)  ## pytest, without soak and judges
	@$(PY) -m pytest -n $(WORKERS)

coverage: $(READY)  ## unit tests with coverage; fails under the floor in pyproject.toml
	@$(PY) -m coverage run --data-file=.venv/.coverage -m pytest -q -n0 tests/unit
	@$(PY) -m coverage report --data-file=.venv/.coverage

# VERSION's interpreter has to be installed (python3.13, or pyenv's); its environment is .venv/py3.13.
test-python: $(READY)  ## the unit tests on another Python: VERSION=3.13
	@$(PYTHON) .ci/venv.py python $(VERSION)
	@.venv/py$(VERSION)/bin/python -m pytest -q -n0 -p no:cacheprovider tests/unit $(ARGS)

examples: $(READY)  ## run each examples/*.py: it has to end by itself, a bot by SIGTERM, with 0
	@for example in $(EXAMPLES); do \
		echo "example: $$example"; \
		runner=; [[ " $(BOTS) " != *" $$example "* ]] || runner=tools/run_bot.py; \
		timeout $(EXAMPLE_LIMIT) $(PY) $$runner "$$example" > .venv/example.log 2>&1 < /dev/null \
			|| { code=$$?; tail -40 .venv/example.log; echo "example: $$example failed with $$code"; exit 1; }; \
	done
	@echo "examples: $(words $(EXAMPLES)) good"

docs: $(READY)  ## build the documentation into site/, strictly
	@diff --label "docs: in the nav of mkdocs.yml" --label "docs: in docs/" -U0 \
		<(sed -nE 's|^ +- .*[ :]([[:alnum:]_./-]+\.md) *$$|\1|p' mkdocs.yml | sort) \
		<(cd docs && find . -name '*.md' | sed 's|^\./||' | sort)
	@.venv/bin/zensical build --strict --clean > .venv/docs.log 2>&1 || { cat .venv/docs.log; exit 1; }
	@echo "docs: good, site/index.html"

# Packages are fetched before, because the judges then run where only loopback exists. 77: not possible on this machine.
judge: $(READY)  ## foreign software judges the server, with no network but loopback
	@if [ -z "$$(find tests/interop -name 'test_*.py' -not -path '*/node_modules/*' 2>/dev/null)" ]; then \
		echo "judge: nothing in tests/interop yet"; exit 0; fi; \
	if [ -e $(WEB)/package.json ]; then \
		if ! command -v node > /dev/null || ! command -v npm > /dev/null; then \
			echo "judge: SKIPPED, there is no Node (node and npm) on this machine"; exit 0; fi; \
		if [ ! -e $(WEB)/node_modules/.ready ] || [ $(WEB)/package-lock.json -nt $(WEB)/node_modules/.ready ]; then \
			echo "judge: npm ci in $(WEB)"; \
			(cd $(WEB) && npm ci --no-audit --no-fund --loglevel=error && touch node_modules/.ready); fi; \
	fi; \
	code=0; $(PY) tests/interop/isolated.py $(PY) -m pytest -m judge tests/interop $(ARGS) || code=$$?; \
	if [ $$code -eq 77 ]; then echo "judge: SKIPPED, see above"; elif [ $$code -ne 0 ]; then exit $$code; fi

bench: $(READY)  ## measure timim beside the floor
	@if [ -e bench/run.py ]; then $(PY) -m bench.run $(ARGS); else echo "bench: there is no bench/run.py yet"; fi

bench-growth: $(READY)  ## draw cost against size: messages, conversations, groups, clients, elems; about 10 minutes
	@$(PY) -m bench.growth $(ARGS)

bench-load: $(READY)  ## memory of 5,000 idle clients, and an honest user and the server under each attack
	@$(PY) -m bench.hostile $(ARGS)

bench-cluster: $(READY)  ## load and a storm of 2,000 reconnections on one gateway and on two, with PostgreSQL, NATS and S3
	@ulimit -n "$$(ulimit -Hn)"; $(PY) -m bench.cluster $(ARGS)

soak: $(READY)  ## the long tests
	@code=0; $(PY) -m pytest -m soak --timeout=0 $(ARGS) || code=$$?; \
	if [ $$code -eq 5 ]; then echo "soak: no such test yet"; else exit $$code; fi

test-cluster: $(READY)  ## every part of a cluster killed 20 times, and the tests with servers and the judges on two gateways
	@$(PY) -m pytest -m cluster --timeout=0 -s tests/cluster/test_deaths.py
	@$(PY) -m pytest -n $(WORKERS) --backend=cluster --timeout=180 $(ON_CLUSTER) $(ARGS)
	@$(MAKE) --no-print-directory judge ARGS="--backend=cluster --timeout=180"

fuzz: $(READY)  ## the property tests again, with many more examples
	@code=0; $(PY) -m pytest -n $(WORKERS) -m "hypothesis and not judge" --hypothesis-profile=fuzz --timeout=0 $(ARGS) || code=$$?; \
	if [ $$code -eq 5 ]; then echo "fuzz: no such test yet"; else exit $$code; fi

lock:  ## write requirements.lock from pyproject.toml; UPGRADE=1 takes newer versions
	@$(PYTHON) .ci/venv.py lock

sbom: $(READY)  ## bill of materials of an installation: CycloneDX, dist/timim-VERSION.cdx.json
	@$(PY) -m tools.sbom

licences: $(READY)  ## write the table of docs/reference/licences.md
	@$(PY) -m tools.licences_page

audit: $(READY)  ## compare requirements.lock with a database of OSV records, offline: DATABASE=folder or zip
	@[ -n "$(DATABASE)" ] || { echo "audit: DATABASE= has to name a folder or a zip file of OSV records (docs/project/releasing.md)"; exit 2; }
	@$(PY) -m tools.audit "$(DATABASE)"

clean:  ## remove what the targets made
	rm -rf .venv site .cache dist .hypothesis .mypy_cache .pytest_cache .ruff_cache $(WEB)/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
