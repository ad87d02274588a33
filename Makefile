# The commands for newcomers. You need only Python 3.11+ and make; everything else comes from the lock files.
PYTHON ?= $(firstword $(foreach p,python3.13 python3.12 python3.11 python3,$(if $(shell command -v $(p) >/dev/null 2>&1 && $(p) -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo yes),$(p))))
BIN := .venv/bin
# If the environment forbids it, each of the tests' hundreds of processes would compile all of the source again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench chaos simulate load screens fuzz thorough second-reader replies audit dist image drills lock clean

demo: .venv/run
	@$(BIN)/python -m reminders demo

test: .venv/test check
	$(BIN)/python -m compileall -q reminders jobs tests
	$(BIN)/python -m pytest -n 3 --maxschedchunk 1  # they wait as much as they compute

check: .venv/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# N due messages a turn; BENCH for more, such as BENCH="--latency-ms 100". Celery takes part if there is a redis-server.
N = 10000
bench: .venv/test .venv/bench
	$(BIN)/python tests/bench --messages $(N) $(BENCH)

# The long forms of tests: whole services from a seed, real kills, a clinic's month of tasks, the API with any request
# that its document allows and more.
# WORLD=clinic runs whole clinics instead, one for each seed: PATIENTS for DAYS, over the day OVER (docs/simulation.md).
WORLD = small
SEEDS = $(if $(filter clinic,$(WORLD)),4,10000)
PATIENTS = 40
DAYS = 60
OVER =
CLINIC = --patients $(PATIENTS) --days $(DAYS) $(if $(OVER),--over $(OVER))
simulate: .venv/test
	$(BIN)/python tests/simulation --world $(WORLD) --seeds $(SEEDS) $(if $(filter clinic,$(WORLD)),$(CLINIC)) $(SIMULATE)

KILLS = 500
chaos: .venv/test
	$(BIN)/python tests/chaos --kills $(KILLS) $(CHAOS)

FUZZ = 100
fuzz: .venv/test
	FUZZ=$(FUZZ) $(BIN)/python -m pytest -n 2 tests/test_api_document.py tests/test_doors_webhook_fuzz.py

# The properties with so many times the examples, where they set no number themselves, and every screen in every look.
EXAMPLES = 20
thorough: .venv/test
	EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n 2 --timeout 7200 tests/test_accessibility.py \
	  $$(grep -lE '^(from|import) hypothesis' tests/test_*.py)

# Known vulnerabilities of the locked versions. Exits with 3 if not everything was checked: that is not a pass.
audit: .venv/test
	@$(BIN)/python -c 'import pip_audit' 2>/dev/null || { $(AUDITOR); } || true
	$(BIN)/python deploy/audit.py requirements.lock requirements-test.lock

# The wheel, with a bill of materials (CycloneDX). The same commit gives the same bytes.
dist: .venv/test
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 1767225600) $(BIN)/python -m hatchling build --target wheel
	version=$$($(BIN)/python -c 'import reminders; print(reminders.__version__)'); \
	  $(BIN)/python deploy/sbom.py requirements.lock $$version > dist/aftercare_reminders-$$version.cdx.json
	@ls dist

# The image of deploy/Containerfile, by podman or docker. Ends with 3 where there is neither.
image:
	@deploy/image.sh $(IMAGE)

# What an operator drills, in its long form: restore, keys, upgrade, a full disk, everything killed; on both databases.
drills: .venv/test
	$(BIN)/python -m pytest -p no:cacheprovider -rA --durations=0 tests/test_backup_drill.py tests/test_upgrade.py \
	  tests/test_frozen.py tests/test_backup.py tests/test_runbooks.py tests/test_doors_keys.py
	$(BIN)/python -m pytest -p no:cacheprovider -rA --durations=0 -k full_disk tests/test_faults.py
	$(BIN)/python tests/chaos --kills 50

load: .venv/test
	PYTHONPATH=. $(BIN)/python tests/test_load.py

# Train the second reader again on its corpus (docs/replies.md), and measure both parts of the corpus.
second-reader: .venv/test .venv/train
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.second_reader sort
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.second_reader train

replies: .venv/test
	$(BIN)/python -m tests.second_reader measure

# A picture of every screen, from the demo, into docs/screens. Needs a Chromium.
screens: .venv/test
	PYTHONPATH=.:tests $(BIN)/python tests/pictures.py

# Debian may lack ensurepip (python3-venv), and its pip refuses to touch the system: make the
# environment without pip and let the system's pip install into it.
.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found on the PATH." >&2; exit 1; }
	@test -d .venv || echo "Making a Python environment first, a few seconds ..."
	$(PYTHON) -m venv .venv >/dev/null 2>&1 || { rm -rf .venv && $(PYTHON) -m venv --without-pip .venv; }

INSTALL = if $(BIN)/python -m pip --version >/dev/null 2>&1; then pip="$(BIN)/python -m pip"; \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1; then pip="$(PYTHON) -m pip --python $(BIN)/python"; \
	else echo "pip is needed: install your system's python3-pip or python3-venv package." >&2; exit 1; fi; \
	$$pip install --quiet --disable-pip-version-check --require-hashes --requirement

# In the same way, but from no lock: it checks the installation, and is not part of it.
AUDITOR = if $(BIN)/python -m pip --version >/dev/null 2>&1; then $(BIN)/python -m pip install --quiet pip-audit; \
	else $(PYTHON) -m pip --python $(BIN)/python install --quiet pip-audit; fi

.venv/run: requirements.lock | .venv/bin/python
	@echo "Installing, about a minute ..."
	@$(INSTALL) requirements.lock
	@touch $@

.venv/test: requirements-test.lock | .venv/bin/python
	@$(INSTALL) requirements-test.lock
	@touch $@ .venv/run

.venv/bench: requirements-bench.lock | .venv/bin/python
	$(INSTALL) requirements-bench.lock
	@touch $@ .venv/run

.venv/train: requirements-train.lock | .venv/bin/python
	$(INSTALL) requirements-train.lock
	@touch $@ .venv/run

# Versions with hashes and without any index address (uv.lock would name hosts).
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --upgrade pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --extra test --constraint requirements.lock pyproject.toml --output-file requirements-test.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --extra bench --constraint requirements-test.lock pyproject.toml --output-file requirements-bench.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --extra train --constraint requirements-test.lock pyproject.toml --output-file requirements-train.lock

clean:
	rm -rf .venv build dist .cache
