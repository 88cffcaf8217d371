"""Why an image has its score: which evidence is how unusual, its reconstruction, its error map, where it comes from."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from hw8.base.errors import InputError, printable
from hw8.base.text import aligned, percent
from hw8.config import JOINT
from hw8.data.arrays import Images, scaled
from hw8.data.sources import TRAINING_FILES
from hw8.data.splits import evenly_spaced
from hw8.report.heatmaps import error_scale
from hw8.report.words import (
    DIRECTION,
    SHOWN,
    USUAL,
    USUAL_ALONE,
    WORDS,
    Deviation,
    in_words,
    joint_deviations,
    p_in_words,
    rarity,
    single_deviations,
)
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.calibration import Table

# Test images that set the colour scale of error maps: a million pixels, of which the largest 0.5% can be told well.
SCALE_IMAGES = 256
# Measurements listed as standing out; chosen by hand, since those after them are rarely far from the normals.
MAX_DEVIATIONS = 6
MIN_ADDED = 0.005  # share of the squared distance: smaller ones would be shown as 0%
# Share of the squared distance, chosen by hand: measurements that add less of it in all do not explain the score.
MIN_TOGETHER = 0.1


@dataclasses.dataclass(frozen=True)
class ImageExplanation:
    """One image's score and the evidence behind it.

    `p_values`: that of each piece of evidence alone. `shares`: how much each adds to the squared joint distance, in
    sum 1; empty of other scores. `deviations`: named measurements, from the normals' median in units of the
    normals' spread. Of the joint distance these are the ones that add most to its square, and `added` holds their
    shares of it; of other scores they are the furthest, and `added` is empty. `error_HW`: squared error summed over
    channels, None without a reconstruction; `scale` is the same for every image of the data set. `map_HW`: where
    the score comes from, in units of the score, where that was asked for. `calibration_count` images
    are behind the p-values. `words` say what sets the image apart.
    """

    name: str
    score: float
    p_value: float
    p_values: dict[str, float]
    shares: dict[str, float]
    deviations: dict[str, float]
    added: dict[str, float]
    image_HWC: np.ndarray
    recon_HWC: np.ndarray | None
    error_HW: np.ndarray | None
    map_HW: np.ndarray | None = dataclasses.field(default=None, kw_only=True)
    scale: float
    calibration_count: int
    words: str

    @property
    def rarity(self) -> str:
        """The p-value in words."""
        return rarity(self.p_value, self.calibration_count)

    def lines(self) -> list[str]:
        """The explanation in words."""
        p_values = sorted(self.p_values.items(), key=lambda item: item[1])
        lines = [f"{self.name}: score {self.score:.4g}; {self.rarity} (p = {self.p_value:.4f})"]
        lines.append(f"compared with normal images: {self.words}")
        shares = {name: f"{percent(share)} of the squared distance" for name, share in self.shares.items()}
        lines += aligned(
            [(f"  {name}", p_in_words(p, self.calibration_count), shares.get(name, "")) for name, p in p_values], left=2
        )
        if self.deviations:
            what = "named measurements that add most, with their shares;" if self.added else "largest deviations,"
            lines.append(f"{what} in units of the normals' spread (usual: -2 to 2):")
            added = {name: percent(share) for name, share in self.added.items()}
            lines += aligned(
                [(f"  {name}", f"{value:+.1f}", added.get(name, "")) for name, value in self.deviations.items()]
            )
        if self.added:
            lines.append(f"  all others together add {percent(1 - sum(self.added.values()))}")
        return lines


@dataclasses.dataclass(frozen=True)
class Explainer:
    """Explains scores of a run's images; their error maps share one colour scale, from 0 to `scale`."""

    trained: TrainedRun
    scale: float

    @property
    def calibration_count(self) -> int:
        """Calibration images behind the p-values."""
        return len(self.trained.normal_C)

    @classmethod
    def for_images(cls, trained: TrainedRun, images: Images) -> "Explainer":
        """An explainer whose colour scale fits up to 256 of these images, evenly spread."""
        batch_BHWC = images.read(evenly_spaced(np.arange(len(images)), SCALE_IMAGES))
        recon_BHWC, _ = trained.scorer.reconstruct(batch_BHWC)
        if recon_BHWC is None:
            return cls(trained, 1.0)
        return cls(trained, error_scale(np.square(recon_BHWC - scaled(batch_BHWC)).sum(axis=3)))

    def explain(
        self, batch_BHWC: np.ndarray, names: Sequence[str], in_reference_B: np.ndarray | None = None
    ) -> list[ImageExplanation]:
        """Explain the scores of uint8 images (B, side, side, C), cropped as the run takes them.

        Of a transductive run it explains the score before the transduction. `in_reference_B`, bool, says which images
        the distances were fitted to, see `Calibration.scores`.
        """
        trained, calibration = self.trained, self.trained.calibration
        recon_BHWC, table = trained.scorer.reconstruct(batch_BHWC)
        scores = calibration.scores(table, in_reference_B)
        score_B = scores[trained.score_name]
        p_value_B = calibration.p_value(trained.score_name, score_B)
        parts, shares = trained.evidence_p_values(scores), trained.shares(table)
        by_evidence = _by_evidence(trained, table, parts)
        if shares:
            deviations = [_adding_most(by_evidence, row) for row in range(len(batch_BHWC))]
        else:
            deviations = [(of_image, {}) for of_image in self._furthest(table, len(batch_BHWC))]
        words = _words(trained, by_evidence, p_value_B)
        explanations = []
        for row, (name, image_HWC) in enumerate(zip(names, batch_BHWC, strict=True)):
            recon_HWC = None if recon_BHWC is None else recon_BHWC[row]
            error_HW = None if recon_HWC is None else np.square(recon_HWC - scaled(image_HWC)).sum(axis=2)
            of_image, added = deviations[row]
            explanations.append(
                ImageExplanation(
                    name=name,
                    score=float(score_B[row]),
                    p_value=float(p_value_B[row]),
                    p_values={part: float(p_B[row]) for part, p_B in parts.items()},
                    shares={part: float(share_B[row]) for part, share_B in shares.items()},
                    deviations=of_image,
                    added=added,
                    image_HWC=image_HWC,
                    recon_HWC=recon_HWC,
                    error_HW=error_HW,
                    scale=self.scale,
                    calibration_count=self.calibration_count,
                    words=words[row],
                )
            )
        return explanations

    def _furthest(self, table: dict[str, np.ndarray], count: int) -> list[dict[str, float]]:
        """For each image, the named columns of evidence that lie furthest from the normals' median."""
        deviations: list[dict[str, float]] = [{} for _ in range(count)]
        for name, components in self.trained.scorer.model.components().items():
            if name in table and name in self.trained.calibration.fits:
                standard_BD = self.trained.calibration.fits[name].standardise(table[name].astype(np.float64))
                for of_image, standard_D in zip(deviations, standard_BD, strict=True):
                    names = [SHOWN.get(component, component) for component in components]
                    of_image |= dict(zip(names, map(float, standard_D), strict=True))
        return [
            dict(sorted(of_image.items(), key=lambda item: -abs(item[1]))[:MAX_DEVIATIONS]) for of_image in deviations
        ]


