# Two commands do all their own set-up: `make reproduce` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
VARIANTS := $(notdir $(basename $(wildcard conf/variant/*.yaml)))
PY := $(VENV)/bin/python
TEST_PROCESSES ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HYDRA_FULL_ERROR ?= 0

.PHONY: reproduce map figures test test-slurm slurm-demo bench bench-gpu smoke docs pictures lock clean help

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/'

# replicates=new: numbers drawn once for this checkout, so that the same command again is all cached;
# replicates=record: the first ones of the study of record; replicates=21,22,23: these
replicates ?= new
# experiment=NAME, grid='OVERRIDES': the same of another grid, for instance a small one (the record predicts nothing for it)
experiment ?= reproduce
grid ?=
GRID = experiment=$(experiment) replicate=$$(cat $(FRESH).now) $(grid)
OF_RECORD := $(if $(filter reproduce,$(experiment)),--record analysis/results/study --map analysis/results/map/map.csv)
FRESH := outputs/$(experiment)/replicates
reproduce: $(VENV)/.run  ## the study on new replicates: sweep, table, fits, figures, report (outputs/reproduce/report/index.html)
	@mkdir -p $(dir $(FRESH))
	@[ -s $(FRESH) ] || $(PY) -c "import random; print(*random.SystemRandom().sample(range(1000, 10**9), 3), sep=',')" > $(FRESH)
	@case '$(replicates)' in new) cat $(FRESH);; record) echo 1,2,3;; *) echo '$(replicates)';; esac > $(FRESH).now
	$(PY) -m sweep -m $(GRID)
	$(PY) -m sweep collect -m $(GRID)
	$(PY) -m analysis report outputs/$(experiment)/table --law saturating --out outputs/$(experiment)/report $(OF_RECORD)

map: $(VENV)/.run  ## the map: the study with one ingredient changed at a time (3 hours; outputs/map/map/map.png)
	for name in study $(VARIANTS); do \
	  change=$$([ $$name = study ] || echo variant=$$name); \
	  $(PY) -m sweep -m experiment=map $$change && \
	  $(PY) -m sweep collect -m experiment=map $$change --out outputs/map/$$name || exit 1; done
	$(PY) -m analysis map $(addprefix outputs/map/,study $(VARIANTS)) --law saturating --share-of "hard skip" \
	  --share-of "easy skip" --out outputs/map/map

# every run whose table is not there, the record's among them, and then the figures; scale=fresh: no table of record, every
# run one's own; scale=quick: small runs, in minutes
scale ?= full
MISSING := outputs/figures.sh
figures: $(VENV)/.run  ## the paper's figures, and the runs they miss (outputs/figures/index.html; scale=fresh or quick: outputs/figures_SCALE)
	@mkdir -p $(dir $(MISSING))
	$(PY) -m analysis figures --scale $(scale) --commands > $(MISSING)
	@echo "the runs, by $(MISSING):"; cat $(MISSING)
	@PATH="$(abspath $(VENV))/bin:$$PATH"; failed=; trap 'failed=1' ERR; . $(MISSING); trap - ERR; \
	$(PY) -m analysis figures --scale $(scale) && [ -z "$$failed" ] || \
	  { echo "figures: something above failed; the figures are drawn from the tables that are there" >&2; exit 1; }

smoke: $(VENV)/.run  ## every step of the method on a tiny domain, in a minute or two
	$(PY) -m sweep -m experiment=smoke

slurm-demo: $(VENV)/.run  ## the smoke sweep on a real SLURM on this machine (root; installs SLURM), then stops it
	PYTHON=$(PY) slurm/demo

test: $(VENV)/.dev  ## the test suite
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest -n $(TEST_PROCESSES) --dist loadfile -m "not slurm"
	$(PY) -m pytest -m "slurm and not slow"  # one after the other: they share a cluster

test-slurm: $(VENV)/.dev  ## every fault on a real one-machine SLURM (root; a quarter of an hour)
	$(PY) -m pytest -m slurm

# only=NAME,NAME: these rows; accept=yes: keep slower ones as the record; an interrupted run goes on where it was
bench: $(VENV)/.dev  ## speed beside peers, a row a measurement (BENCHMARKS.md); fails where a row is slower than on record
	$(PY) -m tests.benchmarks $(if $(only),--only $(only)) $(if $(accept),--accept)

docs: $(VENV)/.dev  ## the documentation (outputs/site/index.html)
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

pictures: $(VENV)/.run  ## the pictures of docs/statistics.md and docs/gallery.md, drawn anew from the tables of record
	$(PY) docs/pictures.py
	$(PY) docs/gallery.py

bench-gpu: $(VENV)/.dev  ## what a card is worth in training beside TRL and in sampling beside generate (outputs/bench_gpu.json); without one a dry run
	$(PY) tests/benchmarks/bench_gpu.py

LOCKING := outputs/.locking
LOCKED_PIP := $(LOCKING)/bin/python -m pip install -q -c $(LOCKING)/kept.txt
FROZEN := $(LOCKING)/bin/python -m pip freeze --all --exclude pip --exclude torch --exclude rl-on-incorrect
HASHED := $(LOCKING)/bin/uv pip compile - --no-deps --universal --generate-hashes --no-annotate --no-header --no-emit-index-url -q
# what torch brings along for a GPU is of its build, like torch itself
lock:  ## remake both locks, for pip and for uv; versions that still fit stay (newest=yes: the newest that pyproject.toml allows)
	rm -rf $(LOCKING) && $(PYTHON) -m venv $(LOCKING)
	{ [ -n "$(newest)" ] || sed -nE 's/^([a-z0-9._-]+==[^ ;]+).*/\1/p' requirements.lock requirements-dev.lock; } > $(LOCKING)/kept.txt
	$(LOCKED_PIP) torch==2.13.0
	$(LOCKED_PIP) '.[sweep]' && $(FROZEN) | grep -vE '^(triton|nvidia|cuda)' > $(LOCKING)/run.txt
	$(LOCKED_PIP) '.[sweep,dev]' && $(FROZEN) | grep -vE '^(triton|nvidia|cuda)' | \
	  grep -vxFf $(LOCKING)/run.txt > $(LOCKING)/dev.txt
	for kind in run dev; do name=requirements$$([ $$kind = dev ] && echo -dev).lock; \
	  { grep '^#' $$name; $(HASHED) < $(LOCKING)/$$kind.txt; } > $(LOCKING)/new && mv $(LOCKING)/new $$name || exit 1; done
	rm -rf $(LOCKING)

clean:  ## remove the environment; experiments under outputs/ are kept
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, found: $$($(PYTHON) --version 2>&1); try make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; } || \
	  { echo "Python's venv module is needed: sudo apt-get install python3-venv, then the same command again" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch goes first and by exact version: whatever depends on it then keeps the build that is there
$(VENV)/.run: $(VENV)/bin/python requirements.lock pyproject.toml
	$(PY) -m pip install -q torch==2.13.0
	$(PY) -m pip install -q --require-hashes -r requirements.lock
	$(PY) -m pip install -q --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	$(PY) -m pip install -q --require-hashes -r requirements-dev.lock
	@# the report is looked at in a real browser where one can be had; without it that one test is skipped
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	  apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || echo "no chromium: its test is skipped"
	touch $@
