"""The command presets: hw8/commands/presets.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("presets")
