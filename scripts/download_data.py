"""The command download_data: hw8/commands/download_data.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("download_data")
