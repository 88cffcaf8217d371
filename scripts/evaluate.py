"""The command evaluate: hw8/commands/evaluate.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("evaluate")
