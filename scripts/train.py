"""The command train: hw8/commands/train.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("train")
