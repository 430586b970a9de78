# Two commands do everything on a new machine: `make demo` and `make test`.
# Each installs what it needs into .venv, from locked and hashed requirements.

PYTHON ?= python3
VENV := .venv
# Otherwise each of many processes compiles all modules again.
unexport PYTHONDONTWRITEBYTECODE
RUN := $(VENV)/bin/python
PIP_INSTALL := python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all:
PIP := $(VENV)/bin/$(PIP_INSTALL)
FUZZ := $(VENV)-fuzz
SITE := $(VENV)-site

REPOSITORY := examples/repository
WORKFLOWS := .github/workflows/*.yml examples/workflows/*.yml $(REPOSITORY)/.github/workflows/*.yml ved/starter/*.yml

.PHONY: demo check test test-fast test-unit test-runner test-nightly audit coverage lint lint-files fuzz bench bench-quick schema docs site golden lock clean

# Modules stay in one process each, so what a module prepares is prepared once. Many tests wait for
# other processes, so there is one process more than processors.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST := $(RUN) -m pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist loadscope --no-loadscope-reorder

# mypy takes longer than all other linters, and uses one processor only.
define BESIDE_MYPY
$(VENV)/bin/mypy & mypy=$$!; $(1); tests=$$?; \
wait $$mypy || { echo "mypy failed: its errors are above."; exit 1; }; exit $$tests
endef

demo: $(VENV)/demo.installed ## Run the action on a local Hub: sources in, checkpoints out
	$(RUN) -m examples.demo

check: lint-files ## Run the linters and all tests but the slow ones: what a pull request needs
	$(call BESIDE_MYPY,$(PYTEST) -m "not slow")

ifdef ARGS
test: $(VENV)/dev.installed ## Run some tests: make test ARGS="tests/planning -k grid"
	$(RUN) -m pytest $(ARGS)
else
test: lint-files ## Run the linters and all tests
	$(call BESIDE_MYPY,$(PYTEST))
endif

test-fast: $(VENV)/dev.installed ## Run all tests but the slow ones, and no linters
	$(PYTEST) -m "not slow"

test-unit: $(VENV)/dev.installed ## Run the tests that need no Hub and no model
	$(PYTEST) -m unit

VED_RUNNER_ENGINE ?= podman
test-runner: $(VENV)/dev.installed ## Run the action and its workflows under act (needs podman or Docker, and root)
	VED_RUNNER_ENGINE=$(VED_RUNNER_ENGINE) $(RUN) -m pytest tests/runner --durations 5

test-nightly: lint-files ## Run all tests, break every request in every way, and show the coverage
	$(call BESIDE_MYPY,VED_ALL_FAULTS=1 $(PYTEST) --cov=ved)

audit: $(VENV)/dev.installed ## Look the locked requirements up among known vulnerabilities
	$(VENV)/bin/pip-audit --require-hashes --disable-pip $(foreach name,run demo dev site,--requirement requirements/$(name).txt)

coverage: $(VENV)/dev.installed ## Show the lines that the tests of `make check` do not reach
	$(PYTEST) -m "not slow" --cov=ved --cov-report term-missing:skip-covered

lint: lint-files ## Check style, types, and the files that GitHub reads
	$(VENV)/bin/mypy

lint-files: $(VENV)/dev.installed ## Check all that `make lint` checks, but for types
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/lint-imports
	$(VENV)/bin/yamllint --strict .
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-actions action.yml tests/runner/artifacts/*/action.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*_*.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.citation-file-format --force-filetype yaml CITATION.cff
	PATH=$(VENV)/bin:$$PATH $(VENV)/bin/actionlint $(WORKFLOWS)
	$(VENV)/bin/hadolint Dockerfile
	$(VENV)/bin/shellcheck .ci/run .github/*.sh tests/runner/*.sh
	$(VENV)/bin/check-jsonschema --schemafile schema/pairs.schema.json examples/*/pairs.yaml
	$(VENV)/bin/zizmor --offline --quiet . examples/workflows/*.yml ved/starter/*.yml $(REPOSITORY)

FUZZ_SECONDS ?= 60

fuzz: requirements/fuzz.txt ## Fuzz the readers of untrusted files: Linux, in an environment of its own
	test -x $(FUZZ)/bin/python || { $(CHECK_PYTHON) && $(PYTHON) -m venv $(FUZZ); }
	$(FUZZ)/bin/$(PIP_INSTALL) --requirement $<
	$(FUZZ)/bin/python -m fuzz --seconds $(FUZZ_SECONDS)

bench: $(VENV)/dev.installed ## Measure, against the script that people use today and against the wire
	$(RUN) -m bench

bench-quick: $(VENV)/dev.installed ## Measure a few key ratios, in less than three minutes
	$(RUN) -m bench --quick

schema: $(VENV)/dev.installed ## Write the manifest's JSON Schema
	$(RUN) -c "from pathlib import Path; from ved.manifest import write_schema; write_schema(Path('schema/pairs.schema.json'))"

docs: $(VENV)/dev.installed ## Write the generated parts of docs/
	$(RUN) -m docs.generate

site: requirements/site.txt ## Build the site of the documentation in build/site/html, in an environment of its own
	test -x $(SITE)/bin/python || { $(CHECK_PYTHON) && $(PYTHON) -m venv $(SITE); }
	$(SITE)/bin/$(PIP_INSTALL) --requirement $<
	$(SITE)/bin/python -m docs.site
	$(SITE)/bin/zensical build --strict --clean

golden: $(VENV)/dev.installed ## Write the golden files: all wording, and the bytes of checkpoints
	$(RUN) -m tests.support.messages
	$(RUN) -m tests.manifest.mistakes
	$(RUN) -m tests.support.golden
	$(RUN) -m tests.support.golden_families

lock: ## Resolve the requirements (needs uv)
	uv pip compile $(LOCK) --output-file requirements/run.txt pyproject.toml
	uv pip compile $(LOCK) --output-file requirements/demo.txt --constraint requirements/run.txt --extra localhub pyproject.toml
	uv pip compile $(LOCK) --output-file requirements/dev.txt --constraint requirements/demo.txt --extra localhub --group dev pyproject.toml
	uv pip compile $(LOCK) --output-file requirements/fuzz.txt --constraint requirements/run.txt --group fuzz pyproject.toml
	uv pip compile $(LOCK) --output-file requirements/site.txt --constraint requirements/dev.txt --group site
	uv pip compile $(LOCK) --resolution lowest-direct --output-file requirements/lowest.txt --upgrade --extra localhub pyproject.toml
	grep -oE '^(jax|jaxlib|flax|numpy)==[^\\]+' requirements/run.txt | uv pip compile $(LOCK) --output-file requirements/oracle.txt --group oracle -

LOCK := --quiet --fork-strategy fewest --constraint requirements/lock.in --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11

define CHECK_PYTHON
$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("$(PYTHON) is Python %d.%d, and VED needs 3.11 or newer: make PYTHON=python3.13" % sys.version_info[:2])'
endef

$(VENV)/bin/python:
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv $(VENV)

# Every requirement of the demo is at the same version among those for development, which add to it.
$(VENV)/%.installed: requirements/%.txt $(VENV)/bin/python
	$(PIP) --requirement $<
	touch $@

clean: ## Remove the environment and all caches
	rm -rf $(VENV) $(FUZZ) $(SITE) build .mypy_cache .pytest_cache .ruff_cache .hypothesis
