"""Where images come from: a folder of the homework's files, or a named source."""

import dataclasses
import itertools
import logging
from pathlib import Path

from hw8.base.errors import InputError, command
from hw8.base.processes import processes
from hw8.data.arrays import Images, open_images
from hw8.data.labels import Labels, read_labels
from hw8.data.picture_folder import SUFFIXES
from hw8.data.shards import shard_paths

log = logging.getLogger(__name__)
HOMEWORK = Path("data")
HOMEWORK_IMAGES = {"trainingset.npy": 100_000, "testingset.npy": 19_636}
DEMO = Path("data/demo")
LFW = Path("data/lfw")
NAMED = ("demo", "hw8", "lfw")


@dataclasses.dataclass(frozen=True)
class Source:
    """A folder with trainingset.npy, testingset.npy and, if known, testing_labels.csv."""

    name: str
    folder: Path

    def training(self, crop: int | None = None) -> Images:
        """The normal images to learn from, opened and checked. Raises InputError."""
        return self._open("trainingset.npy", crop)

    def testing(self, crop: int | None = None) -> Images:
        """The images to score, opened and checked. Raises InputError."""
        return self._open("testingset.npy", crop)

    @property
    def has_test_set(self) -> bool:
        """Whether there are images to score."""
        return _there(self.folder / "testingset.npy")

    def _open(self, name: str, crop: int | None) -> Images:
        if not _there(self.folder / name):
            self._explain_missing(name)
        images = open_images(self.folder / name, crop)
        if self.name == "hw8" and len(images) != HOMEWORK_IMAGES[name]:
            raise InputError(
                f"{images.name}: has {len(images):,} images, but the homework's has {HOMEWORK_IMAGES[name]:,}; "
                f"move it away and run {command('download_data', 'hw8')} or, if they are images of your own, say so: "
                f"`data` {self.folder}"
            )
        return images

    def _explain_missing(self, name: str) -> None:
        """Raise InputError if the folder holds pictures, or the other part alone."""
        pictures = _some_picture(self.folder)
        if pictures is not None:
            arrays = f"{self.folder}-images"
            unlabelled = ("--unlabelled",) if name == "testingset.npy" else ()
            raise InputError(
                f"{self.folder}: holds pictures ({pictures.name} and so on), not {name}; make arrays of them with: "
                f"{command('prepare_data', self.folder, arrays, *unlabelled)}"
            )
        if name == "testingset.npy" and _there(self.folder / "trainingset.npy"):
            raise InputError(
                f"{self.folder}: has no {name}; put images to score there under that name, or make it of pictures "
                f"with: {command('prepare_data', 'PICTURES', 'NEW-FOLDER', '--unlabelled')}, and give --data NEW-FOLDER"
            )

    @property
    def labels_file(self) -> Path:
        """Where the test images' labels are, if they are known."""
        return self.folder / "testing_labels.csv"

    def labels(self, count: int | None = None) -> Labels | None:
        """The test images' labels, or None where nobody knows them. Raises InputError if they do not match."""
        return read_labels(self.labels_file, count) if self.has_test_set and self.labels_file.exists() else None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that no disk can have
        return False


def _some_picture(folder: Path) -> Path | None:
    """A file of the folder, or of a folder in it, that is a picture by its name; None if the first 1,000 are none."""
    files = itertools.chain(folder.glob("*"), folder.glob("*/*"))
    return next((path for path in itertools.islice(files, 1000) if path.suffix.lower() in SUFFIXES), None)


def _there(path: Path) -> bool:
    """Whether a file is there, or the numbered files that stand for it."""
    return path.exists() or bool(shard_paths(path))


def open_source(where: str | None) -> Source:
    """Find a source by folder or name; `demo` is generated, and `lfw` fetched, the first time it is asked for.

    None means the homework in `data/` if it is there, else `demo`. Raises InputError for anything else.
    """
    if where is None:
        where = "hw8" if _there(HOMEWORK / "trainingset.npy") else "demo"
        reason = (
            "the homework in data/" if where == "hw8" else "generated faces, since data/ does not hold the homework"
        )
        log.info("`data` %s: %s", where, reason)
    folder = Path(where)
    if where == "demo":
        from hw8.data.demo import write_demo

        job = processes()
        return Source("demo", job.broadcast(write_demo(DEMO) if job.main else DEMO))
    if where == "hw8":
        if not _there(HOMEWORK / "trainingset.npy"):
            raise InputError(
                f"`data` hw8: {HOMEWORK}/trainingset.npy is not there; get it with: {command('download_data', 'hw8')}"
            )
        return Source("hw8", HOMEWORK)
    if where == "lfw":
        from hw8.data.lfw import write_lfw

        job = processes()
        return Source("lfw", job.broadcast(write_lfw(LFW) if job.main else LFW))
    if not _is_folder(folder):
        raise InputError(
            f"`data` {where}: no such folder; give one with trainingset.npy and testingset.npy, "
            f"or a named source: {', '.join(NAMED)}"
        )
    return Source(where, folder)
