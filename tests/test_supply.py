"""What is installed, and what talks to the network: nothing does, at import or at work."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hw8.runs.train import train_run

ROOT = Path(__file__).parents[1]
BLOCKED = (
    "import os, runpy, socket, sys\n"
    "def refuse(*words, **more): raise RuntimeError(f'network: {words[1:]}')\n"
    "for name in ('connect', 'connect_ex', 'bind', 'sendto'): setattr(socket.socket, name, refuse)\n"
    "socket.getaddrinfo = socket.create_connection = socket.gethostbyname = refuse\n"
    "sys.argv = sys.argv[1:]\n"
    "sys.path[0] = os.path.dirname(sys.argv[0])\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    "print('LOADED', *sys.modules)\n"
)
# Half a second to two seconds of processor time each. A training needs the latter two once, to calibrate.
COMPILER, STATISTICS = {"torch._dynamo"}, {"sklearn", "scipy.stats"}


def pinned(name: str) -> dict[str, str]:
    """Packages and versions of a requirements file, names in the form that PyPI compares."""
    found = re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


def test_every_requirement_is_pinned_and_in_the_lock():
    locked = pinned("requirements.lock")
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith(("#", "-"))]
        versions = pinned(name)
        assert len(versions) == len(lines), f"{name}: a package without its version"
        assert versions.items() <= locked.items(), f"{name} and the lock differ: make lock"


def test_what_the_package_needs_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[<>=]", line)[0] for line in project["dependencies"]}
    assert needed == pinned("requirements.txt").keys()


@pytest.mark.slow
def test_training_and_scoring_need_no_network_and_load_no_compiler(demo, tmp_path):
    words = ["--preset", "fcn_crop", "--epochs", "1", "--held-out-minimum", "40", "--data", str(demo), "--out", "run"]
    for script, needless in (
        (["train", *words], COMPILER),
        (["predict", "--run", "run", "--out", "scores.csv"], COMPILER | STATISTICS),
    ):
        command = [sys.executable, "-c", BLOCKED, str(ROOT / "scripts" / f"{script[0]}.py"), *script[1:]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        loaded = done.stdout.partition("LOADED ")[2].split()
        assert "torch" in loaded
        assert not needless & set(loaded)
    assert (tmp_path / "scores.csv").exists()


def test_the_block_would_be_noticed(tmp_path):
    script = tmp_path / "talk.py"
    script.write_text("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')\n")
    done = subprocess.run([sys.executable, "-c", BLOCKED, str(script)], capture_output=True, text=True, timeout=60)
    assert "network: " in done.stderr


@pytest.mark.slow
def test_a_runs_own_config_repeats_it(quick, tmp_path):
    train_run(quick, tmp_path / "first")
    words = ["--config", str(tmp_path / "first" / "config.yaml"), "--out", "again"]
    script = str(ROOT / "scripts" / "train.py")
    done = subprocess.run([sys.executable, script, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    first, again = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "again"))
    assert first == again
