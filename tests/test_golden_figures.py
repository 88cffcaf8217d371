"""What decides a score gives the figures that it gave: see `tests/golden_figures.py`."""

import json

import numpy as np
import pytest

from tests.golden_figures import FIGURES, PARTS


@pytest.mark.parametrize("part", PARTS)
def test_figures_are_those_that_were_measured(part):
    known = json.loads(FIGURES.read_text())[part]
    found = PARTS[part]()
    assert found.keys() == known.keys()
    for name, values in found.items():
        # Other processors round otherwise: a change that counts is larger.
        np.testing.assert_allclose(values, known[name], rtol=2e-3, atol=2e-5, err_msg=name)
