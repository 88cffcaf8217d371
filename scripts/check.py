"""The command check: hw8/commands/check.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("check")
