"""Several processes as one: started by torchrun on this machine, talking by gloo."""

import concurrent.futures
import csv
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from hw8.config import RunConfig, to_yaml
from hw8.config.presets import changed, load_preset
from tests.forks import FORKS

ROOT = Path(__file__).parents[2]
# One thread each: with another number of them sums are made in another order.
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def launched(count: int, script: str, *words: str) -> list[str]:
    """The command that starts so many processes by PyTorch's own torchrun."""
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count)]
    program += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "--"]
    return [*program, str(ROOT / script), *words]


class Job:
    """Starts a script in several processes at once, each a fork of a Python that has loaded PyTorch already."""

    def __init__(self, forks: Path) -> None:
        self.program = [sys.executable, "-S", str(FORKS), str(forks)]

    def run(self, count: int, script: str, *words: str, cwd: Path, code: int = 0) -> tuple[str, str]:
        """Standard output and standard error of all of them; each has to leave with this exit code."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        meeting = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
        meeting = meeting | {"MASTER_PORT": str(port)} if count > 1 else {}
        processes = []
        for rank in range(count):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1 else {}
            command = [*self.program, str(ROOT / script), *words]
            streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            environment = ENVIRONMENT | meeting | own
            processes.append(subprocess.Popen(command, env=environment, cwd=cwd, text=True, **streams))
        with concurrent.futures.ThreadPoolExecutor(count) as readers:
            outputs = list(readers.map(lambda process: process.communicate(timeout=300), processes))
        errors = "".join(error for _, error in outputs)
        assert [process.returncode for process in processes] == [code] * count, errors[-3000:]
        return "".join(out for out, _ in outputs), errors


@pytest.fixture(scope="module")
def job(forks) -> Job:
    return Job(forks)


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
def work(demo, job, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    (folder / "fcn.yaml").write_text(to_yaml(settings(demo, "fcn_crop", widths=[64], latent=8, norm="batch")))
    (folder / "resnet.yaml").write_text(to_yaml(settings(demo, "resnet", widths=[8, 8, 8, 8], latent=8)))
    for name, count in (("fcn", 1), ("fcn", 3), ("resnet", 1), ("resnet", 2)):
        job.run(count, "scripts/train.py", "--config", f"{name}.yaml", "--out", f"runs/{name}-{count}", cwd=folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("fcn", 3), ("resnet", 2)])
def test_the_same_global_batch_gives_the_same_curve_and_weights(work, name, count):
    alone, together = work / "runs" / f"{name}-1", work / "runs" / f"{name}-{count}"
    # BatchNorm over the four pixels of a narrow network's smallest map carries the last digits on.
    near, close = (2e-4, 5e-4) if name == "fcn" else (5e-3, 2e-2)
    np.testing.assert_allclose(losses(together), losses(alone), rtol=near)
    expected, actual = weights(alone), weights(together)
    assert expected.keys() == actual.keys()
    apart = np.sqrt(sum(np.square(actual[key] - value).sum() for key, value in expected.items()))
    size = np.sqrt(sum(np.square(value).sum() for value in expected.values()))
    assert apart < close * size, "no more than another order of sums makes of it"
    assert json.loads((together / "summary.json").read_text())["processes"] == count


def test_a_shared_batch_has_the_gradient_of_the_whole(tmp_path, job):
    out, _ = job.run(2, "tests/training/shared_batch.py", cwd=tmp_path)
    assert out.count("the same") == 2


@pytest.mark.slow
def test_only_the_first_process_writes_and_prints(work, job):
    folder = work / "runs" / "fcn-3"
    assert len(list(folder.glob("events.out.tfevents*"))) == 1
    assert sorted(path.name for path in (work / "runs").iterdir()) == ["fcn-1", "fcn-3", "resnet-1", "resnet-2"]
    out, _ = job.run(2, "scripts/predict.py", "--run", "runs/fcn-1", "--out", "two.csv", cwd=work)
    assert out.count("Wrote:") == 1


@pytest.mark.slow
def test_three_processes_score_to_the_same_bytes(work, job):
    for count in (1, 3):
        job.run(count, "scripts/predict.py", "--run", "runs/resnet-2", "--out", f"{count}.csv", cwd=work)
    assert (work / "1.csv").read_bytes() == (work / "3.csv").read_bytes()


@pytest.mark.slow
def test_a_killed_process_ends_the_job_which_goes_on_with_another_number(work, job):
    command = launched(2, "scripts/train.py", "--config", "resnet.yaml", "--epochs", "30", "--out", "runs/cut")
    with subprocess.Popen(
        command, env=ENVIRONMENT, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as cut:  # fmt: skip
        try:
            metrics = work / "runs" / "cut" / "metrics.csv"
            deadline = time.monotonic() + 120
            while not metrics.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert metrics.exists()
            workers = [int(pid) for pid in _children(cut.pid)]
            assert len(workers) == 2
            os.kill(workers[1], signal.SIGKILL)
            _, errors = cut.communicate(timeout=90)
        finally:
            if cut.poll() is None:
                os.killpg(cut.pid, signal.SIGKILL)
    assert cut.returncode != 0
    # The loss of the other process, or torchrun's SIGTERM: whichever comes first.
    assert "another process of this job is gone" in errors or "with the work saved" in errors, errors
    out, _ = job.run(1, "scripts/train.py", "--resume", "runs/cut", cwd=work)
    assert "Next:" in out
    assert len(losses(work / "runs" / "cut")) == 30


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["deep_svdd", "vqvae", "boss_quick"])
def test_other_kinds_train_too(work, job, demo, preset):
    """Norms without weights, codebooks that follow the first process, layers that draw at random."""
    options = {"boss_quick": {"widths": [8, 16, 16, 32], "latent": 16}}.get(preset, {})
    config = changed(settings(demo, preset, **options), train={"epochs": 1, "least_steps": 0}, data={"crop": 32})
    (work / f"{preset}.yaml").write_text(to_yaml(config))
    job.run(2, "scripts/train.py", "--config", f"{preset}.yaml", "--out", f"others/{preset}", cwd=work)
    assert np.isfinite(losses(work / "others" / preset)).all()


@pytest.mark.slow
def test_accelerate_launches_it(work):
    words = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    words += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *words, str(ROOT / "scripts/train.py")]
    command += ["--config", "fcn.yaml", "--out", "others/accelerated"]
    result = subprocess.run(
        command, env=ENVIRONMENT, cwd=work, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert json.loads((work / "others" / "accelerated" / "summary.json").read_text())["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--data", "nowhere", "--out", "runs/none"), "error: --data nowhere: no such folder"),
        # Only rank 0 looks at the folder: the others do not take its error for the loss of a process.
        (("--config", "fcn.yaml", "--out", "runs/fcn-1"), "error: --out runs/fcn-1: already there and a finished run"),
    ],
)
def test_bad_input_is_said_once(work, words, line):
    result = subprocess.run(
        launched(2, "scripts/train.py", *words),
        env=ENVIRONMENT, cwd=work, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode != 0
    assert result.stderr.count(line) == 1
    assert "is gone" not in result.stderr
    assert result.stderr.count("Traceback") == 1, "torchrun's own"
    assert not (work / "runs" / "none").exists()


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
