"""What the recogniser and the views learn from, and what they answer."""

import pytest
import torch

from hw8.models import create_model
from hw8.models import recogniser as recogniser_module
from hw8.models import views as views_module
from hw8.models.transformations import DAMAGES, GEOMETRY, Chances, Transformed, parameter_names, transform
from hw8.models.views import shifted, turns
from tests.models.test_transformations import faces_like, only


def test_a_turn_is_the_same_alone_and_with_a_graded_change():
    torch.manual_seed(0)
    x_NCHW = faces_like(600)
    result = transform(x_NCHW, Chances(0, 0.1, 1, 0))
    moved = result.amount_NP[:, : len(GEOMETRY)].ne(0).any(1) & result.amount_NP[:, len(GEOMETRY) :].eq(0).all(1)
    error_QM = torch.stack([(result.x_NCHW - x_NCHW.rot90(q, (2, 3)))[moved].abs().mean((1, 2, 3)) for q in range(4)])
    assert moved.sum() > 50
    assert (error_QM.argmin(0) == result.turn_N[moved]).float().mean() > 0.95


def test_damages_show_what_their_names_say():
    """Of images of one grey each: the previous one's grey in a box or in a mean; shuffled or pulled, nothing new."""
    torch.manual_seed(0)
    grey_N = (torch.arange(400) * 37 % 200 + 20) / 127.5 - 1
    result = transform(grey_N.view(-1, 1, 1, 1).expand(-1, 3, 32, 32).clone(), Chances(0, 0, 0, 1))
    kinds = set()
    for image, own, other, damage in zip(result.x_NCHW, grey_N, grey_N.roll(1), result.damage_N, strict=True):
        kind, shown = DAMAGES[damage], image.unique()
        kinds.add(kind)
        if kind in ("pasted", "covered"):
            torch.testing.assert_close(shown, torch.stack([own, other]).sort().values, atol=1e-5, rtol=0)
        elif kind == "blended":
            assert len(shown) == 1
            assert 0.34 < (shown - other) / (own - other) < 0.66
        else:
            torch.testing.assert_close(shown, own[None], atol=1e-5, rtol=0)
    assert kinds == {*DAMAGES[1:]}


def test_every_damage_changes_the_image_and_covers_with_one_colour():
    torch.manual_seed(0)
    x_NCHW = faces_like(100)
    result = transform(x_NCHW, Chances(0, 0, 0, 1))
    changed_NHW = (result.x_NCHW - x_NCHW).abs().amax(1) > 0.01
    assert changed_NHW.flatten(1).any(1).all()
    covered = result.damage_N == DAMAGES.index("covered")
    for image, changed in zip(result.x_NCHW[covered], changed_NHW[covered], strict=True):
        assert image[:, changed].std(1).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "amplitude"), [("smoothness", lambda amount: 0.4 - 0.12 * amount), ("sharpness", lambda a: 0.4 * (1 + a))]
)
def test_fine_detail_is_shrunk_or_scaled_by_its_unit(name, amplitude):
    """A chequerboard is all in the finest band, and a 5x5 binomial blur of it is 0."""
    checks_NCHW = 0.4 * torch.tensor([[1.0, -1], [-1, 1]]).repeat(16, 16).expand(400, 3, -1, -1).clone()
    x, y, amount = only(name, x_NCHW=checks_NCHW)
    torch.testing.assert_close((y * x.sign()).mean((1, 2, 3)), amplitude(amount), atol=0.01, rtol=0)


def test_noise_is_as_strong_as_its_unit_says():
    _, y, amount = only("noise", x_NCHW=torch.zeros(400, 3, 32, 32))
    torch.testing.assert_close(y.std((1, 2, 3)), 0.15 * amount, atol=0.01, rtol=0)


def test_chances_are_what_they_say():
    torch.manual_seed(0)
    result = transform(faces_like(5000, side=16), Chances())
    acts = 0.85
    changed_NP = torch.cat([result.amount_NP, result.turn_N[:, None], result.damage_N[:, None]], 1).ne(0)
    assert (~changed_NP.any(1)).float().mean().item() == pytest.approx(0.15, abs=0.02)
    assert changed_NP[:, :-2].float().mean().item() == pytest.approx(acts * 0.35, abs=0.01)
    assert changed_NP[:, -2].float().mean().item() == pytest.approx(acts * 0.45, abs=0.03)
    assert changed_NP[:, -1].float().mean().item() == pytest.approx(acts * 0.55, abs=0.03)
    for kind_N, kinds in ((result.turn_N, 4), (result.damage_N, len(DAMAGES))):
        counts = torch.bincount(kind_N[kind_N > 0], minlength=kinds)[1:]
        assert counts.min() > 0.85 * counts.max()
    size_NP = result.amount_NP[:, :13].abs()
    assert (size_NP.amax(0) > 0.98).all()


