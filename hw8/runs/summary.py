"""What a finished training is recorded as: the content of summary.json, and the figures of a tracker."""

from typing import Any

import numpy as np

from hw8.base.environment import describe_environment
from hw8.base.processes import processes
from hw8.evaluation.held_out import HeldOut
from hw8.runs.health import training_warnings
from hw8.runs.trained_run import TrainedRun
from hw8.training.loop import Trainer


def summarise(trainer: Trainer, run: TrainedRun, held_out_by_score: dict[str, HeldOut]) -> dict[str, Any]:
    """The content of summary.json."""
    progress, config = trainer.state.progress, trainer.config
    held_out = held_out_by_score[run.score_name]
    images, rows = trainer.images, trainer.splits.development
    return {
        **described(trainer),
        "epochs": len(progress.history),
        "batch_size": config.train.batch_size,
        "best_epoch": progress.best_epoch,
        "best_held_out_loss": progress.best_loss,
        "stopped_early": progress.stopped_early,
        "skipped_steps": progress.skipped_steps,
        "train_minutes": progress.seconds / 60,
        "images_per_second": float(np.median([row["images_per_second"] for row in progress.history])),
        "score": run.score_name,
        "held_out": held_out.common.as_json(),
        "held_out_unseen": held_out.unseen.as_json(),
        "diagnosis": run.scorer.diagnose(images, rows),
        "held_out_macro_auc_by_score": {name: item.common.macro.auc for name, item in held_out_by_score.items()},
        "unseen_macro_auc_by_score": {name: item.unseen.macro.auc for name, item in held_out_by_score.items()},
        "warnings": training_warnings(config, progress.history, run.scorer, images, rows, held_out.common),
    }


def described(trainer: Trainer) -> dict[str, Any]:
    """What was trained, on what, where and by which command."""
    config, splits = trainer.config, trainer.splits
    return {
        "preset": config.preset,
        "model": config.model.name,
        "parameters": sum(p.numel() for p in trainer.state.model.parameters()),
        "seed": config.seed,
        "data": {
            "source": config.data.source,
            "images": len(trainer.images),
            "side": trainer.images.side,
            "fingerprint": trainer.state.fingerprint,
            "split_seed": config.data.split_seed,
            **{part: len(rows) for part, rows in vars(splits).items()},
        },
        "device": str(trainer.device),
        "precision": trainer.precision,
        "processes": processes().world_size,
        "command": trainer.state.progress.command,
        **describe_environment(),
    }


def tracked_figures(held_out: HeldOut) -> dict[str, float]:
    """The held-out measurement as a tracker logs it."""
    figures = {}
    for part, table in (("held_out", held_out.common), ("unseen", held_out.unseen)):
        figures[f"{part}/macro_auc"] = table.macro.auc
        figures |= {f"{part}/{name}": kind.auc for name, kind in table.kinds.items()}
    return figures
