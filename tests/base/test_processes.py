"""Several processes as one: started by torchrun on this machine, talking by gloo."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from hw8.config import RunConfig, to_yaml
from hw8.config.presets import changed, load_preset

ROOT = Path(__file__).parents[2]
# One thread each: with another number of them sums are made in another order.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def launched(count: int, script: str, *words: str) -> list[str]:
    program = [sys.executable]
    if count > 1:
        program += ["-m", "torch.distributed.run", "--nproc-per-node", str(count)]
        program += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "--"]
    return [*program, str(ROOT / script), *words]


def run(count: int, script: str, *words: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        launched(count, script, *words), env=ENVIRONMENT, cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode == 0) == (code == 0), done.stderr[-3000:]
    return done


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {
        name: value for name, value in load_file(folder / "model.safetensors").items() if name.startswith("weights")
    }


def losses(folder: Path) -> np.ndarray:
    with (folder / "metrics.csv").open() as file:
        return np.array([[float(row["train_loss"]), float(row["held_out_loss"])] for row in csv.DictReader(file)])


def settings(demo: Path, preset: str, **options: object) -> RunConfig:
    """Small, in float32, with a last batch that the processes cannot share evenly."""
    config = changed(
        load_preset(preset),
        data={"source": str(demo), "crop": 32, "held_out_minimum": 41},
        train={"epochs": 2, "least_steps": 0, "batch_size": 53},
        **({"model": {"options": options}} if options else {}),
    )
    return dataclasses.replace(config, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def work(demo, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    (folder / "fcn.yaml").write_text(to_yaml(settings(demo, "fcn_crop", widths=[64], latent=8, norm="batch")))
    (folder / "resnet.yaml").write_text(to_yaml(settings(demo, "resnet", widths=[8, 8, 8, 8], latent=8)))
    for name, count in (("fcn", 1), ("fcn", 3), ("resnet", 1), ("resnet", 2)):
        run(count, "scripts/train.py", "--config", f"{name}.yaml", "--out", f"runs/{name}-{count}", cwd=folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("fcn", 3), ("resnet", 2)])
def test_the_same_global_batch_gives_the_same_curve_and_weights(work, name, count):
    alone, together = work / "runs" / f"{name}-1", work / "runs" / f"{name}-{count}"
    # BatchNorm over the four pixels of a narrow network's smallest map carries the last digits on.
    near, close = (2e-4, 5e-4) if name == "fcn" else (5e-3, 2e-2)
    np.testing.assert_allclose(losses(together), losses(alone), rtol=near)
    expected, found = weights(alone), weights(together)
    assert expected.keys() == found.keys()
    apart = np.sqrt(sum(np.square(found[key] - value).sum() for key, value in expected.items()))
    size = np.sqrt(sum(np.square(value).sum() for value in expected.values()))
    assert apart < close * size, "no more than another order of sums makes of it"
    assert json.loads((together / "summary.json").read_text())["processes"] == count


def test_a_shared_batch_has_the_gradient_of_the_whole(tmp_path):
    done = run(2, "tests/training/shared_batch.py", cwd=tmp_path)
    assert done.stdout.count("the same") == 2


@pytest.mark.slow
def test_only_the_first_process_writes_and_prints(work):
    folder = work / "runs" / "fcn-3"
    assert len(list(folder.glob("events.out.tfevents*"))) == 1
    assert sorted(path.name for path in (work / "runs").iterdir()) == [
        "fcn-1",
        "fcn-3",
        "resnet-1",
        "resnet-2",
    ]
    done = run(2, "scripts/predict.py", "--run", "runs/fcn-1", "--out", "two.csv", cwd=work)
    assert done.stdout.count("Wrote:") == 1


@pytest.mark.slow
def test_three_processes_score_to_the_same_bytes(work):
    for count in (1, 3):
        run(count, "scripts/predict.py", "--run", "runs/resnet-2", "--out", f"{count}.csv", cwd=work)
    assert (work / "1.csv").read_bytes() == (work / "3.csv").read_bytes()


@pytest.mark.slow
def test_a_killed_process_ends_the_job_which_goes_on_with_another_number(work):
    command = launched(2, "scripts/train.py", "--config", "resnet.yaml", "--epochs", "30", "--out", "runs/cut")
    with subprocess.Popen(
        command, env=ENVIRONMENT, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as job:  # fmt: skip
        try:
            metrics = work / "runs" / "cut" / "metrics.csv"
            deadline = time.monotonic() + 120
            while not metrics.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert metrics.exists()
            workers = [int(pid) for pid in _children(job.pid)]
            assert len(workers) == 2
            os.kill(workers[1], signal.SIGKILL)
            _, errors = job.communicate(timeout=90)
        finally:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)
    assert job.returncode != 0
    assert "another process of this job is gone" in errors or "stopped at step" in errors
    done = run(1, "scripts/train.py", "--resume", "runs/cut", cwd=work)
    assert "Next:" in done.stdout
    assert len(losses(work / "runs" / "cut")) == 30


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["deep_svdd", "vqvae", "boss_quick"])
def test_other_kinds_train_too(work, demo, preset):
    """Norms without weights, codebooks that follow the first process, layers that draw at random."""
    options = {"boss_quick": {"widths": [8, 16, 16, 32], "latent": 16}}.get(preset, {})
    config = changed(settings(demo, preset, **options), train={"epochs": 1, "least_steps": 0}, data={"crop": 32})
    (work / f"{preset}.yaml").write_text(to_yaml(config))
    run(2, "scripts/train.py", "--config", f"{preset}.yaml", "--out", f"others/{preset}", cwd=work)
    assert np.isfinite(losses(work / "others" / preset)).all()


@pytest.mark.slow
def test_accelerate_launches_it(work):
    words = [
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
    ]
    command = [sys.executable, "-m", "accelerate.commands.launch", *words, str(ROOT / "scripts/train.py")]
    command += ["--config", "fcn.yaml", "--out", "others/accelerated"]
    done = subprocess.run(command, env=ENVIRONMENT, cwd=work, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((work / "others" / "accelerated" / "summary.json").read_text())["processes"] == 2


@pytest.mark.slow
def test_bad_input_is_said_once(work):
    done = run(2, "scripts/train.py", "--data", "nowhere", "--out", "runs/none", cwd=work, code=2)
    assert done.stderr.count("error: --data nowhere: no such folder") == 1
    assert done.stderr.count("Traceback") == 1, "torchrun's own"
    assert not (work / "runs" / "none").exists()


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
