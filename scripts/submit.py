"""The command submit: hw8/commands/submit.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("submit")
