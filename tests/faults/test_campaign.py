"""The short form of the crash campaign; the long one is run by hand (docs/reliability.md)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the trials fork")
def test_whatever_is_stopped_is_whole_or_not_there():
    words = [sys.executable, "-m", "tests.faults.campaign", "--kills", "2", "--seed", "1", "--json"]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-4000:]
    report = json.loads(result.stdout)
    assert report["broken"] == []
    assert sum(count for kind in report["outcomes"].values() for count in kind.values()) == 2
