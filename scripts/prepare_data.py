"""The command prepare_data: hw8/commands/prepare_data.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("prepare_data")
