"""The commands, one module each: its options, the call, and what it prints."""

# ruff: noqa: E501 (one line per command)

import importlib
import os
import sys

# What `hw8 --help` lists: written here, since importing every module for its first line would take seconds.
# A test compares these with the first lines of the modules.
COMMANDS = {
    "ablate": "Measure what each piece of a run's evidence is worth: alone, left out of the joint score, added to it.",
    "benchmark": "Measure speeds beside the course's way to train and score, in pairs in one run, and print their ratios.",
    "check": "Check a submission file as Kaggle does: header, every ID once and in order, finite scores, row count.",
    "compare": "Train and score several presets with several seeds, and put them in one table.",
    "download_data": "Download data, check it, and put it where training looks for it. The same command resumes after a break.",
    "evaluate": "Measure submission files against labels: ROC-AUC by kind, of one file with confidence intervals.",
    "explain": "Say why one image has its score: which evidence is how unusual, its reconstruction and its error map.",
    "explore": "Serve a local page to look through a test set by any score, and to try images of your own. Ctrl-C ends it.",
    "export": "Write a run as one file that scores images without hw8 or PyTorch: uint8 images in, score and p-value out.",
    "merge": "Put the parts that predict --shard wrote together to one submission, checked.",
    "oneclass": "Measure a preset by the one-class protocol: each class in turn is normal, all others are anomalies.",
    "predict": "Score a test set with a run, or with several fused into one, and write the Kaggle file.",
    "prepare_data": "Turn a folder of pictures into the array files that hw8 trains on.",
    "presets": "List the presets, a line each: what it is, and what it reached on real faces in how many minutes.",
    "report": "Write a page about a run: curves, calibration, and a gallery of what it finds and misses, to be opened offline.",
    "sample": "Draw images from the prior of a generative run (vae, aae), and walks between test images in its latent space.",
    "submit": "Submit a file to Kaggle through its official client, within five a day, and keep a ledger of scores.",
    "train": "Train an autoencoder on normal images and measure it on images held out from them.",
}


def run(name: str) -> None:
    """Call a command with this process's command line, and exit with its code (see `hw8.commands.exit_codes.run`)."""
    try:
        from hw8.commands import exit_codes

        main = importlib.import_module(f"hw8.commands.{name}").main
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "hw8":
            raise
        activate = r".venv\Scripts\activate" if os.name == "nt" else ". .venv/bin/activate"
        hint = f"activate the environment ({activate}), or pip install -r requirements.txt"
        print(f"error: {error.name} is not installed for {sys.executable}; {hint}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    exit_codes.run(main)
