"""The command explain: hw8/commands/explain.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("explain")
