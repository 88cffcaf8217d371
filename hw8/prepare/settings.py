"""The settings of `prepare`."""

import dataclasses

from hw8.base.errors import InputError
from hw8.data.arrays import MIN_SIDE
from hw8.data.pictures import MAX_SQUARE, Crop

# Chosen by hand: more threads than any machine has processors only take memory.
MAX_WORKERS = 256


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How pictures become images, and which of them are held back to test on."""

    side: int = 64
    """Side of the images in pixels."""
    crop: Crop = "centre"
    """Keep the centre square, or the whole picture: with bars in the colour of its edge, or out of proportion."""
    grey: bool = False
    """One channel instead of three."""
    test_share: float | None = None
    """Share of the normal pictures held back to test on; 1 makes a test set of all, for a run that is trained already.
    Default: 0.2 where anomalies are labelled, else none."""
    unlabelled: bool = False
    """All pictures are images to score that nobody has labelled: a test set, and no training set."""
    seed: int = 0
    """Seed of what is held back, and of the order of the test set."""
    workers: int | None = None
    """Threads that decode; the files are the same with any number. Default: one for each processor."""

    def __post_init__(self) -> None:
        limits = {"side": (MIN_SIDE, MAX_SQUARE), "seed": (0, 2**32 - 1), "workers": (1, MAX_WORKERS)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InputError(f"`{name}` {value}: must be {low} to {high}")
        if self.test_share is not None and not 0 < self.test_share <= 1:
            raise InputError(f"`test_share` {self.test_share:g}: must be more than 0 and at most 1")
        if self.test_share is not None and self.unlabelled:
            raise InputError("`unlabelled` makes a test set of all pictures; omit `test_share`")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.side, self.side, 1 if self.grey else 3
