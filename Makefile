# make baseline   environment, training on generated faces, submission file, table of ROC-AUC
# make test       environment, tests
# make lint       environment, linter, formatter's check, types
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: baseline test lint clean

baseline: $(VENV)/.installed
	@out=runs/baseline; n=1; while [ -e $$out ]; do n=$$((n + 1)); out=runs/baseline-$$n; done; \
	$(BIN)/python scripts/train.py --preset fcn_crop --data demo --out $$out && \
	$(BIN)/python scripts/predict.py --run $$out

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is missing or older than 3.11; install Python 3.11 or newer, or: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 2; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "error: Python's venv module does not work here; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV)
