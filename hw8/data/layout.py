"""Which pictures of a folder are normal, anomalous, to train on and to test with: by its folders, or by a list."""

import dataclasses
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from hw8.base.errors import InputError, printable
from hw8.base.tables import numbers, read_table
from hw8.data.labels import NORMAL, UNNAMED
from hw8.data.splits import SMALLEST

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
UNREAD = frozenset({".heic", ".heif", ".avif", ".jxl", ".jp2", ".tga", ".psd", ".svg", ".dng", ".cr2", ".nef", ".arw"})
"""Pictures all the same: that they are left out must be said."""
LISTED = "labels.csv"
NORMAL_FOLDERS = frozenset({NORMAL, "good"})
ANOMALY_FOLDER = "anomaly"
TEST_SHARE = 0.2
NAMES_SHOWN = 3


def escaped(text: str) -> str:
    """A name that is safe to print, and can be told from any other: backslashes are doubled."""
    return printable(text.replace("\\", "\\\\"))


@dataclasses.dataclass
class Walk:
    """What a folder holds: `names` of pictures relative to it, sorted; (name, reason) of those left out; the rest."""

    names: list[str] = dataclasses.field(default_factory=list)
    skipped: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    others: int = 0


@dataclasses.dataclass
class Groups:
    """Pictures by what is known of them; `held` are normal and in the test part already, anomalies have a kind."""

    layout: str
    normal: list[str] = dataclasses.field(default_factory=list)
    held: list[str] = dataclasses.field(default_factory=list)
    anomalies: list[tuple[str, str]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Plan:
    """Pictures in the order in which they are written, and the kind of each test picture if kinds are known."""

    layout: str
    training: list[str]
    testing: list[str]
    kinds: list[str] | None


def walk(root: Path) -> Walk:
    """Find the pictures in a folder and the folders in it, in the order of their names.

    Linked folders are not entered, links that lead out of `root` are not followed, hidden files and folders are
    ignored. Raises InputError if `root` is no folder that can be read.
    """
    found, inside = Walk(), Path(os.path.realpath(root))
    try:
        waiting = _entries(root, "")
    except OSError as error:
        raise InputError(f"{root}: no folder that can be read ({error.strerror}); give a folder of pictures") from None
    while waiting:  # no recursion: folders may be nested deeper than Python's stack
        name, entry = waiting.pop()
        if entry.name.startswith("."):
            found.others += 1
        elif entry.is_dir(follow_symlinks=False):
            try:
                waiting += _entries(Path(entry.path), f"{name}/")
            except OSError as error:
                found.skipped.append((name, f"cannot be opened ({error.strerror})"))
        elif entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(inside):
            found.skipped.append((name, "a link out of the folder"))
        elif entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112 (unlike the entry's, false for an endless link)
            found.skipped.append((name, "a link to a folder"))
        elif PurePosixPath(name).suffix.lower() in SUFFIXES:
            found.names.append(name)
        elif PurePosixPath(name).suffix.lower() in UNREAD:
            found.skipped.append((name, "a format that is not read; convert it to PNG or JPEG"))
        else:
            found.others += 1
    return found


def _entries(folder: Path, prefix: str) -> "list[tuple[str, os.DirEntry[str]]]":
    """What a folder holds, the last name first."""
    with os.scandir(folder) as entries:
        return sorted(((prefix + entry.name, entry) for entry in entries), key=lambda pair: pair[0], reverse=True)


def grouped(root: Path, found: Walk) -> Groups:
    """Tell normal pictures from anomalies by the folder's layout; what has no place in it joins the skipped.

    Raises InputError if there are no pictures, or the normal ones cannot be told from the others.
    """
    if not found.names:
        raise refusal(root, f"holds no pictures ({' '.join(sorted(SUFFIXES))})", found)
    if (root / LISTED).exists():
        return _listed(root / LISTED, found)
    tops = {tuple(word.lower() for word in name.split("/")[:-1][:2]) for name in found.names}
    folders = {words[0] for words in tops if words}
    if any(words[0] == "train" and words[1] in NORMAL_FOLDERS for words in tops if len(words) == 2):
        return _by_folder(root, found, Groups("train/ and test/: folders of normal pictures and of anomalies"), True)
    if {"train", "test"} <= folders:
        problem = f"has train/ and test/, but no pictures in train/{NORMAL}/; move the normal ones there"
        raise refusal(root, problem, found)
    if folders & NORMAL_FOLDERS:
        return _by_folder(root, found, Groups(f"{NORMAL}/ and {ANOMALY_FOLDER}/: folders of pictures by kind"), False)
    if ANOMALY_FOLDER in folders:
        problem = f"has {ANOMALY_FOLDER}/, but no pictures in {NORMAL}/; move the normal ones there"
        raise refusal(root, problem, found)
    return Groups("plain folder: every picture is taken as normal", found.names)


def _by_folder(root: Path, found: Walk, groups: Groups, parts: bool) -> Groups:
    """Group pictures by the folders they are in, below train/ and test/ if the folder has `parts`."""
    for name in found.names:
        *folders, _ = name.split("/")
        part = folders.pop(0).lower() if parts and folders else ""
        kind = _kind(root, folders, named=part == "test")
        if kind is None or part not in ("", "train", "test") or (part == "train" and kind != NORMAL):
            found.skipped.append((name, "in no folder of the layout"))
        elif kind != NORMAL:
            groups.anomalies.append((name, kind))
        else:
            (groups.held if part == "test" else groups.normal).append(name)
    return groups


def _kind(root: Path, folders: list[str], named: bool) -> str | None:
    """The kind of a picture in these folders, None if they tell none; `named`: any folder is a kind of anomaly."""
    top = folders[0].lower() if folders else ""
    if top in NORMAL_FOLDERS:
        return NORMAL
    if top == ANOMALY_FOLDER:
        folders = folders[1:] or [UNNAMED]
    elif not (named and folders):
        return None
    kind = escaped(folders[0]).strip() or UNNAMED
    if kind.lower() == NORMAL:
        raise InputError(f"{root}: {ANOMALY_FOLDER}/ holds a folder {folders[0]!r}; give anomalies another name")
    return kind


def _listed(path: Path, found: Walk) -> Groups:
    """Group pictures by a table `file,label[,kind]`. Raises InputError naming the first line that is wrong."""
    table = read_table(path, ("file", "label"), optional=("kind",))
    label_N = numbers(path, table, "label")
    kinds = table["kind"].str.strip() if "kind" in table else [""] * len(table)
    left_out, known = {name for name, _ in found.skipped}, set(found.names)
    kind_of: dict[str, str] = {}
    missing: list[str] = []
    for line, (text, label, kind) in enumerate(zip(table["file"], label_N, kinds, strict=True), start=2):
        name, where = PurePosixPath(text).as_posix(), f"{path}: line {line}: "
        if name.startswith("/") or ".." in name.split("/") or PureWindowsPath(text).is_absolute():
            raise InputError(f"{where}{text!r} leads out of the folder; give paths relative to it")
        if name in kind_of:
            raise InputError(f"{where}{text!r} stands twice")
        if label not in (0, 1):
            raise InputError(f"{where}label must be 0 (normal) or 1 (anomalous), found {label:g}")
        if label == 1 and kind.lower() == NORMAL:
            raise InputError(f"{where}an anomaly of kind {kind!r}; give anomalies another name")
        if name not in known and name not in left_out:
            missing.append(f"{where}no picture {text!r} is in the folder")
        kind_of[name] = (escaped(kind) or UNNAMED) if label else NORMAL
    if missing:
        more = f", nor those of {len(missing) - 1:,} other line{'s' * (len(missing) > 2)}" if len(missing) > 1 else ""
        raise InputError(f"{missing[0]}{more}; correct the table")
    groups = Groups(f"{LISTED}: a table of normal pictures and anomalies")
    for name in found.names:
        if name not in kind_of:
            found.skipped.append((name, f"not in {LISTED}"))
        elif kind_of[name] == NORMAL:
            groups.normal.append(name)
        else:
            groups.anomalies.append((name, kind_of[name]))
    return groups


def planned(root: Path, groups: Groups, found: Walk, share: float | None, seed: int) -> Plan:
    """Split the normal pictures by seed, and put the test pictures in an order of that seed.

    `share` of them are held back; None holds a fifth back where there are anomalies to tell them from. Raises
    InputError if too few are left in a part, or where the folder has a test part of its own and a share is asked for.
    """
    labelled = bool(groups.anomalies)
    if share is not None and groups.held:
        raise InputError(f"`test_share` {share:g}: {root} has a test part of its own; leave `test_share` away")
    if share is None:
        share = TEST_SHARE if labelled and not groups.held else 0.0
    # RandomState's stream is frozen (NEP 19): the same folder is split the same for ever.
    random, count = np.random.RandomState(seed), len(groups.normal)
    order, held = random.permutation(count), max(1, round(count * share)) if share else 0
    testing = [(groups.normal[row], NORMAL) for row in np.sort(order[:held])]
    testing += [(name, NORMAL) for name in groups.held] + groups.anomalies
    testing = [testing[row] for row in random.permutation(len(testing))]
    training = [groups.normal[row] for row in np.sort(order[held:])]
    kinds = [kind for _, kind in testing] if labelled else None
    check_parts(root, len(training), len(testing) if share else None, kinds, found)
    return Plan(groups.layout, training, [name for name, _ in testing], kinds)


def check_parts(root: Path, training: int, testing: int | None, kinds: list[str] | None, found: Walk) -> None:
    """Refuse parts of these sizes, if hw8 cannot use them; without a test part or labels, these are None."""
    if training < SMALLEST:
        raise refusal(root, f"{training} normal pictures to train on; at least {SMALLEST} are needed", found)
    if testing == 0:
        raise refusal(root, "no picture to test on; add some, or raise `test_share`", found)
    if kinds is not None and NORMAL not in kinds:
        raise refusal(root, "no normal picture to test on beside the anomalies; add some", found)
    if kinds is not None and set(kinds) == {NORMAL}:
        raise refusal(root, "no anomaly to test on that can be read; add some, or remove their folders", found)


def refusal(root: Path, problem: str, found: Walk) -> InputError:
    """What is wrong with the folder, and what was skipped, which may be why."""
    if found.skipped:
        name, reason = found.skipped[-1]
        problem += f" ({len(found.skipped):,} skipped, for instance {escaped(name)}: {reason})"
    return InputError(f"{root}: {problem}")
