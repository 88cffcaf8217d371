"""The Dockerfile, as far as it can be tried without an engine: read by Docker's own parser, its steps run by hand."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import dockerfile
import pytest

ROOT = Path(__file__).parents[1]
STEPS = dockerfile.parse_file(str(ROOT / "Dockerfile"))
RUNS = [step.value[0] for step in STEPS if step.cmd.lower() == "run"]
COPIED = [name for step in STEPS if step.cmd.lower() == "copy" for name in step.value[:-1]]
LOCK = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))


def last(name: str) -> dockerfile.Command:
    return [step for step in STEPS if step.cmd.lower() == name][-1]


def tracked() -> list[str]:
    """The files of the checkout: those of git, and those that will be."""
    words = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split("\0")
    return [name for name in names if (ROOT / name).is_file()]


def ignored(name: str) -> bool:
    """Whether .dockerignore keeps a file from the engine: the last pattern counts that names it or a folder of it."""
    hidden = False
    parts = name.split("/")
    places = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        anywhere = pattern.startswith("**/")
        tried = [place.split("/")[-1] for place in places] if anywhere else places
        if any(fnmatch.fnmatchcase(place, pattern.removeprefix("**/")) for place in tried):
            hidden = not line.startswith("!")
    return hidden


def installs() -> list[list[str]]:
    """The words of every `pip install`."""
    return [found.split() for run in RUNS for found in re.findall(r"pip install ([^;&|]+)", run)]


@pytest.fixture
def context(tmp_path) -> Path:
    """The folder of the image, with what has been copied to it."""
    for name in tracked():
        if not ignored(name) and any(name == source or name.startswith(f"{source}/") for source in COPIED):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def carry_out(step: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step as the engine does, with this interpreter's pip, which may fetch nothing."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | variables
    words = ["/bin/sh", "-c", step]
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_everything_copied_is_in_the_repository_and_reaches_the_engine():
    files = tracked()
    for source in COPIED:
        inside = [name for name in files if name == source or name.startswith(f"{source}/")]
        assert inside, f"COPY {source}: not in git"
        assert not any(map(ignored, inside)), source
    for name in ("data/trainingset.npy", "runs/a/model.safetensors", ".git/config", "hw8/__pycache__/a.pyc", ".venv/a"):
        assert ignored(name), name


def test_what_the_build_needs_is_copied():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"], "hw8"}
    assert needed <= set(COPIED)


def test_only_locked_versions_are_installed():
    assert len(installs()) == 4
    for words in installs():
        if "." in words:
            assert {"--no-deps", "--no-build-isolation"} <= set(words), "nothing else comes along"
            continue
        assert words[words.index("-c") + 1] == "requirements.lock"
        assert {word for word in words if word in ("torch", "setuptools")} <= LOCK
    assert not any(re.search(r"apt-get|curl|wget", run) for run in RUNS)


def test_the_base_is_a_named_version():
    (base,) = (step for step in STEPS if step.cmd.lower() == "arg" and step.value[0].startswith("BASE="))
    assert re.fullmatch(r"BASE=python:3\.\d+-slim-[a-z]+", base.value[0])
    assert last("from").value == ("${BASE}",)


def test_a_change_of_the_code_installs_nothing_else_anew():
    copies = [
        step.start_line for step in STEPS if step.cmd.lower() == "copy" and {"hw8", "pyproject.toml"} & set(step.value)
    ]
    lines = [step.start_line for step in STEPS if step.cmd.lower() == "run" and "pip install" in step.value[0]]
    assert lines[-2] < min(copies) < max(copies) < lines[-1]


def test_it_runs_the_command_as_nobody_in_particular_in_the_mounted_folder():
    assert int(last("user").value[0].split(":")[0]) > 0
    assert last("user").start_line > max(step.start_line for step in STEPS if step.cmd.lower() == "run")
    assert last("workdir").value == ("/work",)
    assert last("entrypoint").value == ("hw8",)
    assert last("cmd").value == ("--help",)
    assert last("stopsignal").value == ("SIGINT",)
    settings = dict(word.split("=", 1) for word in last("env").original.split()[1:])
    for name in ("HOME", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR"):
        assert settings[name].startswith("/tmp"), "anybody may write there"


@pytest.mark.parametrize("variant", ["cpu", "gpu", "mps"])
def test_a_variant_takes_its_own_pytorch(variant, tmp_path):
    (tmp_path / "pip").write_text('#!/bin/sh\necho "pip $@"\n')
    (tmp_path / "pip").chmod(0o755)
    (index,) = (step.value[0] for step in STEPS if step.value and step.value[0].startswith("TORCH_INDEX="))
    index = index.partition("=")[2].strip('"')
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = carry_out(RUNS[0], tmp_path, PATH=path, VARIANT=variant, TORCH_INDEX=index)
    if variant == "cpu":
        assert done.stdout == f"pip install --no-deps --index-url {index} -c requirements.lock torch\n"
    elif variant == "gpu":
        assert done.stdout == "pip install -c requirements.lock torch\n"
    else:
        assert (done.returncode, done.stderr) == (2, "VARIANT=mps: must be cpu or gpu\n")


def test_the_locked_versions_satisfy_the_requirements(context):
    done = carry_out(RUNS[1], context, PIP_DRY_RUN="1")  # all are installed here; nothing may change
    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout
    assert "-e" not in (context / "requirements.txt").read_text().split()


def test_the_copied_files_are_enough_to_install_the_command(context, tmp_path_factory):
    target = tmp_path_factory.mktemp("image")
    done = carry_out(RUNS[3], context, PIP_TARGET=str(target))
    assert done.returncode == 0, done.stderr
    assert (target / "bin" / "hw8").exists()
    expected = {name for name in tracked() if name.startswith("hw8/")}
    assert not {name for name in expected if not (target / name).is_file()}
