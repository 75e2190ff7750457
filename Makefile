# make book    execute every chapter (profile lab) and render _build/html/index.html; PROFILE=standard for another
# make pdf     the book as one file, _build/datadiet.pdf, printed by chromium
# make test    everything that CI runs
# make clean   remove what was built, not what was trained (.datadiet) or installed (.venv)
# Each sets up .venv from requirements.lock first, once. PYTHON=python3.12 to choose another Python.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
PROFILE ?= lab
INSTALLED := .venv/.installed

.PHONY: book pdf test clean

book: $(INSTALLED)
	.venv/bin/datadiet book --profile $(PROFILE)

pdf: book
	.venv/bin/python -m datadiet.book.pdf

test: $(INSTALLED)
	.venv/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# The package is installed in place without an index: setuptools is in the lock.
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("make: Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --disable-pip-version-check --quiet -r requirements.lock
	.venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
