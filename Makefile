# make run     start the guard with a demo model behind it, and see what to try
# make test    set up what the tests need, then lint, types and all tests
# make bench   measure the guard beside nginx and LiteLLM
# make lock    resolve the dependencies anew (needs uv, which the test environment has)

VENV   := .venv
PYTHON := $(VENV)/bin/python
UV     := $(shell command -v uv 2>/dev/null)
ifdef UV
INSTALL = $(UV) pip install --quiet --python $(PYTHON)
else
INSTALL = python3 -m pip --python $(PYTHON) install --quiet --disable-pip-version-check
endif

.PHONY: run test bench lint lock clean

run: $(VENV)/.run
	$(VENV)/bin/guard demo

# Compiled beforehand: the tests start hundreds of guards. A file's tests share their servers, so they stay together.
test: $(VENV)/.test lint
	$(PYTHON) -m compileall -q guard safeguards tests
	$(PYTHON) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/.test
	$(VENV)/bin/ruff check --quiet .
	$(VENV)/bin/ruff format --quiet --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.test
	$(PYTHON) -m tests.benchmarks $(BENCH)

# --without-pip: a plain Debian has no ensurepip; the system's pip installs into the environment from outside.
$(PYTHON):
	python3 -m venv --without-pip $(VENV)

$(VENV)/.run: deploy/requirements.txt deploy/build-requirements.txt pyproject.toml | $(PYTHON)
	$(INSTALL) --require-hashes -r deploy/requirements.txt
	$(INSTALL) --require-hashes -r deploy/build-requirements.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.test: tests/requirements.txt pyproject.toml | $(PYTHON)
	$(INSTALL) --require-hashes -r tests/requirements.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@ $(VENV)/.run

LOCK = $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate

lock: $(VENV)/.test
	$(LOCK) pyproject.toml --extra otlp --extra parquet --extra postgres --extra s3 --extra timestamp --output-file deploy/requirements.txt
	$(LOCK) --group build --output-file deploy/build-requirements.txt
	$(LOCK) pyproject.toml --extra otlp --extra parquet --extra postgres --extra s3 --extra timestamp --group test --output-file tests/requirements.txt

clean:
	rm -rf $(VENV) .cache var
