"""The documentation site."""

import re
import runpy
import shutil
import subprocess
import sys

import pytest

from tests.docs.pages import CODE, FORMULA, PAGES, ROOT, name


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not done.stderr.strip()
    pages = {path.name for path in (tmp_path / "site").glob("*.html")}
    assert {"index.html", "quickstart.html", "homework.html", "images.html", "methods.html", "scoring.html"} <= pages
    api = (tmp_path / "site" / "api.html").read_text()
    for word in ("AnomalyDetector", "score_samples", "train_run", "RunConfig", "held_out_minimum", "create_model"):
        assert word in api, word
    assert "<math " in (tmp_path / "site" / "course" / "4-variational.html").read_text()
    # Nothing that a browser would fetch from elsewhere: only links, which wait for a click, lead there.
    for page in (tmp_path / "site").rglob("*.html"):
        tags = re.findall(r"<(?!a |/)[a-z][^>]*>", page.read_text())
        assert not [
            tag for tag in tags if re.search(r"""=["']?\s*(?:https?:)?//""", re.sub(r'xmlns="[^"]*"', "", tag))
        ], page
    for sheet in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""", sheet.read_text()), sheet


def test_make_docs_builds_it():
    said = subprocess.run([shutil.which("make"), "-n", "docs"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "sphinx -q -W" in said.stdout


@pytest.mark.parametrize("page", [page for page in PAGES if ROOT / "docs" in page.parents], ids=name)
def test_every_formula_is_typeset(page):
    mathml = runpy.run_path(str(ROOT / "docs" / "conf.py"))["_mathml"]
    for block, inline in FORMULA.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        typeset = mathml(block or inline, "block")
        assert typeset.startswith("<math ")
        assert not re.search(r"\\|<mi>&</mi>", typeset), f"{block or inline}: {typeset}"
