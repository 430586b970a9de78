# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Each installs what it needs into .venv, from locked and hashed requirements.

PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all:

REPOSITORY := examples/repository
WORKFLOWS := .github/workflows/*.yml examples/workflows/*.yml $(REPOSITORY)/.github/workflows/*.yml

.PHONY: demo test lint bench schema docs lock clean

demo: $(VENV)/demo.installed ## Run the action on a local Hub: sources in, checkpoints out
	$(RUN) -m examples.demo

test: lint ## Run every check and every test
	$(RUN) -m pytest --numprocesses 2 --dist worksteal

lint: $(VENV)/dev.installed ## Check style, types, and the files that GitHub reads
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/yamllint --strict .
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-actions action.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	PATH=$(VENV)/bin:$$PATH $(VENV)/bin/actionlint $(WORKFLOWS)
	$(VENV)/bin/hadolint Dockerfile
	$(VENV)/bin/check-jsonschema --schemafile schema/pairs.schema.json examples/*/pairs.yaml
	$(VENV)/bin/zizmor --offline --quiet . examples/workflows/*.yml $(REPOSITORY)

bench: $(VENV)/dev.installed ## Measure, against the script that people use today and against the wire
	$(RUN) -m bench

schema: $(VENV)/dev.installed ## Write the manifest's JSON Schema anew
	$(RUN) -c "from pathlib import Path; from ved.manifest import write_schema; write_schema(Path('schema/pairs.schema.json'))"

docs: $(VENV)/dev.installed ## Write anew what README.md and docs/ have from the code
	$(RUN) -m docs.generate

lock: ## Resolve the requirements anew (needs uv)
	uv pip compile $(LOCK) --output-file requirements/run.txt pyproject.toml
	uv pip compile $(LOCK) --output-file requirements/demo.txt --constraint requirements/run.txt --extra localhub pyproject.toml
	uv pip compile $(LOCK) --output-file requirements/dev.txt --constraint requirements/demo.txt --extra localhub --group dev pyproject.toml

LOCK := --quiet --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# Every requirement of the demo is at the same version among those for development, which add to it.
$(VENV)/%.installed: requirements/%.txt $(VENV)/bin/python
	$(PIP) --requirement $<
	touch $@

clean: ## Remove what the commands made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
