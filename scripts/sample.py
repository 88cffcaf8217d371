"""The command sample: hw8/commands/sample.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("sample")
