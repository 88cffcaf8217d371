import numpy as np
import pytest

from hw8.data.corruptions import CORRUPTIONS, corruption
from hw8.data.synthetic import corrupt
from hw8.data.unseen import UNSEEN

KINDS = {
    "cut_paste", "patch_shuffle", "local_warp", "blur", "noise", "colour_shift", "occlusion", "upside_down", "blend",
}  # fmt: skip
NEW = {"swirl", "mirror_half", "posterise", "median", "jpeg", "relight", "part_swap"}
POOL = np.arange(60)


def test_the_kinds_are_there():
    assert set(CORRUPTIONS) == KINDS
    assert set(UNSEEN) == NEW


@pytest.mark.parametrize("kind", sorted(KINDS | NEW))
class TestEveryKind:
    def test_changes_images_but_not_their_source(self, faces, kind):
        before = faces.array_NHWC.copy()
        changed = corrupt(kind, faces, POOL, POOL, seed=1)
        assert changed.shape == before.shape
        assert changed.dtype == np.uint8
        differs = (changed != before).any(axis=(1, 2, 3))
        assert differs.mean() > 0.95
        np.testing.assert_array_equal(faces.array_NHWC, before)

    def test_depends_on_seed_and_row_but_not_on_the_batch(self, faces, kind):
        together = corrupt(kind, faces, POOL, POOL, seed=1)
        alone = corrupt(kind, faces, POOL[17:18], POOL, seed=1)
        np.testing.assert_array_equal(alone[0], together[17])
        if kind not in ("upside_down", "median"):
            assert (corrupt(kind, faces, POOL, POOL, seed=2) != together).any()

    def test_takes_other_sides_and_one_channel(self, faces, kind):
        small = type(faces)(np.ascontiguousarray(faces.array_NHWC[:, :16, :16, :1]))
        assert corrupt(kind, small, POOL[:4], POOL, seed=1).shape == (4, 16, 16, 1)


def test_a_partner_is_never_the_image_itself(faces):
    pool = np.array([3, 4])
    changed = corrupt("blend", faces, pool, pool, seed=0)
    assert (changed != faces.read(pool)).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("kind", sorted(KINDS | NEW))
def test_a_crop_sees_the_same_anomalies(faces, kind):
    whole = corrupt(kind, faces, POOL[:8], POOL, seed=1)
    cropped = corrupt(kind, type(faces)(faces.array_NHWC, crop=20), POOL[:8], POOL, seed=1)
    np.testing.assert_array_equal(cropped, whole[:, 22:42, 22:42])


def test_upside_down_is_half_a_turn(faces):
    np.testing.assert_array_equal(corrupt("upside_down", faces, POOL[:1], POOL, 0)[0], np.rot90(faces.array_NHWC[0], 2))


def test_blend_lies_between_its_two_images(faces):
    pool = np.array([0, 1])
    changed = corrupt("blend", faces, pool[:1], pool, seed=3)[0].astype(int)
    low, high = (reduce(faces.array_NHWC[:2].astype(int), axis=0) for reduce in (np.min, np.max))
    assert ((low - 1 <= changed) & (changed <= high + 1)).all()


def test_a_second_of_the_same_name_is_refused():
    def blur(image, other, rng):
        return image

    with pytest.raises(ValueError, match="registered twice"):
        corruption(blur)
