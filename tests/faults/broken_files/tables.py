"""Broken CSV files: labels, submissions and parts of submissions."""

import bz2
import dataclasses
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from .cases import EITHER, LOADED, REFUSED, Case, flipped, named, no_regular_files, randomness, require, writes

ROWS = 30
BOMB = 400_000_000
NOT_NUMBERS = (
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "1e999",
    "-1e999",
    "0x10",
    "0b1",
    "1_0",
    "١",
    "½",
    "²",
    "1.2.3",
    "--1",
    "+-1",
    "1e",
    "e5",
    ".",
    "",
    "None",
    "null",
    "NA",
    "True",
    "1 0",
    "1d5",
    "1j",
    "(1)",
    "$1",
    "1%",
    "-",
    "1e5e5",
    "\x1b[31m1",
    "1\x00",
    "\u202e1",
    "\u2028",
    "１",
    "#1",
    "=1+1",
    "1'000",
    "IX",
    "0o7",
)
NO_IDS = (
    "-1",
    "1.0",
    "1e0",
    "+1",
    "0x1",
    "١",
    "１",
    "",
    "nan",
    "None",
    "1_0",
    "9" * 15,
    "9" * 16,
    "9" * 19,
    "9" * 25,
    "9" * 5000,
    "x",
    "\x1b[2J",
    "1\n2",
    "²",
    "1 2",
    "ID",
    "-0",
    "1" * 1_000_000,
)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of table: its file, its good rows, and which of their fields is a number."""

    file: str
    header: str
    row: Callable[[int], list[str]]
    read: Callable[[Path, Path], None]
    number: int = 1
    free: int | None = None

    def text(self, rows: list[list[str]] | None = None) -> str:
        """The file of these rows, of the good ones by default."""
        rows = self.good() if rows is None else rows
        return "\n".join([self.header, *(",".join(row) for row in rows)]) + "\n"

    def good(self) -> list[list[str]]:
        """Rows as they should be."""
        return [self.row(number) for number in range(ROWS)]

    def changed(self, line: int, column: int, value: str) -> str:
        """The file with another value in one place."""
        rows = self.good()
        rows[line][column] = value
        return self.text(rows)


def read_scores(_: Path, path: Path) -> None:
    """Read a submission of 30 rows."""
    from hw8.runs.submission import read_submission

    score_N = read_submission(path, ROWS)
    require(score_N.shape == (ROWS,) and score_N.dtype == np.float64, f"gives {score_N.dtype} {score_N.shape}")
    require(np.isfinite(score_N).all(), "has scores that are not finite")


def read_kinds(_: Path, path: Path) -> None:
    """Read the labels of 30 images."""
    from hw8.data.labels import read_labels

    labels = read_labels(path, ROWS)
    require(len(labels) == len(labels.kind_N) == ROWS, f"has {len(labels)} labels")
    require(set(labels.label_N.tolist()) == {0, 1}, "has other labels than 0 and 1")
    require(all(isinstance(kind, str) for kind in labels.kind_N), "has kinds that are no text")


def read_parts(_: Path, path: Path) -> None:
    """Merge the part with a good one; the result must be valid, and nothing must be there if it is refused."""
    from hw8.runs.submission import merge_parts, read_submission

    second, out = path.with_name("second.csv"), path.with_name("merged.csv")
    second.write_text(PARTS.text([PARTS.row(number) for number in range(ROWS, 2 * ROWS)]))
    try:
        rows = merge_parts([second, path], out)
        require(len(read_submission(out)) == rows == 2 * ROWS, f"merged {rows} rows")
    finally:
        second.unlink()
        left = out.exists()
        out.unlink(missing_ok=True)
    require(left, "wrote nothing")


SCORES = Kind("submission.csv", "ID,score", lambda number: [str(number), f"{number / 7:.4f}"], read_scores)
KINDS = Kind(
    "labels.csv",
    "ID,label,kind",
    lambda number: [str(number), str(number % 2), ("normal", "cat")[number % 2]],
    read_kinds,
    free=2,
)
PARTS = Kind(
    "part.csv",
    "ID,score,whole",
    lambda number: [str(number), f"{number / 7:.4f}", f"{2 * ROWS}-0123456789ab"],
    read_parts,
    free=2,
)


def submission_cases() -> Iterator[Case]:
    """All cases of a submission."""
    yield from _cases(SCORES)
    rows = SCORES.good()
    yield _case(SCORES, "rows in reverse", SCORES.text(rows[::-1]))


def label_cases() -> Iterator[Case]:
    """All cases of a labels file."""
    yield from _cases(KINDS)
    rows = KINDS.good()
    yield _case(KINDS, "rows in reverse", KINDS.text(rows[::-1]), LOADED)
    for value in ("2", "-1", "0.5", "1e300", "-0.0001", "1" * 300):
        yield _case(KINDS, f"label {value[:9]}", KINDS.changed(7, 1, value))
    for value in ("1.0", "1e0", "+1", " 1 ", "01", "1."):
        yield _case(KINDS, f"label {value}", KINDS.changed(7, 1, value), EITHER)
    for label in "01":
        yield _case(KINDS, f"every label {label}", KINDS.text([[row[0], label, row[2]] for row in rows]))
    shared = {
        "one kind for all": "all",
        "no kind": "",
        "blanks": "  ",
        "a line break in the one kind": '"a\nb"',
        "an escape sequence in the one kind": "\x1b[2J\x1b]0;x\x07",
        "a line separator in the one kind": "a\u2028b\x85c",
        "one kind of a megabyte": "k" * 1_000_000,
        "one kind of 500 control characters": "\x1b" * 500,
        "one kind of 500 invisible letters": "\U000e0041" * 500,
        "one kind in right-to-left letters": "\u202eabc",
    }
    yield _case(KINDS, "a single kind of ten megabytes", KINDS.changed(3, 2, "k" * 10_000_000), EITHER)
    for name, kind in shared.items():
        yield _case(KINDS, name, KINDS.text([[row[0], row[1], kind] for row in rows]))
    yield _case(KINDS, "no column of kinds", "ID,label\n" + "".join(f"{n},{n % 2}\n" for n in range(ROWS)), LOADED)


def part_cases() -> Iterator[Case]:
    """All cases of a part."""
    yield from _cases(PARTS)
    rows = PARTS.good()
    wholes = {
        "another whole": "60-ba9876543210",
        "no whole": "",
        "a whole without a number": "-0123456789ab",
        "a whole with a line break": '"60\nmore-0123456789ab"',
        "an escape sequence in the whole": "\x1b[2J-0123456789ab",
        "a whole of a megabyte": "6" * 1_000_000,
    }
    for name, whole in wholes.items():
        yield _case(PARTS, name, PARTS.text([[row[0], row[1], whole] for row in rows]))
        yield _case(PARTS, f"{name}, in one row", PARTS.changed(5, 2, whole))
    for name, shift in {"the IDs of the other": ROWS, "IDs after a gap": ROWS + 1, "IDs of 10**15": 10**15}.items():
        yield _case(PARTS, name, PARTS.text([[str(int(row[0]) + shift), *row[1:]] for row in rows]))
    for name, first in {
        "negative IDs": "-30",
        "IDs by halves": "0.5",
        "an infinite ID": "1e400",
        "1e300": "1e300",
    }.items():
        changed = [[str(float(first) + int(row[0])), *row[1:]] for row in rows]
        yield _case(PARTS, name, PARTS.text(changed))
    yield _case(PARTS, "rows in reverse", PARTS.text(rows[::-1]))


def _case(
    kind: Kind,
    name: str,
    content: str | bytes | Callable[[], str | bytes],
    expected: str = REFUSED,
    file: str | None = None,
) -> Case:
    return Case(name, writes(file or kind.file, content), expected, file)


def _cases(kind: Kind) -> Iterator[Case]:
    """What any table can suffer."""
    good = kind.text().encode()
    yield _case(kind, "as it should be", good, LOADED)
    yield from no_regular_files(kind.file, lambda _: good)
    yield from named("bytes: ", _bytes(kind, good))
    yield from named("lines: ", _lines(kind, good))
    yield from named("quotes: ", _quotes(kind))
    yield from named("header: ", _headers(kind))
    if kind is not PARTS:  # whose reader is the submissions' and some more
        yield from named("size: ", _sizes(kind))
    if kind is KINDS:
        yield from named("compressed: ", _compressed(kind, good))
    for number, value in enumerate(NOT_NUMBERS):
        yield _case(kind, f"number {number}: {value!a}", kind.changed(7, kind.number, value))
    for value in ("5e-324", "1e308", "-0", "+1", " 1 ", "1.", ".5", "1E0", "1e-999", "0." + "1" * 300):
        expected = EITHER if kind is KINDS or value in (" 1 ", "1e-999") else LOADED
        yield _case(kind, f"number {value[:9]}", kind.changed(7, kind.number, value), expected)
    for number, value in enumerate(NO_IDS):
        text = f'"{value}"' if "\n" in value else value
        like = kind is PARTS and value in ("1.0", "1e0", "+1", "-0")
        yield _case(kind, f"ID {number}: {value[:20]!a}", kind.changed(1, 0, text), EITHER if like else REFUSED)
    rows = kind.good()
    yield _case(kind, "an ID is missing", kind.text(rows[:9] + rows[10:]))
    yield _case(kind, "the first ID is missing", kind.text(rows[1:]))
    yield _case(kind, "the last ID is missing", kind.text(rows[:-1]))
    yield _case(kind, "an ID too many", kind.text([*rows, kind.row(ROWS)]))
    yield _case(kind, "an ID twice", kind.text([*rows[:-1], rows[0]]))
    yield _case(kind, "all IDs 0", kind.text([["0", *row[1:]] for row in rows]))
    for number in range(25):
        name = f"{kind.file} {number}"
        yield _case(kind, f"bits turned, {number}", flipped(good, name, 1 + number % 4), EITHER)
    for number in range(8):
        name = f"{kind.file} cut {number}"
        yield _case(kind, f"cut, {number}", good[: randomness(name).integers(1, len(good) - 8)])


def _bytes(kind: Kind, good: bytes) -> Iterator[Case]:
    text = good.decode()
    yield _case(kind, "a byte order mark", b"\xef\xbb\xbf" + good, EITHER)
    yield _case(kind, "two byte order marks", b"\xef\xbb\xbf" * 2 + good)
    yield _case(kind, "a byte order mark alone", b"\xef\xbb\xbf")
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp500"):
        yield _case(kind, encoding, text.encode(encoding), EITHER if encoding == "utf-7" else REFUSED)
    yield _case(kind, "Latin-1 in a number", text.replace("\n1,", "\n1é,").encode("latin-1"))
    yield _case(kind, "Latin-1 in the header", text.replace("ID", "ÏD").encode("latin-1"))
    yield _case(kind, "half a character at the end", good + "é".encode()[:1])
    yield _case(kind, "a surrogate", good.replace(b"\n1,", b"\n\xed\xa0\x80,"))
    yield _case(kind, "a null character in the header", good.replace(b"ID", b"I\0D"))
    yield _case(kind, "a null character in an ID", good.replace(b"\n3,", b"\n3\0,"))
    yield _case(kind, "a null character before it", b"\0" + good)
    yield _case(kind, "a null character after it", good + b"\0")
    yield _case(kind, "null characters for line breaks", good.replace(b"\n", b"\0"))
    yield _case(kind, "an escape sequence in the header", good.replace(b"ID", b"\x1b[31mID\x07"))
    yield _case(kind, "a web page", b"<!DOCTYPE html><html><body>404</body></html>\n")
    yield _case(kind, "JSON", b'{"ID": [0, 1], "score": [1, 2]}\n')
    yield _case(kind, "an array file", b"\x93NUMPY\x01\0v\0{'descr': '<f8'}" + bytes(800))
    if kind.free is not None:
        yield _case(kind, "Latin-1 in a free text", kind.changed(3, kind.free, "caf\xe9").encode("latin-1"))


def _lines(kind: Kind, good: bytes) -> Iterator[Case]:
    text = good.decode()
    yield _case(kind, "of another system", text.replace("\n", "\r\n"), LOADED)
    yield _case(kind, "of an old system", text.replace("\n", "\r"), EITHER)
    yield _case(kind, "no last break", text[:-1], LOADED)
    yield _case(kind, "one line", text.replace("\n", " "))
    yield _case(kind, "tabs for commas", text.replace(",", "\t"))
    yield _case(kind, "semicolons for commas", text.replace(",", ";"))
    yield _case(kind, "blanks after commas", text.replace(",", ", "))
    yield _case(kind, "a comma at every end", text.replace("\n", ",\n"))
    yield _case(kind, "a comma at one end", text.replace("\n3,", ",\n3,"))
    yield _case(kind, "a comma before every line", "," + text.replace("\n", "\n,"))
    yield _case(kind, "a blank line first", "\n" + text)
    yield _case(kind, "a blank line last", text + "\n")
    yield _case(kind, "a blank line amid", text.replace("\n3,", "\n\n3,"))
    yield _case(kind, "blank lines alone", "\n" * 100)
    yield _case(kind, "a remark first", "# scores\n" + text)
    yield _case(kind, "a remark amid", text.replace("\n3,", "\n# more\n3,"))
    yield _case(kind, "a short line", text.replace("\n3,", "\nx\n3,"))
    yield _case(kind, "a long line", text.replace("\n3,", "\n1,2,3,4,5,6,7\n3,"))
    yield _case(kind, "ever longer lines", kind.header + "\n" + "".join(f"{n}" + ",1" * n + "\n" for n in range(300)))
    yield _case(kind, "decimal commas", text.replace(".", ","), EITHER)


def _quotes(kind: Kind) -> Iterator[Case]:
    text = kind.text()
    everywhere = "\n".join(",".join(f'"{field}"' for field in line.split(",")) for line in text.splitlines())
    yield _case(kind, "around everything", everywhere + "\n", LOADED)
    yield _case(kind, "never closed in the header", '"' + text)
    yield _case(kind, "never closed in the first line", text.replace("\n0,", '\n"0,'))
    yield _case(kind, "never closed in the last line", text + '"')
    yield _case(kind, "never closed, and a megabyte after", text.replace("\n9,", '\n"9,') + "x" * 1_000_000)
    yield _case(kind, "in the middle", text.replace("\n3,", '\n3",'))
    yield _case(kind, "doubled", text.replace("\n3,", '\n""3"",'))
    yield _case(kind, "single ones", text.replace("\n3,", "\n'3',"))
    yield _case(kind, "a field of two lines", kind.changed(3, kind.number, '"1\n2"'))
    yield _case(kind, "a header of two lines", text.replace("ID", '"I\nD"', 1))
    yield _case(kind, "a backslash", text.replace("\n3,", "\n\\3,"))
    yield _case(kind, "a hundred thousand", kind.header + "\n" + '"' * 100_001)


def _headers(kind: Kind) -> Iterator[Case]:
    text = kind.text()
    body, words = text.partition("\n")[2], kind.header.split(",")
    headers = {
        "lower case": kind.header.lower(),
        "capitals": kind.header.upper(),
        "blanks": kind.header.replace(",", " , "),
        "in reverse": ",".join(words[::-1]),
        "the first name twice": ",".join([words[0], words[0], *words[2:]]),
        "one column too many": kind.header + ",more",
        "one column alone": words[0],
        "names of no characters": "," * (len(words) - 1),
        "a name of a megabyte": kind.header + "x" * 1_000_000,
        "control characters": kind.header + "\x1b[2J\x07\x08",
        "numbers": ",".join(map(str, range(len(words)))),
    }
    for name, header in headers.items():
        yield _case(kind, name, header + "\n" + body)
    yield _case(kind, "none", body)
    yield _case(kind, "alone", kind.header + "\n")
    yield _case(kind, "alone, without a break", kind.header)
    yield _case(kind, "twice", kind.header + "\n" + text)
    yield _case(kind, "last", body + kind.header + "\n")


def _sizes(kind: Kind) -> Iterator[Case]:
    text = kind.text()
    columns = ",".join(f"c{n}" for n in range(100_000))
    yield _case(kind, "a header of 100,000 columns", columns + "\n" + text)
    yield _case(kind, "a header of 100,000 equal columns", ",".join(["ID"] * 100_000) + "\n")
    yield _case(kind, "a row of 100,000 fields", text + ",".join(["1"] * 100_000) + "\n")
    yield _case(kind, "every row of 1,000 fields", kind.header + "\n" + (",".join(["1"] * 1000) + "\n") * 100)
    yield _case(kind, "a line of five megabytes", text + "x" * 5_000_000 + "\n")
    yield _case(kind, "a number of a megabyte", kind.changed(7, kind.number, "1" * 1_000_000))
    yield _case(kind, "a number of a megabyte of zeros", kind.changed(7, kind.number, "0." + "0" * 1_000_000), EITHER)
    yield _case(kind, "a word of a megabyte", kind.changed(7, kind.number, "w" * 1_000_000))
    yield _case(kind, "commas alone", "," * 1_000_000)
    yield _case(kind, "100,000 blank lines", text + "\n" * 100_000)
    yield _case(kind, "200,000 rows", lambda: kind.text([kind.row(number) for number in range(200_000)]))


def _compressed(kind: Kind, good: bytes) -> Iterator[Case]:
    """Names that pandas takes for compressed files. A bomb must not be unpacked."""
    packers = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zip": _zipped, ".tar": _tarred}
    for suffix, pack in packers.items():
        yield Case(
            f"a good {suffix}", writes(kind.file + suffix, lambda pack=pack: pack(good)), EITHER, kind.file + suffix
        )
        yield _case(kind, f"a broken {suffix}", b"x" + pack(good)[1:-5], file=kind.file + suffix)
        yield _case(kind, f"no {suffix} at all", good, EITHER, kind.file + suffix)
        yield _case(kind, f"a {suffix} without saying so", pack(good))
    yield Case("a bomb", writes(kind.file + ".gz", lambda: _bomb(kind)), file=kind.file + ".gz")
    yield Case("a bomb without saying so", writes(kind.file, lambda: _bomb(kind)))


def _bomb(kind: Kind) -> bytes:
    """A few kilobytes that unpack to gigabytes: the same block again and again."""
    member = gzip.compress(kind.text().encode() + bytes(BOMB // 100), 1)
    return member * 100


def _zipped(content: bytes) -> bytes:
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("table.csv", content)
    return box.getvalue()


def _tarred(content: bytes) -> bytes:
    box = io.BytesIO()
    with tarfile.open(fileobj=box, mode="w") as file:
        entry = tarfile.TarInfo("table.csv")
        entry.size = len(content)
        file.addfile(entry, io.BytesIO(content))
    return box.getvalue()
