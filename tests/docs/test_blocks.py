"""Every command and program of the pages works."""

import json
import subprocess
import sys

import pytest

from hw8.config import to_yaml
from hw8.config.presets import load_preset
from hw8.data.demo import write_demo
from tests.docs.pages import (
    LANGUAGES,
    PAGES,
    ROOT,
    blocks,
    commands,
    inline_calls,
    name,
    of_language,
    unfenced_commands,
)  # fmt: skip
from tests.docs.sandbox import TEST, TRAIN, Sandbox, home, homework, write_pictures  # noqa: F401 (a fixture)

FOR_ALL = 120.0  # seconds
IN_PARTS = 1024  # test images, enough for four parts
COURSE = [page for page in PAGES if page.parent.name == "course"]  # later chapters use the runs of earlier ones
TOGETHER = [*([page] for page in PAGES if page not in COURSE and of_language(page, "bash")), COURSE]
# Reads the command lines that it is given, as the scripts would, and stops before anything is done.
READER = """
import json, os, runpy, sys
from hw8.commands import parsing, train_arguments

class Understood(Exception):
    pass

def stopping(parse):
    def parsed(*words, **named):
        parse(*words, **named)
        raise Understood
    return parsed

train_arguments.parse_training = stopping(train_arguments.parse_training)
parsing.parse = stopping(parsing.parse)  # of the other commands: training has imported the one before
for line in json.load(sys.stdin):
    sys.argv = line
    sys.path[0] = os.path.dirname(line[0])
    try:
        runpy.run_path(line[0], run_name="__main__")
    except Understood:
        continue
    except SystemExit as leaving:
        sys.exit(f"{line}: {leaving.code}")
    sys.exit(f"{line}: was not read")
"""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_are_fenced_and_of_a_known_language(page):
    assert not unfenced_commands(page)
    assert {block.language for block in blocks(page)} <= LANGUAGES


@pytest.mark.slow
@pytest.mark.parametrize("pages", TOGETHER, ids=lambda pages: name(pages[0]))
def test_every_shell_block_runs(pages, tmp_path, home, forks):  # noqa: F811
    sandbox = Sandbox(tmp_path, home, forks)
    found = [block for page in pages for block in of_language(page, "bash")]
    if not any("download_data.py hw8" in block.text for block in found):
        for file, content in homework().items():
            (sandbox.folder / "data" / file).write_bytes(content)
    write_pictures(sandbox.folder / "my-pictures" / "normal", "normal", 60)
    write_pictures(sandbox.folder / "my-pictures" / "anomaly" / "cat", "cat", 6)
    write_pictures(sandbox.folder / "new-pictures", "normal", 6)
    write_demo(sandbox.folder / "images", TRAIN, IN_PARTS)
    (sandbox.folder / "submissions" / "NAME.csv").write_text("ID,score\n" + "".join(f"{i},{i}\n" for i in range(TEST)))
    for block in found:
        sandbox.run(block)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if of_language(page, "python")], ids=name)
def test_every_python_block_runs(page, tmp_path):
    program = "\n".join(f"#line {block.line}\n{block.text}" for block in of_language(page, "python"))
    (tmp_path / "page.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=FOR_ALL,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_commands_in_sentences_and_blocks_are_understood(tmp_path):
    run = tmp_path / "runs" / "first"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(to_yaml(load_preset("boss_quick")))
    lines = []
    for page in PAGES:
        for program, *rest in inline_calls(page):
            words = [word for word in rest if word != "--help"]
            if words or not rest:
                lines.append([str(ROOT / "scripts" / f"{program}.py"), *words])
        for block in of_language(page, "bash"):
            for program, *rest in commands(block):
                if rest != ["--help"]:
                    lines.append([str(ROOT / "scripts" / f"{program}.py"), *rest])
    assert len(lines) > 100
    done = subprocess.run(
        [sys.executable, "-c", READER],
        cwd=tmp_path,
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        timeout=FOR_ALL,
    )
    assert done.returncode == 0, done.stderr[-2000:]
