"""Test sets that do not look like the training images."""

import numpy as np
import pytest

from hw8.data.arrays import Images
from hw8.data.demo import KINDS, demo_images
from hw8.data.splits import Splits
from hw8.scoring.appearance import Appearance, digests, measure

TRAIN = demo_images("normal", 300, seed=1)
FACES = demo_images("normal", 200, seed=2)
SPLITS = Splits(np.arange(0, 200), np.arange(200, 250), np.arange(250, 300))


@pytest.fixture(scope="module")
def known() -> Appearance:
    return Appearance.of(Images(TRAIN), SPLITS)


def said(known: Appearance, array: np.ndarray) -> str:
    return " | ".join(known.differences(Images(np.ascontiguousarray(array))))


def test_faces_of_the_same_kind_are_nothing_to_speak_of(known):
    assert said(known, FACES) == ""


def test_a_test_set_half_of_which_is_anomalous_is_nothing_to_speak_of(known):
    anomalous = [demo_images(kind, 30, seed=3) for kind in KINDS if kind != "normal"]
    assert said(known, np.concatenate([FACES[: 30 * len(anomalous)], *anomalous])) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a[..., ::-1], "the channels look reversed (BGR for RGB)"),
        (lambda a: a // 255, "pixels reach only 1 of 255"),
        (lambda a: a // 2 + 128, "darkest pixel is"),
        (lambda a: np.repeat(a[:1], 200, 0), "copies of another one of them"),
        (lambda a: np.concatenate([a[:170], np.repeat(a[:1], 30, 0)]), "15% of the 200 images looked at are copies"),
        (lambda a: TRAIN[:200], "100% of the 200 images are among the training images"),
        (lambda a: np.concatenate([TRAIN[:20], a[:180]]), "10% of the 200 images are among the training images"),
        (lambda a: np.full_like(a, 200), "contrast is 0 of 255"),
    ],
    ids=["reversed", "range", "brightened", "copies", "some copies", "training set", "partly", "blank"],
)
def test_what_does_not_look_like_training_images_is_named(known, change, words):
    assert words in said(known, change(FACES))


def test_copies_among_held_out_images_have_another_remedy(known):
    assert "makes figures too good: remove the copies and train again" in known.differences(Images(TRAIN), True)[-1]
    assert "remove them, or give another file" in known.differences(Images(TRAIN))[-1]


def test_a_few_copies_are_nothing_to_speak_of(known):
    assert said(known, np.concatenate([FACES[:185], np.repeat(FACES[:1], 15, 0)])) == ""


def test_part_of_the_training_images_is_enough_to_know_them():
    partly = Appearance(measure(Images(TRAIN), SPLITS.calibration), digests(Images(TRAIN), SPLITS.train[::4]), 200)
    assert "about 100% of the 200 images" in said(partly, TRAIN[:200])
    assert said(partly, FACES) == ""


def test_it_is_saved_and_read_again(known):
    again = Appearance.from_tensors(known.tensors())
    assert again is not None
    assert said(again, FACES[..., ::-1]) == said(known, FACES[..., ::-1]) != ""


def test_a_run_that_was_saved_without_it_has_none():
    assert Appearance.from_tensors({}) is None


def test_grey_images_have_no_channels_to_reverse():
    grey = Images(TRAIN[..., :1].copy())
    known = Appearance.of(grey, SPLITS)
    assert known.value_MK.shape == (50, 4)
    assert known.differences(Images(FACES[..., :1].copy())) == []


def test_another_size_before_the_crop_is_named():
    known = Appearance.from_tensors(Appearance.of(Images(TRAIN, 32), SPLITS).tensors())
    assert known is not None
    assert known.differences(Images(FACES, 32)) == []
    enlarged = FACES.repeat(2, 1).repeat(2, 2)
    assert "are 128x128 before they are cropped to 32x32, the training images were 64x64" in " | ".join(
        known.differences(Images(enlarged, 32))
    )
