import sys

import numpy as np
import pytest

from hw8.base.memory import PeakMemory, release_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system does not tell")
def test_peak_memory_sees_what_is_held_and_let_go():
    release_memory()  # earlier tests' memory, which would be taken again
    with PeakMemory() as before:
        pass
    with PeakMemory() as peak:
        held = np.ones(25_000_000)
        held += 1
        del held
    assert 190 < peak.private_mb - before.private_mb < 260
    assert peak.resident_mb >= peak.private_mb