def words_of(trained: TrainedRun, table: Table) -> list[str]:
    """What sets each image of this evidence apart from normal ones."""
    scores = trained.calibration.scores(table)
    p_value_N = trained.p_value(scores[trained.score_name])
    return _words(trained, _by_evidence(trained, table, trained.evidence_p_values(scores)), p_value_N)


def _by_evidence(trained: TrainedRun, table: Table, p_values: dict[str, np.ndarray]) -> list[Deviation]:
    if trained.score_name == JOINT:
        return joint_deviations(trained.calibration, table, trained.scorer.model.components())
    return single_deviations(trained.calibration, table, p_values)


def _words(trained: TrainedRun, by_evidence: Sequence[Deviation], p_value_N: np.ndarray) -> list[str]:
    words = in_words(by_evidence, p_value_N)
    return [USUAL_ALONE if text == USUAL else text for text in words] if trained.config.scoring.transductive else words


def _adding_most(deviations: Sequence[Deviation], row: int) -> tuple[dict[str, float], dict[str, float]]:
    """Of the measurements that add most to an image's joint distance, the deviations, and the shares of its square.

    Both are empty where these together add less than a tenth of it.
    """
    # Of a vector without names, such as the texture, no single number stands for its share.
    single = [item for item in deviations if item.name not in DIRECTION and item.name in WORDS]
    single = [item for item in single if item.share_N[row] >= MIN_ADDED]
    ranked = sorted(single, key=lambda item: -item.share_N[row])[:MAX_DEVIATIONS]
    by_name = {SHOWN.get(item.name, item.name): item for item in ranked}
    added = {name: float(item.share_N[row]) for name, item in by_name.items()}
    if sum(added.values()) < MIN_TOGETHER:
        return {}, {}
    return {name: float(item.deviation_N[row]) for name, item in by_name.items()}, added


def explain(run: Path, where: str | None, image: str, of_training: bool = False) -> ImageExplanation:
    """Explain the score of one test image, by ID or file name, with its map; or of an image it was trained on.

    Raises InputError if there is no such run, data or image.
    """
    trained = TrainedRun.load(run)
    in_reference_1 = None
    if of_training:
        if where is not None:
            raise InputError(f"`data` {where}: the run knows its own training images; omit it")
        images, splits = trained.open_training()
        files = trained.open_source(None).file_names(TRAINING_FILES, len(images))
        row = _row(image, files, images)
        in_reference_1 = trained.in_reference(np.array([row]), splits)
    else:
        source = trained.open_source(where)
        images, files = trained.open_test(source), trained.file_names(source)
        row = _row(image, files, images)
    name = f"{'training ' if of_training else ''}image {row}" + ("" if files is None else f" ({files[row]})")
    batch_1HWC = images.read(np.array([row]))
    explanation = Explainer.for_images(trained, images).explain(batch_1HWC, [name], in_reference_1)[0]
    return dataclasses.replace(explanation, map_HW=trained.score_maps(batch_1HWC)[0])


def _row(image: str, files: list[str] | None, images: Images) -> int:
    """The row of an ID, or of a picture's file name, with its folder where several have that name."""
    if files is not None and image in files:
        return files.index(image)
    rows_of_name = [row for row, file in enumerate(files or ()) if PurePath(file).name == image]
    if len(rows_of_name) == 1:
        return rows_of_name[0]
    if files is not None and rows_of_name:
        first = printable(f"{rows_of_name[0]} ({files[rows_of_name[0]]})")
        raise InputError(f"`id` {image}: {len(rows_of_name)} pictures have this name; give an ID, for instance {first}")
    row = int(image) if image.isdecimal() else -1
    if not 0 <= row < len(images):
        or_file = "" if files is None else f", or the name of a picture, for instance {printable(files[0])}"
        raise InputError(f"`id` {image}: give an ID from 0 to {len(images) - 1}{or_file} ({images.name})")
    return row
