"""Results of the one-class protocol: the ledger of finished classes, their means, and their table."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hw8.base.files import write_table
from hw8.base.tables import numbers, read_table
from hw8.base.text import aligned

MEASURED = ("auc", "held_out_auc", "unseen_auc", "seconds")
COLUMNS = ("fingerprint", "preset", "seed", "class", *MEASURED, "epochs", "train_images", "test_images")
Row = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Results:
    """Finished results: a row of the ledger for each class, by seed."""

    rows: dict[int, dict[str, Row]]

    def by_seed(self, column: str = "auc") -> dict[int, dict[str, float]]:
        """A column of MEASURED, by seed and class."""
        return {
            seed: {name: float(row[column]) for name, row in by_class.items()} for seed, by_class in self.rows.items()
        }

    def seed_means(self, column: str = "auc") -> dict[int, float]:
        """The mean over classes, for each seed."""
        return {seed: float(np.mean(list(by_class.values()))) for seed, by_class in self.by_seed(column).items()}

    def mean(self, column: str = "auc") -> float:
        """The mean over classes and seeds: of the AUC, the protocol's figure."""
        return float(np.mean(list(self.seed_means(column).values())))

    def spread(self) -> float:
        """The largest of the seeds' mean AUCs less the smallest."""
        return float(np.ptp(list(self.seed_means().values())))

    def class_means(self) -> dict[str, float]:
        """The mean AUC over seeds, for each class."""
        by_seed = list(self.by_seed().values())
        return {name: float(np.mean([auc_of[name] for auc_of in by_seed])) for name in by_seed[0]}

    def as_json(self) -> dict[str, Any]:
        """The figures as one object."""
        return {
            "mean_auc": self.mean(),
            "spread": self.spread(),
            "mean_by_class": self.class_means(),
            "held_out_auc": self.mean("held_out_auc"),
            "unseen_auc": self.mean("unseen_auc"),
            "minutes": sum(sum(seconds.values()) for seconds in self.by_seed("seconds").values()) / 60,
            "auc": self.by_seed(),
        }

    def text(self) -> str:
        """The table: a row for each class, a column for each seed, and the means."""
        by_seed = self.by_seed()
        rows = [["class", *(f"seed {seed}" for seed in by_seed), "mean"]]
        for name, mean in self.class_means().items():
            rows.append([name, *(f"{auc_of[name]:.4f}" for auc_of in by_seed.values()), f"{mean:.4f}"])
        rows.append(["mean", *(f"{mean:.4f}" for mean in self.seed_means().values()), f"{self.mean():.4f}"])
        head, *lines, last = aligned(rows)
        rule = "-" * len(head)
        return "\n".join([head, rule, *lines, rule, last])


def read_ledger(path: Path) -> list[Row]:
    """The rows of finished classes, in the order in which they were written; none if there is no file.

    Raises InputError if it is not a ledger.
    """
    if not path.exists():
        return []
    table = read_table(path, COLUMNS)
    for column in MEASURED:
        numbers(path, table, column)
    return [{str(key): str(value) for key, value in row.items()} for row in table.to_dict("records")]


def write_ledger(path: Path, rows: Sequence[Row]) -> None:
    """Write the whole ledger, atomically."""
    write_table(path, COLUMNS, ([row[column] for column in COLUMNS] for row in rows))
