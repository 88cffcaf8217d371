"""Where images come from: a folder of the homework's files, or a named source; and which of them are scored."""

import dataclasses
import itertools
import json
import logging
import os
from pathlib import Path

from hw8.base.errors import InputError, command
from hw8.base.files import read_text
from hw8.base.processes import processes
from hw8.base.tables import ids_in_order, read_table
from hw8.config import DataConfig
from hw8.data.arrays import Images, Selection, open_images
from hw8.data.labels import Labels, read_labels
from hw8.data.picture_folder import SUFFIXES
from hw8.data.shards import shard_paths
from hw8.data.splits import split_rows

log = logging.getLogger(__name__)
TRAINING, TESTING, LABELS = "trainingset.npy", "testingset.npy", "testing_labels.csv"
# Which picture each image was made of: `ID,file`, written by `hw8 prepare_data`.
TRAINING_FILES, TESTING_FILES = "training_files.csv", "testing_files.csv"
PREPARED = "prepared.json"  # how `hw8 prepare_data` made the images: `{"side": 64, "crop": "pad", "grey": false}`
HOMEWORK = Path("data")
HOMEWORK_IMAGES = {TRAINING: 100_000, TESTING: 19_636}  # of the course's files
DEMO = Path("data/demo")
LFW = Path("data/lfw")
NAMED_SOURCES = {"demo": DEMO, "hw8": HOMEWORK, "lfw": LFW}
ARRAYS_SHOWN = 4  # names of other arrays in a folder that a line shows
LOOKED_AT = 1000  # names in a folder without arrays: enough to see whether it holds pictures, in a moment


