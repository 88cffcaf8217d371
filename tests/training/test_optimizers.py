"""AdamW as PyTorch's; Muon: orthogonalised steps for kernels, AdamW for the rest."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from hw8.config.presets import changed
from hw8.data.arrays import Images
from hw8.data.splits import split_rows
from hw8.runs.train import build
from hw8.training.optimizers import ITERATIONS, MOMENTUM, SCALE, STACKED, AdamW, Muon, clip_gradients, orthogonalised
from tests.golden import images as golden_images


@pytest.mark.parametrize("shape", [(32, 27), (27, 32), (64, 288), (16, 16), (1, 9)])
def test_singular_values_end_near_one_and_directions_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result = orthogonalised([matrix])[0]
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    kept = torch.diagonal(u.T @ result @ v.T)
    large = values > 0.02 * values.norm()  # the others, as in a square matrix, need more iterations
    assert ((kept > 0.65) & (kept < 1.25))[large].all()
    rest = result - u @ torch.diag(kept) @ v
    torch.testing.assert_close(rest, torch.zeros_like(rest), rtol=0, atol=1e-9)


def test_single_precision_suffices_for_singular_values_of_all_sizes():
    generator = torch.Generator().manual_seed(0)
    u, values, v = torch.linalg.svd(torch.randn(64, 288, generator=generator, dtype=torch.float64), full_matrices=False)
    matrix = u * torch.logspace(0, -6, len(values), dtype=torch.float64) @ v
    exact = orthogonalised([matrix])[0]
    assert (orthogonalised([matrix.float()])[0] - exact).norm() < 1e-3 * exact.norm()


def test_a_matrix_of_zeros_stays():
    assert not orthogonalised([torch.zeros(4, 9)])[0].any()


def test_scale_does_not_matter():
    matrix = torch.randn(8, 27, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(*orthogonalised([1e-3 * matrix, matrix]), rtol=1e-3, atol=1e-4)


def test_each_matrix_is_orthogonalised_by_itself_whatever_others_have_its_size():
    shapes = [(8, 27), (16, 27), (8, 50), (27, 16), (8, 27), (STACKED + 1, 200), (STACKED + 1, 200)]
    matrices = [torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) for seed, shape in enumerate(shapes)]
    for matrix, together in zip(matrices, orthogonalised(matrices), strict=True):
        torch.testing.assert_close(together, orthogonalised([matrix])[0])


def stepped(weight: torch.Tensor, grads: list[torch.Tensor], lr: float, decay: float) -> torch.Tensor:
    """The kernel after these gradients, by the papers' formulas and a singular value decomposition."""
    momentum = torch.zeros_like(grads[0])
    for grad in grads:
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * grad
        ahead = MOMENTUM * momentum + (1 - MOMENTUM) * grad
        u, values, v = torch.linalg.svd(ahead.flatten(1), full_matrices=False)
        values = values / values.norm()
        for _ in range(ITERATIONS):
            values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
        update = (u @ torch.diag(values) @ v).view(weight.shape)
        rows, columns = len(weight), weight[0].numel()
        weight = weight * (1 - lr * decay) - lr * SCALE * max(rows, columns) ** 0.5 * update
    return weight


@pytest.mark.parametrize("fused", [True, False])
def test_adamw_is_pytorchs_and_takes_its_saved_state(fused):
    models = [nn.Linear(3, 2), nn.Linear(3, 2)]
    models[1].load_state_dict(models[0].state_dict())
    ours, theirs = (
        kind(m.parameters(), 0.03, fused=fused) for kind, m in zip((AdamW, torch.optim.AdamW), models, strict=True)
    )
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        grads = [torch.randn(p.shape, generator=generator) for p in models[0].parameters()]
        for model, optimizer in zip(models, (ours, theirs), strict=True):
            for p, grad in zip(model.parameters(), grads, strict=True):
                p.grad = grad.clone()
            optimizer.step()
            optimizer.zero_grad()
        ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
        theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    for p, q in zip(*(m.parameters() for m in models), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0)
        assert p.grad is None


