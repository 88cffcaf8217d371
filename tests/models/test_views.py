"""Views of an image: turns keep its pixels, shifts reflect its edges, and the score is what the formula says."""

import itertools

import pytest
import torch

from hw8.models import create_model
from hw8.models.views import shifted, turns

# Columns of a latent of four times 128 when the image is mirrored: left and right turns change places.
MIRRORED = torch.arange(4 * 128).view(4, 128)[[0, 3, 2, 1]].flatten()


@pytest.fixture
def x_NCHW():
    return torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_every_image_is_turned_to_all_sides(x_NCHW):
    expected = [image.rot90(quarters, (1, 2)) for quarters in range(4) for image in x_NCHW]
    assert torch.equal(turns(x_NCHW), torch.stack(expected))


def test_each_image_is_shifted_by_a_quarter_and_reflected(x_NCHW):
    down_N, across_N = torch.tensor([1, 0, 2, 1, 0, 2]), torch.tensor([1, 1, 1, 0, 2, 0])
    moved = shifted(x_NCHW, down_N, across_N)
    assert torch.equal(moved[0], x_NCHW[0])
    assert torch.equal(moved[1][:, 8:], x_NCHW[1][:, :-8])
    assert torch.equal(moved[1][:, :8], x_NCHW[1][:, 1:9].flip(1))
    assert torch.equal(moved[2][:, :-8], x_NCHW[2][:, 8:])
    assert torch.equal(moved[3][:, :, 8:], x_NCHW[3][:, :, :-8])
    assert torch.equal(moved[4][:, 8:, :-8], x_NCHW[4][:, :-8, 8:])


@torch.no_grad()
def test_the_score_is_minus_the_log_probability_of_the_right_answers_over_all_views(x_NCHW):
    model = create_model("views", 32, 3, {}).eval()
    evidence = model.evidence(x_NCHW, model(x_NCHW))
    turns, shifts = [], []
    for seen_NCHW, quarters in itertools.product((x_NCHW, x_NCHW.flip(3)), range(4)):
        for step in (-1, 0, 1):
            padded = torch.nn.functional.pad(seen_NCHW.rot90(quarters, (2, 3)), (8, 8, 8, 8), mode="reflect")
            view = padded[:, :, 8 + 8 * step : 40 + 8 * step, 8 + 8 * step : 40 + 8 * step]
            turn, row, column = model.heads(model.features(view).mean((2, 3))).split((4, 3, 3), 1)
            turns.append(-turn.log_softmax(1)[:, quarters])
            shifts.append(-row.log_softmax(1)[:, step + 1] - column.log_softmax(1)[:, step + 1])
    turn_N, shift_N = torch.stack(turns).mean(0), torch.stack(shifts).mean(0)
    torch.testing.assert_close(evidence["turns"], turn_N, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(evidence["shifts"], shift_N, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(evidence["views"], turn_N + shift_N, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_held_out_loss_is_that_of_unshifted_turns(x_NCHW):
    model = create_model("views", 32, 3, {}).eval()
    expected = 0
    for quarters in range(4):
        logits = model.heads(model.features(x_NCHW.rot90(quarters, (2, 3))).mean((2, 3))).split((4, 3, 3), 1)
        truths = (quarters, 1, 1)
        expected = expected - sum(logit.log_softmax(1)[:, truth] for logit, truth in zip(logits, truths, strict=True))
    torch.testing.assert_close(model(x_NCHW).terms["views"], expected / 4, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_latent_of_an_image_is_its_four_turns_whatever_the_batch(x_NCHW):
    model = create_model("views", 32, 3, {"mirror": False}).eval()
    latent_ND = model(x_NCHW).latent_ND
    assert latent_ND.shape == (6, 4 * 128)
    torch.testing.assert_close(latent_ND.view(6, 4, 128).norm(dim=2), torch.ones(6, 4))
    torch.testing.assert_close(model(x_NCHW[3:4]).latent_ND, latent_ND[3:4], rtol=1e-4, atol=1e-5)
    second_ND = model.features(x_NCHW.rot90(1, (2, 3))).mean((2, 3))
    torch.testing.assert_close(latent_ND[:, 128:256], second_ND / second_ND.norm(dim=1, keepdim=True))


@torch.no_grad()
def test_an_image_and_its_mirror_image_have_the_same_evidence(x_NCHW):
    model = create_model("views", 32, 3, {})
    outputs = [model.eval()(x) for x in (x_NCHW, x_NCHW.flip(3))]
    torch.testing.assert_close(outputs[0].latent_ND, outputs[1].latent_ND[:, MIRRORED], rtol=1e-4, atol=1e-5)
    evidence = [model.evidence(x, output) for x, output in zip((x_NCHW, x_NCHW.flip(3)), outputs, strict=True)]
    for name in ("turns", "shifts", "views"):
        torch.testing.assert_close(evidence[0][name], evidence[1][name], rtol=1e-4, atol=1e-5)
    early = [values["early"].view(6, 4, 32) for values in evidence]
    torch.testing.assert_close(early[0], early[1][:, [0, 3, 2, 1]], rtol=1e-4, atol=1e-5)
    alone = create_model("views", 32, 3, {"mirror": False}, weights=model.state_dict()).eval()
    each = [alone(x).latent_ND for x in (x_NCHW, x_NCHW.flip(3))]
    torch.testing.assert_close(outputs[0].latent_ND, (each[0] + each[1][:, MIRRORED]) / 2, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_early_features_are_those_of_the_first_stage(x_NCHW):
    model = create_model("views", 32, 3, {"mirror": False}).eval()
    early_NQE = model.evidence(x_NCHW, model(x_NCHW))["early"].view(6, 4, 32)
    first_stage = model.features.layers[:4]
    assert len(model.features.layers) == 6
    for quarters in range(4):
        expected_NE = first_stage(x_NCHW.rot90(quarters, (2, 3))).mean((2, 3))
        torch.testing.assert_close(early_NQE[:, quarters], torch.nn.functional.normalize(expected_NE, dim=1))


def test_images_are_varied_in_training_alone(x_NCHW, monkeypatch):
    model = create_model("views", 32, 3, {})
    monkeypatch.setattr("hw8.models.views.varied", torch.zeros_like)
    seen = []
    model.features.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].abs().max().item()))
    model.eval()(x_NCHW)
    assert min(seen) > 0
    seen.clear()
    model.train()(x_NCHW)
    assert seen == [0]


def test_large_images_are_seen_small():
    model = create_model("views", 64, 1, {}).eval()
    x_NCHW = torch.rand(2, 1, 64, 64) * 2 - 1
    small_NCHW = torch.nn.functional.avg_pool2d(x_NCHW, 2)
    of_small = create_model("views", 32, 1, {}, weights=model.state_dict()).eval()
    torch.testing.assert_close(model(x_NCHW).terms["views"], of_small(small_NCHW).terms["views"])


def test_images_upside_down_are_more_surprising_than_those_of_the_training():
    torch.manual_seed(0)
    model = create_model("views", 32, 1, {"widths": [8, 8, 8, 16]}).train()
    sky_HW = torch.linspace(1, -1, 32).view(1, 1, 32, 1).expand(16, 1, 32, 32)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(40):
        loss = model(sky_HW + 0.3 * torch.randn(16, 1, 32, 32)).terms["views"].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        upright_NCHW = sky_HW + 0.3 * torch.randn(16, 1, 32, 32)
        upright_N, reversed_N = (model.evidence(x, model(x))["views"] for x in (upright_NCHW, upright_NCHW.flip(2)))
    assert reversed_N.min() > upright_N.max()
