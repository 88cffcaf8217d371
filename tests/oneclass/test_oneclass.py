import dataclasses
import json
import logging
import re

import numpy as np
import pytest

from hw8.base.errors import InputError, Interrupted
from hw8.config.presets import changed, load_preset
from hw8.oneclass import protocol as oneclass
from hw8.oneclass.labelled_set import LabelledSet
from hw8.oneclass.protocol import Plan, default_preset, load_method, measure, settings_for_set, without_mirroring
from hw8.oneclass.published import NOT_FOUND, PUBLISHED, SETS, comparison, figures
from hw8.oneclass.results import COLUMNS, Results, read_ledger
from hw8.oneclass.sources import open_labelled


def two_classes() -> LabelledSet:
    rng = np.random.default_rng(0)
    bright = rng.integers(150, 255, (60, 16, 16, 1), dtype=np.uint8)
    dark = rng.integers(0, 100, (60, 16, 16, 1), dtype=np.uint8)
    both, classes = np.concatenate([bright, dark]), np.repeat(["bright", "dark"], 60)
    return LabelledSet(both, classes, both, classes, name="two")


@pytest.fixture
def plan(tmp_path, monkeypatch) -> Plan:
    """Both classes, with a small model and a few steps."""
    config = changed(
        load_preset("conv"), train={"epochs": 1, "least_steps": 20, "batch_size": 8}, model={"options": {"latent": 4}}
    )
    return Plan(two_classes(), dataclasses.replace(config, device="cpu"), ledger=tmp_path / "two.csv")


def test_each_class_is_normal_in_turn(plan):
    seen: list[str] = []
    results = measure(plan, seen.append)
    auc = results.by_seed()[0]
    assert list(auc) == ["bright", "dark"]
    assert min(auc.values()) > 0.6
    assert [line.split(" as normal ")[0] for line in seen] == ["seed 0: bright", "seed 0: dark"]
    assert results.mean() == pytest.approx(np.mean(list(auc.values())))
    rows = read_ledger(plan.file())
    assert [row["class"] for row in rows] == ["bright", "dark"]
    assert {row["epochs"] for row in rows} == {"4"}, "20 steps of 8 images, five an epoch"
    assert not plan.file().with_suffix("").exists(), "nothing but the ledger is left"


def test_a_classical_baseline_is_measured_alike(plan):
    source = open_labelled("digits")
    classical = Plan(source, load_method("one_class_svm"), classes=("0", "6"), ledger=plan.file())
    results = measure(classical)
    assert min(results.by_seed()[0].values()) > 0.9
    assert 0 < results.mean("held_out_auc") < 1
    assert {row["preset"] for row in read_ledger(plan.file())} == {"one_class_svm"}
    assert measure(classical).by_seed() == results.by_seed()
    with pytest.raises(InputError, match="unknown"):
        load_method("no_such_thing")


def test_a_stopped_run_is_resumed(plan, monkeypatch):
    ran: list[str] = []
    real = oneclass._one

    def one(cut, normal, config, folder):
        if normal == "dark" and not ran.count("stopped"):
            ran.append("stopped")
            raise KeyboardInterrupt
        ran.append(normal)
        return real(cut, normal, config, folder)

    monkeypatch.setattr(oneclass, "_one", one)
    with pytest.raises(Interrupted, match="the same command resumes"):
        measure(plan)
    assert [row["class"] for row in read_ledger(plan.file())] == ["bright"]
    results = measure(plan)
    assert ran == ["bright", "stopped", "dark"]
    before = plan.file().read_bytes()
    assert measure(plan).by_seed() == results.by_seed()
    assert plan.file().read_bytes() == before
    assert ran == ["bright", "stopped", "dark"], "a finished run trains nothing"


