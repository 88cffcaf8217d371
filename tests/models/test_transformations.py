import math

import pytest
import torch

from hw8.models import create_model
from hw8.models.transformations import (
    DAMAGES,
    GEOMETRY,
    MIRRORED_TURNS,
    ONE_SIDED,
    QUARTERS,
    Chances,
    _moved,
    bump,
    mirror_signs,
    parameter_names,
    pulls,
    transform,
    varied,
)

NOTHING = Chances(untouched=0, graded=0, turned=0, damaged=0)


def faces_like(count: int = 8, channels: int = 3, side: int = 32) -> torch.Tensor:
    """Smooth random images at whole grey levels."""
    small = torch.rand(count, channels, 6, 6, generator=torch.Generator().manual_seed(0))
    large = torch.nn.functional.interpolate(small, side, mode="bicubic").clamp(0, 1)
    return (large * 255).round() / 127.5 - 1


def only(name: str, channels: int = 3, seed: int = 0, x_NCHW: torch.Tensor | None = None):
    """Images changed in one way alone, by redrawing until the chances hit nothing else."""
    names = parameter_names(channels)
    x_NCHW = faces_like(600, channels) if x_NCHW is None else x_NCHW
    torch.manual_seed(seed)
    result = transform(x_NCHW, Chances(0, 0.1, 0, 0))
    alone = result.amount_NP.ne(0).sum(1).eq(1) & result.amount_NP[:, names.index(name)].ne(0)
    alone &= result.amount_NP[:, names.index(name)].abs() > 0.2  # less may drown in rounding and clipping
    assert alone.any()
    return x_NCHW[alone], result.x_NCHW[alone], result.amount_NP[alone, names.index(name)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 48])
