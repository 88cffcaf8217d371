"""The homework's files, downloaded and verified: from their public home, a mirror, or through Kaggle's client.

A file grows as NAME.part beside its place, over as many calls as it takes, and gets its name only when its size and
SHA-256 are right.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from hw8.base.errors import InputError, printable
from hw8.base.interrupts import stopping_as_interrupted
from hw8.base.lock import locked
from hw8.download.transfer import RemoteFile, check_address, size_of, transfer, without_secrets
from hw8.kaggle import COMPETITION, RULES_PAGE, download_archive, find_client

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
UNPACKING = ".kaggle"  # folder for Kaggle's archive, which its client resumes if it finds a part there


def download_files(folder: Path, base: str = HOME, files: Sequence[RemoteFile] = HOMEWORK) -> None:
    """Download each file from the address `base`/NAME into `folder`, which is created if needed.

    A file that is there and verified is kept; a NAME.part is resumed. Raises InputError if an address is not HTTPS
    (plain HTTP is for this machine), for a server that fails or sends other bytes, for another file under a file's
    name, and without space; Interrupted, with every NAME.part kept, on Ctrl-C.
    """
    check_address(base)
    with _missing_files(folder, files) as missing:
        for file in missing:
            address = f"{base.rstrip('/')}/{file.name}"
            transfer(address, file, _part(folder, file))
            _verify(file, folder, address)


def download_from_kaggle(folder: Path, files: Sequence[RemoteFile] = HOMEWORK) -> None:
    """Download the competition's archive with Kaggle's client, and unpack and verify these files of it.

    Raises InputError without the client, if it fails, and for an archive that does not hold the files; Interrupted on
    Ctrl-C.
    """
    client, aside = find_client(), folder / UNPACKING
    with _missing_files(folder, files, aside) as missing:
        if not missing:
            return
        log.info(RULES)
        aside.mkdir(exist_ok=True)
        archive = download_archive(client, COMPETITION, aside)
        try:
            with zipfile.ZipFile(archive) as opened:
                for file in missing:
                    _unpack(opened, file, _part(folder, file))
                    _verify(file, folder, str(archive))
        except (InputError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            # Deleted, or the client would keep it the next time.
            shutil.rmtree(aside)
            reason = printable(str(error))
            raise InputError(f"{archive}: cannot be unpacked ({reason}); deleted: run the command again") from None
        shutil.rmtree(aside)


@contextlib.contextmanager
def _missing_files(folder: Path, files: Sequence[RemoteFile], aside: Path | None = None) -> Iterator[list[RemoteFile]]:
    """Lock the folder and yield the files that are not in it, with space for them, and for an archive in `aside`."""
    resumable = f"interrupted; what was downloaded is kept in {folder}: the same command resumes"
    with stopping_as_interrupted(resumable), locked(folder):
        try:
            missing = [file for file in files if not _is_there(folder / file.name, file)]
            size = sum(file.size for file in missing)
            needed = size - sum(size_of(_part(folder, file)) for file in missing)
            if aside is not None:
                needed += size - sum(map(size_of, aside.glob("*.zip")))
            free = shutil.disk_usage(folder).free
            if free < needed:
                raise InputError(
                    f"{folder}: {needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free; make room, or "
                    "choose `out` on another disk"
                )
            yield missing
        except OSError as error:
            where = error.filename or folder
            raise InputError(f"{where}: {error.strerror or error}; make room, or choose another `out`") from None


def _is_there(path: Path, file: RemoteFile) -> bool:
    """Whether the verified file is there already. Raises InputError if something else has its name."""
    if not path.exists():
        return False
    if not path.is_file() or size_of(path) != file.size or _sha256(path) != file.sha256:
        raise InputError(
            f"{path}: is there, but is not the file of {file.size:,} bytes and SHA-256 {file.sha256[:12]}...; left "
            "unchanged: move it away, or choose another `out`"
        )
    log.info("%s: is there already, and verified; kept", path)
    _part(path.parent, file).unlink(missing_ok=True)
    return True


def _part(folder: Path, file: RemoteFile) -> Path:
    return folder / f"{file.name}.part"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(file: RemoteFile, folder: Path, origin: str) -> None:
    """Give a complete .part its name. Raises InputError, and deletes it, if its bytes are wrong."""
    part = _part(folder, file)
    with part.open("rb+") as written:
        os.fsync(written.fileno())
    if _sha256(part) != file.sha256:
        part.unlink()
        raise InputError(
            f"{without_secrets(origin)}: {file.name} came with the wrong bytes (its SHA-256 is not "
            f"{file.sha256[:12]}...); deleted: run the command again, or get it from elsewhere (`url`, `source`)"
        )
    part.replace(folder / file.name)
    log.info("%s: %s bytes, verified", folder / file.name, f"{file.size:,}")


def _unpack(archive: zipfile.ZipFile, file: RemoteFile, part: Path) -> None:
    """Copy the archive's member of this file's name, in whatever folder, to `part`. Raises InputError.

    Only `part` is ever written: the archive's paths are not used, and no more is read than the size checked here.
    """
    members = [member for member in archive.infolist() if Path(member.filename).name == file.name]
    if len(members) != 1 or members[0].file_size != file.size:
        sizes = " and ".join(f"{member.file_size:,}" for member in members[:3]) or "no"
        raise InputError(f"{len(members)} files named {file.name} ({sizes} bytes) in place of one of {file.size:,}")
    log.info("%s: unpacking", file.name)
    with archive.open(members[0]) as member, part.open("wb") as out:
        shutil.copyfileobj(member, out)
