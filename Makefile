# make baseline   environment, two trainings on generated faces, submission files, table of ROC-AUC; resumes if stopped
# make test       environment, tests (3 to 4 minutes)
# make test-all   the same, then the slow tests: more models, more processes, broken files (about 11 minutes in all)
# make lint       environment, linter, formatter's check, types
# make docs       the documentation site, in site/
# make faults     broken files, and commands stopped at random moments (about 3 minutes; KILLS=200 for the long form)
# make lock       requirements.lock anew, from the versions in requirements*.txt (weekly, after raising those)
# make audit      known weaknesses of the locked versions, by pip-audit (asks PyPI)
PYTHON ?= python3
VENV ?= .venv
KILLS ?= 20
BIN := $(VENV)/bin

.PHONY: baseline test test-slow test-all lint docs faults lock audit clean

baseline: $(VENV)/.installed
	@out=runs/baseline; n=1; while [ -e $$out/.finished ] || [ -e $$out/config.yaml ]; do n=$$((n + 1)); out=runs/baseline-$$n; done; \
	plain=submissions/reconstruction_error.csv; \
	train() { \
		if [ ! -e "$$1/config.yaml" ]; then $(BIN)/python scripts/train.py --data demo --out "$$@"; \
		elif [ ! -e "$$1/summary.json" ]; then $(BIN)/python scripts/train.py --resume "$$1"; fi; \
	}; \
	train $$out/reconstruction_error --preset fcn_crop && \
	$(BIN)/python scripts/predict.py --run $$out/reconstruction_error --out $$plain >/dev/null && \
	train $$out/boss_quick --epochs 4 && \
	$(BIN)/python scripts/predict.py --run $$out/boss_quick --out submissions/boss_quick.csv && \
	$(BIN)/python scripts/evaluate.py $$plain submissions/boss_quick.csv --labels data/demo/testing_labels.csv && \
	touch $$out/.finished && \
	echo "Next:     $(BIN)/python scripts/report.py $$out/boss_quick"

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m "not slow" -n auto --maxprocesses 4 --dist loadfile

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -m slow -n auto --maxprocesses 4 --dist loadfile

test-all: test test-slow

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs site
	@echo "Next:     $(BIN)/python -m webbrowser site/index.html"

faults: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q tests/faults --ignore tests/faults/test_campaign.py
	$(BIN)/python -m tests.faults.campaign --kills $(KILLS)

lock: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet uv==0.13.9
	grep -hv '^-' requirements.txt requirements-dev.txt | \
		$(BIN)/uv pip compile - --universal --python-version 3.11 --quiet --no-annotate --no-header -o requirements.lock

audit: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet pip-audit==2.10.1
	$(BIN)/pip-audit --disable-pip --no-deps -r requirements.lock

$(VENV)/.installed: requirements.txt requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is missing or older than 3.11; install Python 3.11 or newer, or: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 2; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "error: Python's venv module does not work here; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet -r requirements.txt -c requirements.lock
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt -c requirements.lock
	@touch $@

clean:
	rm -rf $(VENV)
