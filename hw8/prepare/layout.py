"""Which pictures of a folder are normal, anomalous, to train on and to test with: by its subfolders, or by a table."""

import dataclasses
import os
import re
import unicodedata
from collections import Counter

import numpy as np

from hw8.base.errors import InputError, printable
from hw8.data.labels import NORMAL, UNNAMED
from hw8.data.picture_folder import SUFFIXES, PictureFolder
from hw8.data.splits import MIN_IMAGES
from hw8.prepare.label_table import TABLE, check_none_ignored, naming_tables, own_table, read_kinds

# As inspection sets name the folder of normal pictures: `good` in MVTec AD, `ok` in BTAD, others with their anomalies.
NORMAL_FOLDERS = frozenset(
    [NORMAL, "normals", "good", "ok", "defect_free", "no_anomaly", "no_defect", "no_defects", "non_defective", "intact",
     "undamaged", "healthy", "negative", "negatives", "正常", "良品", "合格"]
)  # fmt: skip
ANOMALY_FOLDER = "anomaly"
# Folders whose pictures are hardly normal ones to train on, by the names that inspection sets give them.
SUSPICIOUS_FOLDERS = frozenset(
    ["test", "ground_truth", "anomaly", "anomalies", "anomalous", "abnormal", "abnormals", "abnormality", "bad",
     "broken", "contaminated", "contamination", "crack", "cracked", "cracks", "damage", "damaged", "damages", "defect",
     "defective", "defects", "dent", "dents", "fail", "failed", "failure", "failures", "fault", "faults", "faulty",
     "flaw", "flawed", "flaws", "hole", "holes", "ko", "ng", "no_good", "nok", "not_good", "not_ok", "outlier",
     "outliers", "positive", "positives", "reject", "rejected", "rejects", "scrap", "scratch", "scratched",
     "scratches", "異常", "异常", "瑕疵", "缺陷", "欠陥", "不良", "不良品", "不合格", "損壞", "损坏"]
)  # fmt: skip
# Endings of names that do not tell normal from anomalous.
CONTENTS = re.compile("_(images?|imgs?|items?|parts?|photos?|pics?|pictures?|samples?)$")
# Folders beside the normal one that are no kind of anomaly: other parts of the set, and masks.
NO_KINDS = frozenset(["train", "val", "valid", "validation", "test", "ground_truth", "mask", "masks"])
# Of the normal pictures, held back to be told from anomalies; a fifth is customary. A smaller share makes ROC-AUC
# uncertain, a larger one leaves less to train on.
TEST_SHARE = 0.2
FOLDERS_SHOWN = 5  # folders that a line names


@dataclasses.dataclass(frozen=True)
class Parts:
    """The pictures of a folder to train on and to test with, in the order of the arrays.

    `testing` holds names and kinds, NORMAL for normal pictures; the kinds count as labels only if it is `labelled`.
    Parts that are `test_only` need no training pictures. `held_back` of the test pictures were meant for training. Once
    written, it is known that `repeated` training images are equal to another one, `shared` test images to a training
    image, and that no pixel is above `brightest`. `warnings` say what may be wrong with the layout.
    """

    folder: PictureFolder
    layout: str
    training: list[str]
    testing: list[tuple[str, str]]
    labelled: bool = False
    test_only: bool = False
    repeated: int = 0
    shared: int = 0
    brightest: int = 255
    held_back: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def kinds(self) -> dict[str, int]:
        """The number of test pictures of each kind, normal ones first; empty if the kinds are unknown."""
        counts = Counter(kind for _, kind in self.testing) if self.labelled else {}
        return dict(sorted(counts.items(), key=lambda item: (item[0] != NORMAL, item[0])))

    def check(self) -> None:
        """Raise InputError if there are too few pictures to train on, or labels of normal or anomalous ones only."""
        kinds = set(self.kinds)
        if len(self.training) < MIN_IMAGES and not self.test_only:
            problem = f"{len(self.training)} normal pictures to train on; at least {MIN_IMAGES} are needed"
            count = len(self.training) + self.held_back
            # Rounded down to two digits, so that no more are held back.
            share = (count - MIN_IMAGES) * 100 // max(1, count) / 100
            if self.held_back and share > 0:
                problem += f"; `test_share` {share:g} leaves that many"
            if self.testing:
                problem += "; `test_share` 1 makes a test set of all, for a run that is trained already"
        elif self.labelled and NORMAL not in kinds:
            problem = "no normal picture to test on beside the anomalies; add some"
        elif self.labelled and kinds == {NORMAL}:
            problem = "no anomaly to test on that can be read; add some, or remove their folders"
        else:
            return
        raise self.folder.refusal(problem)


