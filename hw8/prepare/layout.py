"""Which pictures of a folder are normal, anomalous, to train on and to test with: by its subfolders, or by a table."""

import dataclasses
import difflib
import unicodedata
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from hw8.base.errors import InputError, printable
from hw8.base.tables import read_label_table
from hw8.data.labels import NORMAL, UNNAMED
from hw8.data.picture_folder import SUFFIXES, PictureFolder
from hw8.data.splits import MIN_IMAGES

TABLE = "labels.csv"
# `good` is what MVTec AD and the sets made after it call the normal pictures.
NORMAL_FOLDERS = frozenset({NORMAL, "good"})
ANOMALY_FOLDER = "anomaly"
# Folders whose pictures are hardly normal ones to train on, by the names that inspection sets give them.
SUSPICIOUS_FOLDERS = frozenset(
    ["test", "ground_truth", "anomaly", "anomalies", "anomalous", "abnormal", "bad", "broken", "defect", "defects",
     "defective", "faulty", "ng", "nok"]
)  # fmt: skip
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
    image, and that no pixel is above `brightest`.
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
    if (folder.root / TABLE).exists():
        return _by_table(folder)
    heads = {tuple(word.lower() for word in name.split("/")[:-1][:2]) for name in folder.names}
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
    folders = [{word.lower() for word in name.split("/")[:-1]} for name in folder.names]
    if suspicious := [words & SUSPICIOUS_FOLDERS for words in folders if words & SUSPICIOUS_FOLDERS]:
        names = ", ".join(sorted(set.union(*suspicious)))
        raise folder.refusal(
            f"every picture would be taken as normal, also {len(suspicious):,} in folders named {names}; move normal "
            f"pictures to {NORMAL}/ and anomalies to {ANOMALY_FOLDER}/KIND/, prepare one object at a time, or give "
            "`unlabelled` to score them all"
        )
    counts = Counter(name.partition("/")[0] if "/" in name else "." for name in folder.names)
    layout = "plain folder: every picture is taken as normal"
    if len(counts) > 1:
        some = ", ".join(f"{top} {count:,}" for top, count in list(counts.items())[:FOLDERS_SHOWN])
        layout += f", in {len(counts):,} folders ({some}{', ...' * (len(counts) > FOLDERS_SHOWN)})"
    return Parts(folder, layout, folder.names, [])


def check_all_normal(folder: PictureFolder) -> None:
    """Raise InputError unless every picture is taken as normal: the folder has no layout of normal ones and others."""
    try:
        parts = recognise(folder)
        all_normal = not parts.testing and len(parts.training) == len(folder.names)
    except InputError:  # which tells `prepare_data` what to do
        all_normal = not folder.names  # no pictures at all are reported by who reads them
    if not all_normal:
        some = ", ".join(list(dict.fromkeys(name.rpartition("/")[0] or "." for name in folder.names))[:FOLDERS_SHOWN])
        problem = f"has pictures in several folders ({some}), which may not all be normal"
        raise InputError(f"{folder.root}: {problem}; give the folder of the normal ones alone")


def _by_folder(folder: PictureFolder, layout: str, has_parts: bool) -> Parts:
    """Group pictures by the subfolders they are in, below train/ and test/ if the folder `has_parts`."""
    parts = Parts(folder, layout, [], [])
    tops = {name.partition("/")[0].lower() for name in folder.names}
    siblings_are_kinds = not has_parts and ANOMALY_FOLDER not in tops
    for name in folder.names:
        *subfolders, _ = name.split("/")
        part = subfolders.pop(0).lower() if has_parts and subfolders else ""
        is_other = siblings_are_kinds and bool(subfolders) and subfolders[0].lower() in NO_KINDS
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
    top = subfolders[0].lower() if subfolders else ""
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


def _by_table(folder: PictureFolder) -> Parts:
    """Group pictures by a table `file,label[,kind]`. Raises InputError naming the first wrong line."""
    kind_of = _read_kinds(folder.root / TABLE, {*folder.names, *folder.skipped})
    parts = Parts(folder, f"{TABLE}: a table of normal pictures and anomalies", [], [])
    for name in folder.names:
        if name not in kind_of:
            folder.skipped[name] = f"not in {TABLE}"
        elif kind_of[name] == NORMAL:
            parts.training.append(name)
        else:
            parts.testing.append((name, kind_of[name]))
    return parts


def _read_kinds(path: Path, pictures: set[str]) -> dict[str, str]:
    """The kind of each picture in the table, NORMAL for label 0."""
    table, label_N = read_label_table(path, "file")
    kinds = table["kind"].str.strip() if "kind" in table else [""] * len(table)
    name_of = {unicodedata.normalize("NFC", name): name for name in pictures} | {name: name for name in pictures}
    kind_of: dict[str, str] = {}
    for line, (text, label, kind) in enumerate(zip(table["file"], label_N, kinds, strict=True), start=2):
        name, where = PurePosixPath(text).as_posix(), f"{path}: line {line}: "
        name = name_of.get(name) or name_of.get(unicodedata.normalize("NFC", name), name)
        if name in kind_of:
            raise InputError(f"{where}{text!r} stands twice")
        if label == 1 and kind.lower() == NORMAL:
            raise InputError(f"{where}an anomaly of kind {kind!r}; give anomalies another name")
        if name not in pictures:  # so that a table cannot name files outside the folder either
            near = _nearest(name, pictures)
            there_is = f" (there is {printable(near)})" if near else ""
            raise InputError(f"{where}no picture {text!r} is in the folder{there_is}; correct the table")
        kind_of[name] = (printable(kind) or UNNAMED) if label else NORMAL
    return kind_of


def _nearest(name: str, pictures: set[str]) -> str:
    """The picture of the same name in another folder, letter case or format, or else one of a similar name; "": none."""
    stem = PurePosixPath(name.replace("\\", "/")).stem.lower()
    ordered = sorted(pictures)
    same = (picture for picture in ordered if PurePosixPath(picture).stem.lower() == stem)
    return next(same, "") or next(iter(difflib.get_close_matches(name, ordered, 1)), "")


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
