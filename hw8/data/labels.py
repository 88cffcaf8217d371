"""The labels of a test set, where they are known: `ID,label[,kind]`, label 0 normal and 1 anomalous."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hw8.base.errors import InputError
from hw8.base.tables import ids_in_order, read_table

if TYPE_CHECKING:
    import pandas as pd

NORMAL = "normal"
UNNAMED = "anomaly"  # the kind of anomalies in a file without kinds
# What stands for a label, in any letter case.
LABEL_WORDS = dict.fromkeys(["0", "normal", "good", "ok", "false"], 0) | dict.fromkeys(
    ["1", "anomaly", "anomalous", "abnormal", "bad", "defect", "defective", "ng", "nok", "true"], 1
)
MAX_KIND = 100  # characters: a kind heads a column of tables and plots, and a longer one is a path or a sentence


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels in the order of the test set: `label_N` 0 or 1, `kind_N` the name of each image's kind."""

    label_N: np.ndarray
    kind_N: np.ndarray

    def __len__(self) -> int:
        return len(self.label_N)

    @property
    def why_unusable(self) -> str:
        """Why no ROC-AUC can be computed: all labels are alike; "" if there are both."""
        if self.label_N.min() != self.label_N.max():
            return ""
        return f"every label is {self.label_N[0]}; ROC-AUC needs normal and anomalous images"


def read_labels(path: Path, count: int | None = None) -> Labels:
    """Read a labels file, in the order of its IDs; its rows may stand in any order.

    `count` is the number of test images, if known. Raises InputError if the file is missing or not
    such a table, does not have `count` rows, misses or repeats an ID, has a label that is neither 0 nor 1
    nor a word for one of them, or gives one kind both labels.
    """
    table, label_N = read_label_table(path, "ID")
    if count is not None and len(table) != count:
        raise InputError(f"{path}: labels {len(table):,} images, but the test set has {count:,}; use its own labels")
    return labels_of(path, label_N, table.get("kind"), ids_in_order(path, table))


def read_label_table(path: Path, key: str) -> tuple["pd.DataFrame", np.ndarray]:
    """Read a table `key,label[,kind]`, its header in any letter case; return it with its labels, int64 (N,) of 0 and 1.

    Labels may be LABEL_WORDS. Raises InputError as `read_table` does, and naming the first line whose label
    is none.
    """
    table = read_table(path, (key, "label"), optional=("kind",), any_case=True)
    text = table["label"].str.strip().str.lower().str.replace(r"^([01])\.0*$", r"\1", regex=True)
    label_N = text.map(LABEL_WORDS).fillna(-1).to_numpy(np.int64)
    if (other := label_N < 0).any():
        row = int(other.argmax())
        problem = f"label must be 0 (normal) or 1 (anomalous), not {table['label'][row].strip()!r}"
        if text[row] in ("-1", "-1.0"):  # scikit-learn's 1 is normal, other programs' is not
            problem += "; 1 beside -1 may mean either: write 0 for the normal ones and 1 for the others"
        raise InputError(f"{path}: line {row + 2}: {problem}")
    return table, label_N


def labels_of(path: Path, label_N: np.ndarray, kinds: "pd.Series | None", order: np.ndarray) -> Labels:
    """The labels and kinds of a file's rows, those of `order`. Raises InputError for an impossible kind."""
    label_N = label_N[order]
    if kinds is None:
        return Labels(label_N, np.where(label_N == 0, NORMAL, UNNAMED))
    kinds = kinds.str.strip()
    if kinds.str.len().max() > MAX_KIND:
        raise InputError(f"{path}: a kind is longer than {MAX_KIND} characters; give it a name")
    kind_N = kinds.to_numpy(dtype=str)[order]
    kind_N = np.where(kind_N == "", np.where(label_N == 0, NORMAL, UNNAMED), kind_N)
    shared = set(kind_N[label_N == 0]) & set(kind_N[label_N == 1])
    if shared:
        raise InputError(f"{path}: kind '{min(shared)}' is labelled both 0 and 1; give anomalies kinds of their own")
    return Labels(label_N, kind_N)
