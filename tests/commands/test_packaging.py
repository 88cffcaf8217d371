"""The wheel: what is in it, and that it works where there is no checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hw8 import __version__
from hw8.base.environment import git_commit
from hw8.data.demo import write_demo

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def kept() -> list[str]:
    """The files of the checkout: those of git, and those that will be."""
    words = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def pip(*words: object) -> None:
    done = subprocess.run([*PIP, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, as an older build's leftovers would get in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in kept():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out, source)
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--target", folder, wheel)
    return folder


@pytest.fixture(scope="module")
def hw8(installed, tmp_path_factory):
    """Call the installed command in an empty folder; gives what it printed, and has the folder."""
    folder = tmp_path_factory.mktemp("empty")
    environment = os.environ | {"PYTHONPATH": str(installed)}

    def call(*words: str, code: int = 0, program: tuple[object, ...] = (sys.executable, "-m", "hw8")) -> str:
        command = [*map(str, program), *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    call.folder = folder
    return call


@pytest.mark.slow
def test_the_wheel_has_everything_of_the_package_and_nothing_else(wheel):
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {name for name in kept() if name.startswith("hw8/")}
    assert found == expected, "pyproject.toml: packages or package-data"
    assert {"hw8/py.typed", "hw8/report/templates/run.html.j2", "hw8/report/assets/page.css"} <= found


@pytest.mark.slow
def test_its_metadata_name_version_licence_and_command(wheel):
    with zipfile.ZipFile(wheel) as file:
        folder = f"hw8-{__version__}.dist-info"
        metadata = file.read(f"{folder}/METADATA").decode()
        assert "hw8 = hw8.__main__:main" in file.read(f"{folder}/entry_points.txt").decode()
        assert file.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nLicense-Expression: MIT\n" in metadata


@pytest.mark.slow
def test_installed_it_is_not_the_checkout(hw8, installed):
    assert hw8("-c", "import hw8; print(hw8.__file__)", program=(sys.executable,)).startswith(str(installed))
    assert "\n  train " in hw8("--help")
    assert hw8("--help", program=(sys.executable, installed / "bin" / "hw8")).startswith("usage: hw8 COMMAND")
    assert list(hw8.folder.iterdir()) == []


@pytest.mark.slow
def test_the_road_from_an_empty_folder(hw8, installed):
    write_demo(hw8.folder / "faces", train=400, test=120)
    program = (sys.executable, installed / "bin" / "hw8")
    words = ["--preset", "fcn_crop", "--epochs", "1", "--held-out-minimum", "40", "--data", "faces"]
    trained = hw8("train", *words, program=program)
    assert trained.endswith("Next:     hw8 predict --run runs/fcn_crop\n")
    summary = json.loads((hw8.folder / "runs" / "fcn_crop" / "summary.json").read_text())
    assert summary["command"] == f"hw8 train {' '.join(words)}"
    assert summary["versions"]["hw8"] == __version__
    assert summary["commit"] is None
    predicted = hw8("predict", program=program)
    assert predicted.endswith("hw8 evaluate submissions/fcn_crop.csv --labels faces/testing_labels.csv\n")
    assert len(np.loadtxt(hw8.folder / "submissions" / "fcn_crop.csv", delimiter=",", skiprows=1)) == 120
    hw8("report", "runs/fcn_crop", program=program)
    assert (hw8.folder / "submissions" / "fcn_crop.html").stat().st_size > 10_000


@pytest.mark.slow
def test_what_needs_a_checkout_says_so(hw8):
    (line,) = hw8("benchmark", "--json", code=2).splitlines()
    assert line.startswith("error: benchmarks/ is not installed with hw8")


@pytest.mark.slow
def test_installed_inside_another_repository_no_commit_of_it_is_recorded(hw8, installed):
    for words in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a", "--allow-empty"]):
        subprocess.run(["git", "-C", str(installed), *words], check=True, timeout=20)
    inside = installed / "lib" / "site-packages"
    inside.mkdir(parents=True)
    shutil.copytree(installed / "hw8", inside / "hw8")
    program = (
        f"import sys; sys.path.insert(0, {str(inside)!r}); from hw8.base.environment import git_commit as g; print(g())"
    )
    assert hw8("-c", program, program=(sys.executable,)) == "None\n"
    assert git_commit(), "the checkout's own is"
