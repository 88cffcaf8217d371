"""What a transductive run compares with."""

import dataclasses

import numpy as np
import pytest

from hw8.config.presets import changed
from hw8.data.arrays import Images
from hw8.data.splits import reference_rows
from hw8.runs import scores as scores_module
from hw8.runs.scores import score_images
from hw8.scoring.transductive import Transduction


@pytest.mark.parametrize("fit_on", ["calibration", "training"])
def test_what_a_transductive_run_compares_the_test_images_with(trained, faces, monkeypatch, fit_on):
    config = changed(trained.config, seed=3, scoring={"transductive": True, "fit_on": fit_on})
    seen = []

    class Noting:
        def __init__(self, *given):
            seen.extend(given)

        def __call__(self, normal, calibration, test, inductive_N):
            seen.extend((normal, calibration))
            return Transduction(inductive_N, inductive_N, 0.0)

    monkeypatch.setattr(scores_module, "Transducer", Noting)
    score_images(dataclasses.replace(trained, config=config), Images(faces.array_NHWC, trained.config.data.crop))
    _, _, name, seed, normal, calibration = seen
    assert (name, seed) == (trained.score_name, 3)
    np.testing.assert_array_equal(normal.rows, reference_rows(trained.splits))
    assert normal.in_reference_N.tolist() == [fit_on == "training"] * len(normal.rows)
    np.testing.assert_array_equal(calibration.rows, trained.splits.calibration)
    assert calibration.in_reference_N is None
