"""What benchmark.py measures, and makes of it; how fast anything is is not tested."""

import contextlib

import pytest

from benchmarks import busy, speed
from hw8.commands.benchmark import lines


@pytest.fixture
def machine(monkeypatch):
    """A machine on which rates depend only on busy processes and on whether hw8 chooses the threads."""
    state = {"busy": 0, "chosen": False}

    @contextlib.contextmanager
    def having(name, value):
        before = state[name]
        state[name] = value
        yield
        state[name] = before

    monkeypatch.setattr(busy, "_busy_processes", lambda count: having("busy", count))
    monkeypatch.setattr(busy, "computing_threads", lambda shared: having("chosen", True))
    rates = {(0, False): 100.0, (1, False): 30.0, (2, False): 20.0, (0, True): 99.0, (1, True): 70.0, (2, True): 40.0}
    return lambda: rates[state["busy"], state["chosen"]]


def test_every_rate_is_a_share_of_the_free_one_with_all_threads(machine, monkeypatch):
    monkeypatch.setattr(busy.torch, "get_num_threads", lambda: 2)
    rows = busy._measured(machine, 2)
    assert [row["busy"] for row in rows] == [0, 1, 2]
    assert [row["share"] for row in rows] == [0.99, 0.7, 0.4]
    assert [row["all_threads"] for row in rows] == [1.0, 0.3, 0.2]
    assert [row["images_per_second"] for row in rows] == [99, 70, 40]
    text = lines({"busy": {"others_used_cores": 0.1, "cases": {"training resnet": rows}}})
    assert " ".join(text[2].split()) == "training resnet 1 70% (70% to 70%) 2 70 30%"
    assert "other programs used 0.10 cores" in text[-1]


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fcn_crop", "boss"])
def test_the_parts_of_a_step_are_timed(preset):
    shares = speed.step_shares(preset, 1)
    assert shares["images_per_second"] > 0
    assert all(0 < shares[part] < 1 for part in ("reading", "optimiser", "epoch_end"))
    assert (shares["augmenting"] > 0) == (preset == "boss")


@pytest.mark.parametrize("words", [("--repeats", 0), ("--seconds", "inf"), ("--seconds", 0)])
def test_nothing_to_measure_is_refused(call, words):
    line = call("benchmark", *words, "--json", code=2).line
    assert line == "error: --repeats must be at least 1, and --seconds a number above 0"


def test_it_needs_to_choose_the_threads(call, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    line = call("benchmark", "--busy", "--json", code=2).line
    assert line == "error: OMP_NUM_THREADS gives the number of threads, which hw8 should choose; unset it"
