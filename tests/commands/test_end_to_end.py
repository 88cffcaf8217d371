"""The commands, as a user runs them in a folder of one's own; called in this process, unless a process is the point."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from hw8.config.presets import DEFAULT_PRESET, PRESETS

SCRIPTS = Path(__file__).parents[2] / "scripts"
ENTRY_POINTS = sorted(path.stem for path in SCRIPTS.glob("[a-z]*.py"))
QUICK = ["--preset", "fcn", "--epochs", "1", "--held-out-minimum", "40"]


def command(name: str, *words: object) -> list[str]:
    return [sys.executable, str(SCRIPTS / f"{name}.py"), *map(str, words)]


def process(name: str, *words: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(name, *words), cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_help_is_quick_and_says_what_the_script_does(tmp_path):
    best = min(_timed_help("train", tmp_path) for _ in range(3))
    assert best < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_help_is_quick(name, tmp_path):
    assert min(_timed_help(name, tmp_path) for _ in range(3)) < 1.5


def _timed_help(name, cwd) -> float:
    started = time.perf_counter()
    done = process(name, "--help", cwd=cwd)
    assert "usage:" in done.stdout
    assert list(cwd.iterdir()) == []
    return time.perf_counter() - started


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_command_has_help(name, call, tmp_path):
    assert f"usage: scripts/{name}.py" in call(name, "--help").stdout
    assert list(tmp_path.iterdir()) == []


def test_the_whole_road(small, call, tmp_path):
    trained = call("train", *QUICK, "--data", small)
    assert "Held-out ROC-AUC" in trained.stdout
    assert "best of 1 epoch: 1" in trained.stdout
    assert trained.stdout.endswith("Next:     python scripts/predict.py --run runs/fcn\n")
    found = json.loads(call("predict", "--json").stdout)
    assert found["rows"] == 120
    assert found["out"] == "submissions/fcn.csv"
    measured = json.loads(call("evaluate", found["out"], "--labels", small / "testing_labels.csv", "--json").stdout)
    assert {"auc", "macro_auc", "average_precision", "fpr95", "kinds"} <= measured.keys()
    assert set(measured["kinds"]["cat"]) == {"auc", "low", "high", "n"}
    for name, value in measured.items():
        assert found[name] == value
    assert "valid, 120 scores" in call("check", found["out"], "--rows", 120).stdout
    assert "macro" in call("evaluate", found["out"], "--labels", small / "testing_labels.csv").stdout
    assert "runs/fcn-2" in call("train", *QUICK, "--data", small).stdout
    both = [(tmp_path / "runs" / name / "model.safetensors").read_bytes() for name in ("fcn", "fcn-2")]
    assert both[0] == both[1]
    said = call("predict").stdout
    assert "Run:      runs/fcn-2, which was finished last\n" in said
    assert "submissions/fcn-2.csv" in said
    call("predict", "--run", "runs/fcn", "runs/fcn-2", "--out", "both.csv")
    words = ["evaluate", found["out"], "both.csv", "--labels", small / "testing_labels.csv"]
    table = {line.split("  ")[0]: line.split() for line in call(*words).stdout.splitlines()}
    assert table["kind"][-2:] == ["fcn", "both"]
    assert table["cat"][-2] == f"{measured['kinds']['cat']['auc']:.3f}"
    assert json.loads(call(*words, "--json").stdout)["fcn"] == measured
    assert "runs/repeated" in call("train", "--config", "runs/fcn/config.yaml", "--out", "runs/repeated").stdout
    assert (tmp_path / "runs" / "repeated" / "model.safetensors").read_bytes() == both[0]


def test_options_reach_the_run(demo, call, tmp_path):
    words = ["--option", "latent=5", "widths=[16,8]", "--crop", "20", "--no-flip", "--loss", "l1", "--seed", "4"]
    call("train", "--preset", "fcn_crop", "--epochs", 1, *words, "--data", demo, "--out", "run")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["model"]["options"] == {"widths": [16, 8], "latent": 5, "norm": "batch"}
    assert (config["data"]["crop"], config["data"]["flip"], config["seed"]) == (20, False, 4)
    assert (config["train"]["loss"], config["train"]["least_steps"]) == ("l1", 0)
    assert config["preset"] == "fcn_crop"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "--epoch", "3"], "Unrecognized options: --epoch, 3; did you mean --epochs? see --help"),
        (["train", "--epochs", "many"], "--epochs"),
        (["train", "--epochs", "0"], "--epochs 0: must be at least 1"),
        (["train", "--least-steps", "-1"], "--least-steps -1: must be at least 0"),
        (["train", "--preset", "best"], "--preset best: unknown"),
        (["train", "--data", "nowhere"], "--data nowhere: no such folder"),
        (["train", "--resume", "nowhere"], "--resume nowhere: no run here (config.yaml is missing)"),
        (["train", "--config", "none.yaml"], "none.yaml: cannot be read"),
        (["train", "--option", "latent"], "must be NAME=VALUE"),
        (["train", "--device", "cuda", "--data", "."], "trainingset.npy: no such file"),
        (["predict"], "no finished run in runs/"),
        (["predict", "--run", "nowhere"], "nowhere: no run here"),
        (["evaluate", "a.csv", "--labels", "b.csv"], "a.csv: cannot be read"),
        (["evaluate"], "see --help"),
        (["evaluate", "--runs", "a"], "Unrecognized options: --runs, a;"),
        (["explain", "runs/a", "--id", "3"], "Unrecognized options: runs/a; did you mean --run runs/a? see --help"),
        (["report", "--out", "page.pdf", "runs/a"], "--out page.pdf: must end in .html"),
        (["check", "a.csv"], "a.csv: cannot be read"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(words, expected, call, tmp_path):
    assert expected in call(*words, code=2).line
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_used_badly_leaves_with_one_line_and_exit_code_2(tmp_path):
    done = process("train", "--epoch", "3", cwd=tmp_path, code=2)
    assert done.stdout == ""
    assert done.stderr == "error: Unrecognized options: --epoch, 3; did you mean --epochs? see --help\n"


@pytest.mark.parametrize(
    ("words", "near", "line"),
    [
        (["train", "--preset", "boss_quik"], "boss_quick", "`boss` in three minutes on two cores for 8,000 images."),
        (["compare", "--presets", "pcaa"], "pca", "Root of the summed squared reconstruction error of the first 50"),
        (["oneclass", "digits", "--preset", "fcn_corp"], "fcn_crop", "Fully connected, BatchNorm, narrow latent"),
    ],
)
def test_a_near_miss_of_a_preset_gets_its_name_and_a_short_list(words, near, line, call, tmp_path):
    done = call(*words, code=2)
    assert f"unknown; did you mean {near}? there are {near}, " in done.line
    choices = done.stderr.splitlines()[1:]
    assert len(choices) == 5
    assert choices[0].split(maxsplit=1)[0] == near
    assert line in choices[0]
    assert list(tmp_path.iterdir()) == []


def test_bad_images_are_one_line_and_exit_code_2(call, tmp_path):
    np.save(tmp_path / "trainingset.npy", np.zeros((50, 3, 64, 64), np.uint8))
    assert "channels come first" in call("train", "--data", ".", code=2).line
    assert [path.name for path in tmp_path.iterdir()] == ["trainingset.npy"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--option", "side=3"], "model.options.side = 3: unknown; known: widths, latent, weight, mirror"),
        (["--option", "latent=2024-99-99"], "the value is not YAML"),
        (["--option", "latent=[&a [*a]]"], "model.options.latent = [[[...]]]: must be a valid integer"),
        (["--score", "nelbo"], "--score nelbo: this model does not give it; it gives l1"),
        (["--crop", "65"], "--crop 65: larger than the 64-pixel images"),
        (["--preset", "conv", "--crop", "40"], "try --crop 32, or --preset fcn for any side"),
        (["--out", "/proc/run"], "/proc/run"),
    ],
)
def test_bad_settings_are_one_line_and_leave_nothing(words, expected, demo, call, tmp_path):
    assert expected in call("train", "--data", demo, *words, code=2).line
    assert list(tmp_path.iterdir()) == []


def test_a_preset_beside_a_config_is_refused(trained, call):
    for word, value in (("--config", trained.folder.config_file), ("--resume", trained.folder.path)):
        line = call("train", word, value, "--preset", "resnet", code=2).line
        assert "--preset resnet: the settings come from" in line


@pytest.mark.parametrize(("side", "channels", "count"), [(8, 1, 20), (20, 3, 31)])
def test_small_and_grey_images_take_the_whole_road(call, tmp_path, side, channels, count):
    rng = np.random.default_rng(0)
    for name in ("trainingset", "testingset"):
        np.save(tmp_path / f"{name}.npy", rng.integers(0, 256, (count, side, side, channels), np.uint8))
    call("train", "--data", ".", "--preset", "fcn", "--epochs", "2", "--batch-size", "2")
    done = call("predict")
    held_out = 4 if count == 20 else 6
    least = 1 / (held_out + 1)
    assert f"none can be at p <= 0.05: {held_out} calibration images give no p-value below {least:.3f}" in done.stdout
    assert json.loads(call("predict", "--json").stdout)["rows"] == count


@pytest.mark.skipif(sys.platform != "linux", reason="file size limits are tested on Linux")
@pytest.mark.slow
def test_a_full_disk_is_one_line(demo, tmp_path):
    script = f"ulimit -f 60; exec {' '.join(command('train', *QUICK, '--data', demo, '--out', 'run'))}"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "could not be written" in done.stderr.splitlines()[-1]
    assert not [path.name for path in (tmp_path / "run").iterdir() if path.name.endswith((".part", ".pt"))]


def test_output_that_nobody_reads(demo, tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("ID,score\n0,1\n1,2\n")
    words = command("check", path, "--rows", 2)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    shown = f"{words[0]} {words[1]} {path} --rows 2"
    for line, code in ((f"{shown} | true; exit ${{PIPESTATUS[0]}}", 0), (f"{shown} > /dev/full", 2)):
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == code, (line, done.stderr)
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr


def started(*words: object, cwd: Path, when: Path) -> subprocess.Popen[str]:
    """Start a training and wait until the file `when` is there."""
    process = subprocess.Popen(command("train", *words), cwd=cwd, stdout=-3, stderr=subprocess.PIPE, text=True)
    for _ in range(1200):
        if when.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    assert process.poll() is None, process.stderr.read()
    return process


LONG = ["--preset", "fcn_crop", "--crop", 16, "--option", "widths=[64]", "--epochs", 30, "--batch-size", 32]


def test_killed_or_interrupted_and_resumed_it_ends_in_the_same_bytes(small, call, tmp_path):
    call("train", *LONG, "--data", small, "--out", "whole")
    expected = (tmp_path / "whole" / "model.safetensors").read_bytes()
    for name, number in (("killed", signal.SIGKILL), ("stopped", signal.SIGINT)):
        folder = tmp_path / name
        process = started(*LONG, "--data", small, "--out", name, cwd=tmp_path, when=folder / "resume.pt")
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == (-9 if number == signal.SIGKILL else 130)
        assert not (folder / "summary.json").exists()
        if number == signal.SIGINT:
            assert errors.splitlines()[-1].endswith(f"resume with: python {SCRIPTS}/train.py --resume stopped")
        call("train", "--resume", name)
        assert (folder / "model.safetensors").read_bytes() == expected
        assert (folder / "summary.json").exists()


def test_resume_refuses_other_settings(trained, call):
    done = call("train", "--resume", trained.folder.path, "--lr", "0.1", code=2)
    assert "train.lr = 0.1 is given" in done.line


def private_peak_mb(process: subprocess.Popen[str]) -> float:
    """Largest RssAnon of a process until it ends, in MB."""
    peak = 0.0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        peak = max([peak, *(int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("RssAnon"))])
        time.sleep(0.02)
    return peak


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="private memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_images(demo, tmp_path):
    faces = np.load(demo / "trainingset.npy")
    peaks = []
    for name, copies in (("few", 2), ("many", 26)):
        (tmp_path / name).mkdir()
        shape = (len(faces) * copies, *faces.shape[1:])
        file = np.lib.format.open_memmap(tmp_path / name / "trainingset.npy", "w+", np.uint8, shape)
        for copy in range(copies):
            file[copy * len(faces) : (copy + 1) * len(faces)] = faces
        file.flush()
        del file
        # What is held out, and measured as a whole, is as much of either.
        words = ["--preset", "fcn_crop", "--epochs", "1", "--data", name, "--out", f"run-{name}"]
        words += ["--held-out-minimum", "100", "--held-out-maximum", "100"]
        process = subprocess.Popen(command("train", *words), cwd=tmp_path, stdout=-3, stderr=-3, text=True)
        peaks.append(private_peak_mb(process))
        assert process.returncode == 0
        (tmp_path / name / "trainingset.npy").unlink()
    assert peaks[1] - peaks[0] < 40, (
        f"private memory grew from {peaks[0]:.0f} to {peaks[1]:.0f} MB for 118 MB more images"
    )
    assert peaks[1] < 1500


def test_the_default_preset_is_registered_and_named_in_the_readme():
    readme = (SCRIPTS.parent / "README.md").read_text()
    assert f"The default preset is `{DEFAULT_PRESET}`" in readme
    assert DEFAULT_PRESET in PRESETS
    assert not re.search(r"[A-Z]+_(TABLE|NOTE)", readme), "a place of the README still waits for its figures"