def test_the_training_loss_of_views_is_that_of_turns_each_shifted_by_its_own_steps(monkeypatch):
    x_NCHW = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    varied = []
    monkeypatch.setattr(views_module, "varied", lambda x: varied.append(len(x)) or x)
    model = create_model("views", 32, 3, {}).train()
    torch.manual_seed(0)
    loss_N = model(x_NCHW).terms["views"]
    torch.manual_seed(0)
    down_M, across_M = (torch.randint(3, (24,)) for _ in range(2))
    assert varied == [6], "an image is varied once, before it is turned"
    assert (down_M != across_M).any()
    feature_MD = model.features(shifted(turns(x_NCHW), down_M, across_M)).mean((2, 3))
    truths = torch.arange(4).repeat_interleave(6), down_M, across_M
    expected_M = sum(
        torch.nn.functional.cross_entropy(logit, truth, reduction="none")
        for logit, truth in zip(model.heads(feature_MD).split((4, 3, 3), 1), truths, strict=True)
    )
    torch.testing.assert_close(loss_N, expected_M.view(4, 6).mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("side", "factor"), [(16, 1), (63, 1), (64, 2), (95, 2), (96, 3)])
def test_views_are_of_32_to_47_pixels_where_images_are_larger(side, factor):
    assert create_model("views", side, 1, {}).factor == factor


def test_views_diagnosis_is_its_mean_evidence():
    model, x_NCHW = create_model("views", 32, 3, {}).eval(), faces_like(5)
    with torch.no_grad():
        own = model.evidence(x_NCHW, model(x_NCHW))
    assert model.diagnose(x_NCHW) == pytest.approx(
        {name: own[name].mean().item() for name in ("turns", "shifts", "views")}
    )


def test_evidence_of_a_mirror_image_is_averaged_only_if_asked():
    torch.manual_seed(0)
    both = create_model("recogniser", 32).eval()
    one = create_model("recogniser", 32, 3, {"mirror": False}, weights=both.state_dict()).eval()
    x_NCHW = faces_like(4)
    with torch.no_grad():
        here, there = (one.evidence(x, one(x)) for x in (x_NCHW, x_NCHW.flip(3)))
        found = both.evidence(x_NCHW, both(x_NCHW))
    there["amounts"] = there["amounts"] * both.signs
    there["changes"] = there["changes"][:, [0, 3, 2, 1, *range(4, 10)]]
    for name, value in found.items():
        assert (here[name] - there[name]).abs().max() > 1e-4
        torch.testing.assert_close(value, (here[name] + there[name]) / 2, atol=1e-5, rtol=1e-4)


def knows(answers_NK: torch.Tensor, changed: Transformed, monkeypatch):
    """A recogniser whose heads give these answers of `changed`'s images, and nothing of others."""
    model = create_model("recogniser", 32).eval()
    monkeypatch.setattr(recogniser_module, "transform", lambda x_NCHW, chances: changed)
    seen = []
    model.features.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    monkeypatch.setattr(model, "_recognise", lambda _: answers_NK.split(model.sizes, 1))
    return model, seen


def test_the_recognisers_diagnosis_counts_right_answers(monkeypatch):
    count = len(parameter_names(3))
    changed = Transformed(faces_like(4), torch.randn(4, count), torch.tensor([0, 1, 2, 3]), torch.tensor([0, 5, 1, 2]))
    turn_NK = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 0]), 4)  # three of four
    damage_NK = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 3]), 6)  # one of four
    model, seen = knows(torch.cat([2 * changed.amount_NP + 1, turn_NK, damage_NK], 1), changed, monkeypatch)
    diagnosis = model.diagnose(torch.zeros(4, 3, 32, 32))
    assert diagnosis == pytest.approx({"turns_recognised": 0.75, "damages_recognised": 0.25, "amounts_correlation": 1})
    assert torch.equal(seen[0], changed.x_NCHW)


def test_a_recognisers_columns_have_the_names_of_its_heads():
    model = create_model("recogniser", 32, 3, {"mirror": False}).eval()
    names = model.components()
    with torch.no_grad():
        model.heads.weight.zero_()
        model.heads.bias.zero_()
        model.heads.bias[len(parameter_names(3)) + 2] = 1  # the head of half a turn
        model.heads.bias[len(parameter_names(3)) + 4 + DAMAGES.index("covered")] = 2
        own = model.evidence(faces_like(1), model(faces_like(1)))
    said = dict(zip(names["changes"], own["changes"][0].tolist(), strict=True))
    assert {name: value for name, value in said.items() if value} == {"turned 180": 1, "covered": 2}
    assert names["amounts"] == parameter_names(3)