def recognise(folder: PictureFolder) -> Parts:
    """Tell normal pictures from anomalies; the test part is what the folder itself holds to test on, and anomalies.

    Pictures without a place in the layout are skipped. Raises InputError if there are no pictures, or the normal ones
    cannot be told from the others.
    """
    if not folder.names:
        raise folder.refusal(f"holds no pictures ({' '.join(sorted(SUFFIXES))})")
    if table := own_table(folder):
        return _by_table(folder, table)
    parts = _by_subfolders(folder)
    if folder.tables:
        some = ", ".join(folder.tables[:FOLDERS_SHOWN]) + ", ..." * (len(folder.tables) > FOLDERS_SHOWN)
        warning = f"not read: {some}; labels are read from {TABLE} in the folder itself alone"
        parts = dataclasses.replace(parts, warnings=(*parts.warnings, warning))
    return parts


def _by_subfolders(folder: PictureFolder) -> Parts:
    """Group pictures by the names of their subfolders. Raises InputError if the normal ones cannot be told so."""
    heads = {tuple(_word(name) for name in name.split("/")[:-1][:2]) for name in folder.names}
    tops = {head[0] for head in heads if head}
    if any(head[0] == "train" and head[1] in NORMAL_FOLDERS for head in heads if len(head) == 2):
        return _by_folder(folder, "train/ and test/: folders of normal pictures and of anomalies", True)
    if {head[:1] for head in heads} == {("test",)} and any(len(head) == 2 for head in heads):
        return _by_folder(folder, "test/: folders of normal pictures and of anomalies", True)
    if {"train", "test"} <= tops:
        raise folder.refusal(f"has train/ and test/, but no pictures in train/{NORMAL}/; move the normal ones there")
    if tops & NORMAL_FOLDERS and (ANOMALY_FOLDER in tops or not tops - NORMAL_FOLDERS - NO_KINDS):
        return _by_folder(folder, f"{NORMAL}/ and {ANOMALY_FOLDER}/: folders of pictures by kind", False)
    if tops & NORMAL_FOLDERS:
        return _by_folder(folder, "a folder of normal pictures, and beside it one for each kind of anomaly", False)
    if ANOMALY_FOLDER in tops:
        raise folder.refusal(f"has {ANOMALY_FOLDER}/, but no pictures in {NORMAL}/; move the normal ones there")
    return _all_normal(folder)


def _all_normal(folder: PictureFolder) -> Parts:
    """All pictures as normal ones. Raises InputError if names of folders, or a table, tell that they may not be."""
    check_none_ignored(folder)
    places = [name.rpartition("/")[0] for name in folder.names]
    shared = os.path.commonpath(places) if all(places) else ""
    words_of = {place: [_word(name) for name in place.split("/")] for place in set(places)}
    inside = len(shared.split("/")) if shared else 0
    below = {words[inside] for words in words_of.values() if len(words) > inside}
    if shared and ((below & NORMAL_FOLDERS and len(below) > 1) or {"train", "test"} <= below):
        raise folder.refusal(
            f"all pictures are in {shared}/, which has folders of normal pictures and of others; give "
            f"{folder.root / shared}"
        )
    suspicious_of = {
        place: {name for name in place.split("/") if _word(name) in SUSPICIOUS_FOLDERS} for place in words_of
    }
    if suspicious := [folders for place in places if (folders := suspicious_of[place])]:
        names = ", ".join(sorted(map(printable, set.union(*suspicious))))
        raise folder.refusal(
            f"every picture would be taken as normal, also {len(suspicious):,} in folders named {names}; move normal "
            f"pictures to {NORMAL}/ and anomalies to {ANOMALY_FOLDER}/KIND/, prepare one object at a time, or give "
            "`unlabelled` to score them all"
        )
    counts = Counter(place.split("/")[inside] if len(place) > len(shared) else "." for place in places)
    warnings = _of_several(counts) if len(counts) > 1 else ()
    return Parts(folder, "plain folder: every picture is taken as normal", folder.names, [], warnings=warnings)


def _of_several(counts: dict[str, int]) -> tuple[str]:
    """The warning of folders, with their numbers of pictures, that are all taken as normal."""
    some = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:FOLDERS_SHOWN])
    some += ", ..." * (len(counts) > FOLDERS_SHOWN)
    remedy = f"move them to {ANOMALY_FOLDER}/KIND/, and the others to {NORMAL}/"
    return (f"{len(counts):,} folders are all taken as normal ({some}); if some hold anomalies, {remedy}",)


def _word(name: str) -> str:
    """The name of a folder as it is compared: "bad" for Bad, "bad parts" or BAD-images; words joined by underscores."""
    word = re.sub(r"[\s-]+", "_", unicodedata.normalize("NFC", name).lower())
    return CONTENTS.sub("", word)


