"""The command benchmark: hw8/commands/benchmark.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("benchmark")
