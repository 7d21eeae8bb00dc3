# Everything starts from a bare Python: `make demo` runs the main job, `make test` passes the tests.
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
export UV_LINK_MODE ?= hardlink
# Once here, not in each process that starts: where Python may not write it (PYTHONDONTWRITEBYTECODE), importing torch
# takes two and a half times as long.
export UV_COMPILE_BYTECODE ?= 1

.PHONY: help demo test check fmt clean
help:
	@echo "make demo    set everything up and run the main job on embedded servers (ARGS=--keep leaves it running)"
	@echo "make test    set everything up and pass the tests"
	@echo "make check   ruff, mypy --strict, import contracts, unit tests"

$(UV): constraints.txt
	@test -x $(PY) || python3 -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@touch $(UV)

$(VENV)/.plain: $(UV) pyproject.toml
	@echo "Installing Groundswell into $(VENV) …"
	@$(UV) pip install --quiet --python $(PY) -c constraints.txt -b constraints.txt -e .
	@touch $@

$(VENV)/.test: $(UV) pyproject.toml
	@echo "Installing Groundswell and its tests' needs (torch is large) into $(VENV) …"
	@$(UV) pip install --quiet --python $(PY) -c constraints.txt -b constraints.txt -e '.[test]'
	@touch $@ $(VENV)/.plain

demo: $(VENV)/.plain
	@$(VENV)/bin/groundswell demo $(ARGS)

test: $(VENV)/.test check
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/acceptance tests/integration tests/contracts tests/golden --durations=12 $(ARGS)

check: $(VENV)/.test
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(PY) -m pytest -q -n 2 tests/unit

fmt: $(VENV)/.test
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
