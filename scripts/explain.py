"""The command explain: hw8/commands/explain.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # hw8 of this checkout, installed or not

from hw8.commands import run

if __name__ == "__main__":
    run("explain")
