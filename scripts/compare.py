"""The command compare: hw8/commands/compare.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("compare")
