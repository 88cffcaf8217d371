"""The command hw8: the scripts by their names, and messages that spell commands as the user started them."""

import difflib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hw8 import __version__, commands
from hw8.__main__ import scripts
from hw8.commands import own_spelling, spelled

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
ENTRY = "import sys; sys.argv[0] = '/somewhere/bin/hw8'; from hw8.__main__ import main; main()"


def call(*program: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, *map(str, program)]
    done = subprocess.run(words, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def refused(*words: str, cwd: Path) -> str:
    done = call("-c", ENTRY, *words, cwd=cwd, code=2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_help_lists_every_command_with_what_its_script_says_of_itself(tmp_path):
    shown = call("-c", ENTRY, "--help", cwd=tmp_path).stdout
    assert shown == call("-c", ENTRY, "-h", cwd=tmp_path).stdout
    assert list(scripts()) == SCRIPTS
    lines = [line.split(maxsplit=1) for line in shown.splitlines() if line.startswith("  ")]
    assert [name for name, _ in lines] == SCRIPTS
    for name, said in lines:
        assert (ROOT / "scripts" / f"{name}.py").read_text().startswith(f'"""{said}')
    assert "usage: hw8 COMMAND" in shown


def test_help_is_quick_and_loads_no_pytorch(tmp_path):
    def spent() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        call("-m", "hw8", "--help", cwd=tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(spent() for _ in range(3)) < 0.4, "seconds of processor time, which others at work do not change"
    told = call("-X", "importtime", "-m", "hw8", "--help", cwd=tmp_path).stderr
    assert not {"torch", "numpy", "pandas"} & {line.rpartition("|")[2].strip() for line in told.splitlines()}


def test_version(tmp_path):
    assert call("-c", ENTRY, "--version", cwd=tmp_path).stdout == f"hw8 {__version__}\n"


def test_an_unknown_command_is_refused_with_the_nearest(tmp_path):
    line = refused("trian", cwd=tmp_path)
    assert line == "error: 'trian': no such command; did you mean train? hw8 --help lists them"
    assert "did you mean download_data?" in refused("download", cwd=tmp_path)
    assert "did you mean" not in refused("zzzzzz", cwd=tmp_path)
    assert refused("../train", cwd=tmp_path).startswith("error: '../train': no such command;")
    assert "\\x1b" in refused("\x1b[2J", cwd=tmp_path)


def test_a_missing_or_late_command_is_refused(tmp_path):
    assert refused(cwd=tmp_path) == "error: no command is given; hw8 --help lists them"
    assert refused("", cwd=tmp_path) == "error: no command is given; hw8 --help lists them"
    line = refused("--preset", "boss", "train", cwd=tmp_path)
    assert line == "error: '--preset': the command comes first; hw8 --help lists them"


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    words = f"{sys.executable} -m hw8 --help | true"
    done = subprocess.run(words, shell=True, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_commands_help_is_its_scripts(name, tmp_path):
    script = call(ROOT / "scripts" / f"{name}.py", "--help", cwd=tmp_path).stdout
    for start, words in (("hw8", ["-c", ENTRY]), ("python -m hw8", ["-m", "hw8"])):
        found = call(*words, name, "--help", cwd=tmp_path).stdout
        assert found.startswith(f"usage: {start} {name} ")
        ours, its = ("".join(text.partition("\n\n")[2].split()) for text in (found, script))
        assert ours == its, "".join(difflib.unified_diff([script], [found]))


def test_dashes_do_as_well_as_underscores(tmp_path):
    for name in ("download", "prepare"):
        both = [call("-m", "hw8", f"{name}{dash}data", "--help", cwd=tmp_path).stdout for dash in "-_"]
        assert both[0] == both[1]


def test_errors_and_exit_codes_are_the_scripts(tmp_path):
    for words in (["train", "--preset", "none"], ["train", "--data", "nowhere"], ["check", "gone.csv"], ["merge"]):
        script = call(ROOT / "scripts" / f"{words[0]}.py", *words[1:], cwd=tmp_path, code=2)
        command = call("-c", ENTRY, *words, cwd=tmp_path, code=2)
        assert command.stderr == script.stderr.replace(str(ROOT / "scripts" / f"{words[0]}.py"), f"hw8 {words[0]}")
        assert command.stdout == script.stdout == ""


def test_messages_spell_commands_as_the_user_started_them(tmp_path):
    for start, words in (
        ("hw8 train", ["-c", ENTRY, "predict"]),
        ("python -m hw8 train", ["-m", "hw8", "predict"]),
        ("python scripts/train.py", [ROOT / "scripts" / "predict.py"]),
    ):
        done = call(*words, cwd=tmp_path, code=2)
        assert done.stderr == f"error: --run: no finished run in runs/; train one first: {start}\n"


def test_in_a_program_of_ones_own_commands_are_spelled_as_scripts():
    assert spelled("train") == "python scripts/train.py"
    assert own_spelling() is None


def test_the_command_line_is_kept_as_one_would_type_it(monkeypatch):
    from hw8.cli import command_line

    monkeypatch.setattr(sys, "argv", ["scripts/train.py", "--data", "my faces"])
    assert command_line() == "python scripts/train.py --data 'my faces'"
    monkeypatch.setattr(commands, "_program", "hw8")
    assert command_line() == "hw8 train --data 'my faces'"
    monkeypatch.setattr(sys, "argv", ["scripts/train.py"])
    assert command_line() == "hw8 train"


def test_no_message_spells_a_script_by_hand():
    told = [path for path in (ROOT / "hw8").rglob("*.py") if "python scripts/" in path.read_text()]
    told += [path for path in (ROOT / "scripts").glob("*.py") if "python scripts/" in path.read_text()]
    assert sorted(path.name for path in told) == ["__main__.py", "benchmark.py", "commands.py"]


def test_it_starts_in_several_processes_of_which_one_speaks(tmp_path):
    words = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d"]
    words += ["--rdzv-endpoint", "localhost:0", "-m", "--", "hw8"]
    words += ["predict", "--run", "gone"]
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode != 0
    assert done.stderr.count("error: gone: no run here (config.yaml is missing); python -m hw8 train makes one") == 1
