"""The command explore: hw8/commands/explore.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("explore")
