"""A finished run: settings, model, calibration and what its images look like, loaded once to score images."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hw8.base.device import choose_device, choose_precision
from hw8.base.errors import InputError, error_reason
from hw8.config import FUSED, JOINT, TWO_SIDED, Device, RunConfig
from hw8.data.arrays import Images, Readable, to_levels
from hw8.data.loader import in_batches
from hw8.data.sources import Source, files_to_score, images_to_score, open_source, source_folder
from hw8.data.splits import Splits, reference_rows, split_rows
from hw8.scoring.appearance import Appearance
from hw8.scoring.calibration import Calibration, Table
from hw8.scoring.inference import Scorer
from hw8.scoring.occlusion import score_map
from hw8.scoring.transductive import check_can_transduce
from hw8.training.run_folder import RunFolder, SavedModel, run_name

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A finished run, ready to score: from its folder, from bytes, or as its training left it.

    `folder` is None for a run that was never in one. `side` and `channels` are those of the images it takes.
    """

    folder: RunFolder | None
    config: RunConfig
    scorer: Scorer
    calibration: Calibration
    appearance: Appearance | None
    side: int
    channels: int

    @property
    def name(self) -> str:
        """The run's name in messages."""
        return run_name(self.folder)

    @property
    def score_name(self) -> str:
        """The name of this run's score."""
        return self.config.scoring.score

    @property
    def normal_C(self) -> np.ndarray:
        """The calibration normals' scores, in this run's score."""
        return self.calibration.values_C[self.score_name]

    def run_score(self, table: Table, in_reference_N: np.ndarray | None = None) -> np.ndarray:
        """This run's score of images with this evidence (N,); see `Calibration.scores`."""
        return self.calibration.scores(table, in_reference_N)[self.score_name]

    @classmethod
    def load(cls, path: Path, device: Device = "auto") -> "TrainedRun":
        """Load a finished run. Raises InputError if it is missing, damaged or unfinished."""
        folder, config = RunFolder.open(path)
        folder.check_not_failed()
        config = dataclasses.replace(config, device=device)
        return cls._of(folder, config, folder.load_model(config))

    @classmethod
    def from_bytes(cls, config: RunConfig, content: bytes) -> "TrainedRun":
        """The run of these settings and of what `to_bytes` gave. Raises InputError if they do not fit."""
        return cls._of(None, config, SavedModel.from_bytes(content, config, "model.safetensors"))

    @classmethod
    def _of(cls, folder: RunFolder | None, config: RunConfig, saved: SavedModel) -> "TrainedRun":
        scoring, device = config.scoring, choose_device(config.device)
        calibration = Calibration.from_tensors(saved.calibration, scoring, run_name(folder))
        precision = choose_precision(config.precision, device)
        scorer = Scorer(saved.model, device, precision, scoring.score_batch_size, scoring.evidence_names)
        appearance = Appearance.from_tensors(saved.appearance)
        run = cls(folder, config, scorer, calibration, appearance, saved.side, saved.channels)
        run.check()  # a run of another version, or whose settings were edited, fails here and not amid a test set
        return run

    def to_bytes(self) -> bytes:
        """The content of model.safetensors."""
        appearance = {} if self.appearance is None else self.appearance.tensors()
        saved = SavedModel(self.scorer.model, self.side, self.channels, self.calibration.tensors(), appearance)
        return saved.to_bytes()

    def check(self) -> None:
        """Score one grey image. Raises InputError, naming the run, if weights, settings and calibration do not fit."""
        grey_1HWC = np.full((1, self.side, self.side, self.channels), 128, np.uint8)
        try:
            if self.config.scoring.transductive:
                check_can_transduce(self.scorer.model)
            scores = self.calibration.scores(self.scorer.evidence(grey_1HWC))
            if self.score_name not in scores:
                given = ", ".join(scores)
                raise InputError(f"`score` {self.score_name}: this model does not give it; it gives {given}")
            if not np.isfinite(scores[self.score_name]).all():
                raise InputError("its scores are not finite; train again with a lower `lr`")
        except (ValueError, RuntimeError) as error:  # of NumPy and PyTorch, for arrays of other shapes
            reason = error_reason(error, 200)
            raise InputError(f"{self.name}: its model cannot score with its config.yaml: {reason}") from None

    def p_value(self, score_N: np.ndarray) -> np.ndarray:
        """Conformal p-values (N,) of the run's own score, by its calibration normals."""
        return self.calibration.p_value(self.score_name, score_N)

    def score(self, images: Readable, rows: np.ndarray, label: str | None = None) -> dict[str, np.ndarray]:
        """Every score of these rows that the evidence suffices for: float64 (len(rows),) each, by name.

        `label` shows a progress bar of that name on standard error.
        """
        return self.calibration.scores(self.scorer.table(images, rows, label))

    def evidence_p_values(self, scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """p-values (N,) of each piece of evidence behind the run's score alone, from what `score` gives.

        A number is two-sided as a part of `joint`, and one-sided where it is the score itself.
        """
        scoring, p_values = self.config.scoring, {}
        for name in scoring.evidence_names:
            is_score = name == scoring.score or (scoring.score == FUSED and name in scoring.fused)
            key = name if is_score or name + TWO_SIDED not in scores else name + TWO_SIDED
            p_values[name] = self.calibration.p_value(key, scores[key])
        return p_values

    def shares(self, table: Table) -> dict[str, np.ndarray]:
        """The share of each part in the squared joint distance (N,); empty if the run's score is another one."""
        return self.calibration.shares(table) if self.score_name == JOINT else {}

    def score_maps(self, batch_BHWC: np.ndarray) -> np.ndarray:
        """Where the scores of uint8 images, cropped as the run takes them, come from: float64 (B, side, side).

        See `hw8.scoring.occlusion.score_map`. Of a transductive run, the scores before the transduction.
        """

        def score(images_WHWC: np.ndarray) -> np.ndarray:
            batches = [images_WHWC[rows] for rows in in_batches(np.arange(len(images_WHWC)), self.scorer.batch_size)]
            scores = [self.run_score(self.scorer.evidence(batch)) for batch in batches]
            return np.concatenate(scores)

        maps = []
        for image_HWC in batch_BHWC:
            recon_1HWC, _ = self.scorer.reconstruct(image_HWC[None])
            pixel_HWC = None if recon_1HWC is None else to_levels(recon_1HWC[0].clip(-1, 1))
            maps.append(score_map(score, image_HWC, pixel_HWC))
        return np.stack(maps)

    def with_all_evidence(self) -> "TrainedRun":
        """A copy of this run that computes all evidence of its model, whether the score needs it or not."""
        return dataclasses.replace(self, scorer=self.scorer.with_evidence(None))

    def open_source(self, where: str | None) -> Source:
        """The images at `where` or, if that is None, the run's own. Raises InputError if there are none."""
        return open_own_source(self.config, self.name) if where is None else open_source(where)

    def open_test(self, source: Source) -> Images:
        """The test images, cropped as this run takes them. Raises InputError if side or channels differ from its own.

        If the run's own data has no test set: its development images, which it was not trained or calibrated on.
        """
        if self._scores_development(source):
            self.open_training()  # refuses other images than it was trained on
            images = images_to_score(source, self.config.data)
            log.info(
                "%s: has no test set; its %s development images, held out from training, are scored in its place",
                source.name, f"{len(images):,}",
            )  # fmt: skip
            return images
        images = source.testing(self.config.data.crop)
        if (images.side, images.channels) != (self.side, self.channels):
            side = self.side if self.appearance is None else self.appearance.whole_side or self.side  # before a crop
            remedy = f"`side` {side}, {'with' if self.channels == 1 else 'without'} `grey`"
            raise InputError(
                f"{images.name}: images of {images.side}x{images.side}x{images.channels}, but {self.name} "
                f"takes {self.side}x{self.side}x{self.channels}; prepare them like its own ({remedy}), or score "
                "other images"
            )
        return images

    def file_names(self, source: Source) -> list[str] | None:
        """The picture files behind the images of `open_test`, in their order; None where nothing names them."""
        return files_to_score(source, self.config.data)

    def check_held_out_with(self, others: Sequence["TrainedRun"], source: Source) -> None:
        """Raise InputError if held-out images are scored for lack of a test set, and the others held out other ones."""
        if not source.has_test_set and len({run.calibration_set() for run in (self, *others)}) > 1:
            raise InputError(
                f"`data` {source.name}: has no test set, and these runs held out other images; give `data`"
            )

    def _scores_development(self, source: Source) -> bool:
        """Whether development images are scored: the run's own data has no test set."""
        own = source_folder(str(self.config.data.source))
        return not source.has_test_set and source.folder.resolve() == own.resolve()

    def open_training(self) -> tuple[Images, Splits]:
        """The images that the run was trained on, and their split. Raises InputError if they are no longer there."""
        if self.folder is None:
            raise InputError("the run: was trained on images that it does not hold")
        images = self.open_source(None).training(self.config.data.crop)
        if images.fingerprint() != self.folder.fingerprint():
            raise InputError(f"{images.name}: is not what {self.name} was trained on; put it back, or train again")
        return images, split_rows(len(images), self.config.data)

    def in_reference(self, rows: np.ndarray, splits: Splits) -> np.ndarray:
        """Which of these rows of the training images the distances were fitted to: bool (len(rows),)."""
        fit_on_training = self.config.scoring.fit_on == "training"
        return np.isin(rows, reference_rows(splits) if fit_on_training else splits.calibration)

    def calibration_set(self) -> tuple[object, ...]:
        """What decides which normals calibrated the run: two runs that agree in it used the same ones."""
        # All settings of the data but where it lies, which has many spellings, and what the model sees of an image.
        cut = dataclasses.replace(self.config.data, source=None, crop=None, flip=False)
        images = None if self.folder is None else self.folder.fingerprint()
        return cut, images, len(self.normal_C)

    def column_names(self, name: str, value: np.ndarray) -> list[str]:
        """A name for each column of a piece of evidence, (N,) or (N, D)."""
        if value.ndim == 1:
            return [name]
        labels = self.scorer.model.components().get(name, ())
        if len(labels) != value.shape[1]:
            labels = tuple(map(str, range(value.shape[1])))
        return [f"{name}.{label.replace(' ', '_')}" for label in labels]


def open_own_source(config: RunConfig, run_name: str) -> Source:
    """The images that the run of these settings was trained on. Raises InputError, naming the run."""
    try:
        return open_source(config.data.source)
    except InputError as error:
        hint = "give `data`, or start this in the folder where the run was trained"
        raise InputError(f"{run_name}: its own images cannot be opened: {error}; {hint}") from None
