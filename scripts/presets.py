"""The command presets: hw8/commands/presets.py."""

import _checkout  # noqa: F401 (first: it says where hw8 is)

from hw8.commands import run

if __name__ == "__main__":
    run("presets")
