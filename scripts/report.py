"""The command report: hw8/commands/report.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("report")
