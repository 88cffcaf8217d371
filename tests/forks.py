"""A Python that has loaded what hw8 loads, and forks for each command: a new one takes five seconds to load it.

python forks.py SOCKET               serves until it is ended
python forks.py SOCKET WORDS...      runs `python WORDS...`, here: its folder, environment and open files are ours
"""

import json
import os
import runpy
import socket
import sys
import traceback
from pathlib import Path

FORKS = Path(__file__)


def serve(path: str) -> None:
    """Fork for every command that is asked for, one process each; hw8 itself is loaded by the command."""
    import matplotlib.pyplot  # noqa: F401
    import pandas  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.neighbors  # noqa: F401
    import torch
    import torch.utils.tensorboard

    torch.set_num_threads(1)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        while True:
            asked, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _command(asked)
            asked.close()
            _bury()


def _bury() -> None:
    """Take leave of commands that have ended."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def _command(asked: socket.socket) -> None:
    """Run a command in a process of its own, tell its exit code, and end."""
    text, files, _, _ = socket.recv_fds(asked, 1 << 20, 3)
    given = json.loads(text)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(given["folder"])
    os.environ.clear()
    os.environ.update(given["environment"])
    words = given["words"]
    sys.path[:0] = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.stdin, sys.stdout, sys.stderr = (open(n, "rw"[n > 0], closefd=False) for n in range(3))  # noqa: SIM115
    code = 0
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            sys.path.insert(0, str(Path(words[0]).resolve().parent))
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if code and not isinstance(leaving.code, int):
            print(leaving.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        asked.send(bytes([code]))
        os._exit(code)


def ask(path: str, words: list[str]) -> int:
    """Have a command run; its exit code, or 1 if its process was lost."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(path)
        given = {"words": words, "folder": str(Path.cwd()), "environment": dict(os.environ)}
        socket.send_fds(asking, [json.dumps(given).encode()], [0, 1, 2])
        return (asking.recv(1) or b"\1")[0]


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
    serve(sys.argv[1])
