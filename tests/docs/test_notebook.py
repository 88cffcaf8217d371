"""The quickstart notebook: it runs from its first cell to its last, and keeps small outputs of such a run."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.docs.pages import ROOT

NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"
PRESET = "return PRESETS[name]()"
NARROW = 'train={"least_steps": 0}, model={"options": {"widths": [8, 16, 24, 32]}}'
COUNTS = "TRAIN_COUNT, TEST_COUNT = 4000, 2000"
MAX_BYTES = 400_000  # bytes
FOR_A_CELL = 500  # seconds


def said(cell) -> str:
    """All text that a cell has put out."""
    return "".join(
        output.get("text", "") or str(output.get("data", {}).get("text/plain", "")) for output in cell.outputs
    )


def pictures(cell) -> int:
    return sum(any(kind.startswith("image/") for kind in output.get("data", {})) for output in cell.outputs)


def quick(folder: Path) -> Path:
    """A copy of hw8 with a quarter of the demo images, a tenth of them to score, and a narrow model of few steps."""
    shutil.copytree(ROOT / "hw8", folder / "hw8", ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in (
        ("demo", COUNTS, "TRAIN_COUNT, TEST_COUNT = 1000, 200"),
        ("presets", PRESET, f"return changed(PRESETS[name](), {NARROW})"),
    ):
        path = next((folder / "hw8").rglob(f"{name}.py"))
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
    return folder


@pytest.mark.slow
def test_it_runs(tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(quick(tmp_path_factory.mktemp("quick"))))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    kept = [(said(cell), pictures(cell)) for cell in notebook.cells if cell.cell_type == "code"]
    client = NotebookClient(
        notebook, timeout=FOR_A_CELL, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    found = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [pictures(cell) for cell in found] == [count for _, count in kept]
    everything = "\n".join(map(said, found))
    assert "error:" not in everything
    for text in (
        "Held-out ROC-AUC",
        "macro (mean of kinds)",
        "submissions/first.csv: valid, {} scores",
        "flagged at",
    ):
        assert text.format("200") in everything, text
        assert text.format("2,000") in "\n".join(text for text, _ in kept), f"the kept outputs lack {text!r}"
    assert (tmp_path / "submissions" / "first.csv").exists()


def test_the_kept_outputs_are_small_and_without_errors():
    assert NOTEBOOK.stat().st_size < MAX_BYTES
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not [output for output in cell.outputs if output.output_type == "error"]
    assert sum(pictures(cell) for cell in notebook.cells if cell.cell_type == "code") >= 4
    text = json.dumps(notebook)
    assert "/tmp/" not in text
    assert "/root" not in text


@pytest.mark.parametrize("path", ["data/", "runs/", "submissions/"])
def test_what_it_writes_beside_itself_is_not_for_git(path):
    assert f"/notebooks/{path}" in (ROOT / ".gitignore").read_text()
