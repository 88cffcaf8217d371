"""Results of the one-class protocol: the ledger of finished ones, their means, and their table."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hw8.base.files import write_text
from hw8.base.tables import numbers, read_table

MEASURED = ("auc", "held_out_auc", "unseen_auc", "seconds")
COLUMNS = ("fingerprint", "preset", "seed", "class", *MEASURED, "epochs", "train_images", "test_images")
Row = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Finished results: a row (see COLUMNS) for each class, by seed."""

    rows: dict[int, dict[str, Row]]

    def by_seed(self, column: str = "auc") -> dict[int, dict[str, float]]:
        """A measured column, by seed and class."""
        return {
            seed: {name: float(row[column]) for name, row in by_class.items()} for seed, by_class in self.rows.items()
        }

    def seed_means(self, column: str = "auc") -> dict[int, float]:
        """The mean over classes, of each seed."""
        return {seed: float(np.mean(list(found.values()))) for seed, found in self.by_seed(column).items()}

    def mean(self, column: str = "auc") -> float:
        """The mean over classes and seeds: with AUC, the protocol's figure."""
        return float(np.mean(list(self.seed_means(column).values())))

    def spread(self) -> float:
        """The largest of the seeds' means less the smallest."""
        means = self.seed_means().values()
        return max(means) - min(means)

    def class_means(self) -> dict[str, float]:
        """The mean over seeds, of each class."""
        found = self.by_seed()
        return {name: float(np.mean([auc[name] for auc in found.values()])) for name in next(iter(found.values()))}

    def as_json(self) -> dict[str, Any]:
        """The figures as one object."""
        return {
            "mean_auc": self.mean(),
            "spread": self.spread(),
            "mean_by_class": self.class_means(),
            "held_out_auc": self.mean("held_out_auc"),
            "unseen_auc": self.mean("unseen_auc"),
            "minutes": sum(sum(found.values()) for found in self.by_seed("seconds").values()) / 60,
            "auc": self.by_seed(),
        }

    def text(self) -> str:
        """The table: a row for each class, a column for each seed, and the means."""
        found, means = self.by_seed(), self.class_means()
        width = max(5, *(len(name) for name in means))
        head = f"{'class':<{width}}  " + "  ".join(f"seed {seed:<3}" for seed in found) + "      mean"
        lines = [head, "-" * len(head)]
        for name, mean in means.items():
            lines.append(
                f"{name:<{width}}  " + "  ".join(f"{auc[name]:8.4f}" for auc in found.values()) + f"  {mean:8.4f}"
            )
        lines.append("-" * len(head))
        values = "  ".join(f"{mean:8.4f}" for mean in self.seed_means().values())
        return "\n".join([*lines, f"{'mean':<{width}}  {values}  {self.mean():8.4f}"])


def read_ledger(path: Path) -> list[Row]:
    """The rows of finished results, in the order in which they were made. Raises InputError if it is no ledger."""
    if not path.exists():
        return []
    table = read_table(path, COLUMNS)
    for column in MEASURED:
        numbers(path, table, column)
    return [{str(key): str(value) for key, value in row.items()} for row in table.to_dict("records")]


def write_ledger(path: Path, rows: Sequence[Row]) -> None:
    """Write the file anew, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
