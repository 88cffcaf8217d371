"""One broken file: how it is made and what is expected of its reader."""

import dataclasses
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

SEED = 8
LOADED, REFUSED, EITHER = "loaded", "refused", "either"
Make = Callable[[Path, Path], None]
"""Writes a case into an empty folder (the first argument), perhaps from the good files (the second)."""


class Invalid(Exception):
    """A reader gave something that its callers cannot use."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A broken file.

    `file` is what is read, where it is not the reader's usual one; `names` what a refusal may name instead of it.
    """

    name: str
    make: Make
    expected: str = REFUSED
    file: str | None = None
    names: str | None = None


@dataclasses.dataclass(frozen=True)
class Reader:
    """A part of hw8 that reads files: `read` takes the folder of a case's good files, and the file."""

    name: str
    file: str
    read: Callable[[Path, Path], None]
    cases: Callable[[], Iterable[Case]]
    names_file: bool = True
    """Whether its refusals name the file."""
    may_write: tuple[str, ...] = ()
    """Beginnings of names in the case's folder that it may write even if it refuses in the end."""


def require(holds: object, what: str) -> None:
    """Raise Invalid unless it holds."""
    if not holds:
        raise Invalid(what)


def randomness(name: str) -> np.random.Generator:
    """A generator for the case of this name: the same in every run, whatever cases there are besides."""
    return np.random.default_rng([SEED, zlib.crc32(name.encode())])


def writes(name: str, content: bytes | str | Callable[[], bytes | str]) -> Make:
    """Write this content to a file of this name."""

    def make(folder: Path, _: Path) -> None:
        found = content() if callable(content) else content
        (folder / name).write_bytes(found.encode() if isinstance(found, str) else found)

    return make


def flipped(content: bytes, name: str, count: int = 1, first: int = 0, last: int | None = None) -> bytes:
    """`content` with `count` bits turned between two places, drawn by the case's name."""
    rng, found = randomness(name), bytearray(content)
    last = len(content) if last is None else min(last, len(content))
    for place in rng.integers(first, last, count):
        found[place] ^= 1 << int(rng.integers(8))
    return bytes(found)


def no_regular_files(file: str, good: Callable[[Path], bytes] | None = None) -> Iterator[Case]:
    """What can stand where a file is expected and is none: all must be refused without waiting."""

    def link(target: str) -> Make:
        return lambda folder, _: (folder / file).symlink_to(target)

    def loop(folder: Path, _: Path) -> None:
        (folder / file).symlink_to("other")
        (folder / "other").symlink_to(file)

    def private(folder: Path, _: Path) -> None:
        (folder / "real").mkdir()
        (folder / file).symlink_to("real")

    yield Case("absent", lambda folder, _: None)
    yield Case("a folder", lambda folder, _: (folder / file).mkdir())
    yield Case("a named pipe", lambda folder, _: os.mkfifo(folder / file))
    yield Case("a link to a named pipe", lambda folder, _: (os.mkfifo(folder / "p"), (folder / file).symlink_to("p")))
    yield Case("a link to itself", link(file))
    yield Case("two links to each other", loop)
    yield Case("a dangling link", link("nowhere"))
    yield Case("a link to a folder", private)
    yield Case("a link to /dev/zero", link("/dev/zero"))
    yield Case("a link to /dev/null", link("/dev/null"))
    yield Case("a link to /dev/full", link("/dev/full"))
    yield Case("a link to its own memory", link("/proc/self/mem"))
    yield Case("empty", writes(file, b""))
    yield Case("a zero byte", writes(file, b"\0"))
    yield Case("a million zero bytes", writes(file, bytes(1_000_000)))
    yield Case("noise", writes(file, lambda: randomness("noise").bytes(5000)))
    if good is not None:
        yield Case("a link to a good file", lambda folder, base: linked(folder, file, good(base)), LOADED)


def linked(folder: Path, file: str, content: bytes) -> None:
    """A good file under another name, and a link to it."""
    (folder / "good").write_bytes(content)
    (folder / file).symlink_to("good")


def named(prefix: str, cases: Iterable[Case]) -> Iterator[Case]:
    """The same cases under longer names."""
    for case in cases:
        yield dataclasses.replace(case, name=f"{prefix}{case.name}")
