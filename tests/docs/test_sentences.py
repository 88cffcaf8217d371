"""Every command that stands in a sentence of a page works, in small."""

import shlex

import pytest

from tests.docs.pages import PAGES, README, ROOT, Block, inline_calls, inline_commands
from tests.docs.sandbox import Sandbox, home, write_pictures  # noqa: F401 (a fixture)

# The runs and files that the sentences speak of.
BEFORE = """
mkdir -p runs/course
for seed in 0 1 2; do python scripts/train.py --preset fcn --data demo --seed $seed --out runs/seed-$seed; done
python scripts/train.py --preset vae --data demo --out runs/vae
cp -r runs/vae runs/course; cp -r runs/seed-0 runs/a; cp -r runs/seed-1 runs/b; cp -r runs/seed-2 runs/c
for name in first fcn mine plain boss-0 course/squared; do cp -r runs/seed-0 runs/$name; done
python scripts/prepare_data.py my-pictures new-images
for name in squared entropy; do python scripts/predict.py --run runs/a --out submissions/$name.csv; done
"""
COMPARED = inline_commands(ROOT / "docs" / "benchmarks" / "facebench.md")
ALL_PRESETS = next(line.partition(" --presets ")[2] for line in COMPARED if " --presets " in line)
# What would take minutes, or more than the few images here, and what is run in its place.
SHORTER = {
    "--minutes 20": "--minutes 0.1",
    "--seeds 0 1 2": "--seeds 0",
    ALL_PRESETS: "mean_image pca fcn",
    "/usr/share/datasets/fashion-mnist": "labelled",
    "--id 396": "--id 20",
}
ELSEWHERE = {
    "benchmark": "takes minutes: tests/commands/test_benchmark.py",
    "download_data": "needs the network: tests/download",
}


def runnable(program: str, words: list[str]) -> str:
    """A call as a line for the shell."""
    line = shlex.join(["python", f"scripts/{program}.py", *words])
    for long, short in SHORTER.items():
        line = line.replace(long, short)
    if program == "oneclass" and "--classes" not in words:
        line += " --classes 0 6"
    if program == "oneclass" and "--epochs" not in words:
        line += " --epochs 1"
    if program == "explore":  # serves until Ctrl-C, which reaches a process of its own only
        line = f"timeout -s INT 10 {line.replace('python', 'python -u')} --port 0 || [ $? = 124 ]"
    return line


@pytest.mark.slow
def test_every_command_in_a_sentence_runs(tmp_path, home, forks):  # noqa: F811
    sandbox = Sandbox(tmp_path, home, forks)
    for folder in ("my-pictures/normal", "labelled/0", "labelled/6"):
        write_pictures(sandbox.folder / folder, "normal", 60)
    write_pictures(sandbox.folder / "my-pictures" / "anomaly" / "cat", "cat", 6)
    sandbox.run(Block(README, 0, "bash", BEFORE))
    calls = {
        runnable(program, words): page
        for page in PAGES
        for program, *words in inline_calls(page)
        if program not in ELSEWHERE
    }
    assert len(calls) > 35
    for line, page in calls.items():
        sandbox.run(Block(page, 0, "bash", line))
