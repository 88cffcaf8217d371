"""What is captured as a CUDA graph must not wait for the GPU, nor fetch values: checked on the device "meta".

There tensors have shapes and no values. Whatever asks for a value, or for the number of values that fulfil a condition,
fails there. What copies numbers from the host to the device, which a capture refuses, is refused here.
"""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from hw8.base import device as devices
from hw8.base.device import channels_last
from hw8.config.presets import PRESETS, load_preset
from hw8.data.arrays import Images
from hw8.data.splits import split_rows
from hw8.runs.train import build
from hw8.scoring.inference import Scorer
from hw8.training.checkpoint import TrainingState
from hw8.training.step import Stepper

MODELS = {str(load_preset(name).model): name for name in PRESETS}  # one preset of each model and its options
META = torch.device("meta")
NOISE = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
COPIES = {torch.tensor, torch.as_tensor, torch.from_numpy}
INDEXED = {torch.Tensor.__getitem__, torch.Tensor.__setitem__}


class NoCopies(TorchFunctionMode):
    """Refuses what copies from the host: new tensors of given numbers, and lists of places to pick."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        copied = func in COPIES and not isinstance(args[0], torch.Tensor)
        index = args[1] if func in INDEXED else ()
        picked = any(isinstance(part, list | np.ndarray) for part in (index if isinstance(index, tuple) else (index,)))
        assert not copied, f"{func.__name__} of {args[0]}"
        assert not picked, f"a list of places: {index}"
        return func(*args, **kwargs or {})


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch):
    """Constants lie on the device already; it has an autocast."""
    monkeypatch.setattr(
        devices,
        "_gpu_constant",
        lambda values, whole, device: torch.zeros(len(values), dtype=int if whole else float, device=device),
    )
    autocast = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda kind, *given, **settings: autocast("cpu", *given, **settings))


def without_values(preset: str) -> tuple[Stepper, torch.Tensor]:
    """The steps of a training of a preset whose model and images have no values, and the rows of a batch."""
    config = dataclasses.replace(load_preset(preset), device="cpu", precision="bf16")
    images = Images(NOISE, config.data.crop)
    stepper = build(config, images, split_rows(len(images), config.data)).stepper
    stepper.model = channels_last(stepper.state.model).to(META)
    stepper.state, stepper.device = TrainingState(stepper.model, config.train, ""), META
    stepper.resident_NHWC = torch.from_numpy(images.read(np.arange(40))).to(META)
    return stepper, torch.arange(8, device=META)


@pytest.mark.parametrize("preset", MODELS.values())
def test_a_step_needs_no_value_on_the_host(preset):
    stepper, rows_B = without_values(preset)
    stepper.state.model.train()
    stepper._captured_step(rows_B, rows_B > 3)  # the optimizer makes its state, as it does before a capture
    buffers = dict(stepper.model.named_buffers())
    with NoCopies():
        outputs = stepper._captured_step(rows_B, rows_B > 3)
    assert outputs["loss_and_norm"].shape == (2,)
    assert all(buffer is buffers[name] for name, buffer in stepper.model.named_buffers()), (
        "a replay changes the old one"
    )


@pytest.mark.parametrize("preset", MODELS.values())
def test_scoring_needs_no_value_on_the_host(preset):
    stepper, rows_B = without_values(preset)
    scorer = Scorer(stepper.state.average, META, "bf16", 8)
    with torch.inference_mode(), NoCopies():
        evidence_by_name = scorer._evidence(stepper.resident_NHWC[rows_B])
    assert all(value.shape[0] == 8 for value in evidence_by_name.values())


@pytest.mark.parametrize(
    "broken",
    [lambda x: x * x.max().item(), lambda x: x[x > 0], lambda x: x[[0, 1]], lambda x: x.__setitem__([0, 1], 1.0)],
)
def test_what_a_capture_refuses_fails_here(broken):
    with pytest.raises((RuntimeError, NotImplementedError, AssertionError)), NoCopies():
        broken(torch.zeros(3, device=META))
