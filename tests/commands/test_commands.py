"""The command hw8: the scripts by their names, and messages that spell commands as the user started them."""

import difflib
import importlib
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hw8 import __version__
from hw8.__main__ import main
from hw8.base.errors import command
from hw8.commands import COMMANDS
from hw8.commands.spelling import for_shell, installed, interpreter, spelled

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("[a-z]*.py"))
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hw8(monkeypatch, capsys):
    """Call `hw8 WORDS` in this process, started by this name, an empty one for `python -m hw8`."""

    def called(*words: object, start: str = "/usr/bin/hw8", code: int = 0) -> tuple[str, str]:
        program = Path(sys.executable).parent / "hw8" if start == "/usr/bin/hw8" else ROOT / "hw8" / "__main__.py"
        monkeypatch.setattr(sys, "argv", [str(program), *map(str, words)])
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        exit_code = 0
        try:
            main()
        except SystemExit as leaving:
            exit_code = int(leaving.code or 0)
        captured = capsys.readouterr()
        assert exit_code == code, captured.err
        return captured.out, captured.err

    return called


def process(*program: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, *map(str, program)]
    completed = subprocess.run(words, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert completed.returncode == code, completed.stderr
    assert "Traceback" not in completed.stderr
    return completed


def test_help_lists_every_command_with_what_its_script_says_of_itself(hw8):
    shown = hw8("--help")[0]
    assert shown == hw8("-h")[0]
    assert list(COMMANDS) == SCRIPTS
    lines = [line.split(maxsplit=1) for line in shown.splitlines() if line.startswith("  ")]
    assert [name for name, _ in lines] == SCRIPTS
    for name, description in lines:
        assert importlib.import_module(f"hw8.commands.{name}").__doc__.splitlines()[0] == description
    assert "usage: hw8 COMMAND" in shown


def test_help_is_quick_and_loads_no_pytorch(tmp_path):
    def spent() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process("-m", "hw8", "--help", cwd=tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(spent() for _ in range(3)) < 1, "seconds of processor time: 0.4 alone, twice as many beside other work"
    imports = process("-X", "importtime", "-m", "hw8", "--help", cwd=tmp_path).stderr
    assert not {"torch", "numpy", "pandas"} & {line.rpartition("|")[2].strip() for line in imports.splitlines()}


def test_version(hw8, tmp_path):
    assert hw8("--version") == (f"hw8 {__version__}\n", "")
    assert process("-m", "hw8", "--version", cwd=tmp_path).stdout == f"hw8 {__version__}\n"


def refused(hw8, *words: str) -> str:
    out, err = hw8(*words, code=2)
    assert out == ""
    (line,) = err.splitlines()
    return line


def test_an_unknown_command_is_refused_with_the_nearest(hw8):
    assert refused(hw8, "trian") == "error: 'trian': no such command; did you mean train? hw8 --help lists them"
    assert "did you mean download_data?" in refused(hw8, "download")
    assert "did you mean" not in refused(hw8, "zzzzzz")
    assert refused(hw8, "../train").startswith("error: '../train': no such command;")
    assert "\\x1b" in refused(hw8, "\x1b[2J")


def test_a_missing_or_late_command_is_refused(hw8):
    assert refused(hw8) == "error: no command is given; hw8 --help lists them"
    assert refused(hw8, "") == "error: no command is given; hw8 --help lists them"
    line = refused(hw8, "--preset", "boss", "train")
    assert line == "error: '--preset': the command comes first; hw8 --help lists them"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    ],
)
def test_too_little_memory_is_said_in_a_line(error, call, monkeypatch):
    def main() -> None:
        raise error

    monkeypatch.setattr("hw8.commands.check.main", main)
    assert call("check", code=2).line.startswith("error: not enough memory; close other programs, or train with a ")


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    words = f"{sys.executable} -m hw8 --help | true"
    completed = subprocess.run(
        words, shell=True, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert completed.stderr == ""


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_commands_help_is_its_scripts(name, hw8, call):
    script = call(name, "--help").stdout
    for start, shown in (("/usr/bin/hw8", "hw8"), ("", "python -m hw8")):
        ours = hw8(name, "--help", start=start)[0]
        assert ours.startswith(f"usage: {shown} {name} ")
        both = ["".join(text.partition("\n\n")[2].split()) for text in (ours, script)]
        assert both[0] == both[1], "".join(difflib.unified_diff([script], [ours]))
    none_is_a_value = re.findall(r"(--\S+) \{None\}", script)
    settings = ["--threads", "--crop", "--most-steps", "--part-size", "--patience"]
    assert none_is_a_value == (settings if name == "train" else [])


@pytest.mark.parametrize("name", ["download", "prepare"])
def test_dashes_do_as_well_as_underscores(name, hw8):
    both = [hw8(f"{name}{dash}data", "--help")[0] for dash in "-_"]
    assert both[0] == both[1]


@pytest.mark.parametrize("words", [("train", "--preset", "none"), ("train", "--data", "x"), ("check", "x"), ("merge",)])
def test_errors_and_exit_codes_are_the_scripts(words, hw8, call):
    script = call(*words, code=2).stderr
    assert hw8(*words, code=2) == ("", script.replace(f"scripts/{words[0]}.py", f"hw8 {words[0]}"))


@pytest.mark.parametrize(("start", "spelling"), [("/usr/bin/hw8", "hw8 train"), ("", "python -m hw8 train")])
def test_messages_spell_commands_as_the_user_started_them(start, spelling, hw8):
    message = "error: --run: no finished run in runs/; train one first: "
    assert hw8("predict", start=start, code=2)[1] == f"{message}{spelling}\n"


class TestSpelling:
    """What is printed as the next command works when it is pasted."""

    def test_a_script_is_spelled_beside_the_one_that_runs(self, monkeypatch):
        monkeypatch.setattr(sys, "argv", ["../some where/scripts/predict.py", "--json"])
        assert spelled("train") == "python '../some where/scripts/train.py'"
        monkeypatch.setattr(sys, "argv", ["/opt/pytest"])
        assert spelled("train") == "python scripts/train.py"

    def test_words_are_quoted(self):
        assert (
            spelled("predict", "--run", "runs/rü n", "--rows", 5)
            == "python scripts/predict.py --run 'runs/rü n' --rows 5"
        )

    def test_an_environment_that_is_not_activated_is_named(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", "/nowhere")
        for executable, shown in ((tmp_path / ".venv/bin/python", ".venv/bin/python"), ("/opt/py/bin/python3", None)):
            monkeypatch.setattr(sys, "executable", str(executable))
            assert interpreter() == (shown or "/opt/py/bin/python3")
        monkeypatch.setattr(sys, "executable", str(tmp_path / "my env/bin/python"))
        assert spelled("train") == "'my env/bin/python' scripts/train.py"
        assert installed(tmp_path / ".venv/bin/hw8") == ".venv/bin/hw8"

    def test_another_python_on_the_path_does_not_count(self, monkeypatch, tmp_path):
        other = tmp_path / "other"
        other.mkdir()
        (other / "python").write_text("#!/bin/sh\n")
        (other / "python").chmod(0o755)
        monkeypatch.setenv("PATH", str(other))
        monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
        assert interpreter() == ".venv/bin/python"
        monkeypatch.setattr(sys, "executable", str(other / "python3.12"))
        assert interpreter() == "python"


def test_in_a_program_of_ones_own_commands_are_spelled_as_scripts():
    assert spelled("train") == "python scripts/train.py"


def test_the_command_line_is_kept_as_one_would_type_it(monkeypatch):
    from hw8.commands.parsing import command_line

    monkeypatch.setattr(sys, "argv", ["scripts/train.py", "--data", "my faces"])
    assert command_line() == "python scripts/train.py --data 'my faces'"
    program = str(Path(sys.executable).parent / "hw8")
    monkeypatch.setattr(sys, "argv", [program, "train", "--data", "my faces"])
    assert command_line() == "hw8 train --data 'my faces'"
    monkeypatch.setattr(sys, "argv", [program, "train"])
    assert command_line() == "hw8 train"


def test_settings_and_commands_of_a_message_are_spelled_for_the_shell(monkeypatch):
    message = f"`held_out_minimum` 3: {command('train', '--data', 'my faces')} or `data.crop` 32; `a b` stays"
    shown = "--held-out-minimum 3: {} --data 'my faces' or --crop 32; `a b` stays"
    monkeypatch.setattr(sys, "argv", ["scripts/predict.py"])
    assert for_shell(message) == shown.format("python scripts/train.py")
    monkeypatch.setattr(sys, "argv", [str(Path(sys.executable).parent / "hw8"), "predict"])
    assert for_shell(message) == shown.format("hw8 train")


def test_only_errors_of_files_and_of_the_output_are_one_line(monkeypatch):
    from hw8.commands import exit_codes

    def fail() -> None:
        raise OSError("could not get source code")

    monkeypatch.setattr(exit_codes, "leave", lambda: None)
    monkeypatch.setattr(exit_codes.signal, "signal", lambda *_: None)
    with pytest.raises(OSError, match="could not get source code"):
        exit_codes.run(fail)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no terminals that hang up")
def test_a_closed_terminal_stops_a_command_as_sigterm_does(monkeypatch):
    from hw8.commands import exit_codes

    monkeypatch.setattr(exit_codes, "leave", lambda: None)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as end:
            exit_codes.run(lambda: os.kill(os.getpid(), signal.SIGHUP) or time.sleep(5))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert end.value.code == 130


def test_without_the_environment_a_line_says_how_to_activate_it(tmp_path):
    """With neither site-packages nor an installed hw8, as the system's own Python has."""
    command = [sys.executable, "-S", "-E", str(ROOT / "scripts" / "train.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert re.fullmatch(r"error: \w+ is not installed for \S+; activate the environment .*\n", done.stderr), done.stderr


def test_no_message_spells_a_script_by_hand():
    paths = [path for path in (ROOT / "hw8").rglob("*.py") if "python scripts/" in path.read_text()]
    paths += [path for path in (ROOT / "scripts").glob("*.py") if "python scripts/" in path.read_text()]
    assert sorted(path.name for path in paths) == ["__main__.py", "benchmark.py", "spelling.py"]


@pytest.mark.slow
def test_it_starts_in_several_processes_of_which_one_speaks(tmp_path):
    words = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d"]
    words += ["--rdzv-endpoint", "localhost:0", "-m", "--", "hw8"]
    words += ["predict", "--run", "gone"]
    completed = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )
    assert completed.returncode != 0
    assert (
        completed.stderr.count("error: gone: no run here (config.yaml is missing); python -m hw8 train makes one") == 1
    )
