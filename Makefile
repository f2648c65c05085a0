# Two commands on a fresh machine: `make demo`, `make test`. Each makes .venv by itself.
#   PYTHON=python3.12   another interpreter      EXTRA=cpu|gpu   instead of asking the NVIDIA driver
#   ARGS="--no-serve"   handed on                 REQUIRE_ALL=1   a test that lacks something fails

PYTHON ?= python3
EXTRA ?=
ARGS ?=
export EXTRA
# Where it is set, each of the hundreds of processes that tests start would compile all that it imports, torch included.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test milvus quick bench docs lint format constraints

help:
	@echo "make demo         generated footage: train, index, search, open the web page (ARGS=--no-serve: stop before)"
	@echo "make test         ruff, mypy and the whole test suite (ARGS=tests/reidapp: only these)"
	@echo "make milvus       the tests that need Milvus Lite, in .venv-milvus"
	@echo "make quick        the tests that are not slow"
	@echo "make bench        every benchmark, one after the other; hours (ARGS=--list: how long each takes)"
	@echo "make docs         the documentation as a site, build/docs/index.html"
	@echo "make format       ruff's formatting and safe fixes"
	@echo "make constraints  newest versions of everything into constraints.txt"

demo:
	@$(PYTHON) tools/bootstrap.py train
	@.venv/bin/reidapp demo $(ARGS)

# A process per core (one more gained nothing); the tests of a file stay together, for they share what they have made.
PYTEST := .venv/bin/pytest -n logical --dist loadfile --no-loadscope-reorder

test: lint
	@$(PYTEST) $(ARGS)

# Milvus Lite needs faiss-cpu, which overwrites faiss-gpu.
milvus:
	@INTO=.venv-milvus EXTRA=cpu $(PYTHON) tools/bootstrap.py dev milvus-lite
	@.venv-milvus/bin/pytest tests/reidapp/gallery/test_milvus.py $(ARGS)

quick:
	@$(PYTHON) tools/bootstrap.py train dev
	@$(PYTEST) -m "not slow" $(ARGS)

# PEERS=DIR (other projects), MARKET=DIR, DETECTOR=yolox:FILE: see benchmarks/run_all.py.
bench:
	@$(PYTHON) tools/bootstrap.py train dev
	@.venv/bin/python -m benchmarks.run_all $(if $(PEERS),--peers "$(PEERS)") $(if $(MARKET),--market "$(MARKET)") \
	  $(if $(DETECTOR),--detector "$(DETECTOR)") $(ARGS)

docs:
	@$(PYTHON) tools/bootstrap.py train docs
	@.venv/bin/sphinx-build --fail-on-warning --quiet docs build/docs

lint:
	@$(PYTHON) tools/bootstrap.py train dev docs ray postgres
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

format:
	@$(PYTHON) tools/bootstrap.py train dev
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

# One resolution for all extras, cpu and gpu together, so that both kinds of machine run the same versions.
constraints:
	@test -x .venv/bin/uv || $(PYTHON) tools/bootstrap.py train dev
	@.venv/bin/uv pip compile pyproject.toml --all-extras --upgrade --quiet --python-version 3.11 \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file constraints.new >/dev/null
	@{ grep '^#' constraints.txt; LC_ALL=C sort constraints.new; } > constraints.sorted
	@mv constraints.sorted constraints.txt && rm constraints.new
