"""The command predict: hw8/commands/predict.py."""

from hw8.commands import run

if __name__ == "__main__":
    run("predict")
