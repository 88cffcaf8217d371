"""The command oneclass: hw8/commands/oneclass.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("oneclass")