@dataclasses.dataclass(frozen=True)
class Source:
    """A folder with trainingset.npy, testingset.npy and, if known, testing_labels.csv."""

    name: str
    folder: Path

    def training(self, crop: int | None = None) -> Images:
        """Open and check the normal images to learn from. Raises InputError."""
        return self._open(TRAINING, crop)

    def testing(self, crop: int | None = None) -> Images:
        """Open and check the images to score. Raises InputError."""
        return self._open(TESTING, crop)

    @property
    def has_test_set(self) -> bool:
        """Whether there are images to score."""
        return array_exists(self.folder / TESTING)

    @property
    def test_set_name(self) -> str:
        """What is scored, in words: the test set or, where there is none, held-out images."""
        return self.name if self.has_test_set else f"development images of {self.name}, which has no test set"

    @property
    def labels_file(self) -> Path:
        """Where the test images' labels are, if they are known."""
        return self.folder / LABELS

    def labels(self, count: int | None = None) -> Labels | None:
        """Return the test images' labels, or None if they are unknown, or all alike, which a log line says.

        Raises InputError if they do not match.
        """
        if not (self.has_test_set and self.labels_file.exists()):
            return None
        labels = read_labels(self.labels_file, count)
        if labels.why_unusable:
            log.warning("%s: %s, so these labels are not used", self.labels_file, labels.why_unusable)
            return None
        return labels

    def picture_crop(self) -> str | None:
        """Return how pictures were cropped to make these images; None where that is not recorded."""
        try:
            return str(json.loads(read_text(self.folder / PREPARED))["crop"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def check_tables(self, training: Images) -> None:
        """Look, before hours of training, at what is read only after them.

        Raises InputError if the names beside the training images are not theirs. The log says if the test images or
        their labels could not be used with a run that is trained on these.
        """
        self.file_names(TRAINING_FILES, len(training))
        if not self.has_test_set:
            return
        try:
            test = self.testing()
            shapes = [images.array_NHWC.shape[1:] for images in (training, test)]
            if shapes[0] != shapes[1]:
                raise InputError(
                    f"{test.name}: images of {shapes[1]}, but those to train on have {shapes[0]}; make them alike"
                )
            # Reading the table takes a third of a second to begin: not where each line is as it should be.
            if self.labels_file.exists():
                header, *lines = self.labels_file.read_bytes().splitlines() or [b""]
                rows = [line.split(b",") for line in lines]
                in_order = [row[0] for row in rows] == [b"%d" % number for number in range(len(test))]
                different = {tuple(row[1:]) for row in rows}
                has_both = {b"".join(row[:1]) for row in different} == {b"0", b"1"}
                one_label_each = header == b"ID,label" or len({row[1:] for row in different}) == len(different)
                if not (header in (b"ID,label", b"ID,label,kind") and in_order and has_both and one_label_each):
                    self.labels(len(test))
        except InputError as error:
            log.warning("Warning:  the test set cannot be used: %s", error)

    def file_names(self, table: str, count: int) -> list[str] | None:
        """The pictures that `count` images were made of, from TRAINING_FILES or TESTING_FILES; None without that file.

        Raises InputError if it does not name so many.
        """
        path = self.folder / table
        if not path.exists():
            return None
        rows = read_table(path, ("ID", "file"))
        if len(rows) != count:
            raise InputError(f"{path}: names {len(rows):,} pictures, but there are {count:,} images; remove it")
        return list(rows["file"].iloc[ids_in_order(path, rows)])

    def _open(self, name: str, crop: int | None) -> Images:
        if not array_exists(self.folder / name):
            self._explain_missing(name)
        images = open_images(self.folder / name, crop)
        if self.name == "hw8" and len(images) != HOMEWORK_IMAGES[name]:
            raise InputError(
                f"{images.name}: has {len(images):,} images, but the homework's has {HOMEWORK_IMAGES[name]:,}; "
                f"move it away and run {command('download_data', 'hw8')} or, if they are images of your own, give "
                f"`data` {self.folder}"
            )
        return images

    def _explain_missing(self, name: str) -> None:
        """Raise InputError, with the remedy, if the folder holds pictures, arrays of other names or training images."""
        known = [self.folder / TRAINING, *shard_paths(self.folder / TRAINING)] if name == TESTING else []
        arrays = sorted(path.name for path in self.folder.glob("*.np[yz]") if path not in known)
        if arrays:
            names = ", ".join(arrays[:ARRAYS_SHOWN]) + ", ..." * (len(arrays) > ARRAYS_SHOWN)
            purpose = "images to score" if name == TESTING else "normal images to train on"
            archive = "; of an .npz file, save the array with numpy.save" if ".npz" in names else ""
            raise InputError(f"{self.folder}: has {names}, but no {name}; save the {purpose} under that name{archive}")
        files = itertools.islice(self.folder.rglob("*"), LOOKED_AT)
        picture = next((path.name for path in files if path.suffix.lower() in SUFFIXES), None)
        if picture is not None:
            unlabelled = ("--unlabelled",) if name == TESTING else ()
            raise InputError(
                f"{self.folder}: holds pictures ({picture} and so on), not {name}; make arrays of them with: "
                f"{command('prepare_data', self.folder, f'{self.folder.resolve().name}-images', *unlabelled)}"
            )
        if name == TESTING and array_exists(self.folder / TRAINING):
            raise InputError(
                f"{self.folder}: has no {name}; put images to score there under that name, or make it of pictures "
                f"with: {command('prepare_data', 'PICTURES', 'NEW-FOLDER', '--unlabelled')}, and give `data` NEW-FOLDER"
            )


def images_to_score(source: Source, config: DataConfig) -> Images:
    """The images to score, cropped: the test set or, where there is none, the development images. Raises InputError."""
    if source.has_test_set:
        return source.testing(config.crop)
    images = source.training(config.crop)
    development = Selection(images.array_NHWC, split_rows(len(images), config).development)
    return Images(development, config.crop, f"{images.name} (development images)")


def files_to_score(source: Source, config: DataConfig) -> list[str] | None:
    """The picture files behind `images_to_score`, in their order; None where nothing names them."""
    if source.has_test_set:
        return source.file_names(TESTING_FILES, len(source.testing()))
    count = len(source.training())
    names = source.file_names(TRAINING_FILES, count)
    return None if names is None else [names[row] for row in split_rows(count, config).development]


def open_source(where: str | None) -> Source:
    """Open a source by folder or name; `demo` is generated, and `lfw` fetched, when it is first used.

    None means the homework in `data/` if it is there, else `demo`. Raises InputError for anything else.
    """
    if where is None:
        if array_exists(HOMEWORK / TRAINING):
            where, reason = "hw8", "the homework in data/"
        else:
            where, reason = "demo", f"generated faces, since data/ does not hold the homework{_elsewhere()}"
        log.info("`data` %s: %s", where, reason)
    if where in ("demo", "lfw"):
        from hw8.data import demo, lfw  # here, since they import SciPy, which would slow every command

        write, folder = (demo.write_demo, DEMO) if where == "demo" else (lfw.write_lfw, LFW)
        return Source(where, processes().on_rank_0(lambda: write(folder)))  # while the other processes wait
    if where == "hw8":
        if not array_exists(HOMEWORK / TRAINING):
            hint = f"get it with: {command('download_data', 'hw8')}{_elsewhere()}"
            raise InputError(f"`data` hw8: {HOMEWORK / TRAINING} is not there; {hint}")
        return Source("hw8", HOMEWORK)
    if not os.path.isdir(where):  # noqa: PTH112 (Path.is_dir raises OSError for a name that is too long)
        if Path(where).name in (TRAINING, TESTING) and Path(where).is_file():
            raise InputError(f"`data` {where}: is a file; give its folder, {Path(where).parent}")
        raise InputError(
            f"`data` {where}: no such folder; give one with {TRAINING} and {TESTING}, "
            f"or a named source: {', '.join(NAMED_SOURCES)}"
        )
    return Source(where, Path(where))


def _elsewhere() -> str:
    """Where a training set lies nearby, if the homework's is not in its place."""
    places = [Path(TRAINING), *sorted(HOMEWORK.glob(f"*/{TRAINING}"))]
    nearby = [path for path in places if path.exists() and path.parent not in (DEMO, LFW)]
    return f"; there is {nearby[0]}: if that is it, move the files into {HOMEWORK}/" if nearby else ""


def source_folder(where: str) -> Path:
    """The folder of a named source, whether or not it was generated or fetched yet, or the folder of that name."""
    return NAMED_SOURCES.get(where, Path(where))


def array_exists(path: Path) -> bool:
    """Whether an array's file is there, or the numbered files that replace it."""
    return path.exists() or bool(shard_paths(path))
