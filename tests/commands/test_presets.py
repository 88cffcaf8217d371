"""The list of presets, and where its figures come from."""

import csv
import dataclasses
import json
import re
import statistics

import pytest

from hw8.commands import presets
from hw8.config.presets import PRESETS
from tests.docs.pages import ROOT


def test_every_preset_has_a_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["scripts/presets.py"])
    presets.main()
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[1:-6]]
    assert sorted(names) == sorted(PRESETS)
    assert [line.split()[:2] for line in lines if line.endswith("(*)")] == [["boss_transductive", ".957"]]
    assert names[-1] == "boss_transductive"
    assert names[:3] == ["boss_large", "boss", "boss_quick"]
    assert lines[2].split()[1:3] == [".807", "5.9"]
    assert [line.split()[:3] for line in lines if line.endswith("(**)")] == [
        ["boss_views", ".845", "18.0"], ["boss_digits", ".991", "1.3"],
    ]  # fmt: skip
    assert lines[-1] == "Next:     python scripts/train.py --preset boss_quick"


def test_a_preset_that_nobody_measured_has_no_figures(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["scripts/presets.py"])
    monkeypatch.setitem(PRESETS, "mine", PRESETS["conv"])
    presets.main()
    assert re.search(r"^mine +Strided convolutions", capsys.readouterr().out, re.MULTILINE)


def test_as_json(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["scripts/presets.py", "--json"])
    presets.main()
    listed = json.loads(capsys.readouterr().out)
    assert set(listed) == set(PRESETS)
    assert listed["fcn_crop"]["macro_auc"] == 0.691
    assert (listed["boss_digits"]["macro_auc"], listed["boss_digits"]["class_auc"]) == (None, 0.991)


def test_the_figures_are_those_of_the_documentation():
    with (ROOT / "docs" / "benchmarks" / "facebench.csv").open() as file:
        runs = [row for row in csv.DictReader(file) if row["preset"] in presets.MEASURED]
    experiments = (ROOT / "docs" / "experiments.md").read_text()
    for name in {row["preset"] for row in runs}:
        own = [row for row in runs if row["preset"] == name]
        minutes = statistics.median(float(row["minutes"]) for row in own)
        assert minutes == pytest.approx(presets.MEASURED[name][1], abs=0.06)
        aucs = [float(row["macro_auc"]) for row in own]
        if PRESETS[name]().train.optimizer == "muon":  # the CSV is of before; columns: preset, seed, ..., macro (8th)
            lines = re.findall(rf"^\| \**`{name}`\** (\| \d \| Muon \| 12 \|.*)$", experiments, re.MULTILINE)
            aucs = [float(line.split("|")[7]) for line in lines]
        assert statistics.mean(aucs) == pytest.approx(presets.MEASURED[name][0], abs=8e-4), name
    readme = (ROOT / "README.md").read_text()
    for step, name in presets.LADDER.items():
        assert dataclasses.replace(PRESETS[step](), preset=name) == PRESETS[name]()
    assert "it reaches .957 (seed 0)" in readme.replace("\n", " ")
    assert presets.MEASURED["boss_transductive"] == (0.957, presets.MEASURED["boss"][1])  # it trains as boss does
    page = (ROOT / "docs" / "benchmarks" / "facebench.md").read_text()
    auc, minutes = presets.MEASURED["denoise_levels"]
    assert f"macro {auc:.3f}".replace("0.", ".") in page
    assert f"; {minutes} minutes on two cores" in page
    sets = (ROOT / "docs" / "oneclass.md").read_text()
    rows = {"boss_digits": r"\| digits \| `boss_digits` \| 0 \|", "boss_views": r"\| mean \|"}
    minutes = {"boss_digits": (10, "13 minutes in total"), "boss_views": (1, "17 to\n19 minutes per class")}
    for name, (auc, of_class, _) in presets.ELSEWHERE.items():
        assert re.search(rf"^{rows[name]} {auc:.3f} ".replace(" 0.", " ."), sets, re.MULTILINE), name
        count, said = minutes[name]
        low, high = (float(word) for word in (re.findall(r"\d+", said) * 2)[:2])
        assert said in sets
        assert low <= round(of_class * count, 1) <= high, name
    listed = {row["preset"] for row in runs} | set(presets.LADDER) | {"boss_transductive", "denoise_levels"}
    for name in set(presets.MEASURED) - listed:
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{name}` |"))
        figures = [float(word) for word in re.findall(r"\d*\.\d+", row)]
        assert set(presets.MEASURED[name]) <= set(figures), row