def check_all_normal(folder: PictureFolder) -> tuple[str, ...]:
    """Raise InputError unless every picture is taken as normal: the folder has no layout of normal ones and others.

    Returns warnings of what may be wrong with that all the same.
    """
    warnings: tuple[str, ...] = ()
    try:
        parts = recognise(folder)
        all_normal, warnings = not parts.testing and len(parts.training) == len(folder.names), parts.warnings
    except InputError:  # which tells `prepare_data` what to do
        all_normal = not folder.names  # no pictures at all are reported by who reads them
    if all_normal:
        return warnings
    tables = [name for name in folder.tables if name.lower() == TABLE] or [*naming_tables(folder)]
    if tables:
        problem = f"has {printable(tables[0])}; pictures that it lists or leaves out may not be normal"
    else:
        some = ", ".join(list(dict.fromkeys(name.rpartition("/")[0] or "." for name in folder.names))[:FOLDERS_SHOWN])
        problem = f"has pictures in folders ({some}) that may not all be normal"
    raise InputError(f"{folder.root}: {problem}; give the folder of the normal ones alone, or a list of them")


def _by_folder(folder: PictureFolder, layout: str, has_parts: bool) -> Parts:
    """Group pictures by the subfolders they are in, below train/ and test/ if the folder `has_parts`."""
    parts = Parts(folder, layout, [], [])
    tops = {_word(name.partition("/")[0]) for name in folder.names}
    siblings_are_kinds = not has_parts and ANOMALY_FOLDER not in tops
    for name in folder.names:
        *subfolders, _ = name.split("/")
        part = _word(subfolders.pop(0)) if has_parts and subfolders else ""
        is_other = siblings_are_kinds and bool(subfolders) and _word(subfolders[0]) in NO_KINDS
        kind = _kind(folder, subfolders, any_is_kind=part == "test" or (siblings_are_kinds and not is_other))
        if kind is None or part not in ("", "train", "test") or (part == "train" and kind != NORMAL):
            hint = ""
            if siblings_are_kinds:
                hint = f": normal pictures belong in {NORMAL}/ or good/, anomalies in a folder beside it for each kind"
            elif not has_parts:
                hint = f": normal pictures belong in {NORMAL}/, anomalies in {ANOMALY_FOLDER}/KIND/"
            folder.skipped[name] = f"in no folder of the layout{hint}"
        elif part == "test" or kind != NORMAL:
            parts.testing.append((name, kind))
        else:
            parts.training.append(name)
    return parts


def _kind(folder: PictureFolder, subfolders: list[str], any_is_kind: bool) -> str | None:
    """The kind of pictures in these subfolders, or None; `any_is_kind`: a name that is not reserved is an anomaly's."""
    top = _word(subfolders[0]) if subfolders else ""
    if top in NORMAL_FOLDERS:
        return NORMAL
    if top == ANOMALY_FOLDER:
        subfolders = subfolders[1:] or [UNNAMED]
    elif not (any_is_kind and subfolders):
        return None
    kind = printable(subfolders[0]).strip() or UNNAMED
    if kind.lower() == NORMAL:
        raise folder.refusal(f"{ANOMALY_FOLDER}/ holds a folder {subfolders[0]!r}; give anomalies another name")
    return kind


def _by_table(folder: PictureFolder, table: str) -> Parts:
    """Group pictures by a table `file,label[,kind]`. Raises InputError naming the first wrong line."""
    kind_of = read_kinds(folder.root / table, {*folder.names, *folder.skipped})
    parts = Parts(folder, f"{printable(table)}: a table of normal pictures and anomalies", [], [])
    for name in folder.names:
        if name not in kind_of:
            folder.skipped[name] = f"not in {table}"
        elif kind_of[name] == NORMAL:
            parts.training.append(name)
        else:
            parts.testing.append((name, kind_of[name]))
    return parts


def split(parts: Parts, share: float | None, seed: int) -> Parts:
    """Hold `share` of the normal pictures back to test on, drawn by seed, and shuffle the test part by the same seed.

    None holds a fifth back if there are anomalies, but no normal pictures to test on; 1 makes a test set of all. Raises
    InputError if a part is too small, or if a share is asked for and the folder has normal test pictures of its own.
    """
    labelled = any(kind != NORMAL for _, kind in parts.testing)
    has_own = any(kind == NORMAL for _, kind in parts.testing)
    test_only = share == 1
    if share is not None and has_own and not test_only:
        raise InputError(f"`test_share` {share:g}: {parts.folder.root} has a test part of its own; omit `test_share`")
    if share is None:
        share = TEST_SHARE if labelled and not has_own else 0.0
    # RandomState's stream is frozen (NEP 19): the same folder is split in the same way by every NumPy.
    random, count = np.random.RandomState(seed), len(parts.training)
    order, held_back = random.permutation(count), max(1, round(count * share)) if share and count else 0
    testing = [(parts.training[row], NORMAL) for row in np.sort(order[:held_back])]
    testing += sorted(parts.testing, key=lambda picture: picture[1] != NORMAL)
    testing = [testing[row] for row in random.permutation(len(testing))]
    training = [parts.training[row] for row in np.sort(order[held_back:])]
    parts = dataclasses.replace(
        parts, training=training, testing=testing, labelled=labelled, test_only=test_only, held_back=held_back
    )
    parts.check()
    return parts
