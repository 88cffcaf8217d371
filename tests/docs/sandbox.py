"""A place where the pages' shell blocks run as they stand, in small.

hw8 and its scripts are copied there with a few numbers changed: the homework has a few images and lies on a server of
this machine, the generated faces are few, and a preset trains for one epoch. Programs that are not hw8's, or would
install something, wait for somebody or need an account, are stood in for by small ones that look at their words.
"""

import functools
import hashlib
import http.server
import io
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw8.data.demo import demo_images
from tests.docs.pages import ROOT, Block
from tests.forks import FORKS
from tests.kaggle.stand_in import STAND_IN

TRAIN, TEST = 80, 24
FOR_A_BLOCK = 300.0  # seconds

# Each is in place of a program of that name, looks at its words, and fails for words that it does not know.
STANDS_IN = {
    # An environment of its own would have to be filled.
    "python": """case "$*" in
  "-m venv "*) mkdir -p "$3/bin"; : > "$3/bin/activate";;
  scripts/*|"-m hw8 "*) exec PYTHON -S FORKS "$@";;
  *) exec PYTHON "$@";;
esac""",
    "pip": """exec PYTHON - "$@" <<'PY'
import pathlib, re, sys, tomllib
verb, *words = sys.argv[1:]
assert verb == "install", verb
extras = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
known = {re.split(r"[<>=\\[]", line)[0].lower() for lines in extras.values() for line in lines}
known |= {"kaggle", "mlflow", "six"}
while words:
    word = words.pop(0)
    if word in ("-r", "-c"):
        assert pathlib.Path(words.pop(0)).is_file(), word
    elif word == "--index-url":
        assert words.pop(0).startswith("https://")
    elif word.startswith("."):
        assert set(re.findall(r"\\w+", word)) <= set(extras), word
    elif word not in ("-e", "--upgrade"):
        assert re.split(r"[<>=]", word)[0] in known | {"torch"}, word
PY""",
    "make": """for word; do MAKE -n "$word" >/dev/null; done""",
    "tensorboard": """[ "$1" = --logdir ] && ls "$2"/*/events.out.tfevents.* >/dev/null""",
    "wandb": """[ "$*" = login ]""",
    "mlflow": """[ "$*" = ui ] && [ -s mlflow.db ]""",
    # What is run in a container has to be a command.
    "docker": """case "$1" in
  build) [ -s Dockerfile ];;
  run) while [ $# -gt 0 ] && [ "${1%%:*}" != hw8 ]; do shift; done; PYTHON -m hw8 "$2" --help >/dev/null;;
  *) exit 1;;
esac""",
    "apt-get": """[ "$1" = install ]""",
    "hw8": """exec PYTHON -S FORKS -m hw8 "$@" """,
    # Four processes are as many as two here; tests/base/test_processes.py starts PyTorch's own torchrun.
    "torchrun": """[ "$1" = --nproc-per-node ] && shift 2
[ "$1 $2" = "-m --" ] && shift 2 && set -- -m "$@"
[ "$1" = -- ] && shift
export WORLD_SIZE=2 LOCAL_WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$((20000 + RANDOM % 20000))
RANK=1 LOCAL_RANK=1 PYTHON -S FORKS "$@" &
RANK=0 LOCAL_RANK=0 PYTHON -S FORKS "$@"
wait $!""",
}


class Sandbox:
    """A folder that looks like a checkout, with a small world around it."""

    def __init__(self, folder: Path, address: str, forks: Path) -> None:
        self.folder, self.bin = folder / "hw8", folder / "bin"
        self.folder.mkdir()
        self.bin.mkdir()
        for name in ("hw8", "scripts", "benchmarks"):
            shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in ROOT.iterdir():
            if path.is_file():
                shutil.copy(path, self.folder)
        for name in ("data", "submissions"):
            (self.folder / name).mkdir()
        self._shrink(address)
        for name, text in STANDS_IN.items():
            real = (
                text.replace("PYTHON", sys.executable)
                .replace("FORKS", f"{FORKS} {forks}")
                .replace("MAKE", shutil.which("make") or "make")
            )
            self._program(name, f"#!/bin/bash\n{real}\n")
        self._program("kaggle", STAND_IN.replace("PYTHON", sys.executable, 1))
        (self.bin / "mode").write_text("good")
        (self.bin / "list").write_text("ref,fileName,date,description,status,publicScore,privateScore\n")

    def _program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def _shrink(self, address: str) -> None:
        for name, old, new in (
            ("hw8/data/sources.py", "100_000", str(TRAIN)),
            ("hw8/data/sources.py", "19_636", str(TEST)),
            ("hw8/commands/check.py", "19_636", str(TEST)),
            ("hw8/commands/submit.py", "19_636", str(TEST)),
            ("hw8/data/demo.py", "TRAIN_COUNT, TEST_COUNT = 4000, 2000", f"TRAIN_COUNT, TEST_COUNT = {TRAIN}, {TEST}"),
            ("hw8/download/homework.py", "https://media.githubusercontent.com/media/", address),
            (
                "hw8/config/presets.py",
                "return PRESETS[name]()",
                'return changed(PRESETS[name](), train={"epochs": 1, "least_steps": 0})',
            ),
            *(("hw8/download/homework.py", before, after) for before, after in homework_files().items()),
        ):
            path = self.folder / name
            text = path.read_text()
            assert text.count(old) == 1, f"{name} no longer holds {old!r} once"
            path.write_text(text.replace(old, new))

    def run(self, block: Block) -> None:
        """Run a block as it stands. Fails with its output if a command of it fails."""
        environment = os.environ | {
            "PATH": f"{self.bin}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            "HOME": str(self.folder.parent),
            "WANDB_MODE": "offline",
            "WANDB_SILENT": "true",
            "OMP_NUM_THREADS": "1",
        }
        somebody, terminal = os.openpty()
        os.write(somebody, b"y\n" * 3)  # agrees to whatever is asked
        try:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.text],
                cwd=self.folder,
                env=environment,
                stdin=terminal,
                capture_output=True,
                text=True,
                timeout=FOR_A_BLOCK,
            )
        finally:
            os.close(terminal)
            os.close(somebody)
        assert done.returncode == 0, (
            f"{block.page.name}, line {block.line}: {done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        )


@functools.cache
def homework() -> dict[str, bytes]:
    """The homework's two files, in small."""
    test = [demo_images("normal", TEST // 2, seed=9), demo_images("cartoon", TEST // 2, seed=9)]
    found = {}
    for name, image_NHWC in (
        ("trainingset.npy", demo_images("normal", TRAIN, seed=3)),
        ("testingset.npy", np.concatenate(test)),
    ):
        box = io.BytesIO()
        np.save(box, image_NHWC)
        found[name] = box.getvalue()
    return found


def homework_files() -> dict[str, str]:
    """What download.py says of the homework's files, and what it has to say of these."""
    from hw8.download.homework import HOMEWORK

    return {
        f'{file.size:_}, "{file.sha256}"': f'{len(content)}, "{hashlib.sha256(content).hexdigest()}"'
        for file, content in zip(HOMEWORK, homework().values(), strict=True)
    }


def write_pictures(folder: Path, kind: str, count: int) -> None:
    """Pictures of a kind, as people keep them."""
    folder.mkdir(parents=True)
    for number, image_HWC in enumerate(demo_images(kind, count, seed=4)):
        Image.fromarray(image_HWC).save(folder / f"{number:03d}.png")


@pytest.fixture(scope="session")
def home() -> Iterator[str]:
    """A server of the homework's files; gives the address that its home's begins with."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = homework()[self.path.rsplit("/", 1)[1]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