def test_shapes_ranges_and_levels(channels, side):
    torch.manual_seed(0)
    x_NCHW = faces_like(40, channels, side)
    before = x_NCHW.clone()
    result = transform(x_NCHW, Chances())
    assert torch.equal(x_NCHW, before), "the target of the decoder must stay clean"
    assert result.x_NCHW.shape == x_NCHW.shape
    assert result.amount_NP.shape == (40, len(parameter_names(channels)))
    assert result.x_NCHW.abs().max() <= 1
    levels = (result.x_NCHW + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    assert result.amount_NP.abs().max() <= 1
    for name in ONE_SIDED:
        assert (result.amount_NP[:, parameter_names(channels).index(name)] >= 0).all()
    assert 0 <= result.turn_N.min() <= result.turn_N.max() < QUARTERS
    assert 0 <= result.damage_N.min() <= result.damage_N.max() < len(DAMAGES)


def test_the_same_seed_does_the_same():
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(transform(faces_like(), Chances()))
    for first, second in zip(vars(results[0]).values(), vars(results[1]).values(), strict=True):
        assert torch.equal(first, second)


def test_no_chance_changes_nothing():
    result = transform(faces_like(), NOTHING)
    torch.testing.assert_close(result.x_NCHW, faces_like(), atol=1e-6, rtol=0)
    assert not result.amount_NP.any()
    assert not result.turn_N.any()
    assert not result.damage_N.any()


def test_a_quarter_turn_keeps_every_pixel():
    torch.manual_seed(0)
    result = transform(faces_like(), Chances(0, 0, 1, 0))
    assert (result.turn_N > 0).all()
    for image, changed, turn in zip(faces_like(), result.x_NCHW, result.turn_N, strict=True):
        torch.testing.assert_close(changed, image.rot90(int(turn), (1, 2)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", parameter_names(3))
def test_each_change_does_what_its_name_says(name):
    x, y, amount = only(name)
    assert (y - x).abs().flatten(1).max(1).values.gt(0).float().mean() > 0.8
    if name == "brightness":
        assert torch.equal((y - x).mean((1, 2, 3)).sign(), amount.sign())
    if name == "contrast":
        assert torch.equal((y.std((1, 2, 3)) - x.std((1, 2, 3))).sign(), amount.sign())
    if name == "saturation":
        assert torch.equal((y.std(1).mean((1, 2)) - x.std(1).mean((1, 2))).sign(), amount.sign())
    if name == "warmth":
        assert torch.equal(((y - x)[:, 0] - (y - x)[:, 2]).mean((1, 2)).sign(), amount.sign())
    if name == "sharpness":
        rough = [z.diff(dim=3).square().mean((1, 2, 3)) for z in (x, y)]
        assert torch.equal((rough[1] - rough[0]).sign(), amount.sign())


def ramps() -> torch.Tensor:
    """Images whose first channel is half of x, the second half of y, both from -1 to 1: they show where pixels go."""
    line = (torch.arange(64) + 0.5) / 32 - 1
    y_HW, x_HW = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x_HW, y_HW, torch.zeros(64, 64)]).div(2).expand(300, -1, -1, -1).clone()


@pytest.mark.parametrize(
    ("name", "strength"),
    [("zoom", 0.2), ("aspect", 0.12), ("shift_x", 0.12), ("shift_y", 0.12), ("tilt", 0.25), ("contrast", 0.35),
     ("brightness", 0.25), ("saturation", 0.6), ("warmth", 0.12), ("gamma", 0.4)],
)  # fmt: skip
def test_each_change_is_as_strong_as_its_unit_says(name, strength):
    """The unit of each is in hw8/models/transformations.py; measured on images that are changed by known formulas."""
    x, y, amount = only(name, x_NCHW=ramps())
    inner = slice(16, 48)  # nothing is reflected or clipped there
    x, y = x[:, :, inner, inner], y[:, :, inner, inner]
    across = (y[:, 0, 16, 31] - y[:, 0, 16, 0]) / (x[:, 0, 16, 31] - x[:, 0, 16, 0])
    down = (y[:, 1, 31, 16] - y[:, 1, 0, 16]) / (x[:, 1, 31, 16] - x[:, 1, 0, 16])
    skew = (y[:, 1, 16, 31] - y[:, 1, 16, 0]) / (x[:, 0, 16, 31] - x[:, 0, 16, 0])
    measured = {
        "zoom": lambda: -(across * down).log() / 2,
        "aspect": lambda: (across / down).log() / 2,
        "shift_x": lambda: (y - x)[:, 0].mean((1, 2)) * 2,
        "shift_y": lambda: (y - x)[:, 1].mean((1, 2)) * 2,
        "tilt": skew.asin,
        "contrast": across.log,
        "brightness": lambda: (y - x).mean((1, 2, 3)),
        "saturation": lambda: ((y[:, 0] - y[:, 1]).std((1, 2)) / (x[:, 0] - x[:, 1]).std((1, 2))).log(),
        "warmth": lambda: (y - x)[:, 0].mean((1, 2)),
        "gamma": lambda: ((y[:, 2] + 1) / 2).log().div(math.log(0.5)).log().mean((1, 2)),
    }[name]()
    torch.testing.assert_close(measured, strength * amount, atol=0.03 * strength + 0.012, rtol=0)


def test_damages_leave_the_rest_of_the_image():
    torch.manual_seed(0)
    x_NCHW = faces_like(60)
    result = transform(x_NCHW, Chances(0, 0, 0, 1))
    assert (result.damage_N > 0).all()
    same_NHW = (result.x_NCHW - x_NCHW).abs().amax(1) < 1e-6
    for name in ("pasted", "shuffled", "covered"):
        part = same_NHW[result.damage_N == DAMAGES.index(name)].float().mean((1, 2))
        assert part.min() > 0.7, name
    blended = result.damage_N == DAMAGES.index("blended")
    assert same_NHW[blended].float().mean() < 0.2


def test_bumps_lie_anywhere_in_the_image_and_pull_to_any_side():
    torch.manual_seed(0)
    line = torch.linspace(-0.5, 0.5, 41)
    grid_NHW2 = torch.stack(torch.meshgrid(line, line, indexing="ij"), dim=-1).expand(400, -1, -1, -1)
    pull_NHW2 = bump(grid_NHW2, 0.02, *pulls(400, torch.device("cpu")))
    height_NHW = pull_NHW2.square().sum(-1).sqrt()
    assert 0.12 < height_NHW.flatten(1).amax(1).min() <= height_NHW.max() < 0.33
    strongest_N2 = grid_NHW2[0].reshape(-1, 2)[height_NHW.flatten(1).argmax(1)]
    assert strongest_N2.mean(0).abs().max() < 0.05
    assert 0.23 < strongest_N2.std(0).min() < 0.33, "uniform over one side: 1 / sqrt(12) = 0.29"
    assert pull_NHW2.sum((1, 2)).sign().unique(dim=0).shape[0] == 4


@pytest.mark.parametrize("name", GEOMETRY)
def test_mirroring_an_image_mirrors_its_amounts(name):
    x_NCHW, signs = faces_like(4), dict(zip(GEOMETRY, mirror_signs(3)[:5].tolist(), strict=True))
    still_N = torch.zeros(4, dtype=torch.long)

    def moved(image_NCHW, amount, turn=0):
        amounts = {other: torch.zeros(4) for other in GEOMETRY} | {name: torch.full((4,), amount)}
        return _moved(image_NCHW.clone(), amounts, still_N + turn, still_N > 0)

    torch.testing.assert_close(moved(x_NCHW.flip(3), signs[name] * 0.7), moved(x_NCHW, 0.7).flip(3), atol=1e-4, rtol=0)
    for turn, mirrored in enumerate(MIRRORED_TURNS):
        torch.testing.assert_close(moved(x_NCHW.flip(3), 0.0, mirrored), moved(x_NCHW, 0.0, turn).flip(3))


def test_grey_images_have_no_colour_to_change():
    assert set(parameter_names(3)) - set(parameter_names(1)) == {"saturation", "warmth"}


def test_mixed_precision_does_not_change_the_changes():
    """Sampling places rounded to bfloat16 would mark every changed image with the same jagged edges."""
    x_NCHW = faces_like(16)
    clean = []
    for precision in (torch.float32, torch.bfloat16):
        model = create_model("recogniser", 32).train()
        seen = []
        model.features.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0].float()))
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision is torch.bfloat16):
            model(x_NCHW)
        clean.append(seen[0])
    torch.testing.assert_close(clean[0], clean[1], atol=0, rtol=0)


