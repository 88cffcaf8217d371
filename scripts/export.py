"""The command export: hw8/commands/export.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("export")
