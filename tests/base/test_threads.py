"""As many threads as there are free cores: how load is measured, and what follows from it."""

import math
import threading
import time
import types
from pathlib import Path

import pytest
import torch

from hw8.base import threads
from hw8.base.errors import InputError
from hw8.base.threads import (
    OtherLoad,
    Threads,
    available_cores,
    begin_measuring,
    computing_threads,
    has_spare_cores,
    in_threads,
)


class Load:
    """What OtherLoad measures, as a test gives it."""

    used, seconds = 0.0, 3.0

    def cores(self) -> float:
        return self.used


@pytest.fixture
def machine(monkeypatch):
    """Eight cores, PyTorch with all of them, and a load to be set."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(threads, "PERIOD", 0.0)
    monkeypatch.setattr(threads, "OtherLoad", Load)
    monkeypatch.setattr(threads, "_cores", lambda: list(range(8)))
    monkeypatch.setattr(threads, "_container_limit", lambda: math.inf)
    monkeypatch.setattr(Load, "used", 0.0)
    monkeypatch.setattr(threads, "_load_since_start", [])
    torch.set_num_threads(8)
    yield monkeypatch
    torch.set_num_threads(before)


@pytest.mark.parametrize(("used", "number"), [(0.0, 8), (0.2, 8), (0.3, 7), (1.0, 7), (2.4, 5), (8.0, 1), (11.0, 1)])
def test_a_thread_per_free_core_within_the_block(machine, used, number):
    machine.setattr(Load, "used", used)
    with computing_threads():
        assert torch.get_num_threads() == number
    assert torch.get_num_threads() == 8


def test_a_load_measured_since_the_start_is_used_once_and_not_waited_for(machine):
    slept = []
    machine.setattr(threads, "PERIOD", 5.0)
    machine.setattr(threads.time, "sleep", slept.append)
    begin_measuring()
    for _ in range(2):
        machine.setattr(Load, "seconds", 4.0 if not slept else 0.0)
        with computing_threads():
            pass
    assert slept == [1.0, 5.0]


def test_cores_are_spare_where_half_of_them_compute_and_nobody_fixed_the_number(machine):
    for used, spare in ((4.0, True), (3.0, False), (0.0, False)):
        machine.setattr(Load, "used", used)
        with computing_threads():
            assert has_spare_cores() == spare
    assert not has_spare_cores()
    with computing_threads(4):
        assert not has_spare_cores()


def test_the_number_is_said_with_its_reason(machine, caplog):
    machine.setattr(Load, "used", 1.0)
    machine.setattr(threads, "_container_limit", lambda: 2.5)
    with caplog.at_level("INFO"), computing_threads():
        assert torch.get_num_threads() == 2 == available_cores()
    reason = "other programs use 1.0 of 8 cores, and this container may use 2"
    assert caplog.messages == [f"threads: 2, where 8 are possible: {reason}; `threads` N overrides"]


def test_a_given_number_is_taken_and_never_adapted(machine):
    machine.setattr(Load, "used", 8.0)
    with computing_threads(5) as given:
        assert torch.get_num_threads() == 5
        assert not any(given.adapt(images) for images in (100, 1))
    machine.setenv("OMP_NUM_THREADS", "8")
    with computing_threads() as given:
        assert torch.get_num_threads() == 8
        assert not any(given.adapt(images) for images in (100, 1))
    with pytest.raises(InputError, match="`threads` 0: must be at least 1"), computing_threads(0):
        pass


def test_never_more_than_pytorch_has(machine):
    torch.set_num_threads(3)
    with computing_threads():
        assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("images", "used", "number"),
    [(660, 3.0, 5), (670, 3.0, 8), (660, 0.1, 8)],
    ids=["slow beside others", "not slow", "slow by itself"],
)
def test_fewer_threads_once_the_rate_falls_below_two_thirds(machine, images, used, number):
    with computing_threads() as adaptive:
        assert not adaptive.adapt(1000)
        machine.setattr(Load, "used", used)
        assert adaptive.adapt(images) == (number < 8)
        assert torch.get_num_threads() == number
        assert not adaptive.adapt(images)


def test_two_trainings_started_at_once_see_each_other_after_an_epoch(machine):
    with computing_threads() as adaptive:
        machine.setattr(Load, "used", 4.0)
        assert adaptive.adapt(1000)
        assert torch.get_num_threads() == 4


def test_short_epochs_are_compared_together(machine):
    adaptive = Threads(adaptive=True)
    adaptive.adapt(1000)
    machine.setattr(Load, "used", 4.0)
    machine.setattr(Load, "seconds", 1.9)
    assert not adaptive.adapt(300)
    machine.setattr(Load, "seconds", 3.0)
    assert not adaptive.adapt(700), "1,000 images as before"


def test_load_is_that_of_others_on_our_cores(monkeypatch):
    def times(user: float, system: float = 0.0) -> types.SimpleNamespace:
        return types.SimpleNamespace(user=user, system=system, idle=99.0)

    now = {"clock": 10.0, "cores": [times(5.0), times(7.0), times(50.0)], "own": times(4.0)}
    monkeypatch.setattr(threads, "_cores", lambda: [0, 1])
    monkeypatch.setattr(threads.time, "monotonic", lambda: now["clock"])
    monkeypatch.setattr(threads.psutil, "cpu_times", lambda percpu: now["cores"])
    own = types.SimpleNamespace(cpu_times=lambda: now["own"])
    monkeypatch.setattr(threads.psutil, "Process", lambda: own)
    load = OtherLoad()
    now |= {"clock": 12.0, "cores": [times(7.0), times(7.5, system=0.5), times(52.0)], "own": times(5.0, system=0.5)}
    assert load.cores() == pytest.approx((2.0 + 1.0 - 1.5) / 2)


def test_a_containers_limit(tmp_path: Path):
    def limit(group: str = "/") -> float:
        (tmp_path / "own").write_text(f"1:cpu:/elsewhere\n0::{group}\n")
        return threads._container_limit(tmp_path, tmp_path / "own")

    assert limit() == math.inf
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert limit() == 2.5
    inner = tmp_path / "job" / "step"
    inner.mkdir(parents=True)
    (inner / "cpu.max").write_text("max 100000\n")
    assert limit("/job/step") == 2.5
    (inner.parent / "cpu.max").write_text("150000 100000\n")
    assert limit("/job/step") == 1.5
    (tmp_path / "cpu").mkdir()
    for name, value in (("quota", 400000), ("period", 100000)):
        (tmp_path / "cpu" / f"cpu.cfs_{name}_us").write_text(str(value))
    assert limit() == 4, "version 1"
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1")
    assert limit() == 2.5


def test_threads_that_do_not_wait_for_each_other_share_busy_cores(machine):
    machine.setattr(Load, "used", 8.0)
    with computing_threads(shared=True):
        assert torch.get_num_threads() == 8
    machine.setattr(threads, "_container_limit", lambda: 2.5)
    with computing_threads(shared=True):
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("number", "items", "at_once", "each"), [(8, 20, 8, 1), (8, 3, 3, 1), (8, 1, 1, 1), (12, 20, 6, 2), (20, 20, 6, 3)]
)
def test_as_many_items_at_once_as_threads_which_they_share(machine, number, items, at_once, each):
    torch.set_num_threads(number)
    together = threading.Barrier(at_once)

    def work(item: int) -> tuple[int, int]:
        if item < at_once:
            together.wait(10)  # passes only when so many are worked on at once
        time.sleep(0.01 * (item % 3))
        return item, torch.get_num_threads()

    results = list(in_threads(work, range(items)))
    assert [item for item, _ in results] == list(range(items)), "in order"
    assert {threads for _, threads in results} == {each}
    assert torch.get_num_threads() == number


@pytest.mark.parametrize(("number", "items"), [(1, 3), (8, 0)])
def test_a_single_thread_works_here(machine, number, items):
    torch.set_num_threads(number)
    found = list(in_threads(lambda _: (threading.get_ident(), torch.get_num_threads()), range(items)))
    assert found == [(threading.get_ident(), number)] * items


def test_no_more_items_are_begun_than_are_fetched(machine):
    begun = []
    results = in_threads(begun.append, range(1000))
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 10
    results.close()
    assert len(begun) <= 10
    assert torch.get_num_threads() == 8


def test_an_error_in_a_thread_is_raised_here(machine):
    def work(item: int) -> int:
        if item == 5:
            raise InputError("item 5")
        return item

    with pytest.raises(InputError, match="item 5"):
        list(in_threads(work, range(1000)))
    assert torch.get_num_threads() == 8
