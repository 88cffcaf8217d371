"""The command merge: hw8/commands/merge.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("merge")
