"""Broken .npy files and numbered shards, for `hw8.data.arrays.open_images`."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from .cases import EITHER, LOADED, Case, Make, flipped, named, no_regular_files, randomness, require, writes

FILE = "trainingset.npy"
COUNT, SIDE, CHANNELS = 30, 16, 3
SHAPE = f"({COUNT}, {SIDE}, {SIDE}, {CHANNELS})"
DATA = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, CHANNELS), np.uint8)
WHOLE = DATA.tobytes()
SPARSE = 1 << 30


def read(_: Path, path: Path) -> None:
    """Open, and use all that a run uses."""
    from hw8.data.arrays import open_images

    images = open_images(path)
    require(len(images) >= 1 and images.side >= 4 and images.channels in (1, 3), f"has {images.array_NHWC.shape}")
    batch = images.read(np.array([0, len(images) - 1]))
    require(batch.shape == (2, images.side, images.side, images.channels), f"gives {batch.shape}")
    require(batch.dtype == np.uint8, f"gives {batch.dtype}")
    require(len(images.fingerprint()) == 64, "has no fingerprint")


def header(descr: str = "'|u1'", fortran: str = "False", shape: str = SHAPE) -> str:
    """The text of a header."""
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


def npy(text: str | bytes, data: bytes = WHOLE, version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    """A file with this header; `length` is what the file claims of it."""
    content = text.encode("latin-1") if isinstance(text, str) else text
    size = 2 if version[0] == 1 else 4
    claimed = (len(content) if length is None else length) % 256**size
    return b"\x93NUMPY" + bytes(version) + claimed.to_bytes(size, "little") + content + data


def saved(array: np.ndarray) -> bytes:
    """The file that numpy.save writes."""
    box = io.BytesIO()
    np.save(box, array)
    return box.getvalue()


GOOD = saved(DATA)


def array_cases() -> Iterator[Case]:
    """All cases of a single file."""
    yield Case("as numpy.save writes it", writes(FILE, GOOD), LOADED)
    yield from no_regular_files(FILE, lambda _: GOOD)
    yield from named("magic: ", _magic())
    yield from named("header: ", _headers())
    yield from named("dtype: ", _dtypes())
    yield from named("shape: ", _shapes())
    yield from named("size: ", _sizes())
    yield from named("bits turned: ", _flips())
    yield from named("sparse: ", _sparse())


def _of(content: bytes | Callable[[], bytes], name: str, expected: str = "refused") -> Case:
    return Case(name, writes(FILE, content), expected)


def _magic() -> Iterator[Case]:
    for length in range(1, 13):
        yield _of(GOOD[:length], f"the first {length} bytes alone")
    for place in range(6):
        yield _of(flipped(GOOD, f"magic {place}", 1, place, place + 1), f"byte {place} is another")
    for version in ((1, 0), (2, 0), (3, 0)):
        yield _of(npy(header(), version=version), f"version {version[0]}.{version[1]}", LOADED)
    for version in ((0, 0), (0, 1), (1, 1), (2, 1), (3, 9), (4, 0), (255, 255)):
        yield _of(npy(header(), version=version), f"version {version[0]}.{version[1]}, which there is not")
    yield _of(b"PK\x03\x04" + GOOD, "a zip file's")
    yield _of(b"\x80\x04\x95" + GOOD, "a pickle's")


def _headers() -> Iterator[Case]:
    good = header()
    for claimed in (0, 1, 10, len(good) - 1, len(good) + 1, len(good) + 100, 10_001, 65_535):
        yield _of(npy(good, length=claimed), f"claims {claimed} bytes", EITHER)
    for claimed in (0, 1, 65_536, 2**31 - 1, 2**31, 2**32 - 1):
        yield _of(npy(good, version=(2, 0), length=claimed), f"claims {claimed} bytes, version 2")
    texts = {
        "5,000 opening brackets": "(" * 5000,
        "9,000 opening brackets": "[" * 9000,
        "4,000 nested lists": "[" * 4000 + "]" * 4000,
        "2,000 nested dicts": "{1:" * 2000 + "1" + "}" * 2000,
        "9,000 minus signs": "-" * 9000 + "1",
        "4,000 times not": "not " * 2000 + "True",
        "9,000 dots": "a" + ".a" * 4000,
        "a sum of 3,000 terms": "1" + "+1j" * 3000,
        "a number of 9,000 digits": header(shape="(" + "9" * 9000 + ", 16, 16, 3)"),
        "a number of 4,000 digits": header(shape="(" + "9" * 4000 + ", 16, 16, 3)"),
        "two numbers of 4,000 digits": header(shape="(" + "9" * 4000 + ", " + "9" * 4000 + ", 16, 3)"),
        "a negative number of 4,000 digits": header(shape="(-" + "9" * 4000 + ", 16, 16, 3)"),
        "a hexadecimal number of 9,000 digits": header(shape="(0x" + "f" * 9000 + ", 16, 16, 3)"),
        "over 10,000 characters": good + " " * 10_001,
        "a list": f"['|u1', False, {SHAPE}]",
        "a number": "5",
        "a string": "'|u1'",
        "None": "None",
        "a set": "{'descr', 'shape'}",
        "nothing": "",
        "blanks": " " * 100,
        "a call": "__import__('os').mkdir('canary')",
        "a call for a value": header(shape="__import__('os').mkdir('canary')"),
        "a comprehension": header(shape="[x for x in (1,)]"),
        "an f-string": "f'{1}'",
        "no descr": f"{{'fortran_order': False, 'shape': {SHAPE}}}",
        "no fortran_order": f"{{'descr': '|u1', 'shape': {SHAPE}}}",
        "no shape": "{'descr': '|u1', 'fortran_order': False}",
        "one key too many": good.replace("}", "'more': 1}"),
        "a key that is no string": good.replace("}", "1: 1}"),
        "keys that are no strings": "{1: 2, (3,): 4, None: 5}",
        "an unhashable key": "{[]: 1}",
        "a key twice": good.replace("}", f"'shape': {SHAPE}}}"),
        "not closed": good[:-1],
        "two of them": good + good,
        "a comment": good.replace("}", "# }"),
        "a null character": good.replace("|u1", "|u1\0"),
        "an escape sequence": good.replace("|u1", "\x1b[31m"),
        "a line separator": good.replace("|u1", "\x85\r\n"),
        "not Latin": good.replace("|u1", "\xff\xfe"),
        "fortran_order is 1": header(fortran="1"),
        "fortran_order is a string": header(fortran="'False'"),
        "fortran_order is None": header(fortran="None"),
        "fortran_order is a list": header(fortran="[]"),
        "Fortran order": header(fortran="True"),
    }
    for name, text in texts.items():
        yield _of(npy(text), name, EITHER if name in ("a key twice", "a comment") else "refused")
        if len(text) > 3000:
            yield _of(npy(text, version=(2, 0)), f"{name}, version 2")
    yield _of(npy(b"{'descr': '\xff\xfe\xfd'}", version=(3, 0)), "not UTF-8, version 3")
    yield _of(npy(header(shape="(30L, 16L, 16L, 3L)")), "of Python 2", EITHER)
    yield _of(npy(header(shape="(30L, 16L, 16L, 3L)"), version=(2, 0)), "of Python 2, version 2", EITHER)


DTYPES = (
    "|b1",
    "|i1",
    "<i2",
    ">i2",
    "<u2",
    ">u2",
    "<i4",
    "<u4",
    "<i8",
    "<u8",
    ">u8",
    "<f2",
    "<f4",
    ">f4",
    "<f8",
    ">f8",
    "<f16",
    "<c8",
    "<c16",
    "<c32",
    "<M8[s]",
    "<m8[ns]",
    "<M8",
    "|S5",
    "<U7",
    ">U7",
    "|V8",
    "|S0",
    "<U0",
    "|V0",
    "|O",
    "O8",
    "u",
    "float",
    "int",
    "",
    "|u3",
    "<u1000",
    "V99999999999",
    "|V2147483647",
    "S2147483647",
    "i1,u1",
    "3u1",
    "(3,)u1",
    "a",
    "?",
    "g",
    "P",
    "object",
    "np.uint8",
    "\\x1b[2J",
    "\\n",
    "u1" * 2000,
)
STRUCTURES = {
    "two fields": "[('a', '|u1'), ('b', '<f4')]",
    "one field": "[('a', '|u1')]",
    "no field": "[]",
    "a field without a name": "[('', '|u1')]",
    "a field with a line break in its name": "[('a\\nb\\x1b', '|u1')]",
    "a title": "[(('a', 'b'), '|u1')]",
    "one name twice": "[('a', '|u1'), ('a', '|u1')]",
    "an object inside": "[('a', '|O')]",
    "nested": "[('a', [('b', [('c', '|u1')])])]",
    "nested 500 times": "[('a', " * 500 + "'|u1'" + ")]" * 500,
    "600 fields": "[" + ", ".join(f"('f{number}', '|u1')" for number in range(600)) + "]",
    "an array": "('|u1', (3,))",
    "an array of a gigabyte": "('|u1', (1073741824,))",
    "an array of a negative size": "('|u1', (-3,))",
    "an array of size zero": "('|u1', (0,))",
    "an array too large": "('|u1', (1048576, 1048576))",
    "a dict": "{'names': ['a'], 'formats': ['|u1'], 'offsets': [100]}",
    "a dict with negative offsets": "{'names': ['a'], 'formats': ['|u1'], 'offsets': [-100]}",
    "a dict with a large item": "{'names': ['a'], 'formats': ['|u1'], 'itemsize': 2147483647}",
    "a tuple": "('|u1', '|u1')",
    "None": "None",
    "a number": "5",
    "a float": "1.5",
    "a list of a number": "[1]",
    "bytes": "b'|u1'",
}


def _dtypes() -> Iterator[Case]:
    data = WHOLE * 16
    for code in DTYPES:
        name = code if len(code) < 20 else f"{code[:8]} and so on"
        yield _of(npy(header(descr=f"'{code}'"), data), name, EITHER if code == "(3,)u1" else "refused")
    for name, code in STRUCTURES.items():
        yield _of(npy(header(descr=code), data), f"a structure: {name}")
    yield _of(npy(header(descr="'>u1'")), ">u1, which is no other", LOADED)
    for code in ("<f2", "<f4", ">f4", "<f8", "<f16"):
        kind = np.dtype(code)
        for value in (np.nan, np.inf, -np.inf, 6e4, 0.5, -0.5, 255.0):
            array = np.full((4, 8, 8, 3), value, kind)
            yield _of(saved(array), f"{code}, every pixel {value}")
        yield _of(npy(header(descr=f"'{code}'", shape="(0, 8, 8, 3)"), b""), f"{code}, no pixel")
        yield _of(npy(header(descr=f"'{code}'", shape="()"), bytes(16)), f"{code}, a number")
    yield _of(npy(header(descr="'<f4'"), randomness("floats").bytes(len(WHOLE) * 4)), "<f4, of noise")


def _shapes() -> Iterator[Case]:
    refused = (
        "()",
        "(30,)",
        "(30, 16)",
        "(30, 16, 16)",
        "(16, 17, 3)",
        "(30, 3, 16, 16)",
        "(30, 16, 16, 3, 1)",
        "(0, 16, 16, 3)",
        "(30, 0, 16, 3)",
        "(30, 16, 16, 0)",
        "(0, 0, 0, 0)",
        "(-1, 16, 16, 3)",
        "(30, -16, -16, 3)",
        "(30, 16, 16, -3)",
        "(-30, -16, 16, 3)",
        "(30, 16, 16, 2)",
        "(30, 16, 16, 4)",
        "(30, 3, 3, 3)",
        "(30, 16, 12, 3)",
        f"({2**62}, 16, 16, 3)",
        f"({2**63 - 1}, 16, 16, 3)",
        f"({2**63}, 16, 16, 3)",
        f"({2**64}, 16, 16, 3)",
        f"({-(2**63)}, 16, 16, 3)",
        f"({2**31}, {2**31}, {2**31}, 3)",
        f"({2**62}, 0, 0, 3)",
        f"(0, {2**62}, {2**62}, 3)",
        f"({2**62}, 16, 16, 0)",
        f"(0, {2**64}, {2**64}, {2**64})",
        f"({10**30}, 16, 16, 3)",
        "(31, 16, 16, 3)",
        "30",
        "30.0",
        "None",
        "'30'",
        "[30, 16, 16, 3]",
        "{30, 16, 16, 3}",
        "(30.0, 16, 16, 3)",
        "('30', 16, 16, 3)",
        "(None, 16, 16, 3)",
        "(30, (16, 16), 3)",
        "(1j, 16, 16, 3)",
        "(1e3, 16, 16, 3)",
        "((30, 16, 16, 3),)",
        "b'abc'",
        "(True, False, True, True)",
        "(30, 16, 16, False)",
        "(...,)",
    )
    for shape in refused:
        yield _of(npy(header(shape=shape)), shape)
    for shape in (f"({COUNT * 3}, 16, 16, 1)", "(480, 4, 4, 3)", "(1440, 4, 4, 1)"):
        yield _of(npy(header(shape=shape)), shape, LOADED)
    for shape in ("(29, 16, 16, 3)", "(1, 4, 4, 1)", "(True, 16, 16, 3)", "(True, 16, 16, True)"):
        yield _of(npy(header(shape=shape)), shape, EITHER)
    for rank in (5, 32, 33, 64, 65, 1000, 3000):
        yield _of(npy(header(shape="(" + "1," * rank + ")")), f"{rank} dimensions of 1")
        yield _of(npy(header(shape="(" + "0," * rank + ")")), f"{rank} dimensions of 0")


def _sizes() -> Iterator[Case]:
    for length in (13, 20, 60, 100, 126, 127, 128, 129, 200, 1000, len(GOOD) // 2, len(GOOD) - 768, len(GOOD) - 1):
        yield _of(GOOD[:length], f"the first {length} of {len(GOOD)} bytes")
    yield _of(GOOD[1:], "the first byte is missing")
    yield _of(GOOD[128:], "the header is missing")
    for count in (1, 100, 100_000):
        yield _of(GOOD + b"x" * count, f"{count} bytes too many", EITHER)
    yield _of(GOOD + GOOD, "twice itself", EITHER)
    yield _of(GOOD.replace(b"\n", b"\r\n"), "line breaks of another system")
    yield _of(GOOD.decode("latin-1").encode(), "as text")


def _flips() -> Iterator[Case]:
    for number in range(60):
        yield _of(flipped(GOOD, f"npy {number}", 1, 0, 128), f"one of the header, {number}", EITHER)
    for number in range(30):
        yield _of(flipped(GOOD, f"npy many {number}", 8, 6, 128), f"eight of the header, {number}", EITHER)
    for number in range(5):
        yield _of(flipped(GOOD, f"npy pixels {number}", 8, 128), f"eight of the pixels, {number}", LOADED)


def _sparse() -> Iterator[Case]:
    """Files that seem to have gigabytes, none of which is on the disk."""
    long = npy(header(), b"", version=(2, 0), length=SPARSE)
    yield Case("a header of a gigabyte", _stretched(long, SPARSE + 10_000))
    many = npy(header(shape=f"({SPARSE // 8 // 768}, 16, 16, 3)"), b"")
    yield Case("128 megabytes of pixels", _stretched(many, len(many) + SPARSE // 8 // 768 * 768), LOADED)
    beyond = npy(header(shape=f"({(8 << 30) // 768}, 16, 16, 3)"), b"")
    yield Case("more pixels than there are addresses", _stretched(beyond, len(beyond) + (8 << 30) // 768 * 768), EITHER)
    floats = npy(header(descr="'<f4'", shape=f"({SPARSE // 3072}, 16, 16, 3)"), b"")
    yield Case("a gigabyte of floats", _stretched(floats, len(floats) + SPARSE // 3072 * 3072))
    large = npy(header(shape="(20, 512, 512, 3)"), b"")
    yield Case("images of 512 pixels a side", _stretched(large, len(large) + 20 * 3 * 512 * 512), LOADED)


def _stretched(start: bytes, size: int) -> Make:
    def make(folder: Path, _: Path) -> None:
        (folder / FILE).write_bytes(start)
        os.truncate(folder / FILE, size)

    return make


def shard_cases() -> Iterator[Case]:
    """Numbered files in place of one."""
    half, rest = saved(DATA[:20]), saved(DATA[20:])

    def files(**contents: bytes) -> Make:
        def make(folder: Path, _: Path) -> None:
            for name, content in contents.items():
                (folder / f"trainingset-{name.removeprefix('n')}.npy").write_bytes(content)

        return make

    yield Case("two good ones", files(n00000=half, n00001=rest), LOADED)
    yield Case("one good one", files(n00000=half), LOADED)
    yield Case("from 00001 on", files(n00001=half))
    yield Case("with a gap", files(n00000=half, n00002=rest))
    yield Case("the last number there is", files(n00000=half, n99999=rest))
    yield Case("four digits", files(n0000=half))
    yield Case("six digits", files(n000000=half))
    yield Case("five digits beside four", files(n00000=half, n0001=rest), EITHER)
    yield Case("other digits than 0 to 9", files(n٠٠٠٠٠=half))
    yield Case("one number in two scripts", files(n00000=half, n٠٠٠٠٠=rest, n٠٠٠٠١=rest), EITHER)
    yield Case(
        "beside the whole", lambda folder, _: (writes(FILE, GOOD)(folder, _), files(n00005=b"")(folder, _)), LOADED
    )
    others = {
        "other sides": DATA[20:, :12, :12],
        "other channels": DATA[20:, :, :, :1],
        "other dtype": DATA[20:].astype(np.float32),
        "channels first": np.ascontiguousarray(DATA[20:].transpose(0, 3, 1, 2)),
        "no images": DATA[:0],
        "Fortran order": np.asfortranarray(DATA[20:]),
        "no numbers": np.array([None]),
    }
    for name, array in others.items():
        yield Case(f"the second has {name}", files(n00000=half, n00001=saved(array)))
        yield Case(f"the first has {name}", files(n00000=saved(array), n00001=rest))
    for length in (0, 5, 50, 128, len(rest) - 1):
        yield Case(f"the second is cut to {length} bytes", files(n00000=half, n00001=rest[:length]))
    for case in no_regular_files("trainingset-00001.npy"):
        if case.name != "absent":
            yield Case(f"the second is {case.name}", _beside(half, case.make))
    for number in range(12):
        yield Case(
            f"bits turned in the second, {number}",
            files(n00000=half, n00001=flipped(rest, f"shard {number}", 2, 0, 128)),
            EITHER,
        )
    many = {f"n{number:05d}": saved(DATA[:1]) for number in range(300)}
    yield Case("more than may be open at once", files(**many), EITHER)


def _beside(first: bytes, make: Make) -> Make:
    def both(folder: Path, base: Path) -> None:
        (folder / "trainingset-00000.npy").write_bytes(first)
        make(folder, base)

    return both
