# Two commands do everything: `make demo` and `make test`. Both set themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Compiled modules are kept, whatever the machine's setting: every worker and every command imports hundreds.
export PYTHONDONTWRITEBYTECODE :=

PYTEST := $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

.PHONY: demo test test-all test-fast lint drill docs site bench clean

demo: $(VENV)/.installed
	$(BIN)/tunescope demo

test: $(VENV)/.installed-dev lint
	$(BIN)/tunescope models --fetch smollm2-135m > /dev/null
	$(PYTEST)

# What CI runs: also the docs' commands, Chromium, Ray, whole loops and the short kill drills.
test-all: $(VENV)/.installed-dev lint
	$(BIN)/tunescope models --fetch smollm2-135m > /dev/null
	$(PYTEST) --all $(RERUNS)

# A developer's own rounds: lint, types and every test that needs no model, no browser, no drill and not over a second.
test-fast: $(VENV)/.installed-dev lint
	$(PYTEST) --fast

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The drills and fuzz runs at full length; `make test` runs a tenth of each, or less. Each test writes what it counted
# into .drills, and the table of docs/proofs/drills.md is made of that, also when some failed.
drill: $(VENV)/.installed-dev
	rm -rf .drills
	TUNESCOPE_DRILLS=.drills $(BIN)/python -m pytest -m 'drill or hypothesis' --durations=0; \
	status=$$?; $(BIN)/python tools/drills.py .drills --write; exit $$status

# Run every command and every Python block of the docs again and write down what they print.
docs: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --tested tests/test_tested.py tests/test_chat.py
	$(BIN)/python tools/reference.py --write
	$(BIN)/python tools/docs.py --write

# The pages of docs/ as a site in .site/site, which works offline from that folder. Its tools have an environment of their own.
SITE := .site/venv
site: $(VENV)/.installed-dev $(SITE)/.installed
	$(BIN)/python tools/site/build.py $(SITE)/bin/zensical
	$(BIN)/python tools/site/search.py

$(SITE)/.installed: tools/site/requirements.txt
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip --disable-pip-version-check install --quiet --requirement tools/site/requirements.txt
	touch $@

# Beside peers, in turn, each in an environment of its own: some two hours on an idle machine. Writes benchmarks/RESULTS.md.
BENCH_DATA ?= ../shared/data
QUESTIONS = $(BENCH_DATA)/questions/vicuna_bench_question.jsonl
bench: $(VENV)/.installed-dev
	$(BIN)/tunescope models --fetch smollm2-135m > /dev/null
	$(BIN)/tunescope models --fetch all-minilm-l6-v2 > /dev/null
	$(BIN)/python benchmarks/near_duplicates.py --save
	$(BIN)/python benchmarks/trace.py --infini-gram --save
	$(BIN)/python benchmarks/trace_bm25.py --save
	$(BIN)/python benchmarks/oracle.py --peers --save
	$(BIN)/python benchmarks/pass_at_k.py --save
	$(BIN)/python benchmarks/measure.py $(BENCH_DATA)/instructions/rasbt_1100.json --save
	$(BIN)/python benchmarks/shift.py $(QUESTIONS) --every 32 --save
	$(BIN)/python benchmarks/tune.py --count 40 --method full --save
	$(BIN)/python benchmarks/tune.py --count 40 --method lora --save
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/attribution_peers.py --save
	$(BIN)/python benchmarks/bench.py --data $(BENCH_DATA)/benchmarks --rounds 2 --peer-rounds 2 --save
	$(BIN)/python benchmarks/bench.py --data $(BENCH_DATA)/benchmarks --exemplars fixed --peer-rounds 1 --save

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[models,embed,local,oracle,trace,bench,annotate]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[models,embed,local,oracle,trace,bench,annotate,ray,dev]'
	touch $@

clean:
	rm -rf $(VENV) .site .pytest_cache .mypy_cache .ruff_cache .hypothesis
