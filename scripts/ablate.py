"""The command ablate: hw8/commands/ablate.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("ablate")
