"""The pictures in a folder and its subfolders, recognised by the ends of their names, and read as arrays."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hw8.base.errors import InputError, printable
from hw8.data.arrays import MIN_SIDE
from hw8.data.pictures import CROPS, MAX_SQUARE, Crop, read_pictures

# The usual ends of names of the formats that hw8.data.pictures reads.
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
# Pictures in formats that hw8 cannot read: reported as skipped, where other files are only counted. Chosen by hand.
UNREAD = frozenset({".heic", ".heif", ".avif", ".jxl", ".jp2", ".tga", ".psd", ".svg", ".dng", ".cr2", ".nef", ".arw"})
TABLES = frozenset({".csv", ".tsv", ".xls", ".xlsx", ".ods"})  # files that may label pictures
CONVERT = "a format that is not read; convert it to PNG or JPEG"
NO_ENDING = "no ending by which a picture is known; add .png or .jpg, for instance"
LINK_OUT = "a link out of the folder; give a copy of the folder made with cp -rL"


@dataclasses.dataclass
class PictureFolder:
    """The files of a folder.

    `names` are the pictures' paths relative to `root`, sorted; `skipped` maps what else may be pictures to the reason;
    `others` is the number of hidden files and files that are no pictures, with those `tables` among them.
    """

    root: Path
    names: list[str] = dataclasses.field(default_factory=list)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    others: int = 0
    tables: list[str] = dataclasses.field(default_factory=list)

    def refusal(self, problem: str) -> InputError:
        """The error to raise for a problem with the folder; it mentions a skipped picture, which may be the cause."""
        if self.skipped:
            problem += f" ({self.skipped_example()})"
        return InputError(f"{self.root}: {problem}")

    def skipped_example(self) -> str:
        """How many files and folders were skipped, with the last of them and its reason."""
        name, reason = list(self.skipped.items())[-1]
        return f"{len(self.skipped):,} skipped, for instance {printable(name)}: {reason}"


def find_pictures(root: Path) -> PictureFolder:
    """Find the pictures in a folder and its subfolders, but not in hidden or linked ones.

    Links to files outside `root` are skipped, so that a shared folder cannot include other files of its reader.
    Raises InputError if `root` is not a readable folder.
    """

    def unreadable(error: OSError) -> None:
        path = Path(error.filename)
        if path == root:
            raise InputError(f"{root}: no folder that can be read ({error.strerror}); give a folder of pictures")
        folder.skipped[path.relative_to(root).as_posix()] = f"cannot be opened ({error.strerror})"

    folder, real_root = PictureFolder(root), Path(os.path.realpath(root))
    for place, subfolders, files in os.walk(root, onerror=unreadable):
        prefix = "" if Path(place) == root else f"{Path(place).relative_to(root).as_posix()}/"
        for name in (*subfolders, *files):
            path, relative = Path(place, name), prefix + name
            is_link = path.is_symlink()
            if name.startswith("."):
                folder.others += 1
            elif is_link and not Path(os.path.realpath(path)).is_relative_to(real_root):
                folder.skipped[relative] = LINK_OUT
            elif is_link and name in subfolders:
                folder.skipped[relative] = "a link to a folder"
            elif name in subfolders:
                continue
            elif path.suffix.lower() in SUFFIXES:
                folder.names.append(relative)
            elif path.suffix.lower() in UNREAD:
                folder.skipped[relative] = CONVERT
            elif not path.suffix:
                folder.skipped[relative] = NO_ENDING
            else:
                folder.others += 1
                if path.suffix.lower() in TABLES:
                    folder.tables.append(relative)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
    # Folder by folder: the order decides the images' IDs and the split, which must not change.
    folder.names.sort(key=lambda name: name.split("/"))
    folder.tables.sort()
    return folder


def named_pictures(pictures: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> tuple[Path, list[str]]:
    """A folder and the names in it of the pictures that `read_images` reads, in their order.

    Raises InputError for a file, and for a folder of which something would be skipped (see `find_pictures`), files
    without an ending apart.
    """
    if isinstance(pictures, str | os.PathLike):
        if Path(pictures).is_file():
            raise InputError(f"{pictures}: is a file; give a list of files, or a folder of pictures")
        folder = find_pictures(Path(pictures))
        # A text without an ending, such as LICENSE, often lies beside pictures.
        folder.skipped = {name: reason for name, reason in folder.skipped.items() if reason != NO_ENDING}
        if folder.skipped:
            raise folder.refusal("holds what would be skipped; remove it, or give a list of files")
        return folder.root, folder.names
    return Path(), [os.fspath(path) for path in pictures]


def read_images(
    pictures: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], side: int = 64, channels: int = 3,
    crop: Crop = "centre",
) -> np.ndarray:  # fmt: skip
    """Read picture files as images: uint8 (N, side, side, channels), as `AnomalyDetector` and ONNX files take them.

    `pictures` is a folder, whose pictures are read in the order of their names, subfolders included, or a list of
    files. Each picture is turned upright as its EXIF data says, its transparent parts become white, `crop` makes a
    square of it (`centre` keeps the centre square, `pad` adds bars, `stretch` distorts), and Lanczos scales that.
    Raises InputError, a ValueError, naming the first file that cannot be read, if there is none, or for another side
    than 4 to 1,024 pixels, another number of channels than 1 or 3, or an unknown `crop`.
    """
    is_side = isinstance(side, int | np.integer) and MIN_SIDE <= side <= MAX_SQUARE
    if not is_side or channels not in (1, 3) or crop not in CROPS:
        allowed = f"`side` {MIN_SIDE} to {MAX_SQUARE}, `channels` 1 or 3, `crop` {', '.join(CROPS)}"
        raise InputError(f"side={side!r}, channels={channels}, crop={crop!r}: there are {allowed}")
    root, names = named_pictures(pictures)
    images = []
    for name, image in zip(names, read_pictures(root, names, side, channels, crop), strict=True):
        if isinstance(image, str):
            reason = CONVERT if Path(name).suffix.lower() in UNREAD else f"{image}; remove it, or give another"
            raise InputError(f"{printable(str(root / name))}: {reason}")
        images.append(image)
    if not images:
        raise InputError(f"{root}: no pictures to read; give a folder or a list of picture files")
    return np.stack(images)
