"""Which arithmetic a device gets by default."""

import pytest
import torch

from hw8.base.device import autocast, choose_precision


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((6, 1), "fp32"), ((7, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")],
)
def test_half_precision_where_a_gpu_has_units_for_it(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    device = torch.device("cuda")
    assert choose_precision("auto", device) == precision
    assert choose_precision("fp32", device) == "fp32"


def test_autocast_multiplies_in_the_given_precision():
    x_NN, cpu = torch.ones(2, 2), torch.device("cpu")
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        with autocast(precision, cpu):
            assert (x_NN @ x_NN).dtype == dtype