def test_other_settings_or_data_start_anew_and_say_so(plan, caplog):
    plan = dataclasses.replace(plan, epochs=2)
    measure(plan)
    with caplog.at_level(logging.WARNING):
        measure(dataclasses.replace(plan, epochs=1))
        source = two_classes()
        source.image_NHWC[0, 0, 0] ^= 1
        measure(dataclasses.replace(plan, source=source, classes=("dark",)))
    assert [record.message.split(": ")[1] for record in caplog.records if record.levelno >= logging.WARNING] == [
        "has results of seed 0 of other settings or data; measured anew"
    ] * 2
    rows = read_ledger(plan.file())
    assert len(rows) == 5, "the old results stay"
    assert len({row["fingerprint"] for row in rows}) == 3
    caplog.clear()
    measure(plan)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(read_ledger(plan.file())) == 5, "and count again with their own settings"


def test_a_ledger_that_is_none_is_refused(plan, tmp_path):
    plan.file().write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="its header is"):
        measure(plan)
    plan.file().write_text(",".join(COLUMNS) + "\n" + "x,conv,0,dark,high,1,1,1,1,1,1\n")
    with pytest.raises(InputError, match="auc 'high' is not a finite number"):
        measure(plan)
    with pytest.raises(InputError, match="must end in .csv"):
        measure(dataclasses.replace(plan, ledger=tmp_path / "two.txt"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": ()}, "`seeds`"),
        ({"seeds": (1, 1)}, "`seeds` 1 1"),
        ({"seeds": (-1,)}, "`seeds` -1"),
        ({"epochs": 0}, "`epochs` 0"),
        ({"classes": ("red",)}, "`classes` red: no class of two; choose from 'bright, dark'"),
        ({"config": load_preset("boss_transductive")}, "looks at all test images at once"),
        ({"config": load_method("pca"), "epochs": 3}, "`epochs` 3: pca is not trained in epochs"),
    ],
)
def test_plans_that_are_refused(plan, change, words):
    with pytest.raises(InputError, match=re.escape(words)):
        dataclasses.replace(plan, **change)


def test_classes_that_are_too_small_are_refused_before_anything_is_trained(plan):
    source = two_classes()
    few = dataclasses.replace(source, image_NHWC=source.image_NHWC[:70], class_N=source.class_N[:70])
    with pytest.raises(InputError, match="class dark has 10 images to train on; at least 20"):
        measure(dataclasses.replace(plan, source=few))
    one = dataclasses.replace(source, test_NHWC=source.test_NHWC[:60], test_class_N=source.test_class_N[:60])
    with pytest.raises(InputError, match="class bright is all of the test images"):
        measure(dataclasses.replace(plan, source=one))
    assert not plan.file().exists()


def test_a_side_that_the_preset_does_not_take_is_refused_without_options_of_other_commands(plan):
    for config, reason in (
        (changed(plan.config, data={"crop": 20}), "its crop has 20 pixels; give another"),
        (changed(load_preset("conv"), data={"crop": 12}), "cannot be built at side 12"),
    ):
        with pytest.raises(InputError, match=f"`side` 16: does not suit .*{reason}") as refused:
            measure(dataclasses.replace(plan, config=config))
        assert "crop`" not in str(refused.value)
    assert not plan.file().exists()


def test_two_digits_beat_chance_after_a_few_steps(tmp_path, monkeypatch):
    options = {"widths": [64], "latent": 8}
    config = changed(load_preset("fcn"), model={"options": options}, train={"least_steps": 60})
    source = open_labelled("digits")
    results = measure(Plan(source, without_mirroring(config), (0, 1), ("0", "1"), ledger=tmp_path / "digits.csv"))
    assert default_preset(source) == "boss_digits"
    assert results.mean() > 0.75
    assert set(results.by_seed()) == {0, 1}
    assert results.spread() == pytest.approx(abs(np.subtract(*results.seed_means().values())))


def test_settings_are_the_presets_with_the_seed_and_the_epochs_that_are_asked_for():
    plan = Plan(two_classes(), load_preset("boss_quick"))
    assert oneclass._settings(plan, 3) == dataclasses.replace(plan.config, seed=3)
    given = oneclass._settings(dataclasses.replace(plan, epochs=2), 0).train
    assert (given.epochs, given.least_steps, given.batch_size) == (2, 0, 128), "and no more"


def test_mirroring_is_switched_off_everywhere():
    quick = load_preset("boss_quick")
    off = without_mirroring(quick)
    assert not off.data.flip
    assert off.model.options["mirror"] is False
    assert "mirror" not in without_mirroring(load_preset("conv")).model.options


