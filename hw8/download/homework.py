"""The homework's files, fetched and verified: from their public home, from a mirror, or through Kaggle's own client.

A file grows as NAME.part beside its place, in as many runs as it takes, and is given its name only when its size and
SHA-256 are right.
"""

import contextlib
import functools
import logging
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hw8.base.errors import InputError, printable
from hw8.base.interrupts import stopping_as_interrupted
from hw8.base.lock import locked
from hw8.download.transfer import CHUNK, LONGEST, RemoteFile, checked_address, progress_bar, shown, size_of, transfer
from hw8.kaggle.client import COMPETITION, RULES_PAGE, Answer, client_environment, download_words, find_client

log = logging.getLogger(__name__)

HOMEWORK = (
    RemoteFile("trainingset.npy", 1_228_800_128, "eb895c5e8fea408002b2b6802552124163164b3b6438af9eb02b001bbfa9e0ed"),
    RemoteFile("testingset.npy", 241_287_296, "3275f9bb71649eb54b007873bfd56b3cf55ff1f1b66592818a3d103988a96bbb"),
)
HOME = (
    "https://media.githubusercontent.com/media/chiyuanhsiao/ml2023spring-hw8/9345bded5e86e803297b2d892a491d25dc89cd3f"
)
RULES = (
    "Kaggle gives the files to those who have accepted the competition's rules: "
    f"{RULES_PAGE.format(competition=COMPETITION)}\n"
    "Among them: no additional data, no pretrained models, five submissions a day."
)
UNPACKING = ".kaggle"
HEARD = 10_000  # bytes kept of what Kaggle's client says


def download_files(folder: Path, base: str = HOME, files: Sequence[RemoteFile] = HOMEWORK) -> None:
    """Fetch each file from the address `base`/NAME into `folder`, which is made if it is not there.

    A file that is there and verified is kept; a NAME.part goes on where it ends. Raises InputError if an address is not
    HTTPS (this machine's own may be plain HTTP), for a server that fails or sends other bytes, for other bytes under a
    file's name, and without space; Interrupted, with every NAME.part kept, on Ctrl-C.
    """
    if "?" in base or "#" in base:
        raise InputError(f"`url` {shown(base)}: has a query; the names of the files are appended: give a plain address")
    checked_address(base)
    with _still_missing(folder, files) as missing:
        for file in missing:
            address = f"{base.rstrip('/')}/{file.name}"
            _place(file, folder, address, functools.partial(transfer, address, file))


def download_from_kaggle(folder: Path, files: Sequence[RemoteFile] = HOMEWORK) -> None:
    """Fetch the competition's archive with the `kaggle` program, and unpack and verify these files of it.

    Raises InputError without the program, if it fails, and for an archive that does not hold the files; Interrupted on
    Ctrl-C.
    """
    program = find_client()
    aside = folder / UNPACKING
    with _still_missing(folder, files, aside) as missing:
        if not missing:
            return
        log.info(RULES)
        archive = _ask_kaggle(program, aside)
        try:
            with zipfile.ZipFile(archive) as opened:
                for file in missing:
                    _place(file, folder, str(archive), functools.partial(_unpack, opened, file))
        except OSError:
            raise
        except Exception as error:  # a damaged archive fails in many ways
            # Deleted, or the client would take it for downloaded the next time.
            shutil.rmtree(aside)
            if isinstance(error, InputError):
                raise
            reason = printable(str(error), LONGEST)
            raise InputError(f"{archive}: cannot be unpacked ({reason}); deleted: run the command again") from None
        shutil.rmtree(aside)


@contextlib.contextmanager
def _still_missing(folder: Path, files: Sequence[RemoteFile], aside: Path | None = None) -> Iterator[list[RemoteFile]]:
    """Own the folder, and give those files that are not there yet, with room for them, and for an archive `aside`."""
    kept = f"interrupted; what has come is kept in {folder}: the same command goes on"
    with stopping_as_interrupted(kept), locked(folder):
        try:
            missing = [file for file in files if not _is_there(folder / file.name, file)]
            _check_space(folder, missing, aside)
            yield missing
        except OSError as error:
            where = error.filename or folder
            raise InputError(f"{where}: {error.strerror or error}; make room, or choose another `out`") from None


