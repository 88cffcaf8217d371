"""The documentation site."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not done.stderr.strip()
    pages = {path.name for path in (tmp_path / "site").glob("*.html")}
    assert {"index.html", "quickstart.html", "homework.html", "images.html", "methods.html", "scoring.html"} <= pages
    api = (tmp_path / "site" / "api.html").read_text()
    for name in ("AnomalyDetector", "score_samples", "train_run", "RunConfig", "held_out_minimum", "create_model"):
        assert name in api, name
    # Nothing that a browser would fetch from elsewhere.
    for page in (tmp_path / "site").rglob("*.html"):
        assert not re.findall(
            r'(?:src|href)="(?:https?:)?//(?!github\.com)[^"]*\.(?:js|css|woff2?)', page.read_text()
        ), page


def test_make_docs_builds_it():
    said = subprocess.run([shutil.which("make"), "-n", "docs"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "sphinx -q -W" in said.stdout