def test_evidence_is_the_same_with_and_without_the_map_of_the_forward_pass():
    model = create_model("recogniser", 32).eval()
    x_NCHW = faces_like(4)
    with torch.no_grad():
        output = model(x_NCHW)
        short, long = (model.evidence(x_NCHW, item) for item in (output, output._replace(map_NDhw=None)))
    assert short.keys() == long.keys()
    assert all(torch.equal(short[name], long[name]) for name in short)


def test_changes_leave_the_clean_images_alone():
    torch.manual_seed(0)
    x_NCHW = faces_like(16)
    before = x_NCHW.clone()
    transform(x_NCHW, Chances(untouched=0.0, graded=1.0, turned=1.0, damaged=1.0))
    assert torch.equal(x_NCHW, before)


def test_what_it_says_of_a_mirror_image_is_the_mirror_of_what_it_says():
    torch.manual_seed(0)
    model = create_model("recogniser", 32).eval()
    x_NCHW = faces_like(4)
    with torch.no_grad():
        here, mirrored = (model.evidence(x, model(x)) for x in (x_NCHW, x_NCHW.flip(3)))
    torch.testing.assert_close(mirrored["amounts"], here["amounts"] * mirror_signs(3), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        mirrored["changes"], here["changes"][:, [0, 3, 2, 1, *range(4, 10)]], atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(mirrored["features"], here["features"], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_varied_image_is_another_view_of_the_same_upright_thing(channels):
    torch.manual_seed(0)
    x_NCHW = faces_like(40, channels)
    before = x_NCHW.clone()
    again, y_NCHW = varied(x_NCHW), varied(x_NCHW)
    assert torch.equal(x_NCHW, before)
    assert y_NCHW.shape == x_NCHW.shape
    changed_N = (y_NCHW - x_NCHW).abs().mean((1, 2, 3))
    assert (changed_N > 0.02).all()
    assert (y_NCHW - again).abs().mean((1, 2, 3)).min() > 0.02

    def likeness(quarters: int) -> torch.Tensor:
        pairs = zip(y_NCHW.flatten(1), x_NCHW.rot90(quarters, (2, 3)).flatten(1), strict=True)
        return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs])

    assert torch.stack([likeness(quarters) for quarters in range(4)]).argmax(0).eq(0).float().mean() > 0.9