def _is_there(path: Path, file: RemoteFile) -> bool:
    """Whether the verified file is there already. Raises InputError if something else has its name."""
    if not path.exists() and not path.is_symlink():
        return False
    if path.is_file() and path.stat().st_size == file.size and _is_right(path, file):
        log.info("%s: is there already, and verified; kept", path)
        _part(path.parent, file).unlink(missing_ok=True)
        return True
    raise InputError(
        f"{path}: is there, but is not the file of {file.size:,} bytes and SHA-256 {file.sha256[:12]}...; left alone: "
        "move it away, or choose another `out`"
    )


def _is_right(path: Path, file: RemoteFile) -> bool:
    """Whether these are the file's bytes."""
    import pooch

    return pooch.file_hash(str(path)) == file.sha256


def _check_space(folder: Path, missing: Sequence[RemoteFile], aside: Path | None) -> None:
    whole = sum(file.size for file in missing)
    needed = whole - sum(min(size_of(_part(folder, file)), file.size) for file in missing)
    if aside is not None:
        needed += max(0, whole - sum(map(size_of, aside.glob("*.zip"))))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: {needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free; make room, or choose `out` "
            "on another disk"
        )


def _part(folder: Path, file: RemoteFile) -> Path:
    return folder / f"{file.name}.part"


def _place(file: RemoteFile, folder: Path, origin: str, fill: Callable[[Path], None]) -> None:
    """Have `fill` complete the file's .part, verify it, and give it its name.

    Raises InputError, and deletes the .part, if its bytes are wrong.
    """
    part = _part(folder, file)
    if part.is_symlink() or (part.exists() and not part.is_file()):
        raise InputError(f"{part}: is no file that could go on; move it away, or choose another `out`")
    fill(part)
    with part.open("rb+") as whole:
        os.fsync(whole.fileno())
    if not _is_right(part, file):
        part.unlink()
        raise InputError(
            f"{shown(origin)}: {file.name} came with the wrong bytes (its SHA-256 is not {file.sha256[:12]}...); they "
            "are deleted: run the command again, or fetch it from elsewhere (`url`, `source`)"
        )
    part.replace(folder / file.name)
    log.info("%s: %s bytes, verified", folder / file.name, f"{file.size:,}")


def _ask_kaggle(program: str, folder: Path) -> Path:
    """Run Kaggle's client, its words passed on; the archive that it leaves in `folder`. Raises InputError."""
    folder.mkdir(exist_ok=True)
    said = b""
    with subprocess.Popen(
        [program, *download_words(COMPETITION, folder)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, bufsize=0, env=client_environment(),
    ) as process:  # fmt: skip
        try:
            while process.stdout and (heard := process.stdout.read(CHUNK)):
                os.write(2, heard)
                said = (said + heard)[-HEARD:]
        except BaseException:
            process.terminate()
            raise
    archives = sorted(folder.glob("*.zip"))
    if process.returncode == 0 and len(archives) == 1:
        return archives[0]
    answer = Answer(process.returncode, said.decode("utf-8", "replace"))
    if process.returncode and (refusal := answer.refusal(COMPETITION)):
        raise InputError(f"`source` kaggle: {refusal}")
    raise InputError(
        f"`source` kaggle: kaggle left with code {answer.code} and {len(archives)} archives in {folder} (its last "
        f"words: {answer.last()}); run the command again, or leave `source` kaggle away"
    )


def _unpack(archive: zipfile.ZipFile, file: RemoteFile, part: Path) -> None:
    """Copy the one member of this file's name, wherever it lies in the archive, to `part`. Raises InputError."""
    named = [member for member in archive.infolist() if re.split(r"[/\\]", member.filename)[-1] == file.name]
    if len(named) != 1 or named[0].file_size != file.size:
        sizes = " and ".join(f"{member.file_size:,}" for member in named[:3]) or "no"
        raise InputError(
            f"{archive.filename}: holds {len(named)} files of the name {file.name} ({sizes} bytes) where one of "
            f"{file.size:,} was expected; deleted: run the command again, or leave `source` kaggle away"
        )
    with archive.open(named[0]) as member, part.open("wb") as out, progress_bar(file) as bar:
        # The size in an archive is a claim: no more is read than the file has, and the digest settles the rest.
        while chunk := member.read(min(CHUNK, file.size - out.tell())):
            out.write(chunk)
            bar.update(len(chunk))