def test_grey_images_are_not_mirrored_and_scored_by_neighbours_in_the_joint_evidence_and_in_the_features():
    quick, grey = load_preset("boss_quick"), two_classes()
    colour = dataclasses.replace(grey, image_NHWC=grey.image_NHWC.repeat(3, 3), test_NHWC=grey.test_NHWC.repeat(3, 3))
    neighbours = {"distance": "neighbours", "fit_on": "training"}
    by_neighbours = changed(
        quick, unaligned="", scoring=neighbours | {"score": "fused", "fused": ("joint", "features")}
    )
    assert settings_for_set(grey, quick, "auto") == without_mirroring(by_neighbours)
    assert settings_for_set(grey, quick, "yes") == by_neighbours
    assert settings_for_set(grey, load_preset("conv"), "yes") == load_preset("conv"), "no joint distance"
    digits = load_preset("boss_digits")
    assert settings_for_set(grey, digits, "auto") == digits, "its joint distance has the features"
    assert settings_for_set(colour, quick, "auto") == quick
    assert settings_for_set(colour, quick, "no") == without_mirroring(quick)


def test_means_and_table():
    def row(auc: float) -> dict[str, str]:
        return dict.fromkeys(COLUMNS, "1") | {"auc": str(auc)}

    results = Results({0: {"a": row(0.5), "b": row(0.7)}, 1: {"a": row(0.7), "b": row(0.9)}})
    assert results.mean() == pytest.approx(0.7)
    assert results.spread() == pytest.approx(0.2)
    assert results.class_means() == pytest.approx({"a": 0.6, "b": 0.8})
    lines = results.text().splitlines()
    assert lines[2].split() == ["a", "0.5000", "0.7000", "0.6000"]
    assert lines[-1].split() == ["mean", "0.6000", "0.8000", "0.7000"]
    assert len({len(line) for line in lines}) == 1
    assert {"mean_auc", "auc"} <= set(results.as_json())


def test_published_figures_are_well_formed():
    assert set(PUBLISHED) == set(SETS) == set(NOT_FOUND)
    for items in PUBLISHED.values():
        assert [item.mean_auc for item in items] == sorted(item.mean_auc for item in items)
        assert len({item.method for item in items}) == len(items)
        for item in items:
            assert 0.5 < item.mean_auc < 1
            assert 2015 < item.year < 2024
            assert item.paper
            assert item.read_in, "every figure says where it was read"


def test_published_figures_stand_beside_ours():
    text = comparison("fashion-mnist", "boss_quick", 0.92)
    order = [line.split()[0] for line in text.splitlines() if re.match(r"  0\.\d{3}  ", line)]
    assert order == sorted(order)
    assert "0.920  hw8 boss_quick" in text
    assert "not run here" in text
    assert "MemAE" not in text
    assert "hw8" not in comparison("mnist", "conv", 0.9, complete=False)
    assert "none for this set" in comparison(None, "conv", 0.9)
    assert figures(None) == []
    assert all(item["found"] for item in figures("cifar10"))


def test_command_prints_one_object_and_keeps_its_results(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "set.npz", images=rng.integers(0, 99, (80, 8, 8), np.uint8), labels=np.arange(80) % 2)
    words = ["set.npz", "--preset", "fcn", "--epochs", "1", "--json", "--compare-with", "mnist"]
    results = json.loads(call("oneclass", *words).stdout)
    assert results["preset"] == "fcn"
    assert set(results["auc"]["0"]) == {"0", "1"}
    assert results["published"][0]["found"]
    assert (tmp_path / results["ledger"]).exists()
    assert results["ledger"] == "submissions/oneclass/set-fcn.csv"
    words.remove("--json")
    last = call("oneclass", *words).stdout.splitlines()[-1]
    assert last.endswith("oneclass.py set.npz --preset fcn --epochs 1 --compare-with mnist --seeds 0 1 2")
    assert call("oneclass", "set.npz", "--classes", "7", code=2).line.startswith(
        "error: --classes 7: no class of set; choose from "
    )