def test_kernels_take_orthogonal_steps_and_other_weights_adamws():
    generator = torch.Generator().manual_seed(2)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(5, 2)).double()
    plain = copy.deepcopy(model)
    before = model[0].weight.detach().clone()
    optimizer = Muon([{"params": list(model.parameters()), "weight_decay": 0.1}], 0.03)
    adamw = torch.optim.AdamW(plain.parameters(), 0.03, weight_decay=0.1)
    kernel_grads = []
    for _ in range(3):
        for p, q in zip(model.parameters(), plain.parameters(), strict=True):
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            q.grad = p.grad.clone()
        kernel_grads.append(model[0].weight.grad.clone())
        optimizer.step()
        adamw.step()
    torch.testing.assert_close(model[0].weight.detach(), stepped(before, kernel_grads, 0.03, 0.1))
    for p, q in list(zip(model.parameters(), plain.parameters(), strict=True))[1:]:
        torch.testing.assert_close(p, q, rtol=0, atol=0)


def test_a_fused_step_is_skipped_where_the_scaler_found_an_overflow():
    """As on a GPU, where the scaler leaves that to the optimizer, and the rate is a tensor."""
    models = [nn.Conv2d(3, 5, 3), nn.Conv2d(3, 5, 3)]
    models[1].load_state_dict(models[0].state_dict())
    groups = [[{"params": list(model.parameters())}] for model in models]
    fused, plain = Muon(groups[0], lr=torch.tensor(0.03), fused=True), Muon(groups[1], lr=0.03)
    generator = torch.Generator().manual_seed(4)
    for overflowed in (0.0, 1.0, 0.0):
        for p, q in zip(*(model.parameters() for model in models), strict=True):
            grad = torch.randn(p.shape, generator=generator)
            p.grad, q.grad = grad.clone(), grad
            if overflowed:
                p.grad.flatten()[0] = torch.inf
        fused.found_inf = torch.full((), overflowed)
        fused.step()
        if not overflowed:
            plain.step()
    for p, q in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(p, q)


@pytest.fixture
def trainer(quick):
    """A training of a convolutional model by Muon that has made no step."""
    options = {"widths": [4, 8, 8, 8], "latent": 4}
    config = changed(quick, model={"name": "conv", "options": options}, train={"optimizer": "muon"}, precision="fp32")
    images = Images(golden_images(64, 2))
    return build(config, images, split_rows(len(images), config.data))


def test_a_run_resumes_with_its_momentum(trainer, tmp_path):
    rows = trainer.splits.train[:32]
    trainer.step(rows)
    trainer.state.save(tmp_path / "resume.pt")
    trainer.step(rows)
    after = copy.deepcopy(trainer.state.model.state_dict())
    trainer.state.load(tmp_path / "resume.pt")
    trainer.step(rows)
    for name, value in trainer.state.model.state_dict().items():
        torch.testing.assert_close(value, after[name], rtol=0, atol=0)
    kernels = [p for p in trainer.state.model.parameters() if p.ndim == 4]
    assert kernels
    assert all("momentum" in trainer.state.optimizer.state[p] for p in kernels)


def test_an_overflow_in_float16_moves_no_weight(trainer):
    trainer.stepper.precision = "fp16"
    trainer.state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = copy.deepcopy(trainer.state.model.state_dict())
    trainer.step(trainer.splits.train[:32])
    assert np.isfinite(trainer.fetch_losses())
    assert trainer.state.progress.skipped_steps == 1
    for name, parameter in trainer.state.model.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name], rtol=0, atol=0)


@pytest.mark.parametrize("size", [0.0, 1e-3, 0.5, 0.9999995, 1.0, 30.0, float("inf"), float("nan")])
def test_gradients_are_clipped_as_by_pytorch(size):
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2, bias=False)
    gradient = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    for layer in (ours, theirs):
        layer.weight.grad = gradient / gradient.norm() * size
    norm = clip_gradients(ours, 1.0)
    torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(theirs.parameters(), 1.0), equal_nan=True, rtol=0, atol=0)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, equal_nan=True, rtol=0, atol=0)
    assert ours.bias.grad is None
