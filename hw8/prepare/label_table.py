"""Tables of labels in a folder of pictures: the one that is read, and others that may be meant to be."""

import difflib
import itertools
import re
import unicodedata
from pathlib import Path, PurePosixPath

from hw8.base.errors import InputError, printable
from hw8.data.labels import NORMAL, UNNAMED, read_label_table
from hw8.data.picture_folder import PictureFolder

TABLE = "labels.csv"
COLUMNS = "file,label[,kind]"
LINES = 1000  # of another table, to see whether it names pictures; chosen by hand


def own_table(folder: PictureFolder) -> str:
    """The name of the table of labels in the folder, labels.csv in any letter case; "" if there is none.

    Raises InputError if there are several.
    """
    tables = sorted(path.name for path in folder.root.iterdir() if path.name.lower() == TABLE)
    if len(tables) > 1:
        raise InputError(f"{folder.root}: has {' and '.join(tables)}; keep one of them")
    return tables[0] if tables else ""


def naming_tables(folder: PictureFolder) -> dict[str, Path]:
    """The tables of which a column names pictures of the folder, with the folder that the names are relative to.

    One name with its ending suffices; names without must be those of half of the pictures, and half of the column.
    """
    names, base_of = set(folder.names), {}
    stems = {PurePosixPath(name).with_suffix("").as_posix() for name in names}

    def names_pictures(column: list[str], inside: PurePosixPath) -> bool:
        paths = {(inside / field).as_posix() for field in column if field}
        # Without endings, numbers of other things may be those of some pictures by chance.
        return bool(paths & names) or 2 * len(paths & stems) >= max(len(paths), min(len(stems), LINES))

    for table in folder.tables:
        columns = _columns(folder.root / table)
        for inside in (PurePosixPath(), PurePosixPath(table).parent):
            if any(names_pictures(column, inside) for column in columns):
                base_of[table] = folder.root / inside
                break
    return base_of


def check_none_ignored(folder: PictureFolder) -> None:
    """Raise InputError if a table names pictures of the folder: labels may be in it, and it would not be read."""
    for table, base in naming_tables(folder).items():
        path, place = folder.root / table, base / TABLE
        remedy = "" if path.parent == base and path.name.lower() == TABLE else f"save it as {place} ({COLUMNS})"
        if base != folder.root:
            remedy += f"{' and ' * bool(remedy)}give {base}"
        raise folder.refusal(
            f"{printable(table)} names pictures but would not be read, and every picture taken as normal; if it labels "
            f"them, {remedy}, else move it out of the folder"
        )


def _columns(path: Path) -> list[list[str]]:
    """The columns of the lines that a table begins with; none of a file that cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            lines = [re.split("[,;\t]", line) for line in itertools.islice(file, LINES)]
    except OSError:
        return []
    return [[field.strip(' "\n') for field in column] for column in itertools.zip_longest(*lines, fillvalue="")]


def read_kinds(path: Path, pictures: set[str]) -> dict[str, str]:
    """The kind of each picture in the table, NORMAL for label 0. Raises InputError naming the first wrong line."""
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
    """The picture of the same name in another folder, letter case or format, else of a similar name; "" if none is."""
    stem = PurePosixPath(name.replace("\\", "/")).stem.lower()
    ordered = sorted(pictures)
    same = (picture for picture in ordered if PurePosixPath(picture).stem.lower() == stem)
    return next(same, "") or next(iter(difflib.get_close_matches(name, ordered, 1)), "")
