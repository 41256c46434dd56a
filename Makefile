# Everything a fresh machine needs is installed into .venv by the first target that runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH := .venv-bench
export OMP_NUM_THREADS ?= 1

.PHONY: deps demo test lint typecheck unit drills attacks soak bench bench-privacy bench-ledger bench-detection verify run-backend build-backend clean

deps: $(STAMP)

# torch first and pinned: any other release would bring gigabytes of CUDA
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[evaluate,dev]'
	touch $(STAMP)

demo: deps
	$(BIN)/fedxdr demo

test: deps lint typecheck unit

lint: deps
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

typecheck: deps
	$(BIN)/mypy -p fedxdr

unit: deps
	$(BIN)/pytest -m "not soak" -n 2 --dist loadfile

# real processes killed with SIGKILL at every step; part of `unit` as well
drills: deps
	$(BIN)/pytest -m process tests/process

# attackers against real processes, every rule taken away once; its short form is in `unit`
attacks: deps
	$(BIN)/pytest -m attack tests/attacks
	$(BIN)/python -m tests.attacks.malicious_orchestrator

soak: deps
	$(BIN)/pytest -m soak

# the peer's pins would downgrade ours: it gets an environment of its own
$(BENCH)/.installed: pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[bench]'
	touch $@

bench: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks.secagg --organisations 10 --parameters 1000000 --peer flower
	$(BENCH)/bin/python -m benchmarks.secagg --organisations 10 --parameters 1000000 --peer flower --drop-out 0.3
	$(BENCH)/bin/python -m benchmarks.secagg --organisations 10 --parameters 1000000 --mode committee --peer flower
	$(BENCH)/bin/python -m benchmarks.double_reveal
	$(BENCH)/bin/python -m benchmarks.aggregators --organisations 100 --parameters 1000000 --peer flower

# what the privacy engine costs and keeps; each prints one JSON line
bench-privacy: deps
	$(BIN)/python -m benchmarks.paillier --parameters 100000 --organisations 5 --threshold 4 --bits 3072
	$(BIN)/python -m benchmarks.accounting
	$(BIN)/python -m benchmarks.dpsgd
	$(BIN)/python -m benchmarks.audit --json
	$(BIN)/python -m benchmarks.sanitiser
	$(BIN)/python -m benchmarks.round

# the ledger: appends against the disk, audits, proofs
bench-ledger: deps
	$(BIN)/python -m benchmarks.ledger

# detection: logs to columns beside three peers, edges foretold beside PyTorch Geometric;
# DATA is the folder of the DARPA 1998 edges
DATA ?=
bench-detection: deps
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[bench-detection]'
	$(BIN)/python -m benchmarks.ingest
	$(BIN)/python -m benchmarks.streaming
	$(BIN)/python -m benchmarks.tgnn --peer pyg $(if $(DATA),--data $(DATA))
	$(BIN)/python -m benchmarks.tgnn --peer pyg --view batch $(if $(DATA),--data $(DATA))
	$(if $(DATA),$(BIN)/python -m benchmarks.prefilter --data $(DATA)/darpa98_edges.parquet)

# every component exercised, one line each
verify: deps
	$(BIN)/python -m pytest -q -m "not soak and not process" --no-header -x tests/unit
	rm -rf .demo && $(BIN)/fedxdr demo --workdir .demo --rounds 2 --json
	$(BIN)/fedxdr verify .demo/ledger.fedxdr

run-backend: deps
	test -f .backend/server.json || $(BIN)/fedxdr server init --dir .backend
	$(BIN)/fedxdr server run --dir .backend --port $${BACKEND_PORT:-8000}

build-backend: deps
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build==1.3.0
	$(BIN)/python -m build --wheel --outdir dist

clean:
	rm -rf $(VENV) $(BENCH) .demo dist
