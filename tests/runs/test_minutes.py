"""Trainings that fit a given time."""

import dataclasses
import time

import pytest

from hw8.base.errors import InputError
from hw8.commands.train_arguments import parse_training
from hw8.config import read_config, to_yaml
from hw8.config.presets import changed
from hw8.data.sources import open_source
from hw8.data.splits import split_rows
from hw8.runs import minutes, train
from hw8.runs.minutes import Pace, fit_into
from hw8.training.loop import Trainer


@pytest.fixture
def trainer(quick) -> Trainer:
    images = open_source(quick.data.source).training()
    return train.build(quick, images, split_rows(len(images), quick.data))


@pytest.fixture
def pace(monkeypatch):
    """An epoch of 60 seconds, and 120 after the last."""
    monkeypatch.setattr(Pace, "measure", classmethod(lambda *_: Pace(50.0, 10.0, 120.0)))


def test_as_many_steps_as_fit_with_what_follows(trainer, pace, caplog):
    assert trainer.per_epoch == 5
    with caplog.at_level("INFO"):
        config = fit_into(20, trainer, time.monotonic() - 29)
    # 95% of 1,200 seconds, less 29 spent and 120 to score, are 991: 16 epochs, two steps of 10 seconds, 10 for an end.
    assert config == changed(trainer.config, train={"epochs": 17, "least_steps": 0, "most_steps": 82})
    assert caplog.messages == [
        "takes 18.5 minutes: 82 steps, 16.4 times 320 images at 6 images/s, and 2.0 minutes of scoring after them"
    ]
    whole = fit_into(20, trainer, time.monotonic() - 49)
    assert whole == changed(trainer.config, train={"epochs": 16, "least_steps": 0, "most_steps": 80}), "no time for one"


def test_every_process_makes_the_steps_of_the_first(trainer, pace, monkeypatch):
    class Second:
        def broadcast(self, value):
            return Pace(25.0, 5.0, 60.0), 10.0

    monkeypatch.setattr(minutes, "processes", Second)
    # 1,140 seconds less 10 and 60 are 35 epochs of 30, and of 20 left over 15 are three steps.
    assert fit_into(20, trainer, time.monotonic() - 500).train.most_steps == 35 * 5 + 3


def test_too_short_a_time_says_how_much_is_needed(trainer, pace):
    line = "`minutes` 3: too short for one epoch of 320 images, which takes 60 s, and 2.0 minutes of scoring after it; "
    with pytest.raises(InputError) as caught:
        fit_into(3, trainer, time.monotonic())
    assert str(caught.value) == line + "give 3.2 or more, or a faster `preset`"
    assert fit_into(3.2, trainer, time.monotonic()).train.epochs == 1


@pytest.mark.parametrize("number", [0, -1, float("nan"), float("inf")])
def test_no_time_is_refused(trainer, number):
    with pytest.raises(InputError, match="`minutes` .*: must be more than 0"):
        fit_into(number, trainer, time.monotonic())


def test_every_part_is_measured(trainer, monkeypatch):
    seconds = []
    original = minutes._seconds

    def kept(work):
        seconds.append(original(work))
        return seconds[-1]

    monkeypatch.setattr(minutes, "_seconds", kept)
    pace = Pace.measure(trainer, 0.02)
    step, steps, end, suspects, development = seconds
    assert pace.end == end
    assert pace.steps == pytest.approx(steps * trainer.per_epoch / max(2, -(-0.02 // step)))
    # 256 of 400 images for suspects; 40 images, changed to the 16 kinds, for 40 of each kind and 80 normal ones.
    assert pace.after == pytest.approx(suspects * 400 / 256 + development / 40 * (40 + 40 + 16 * 40))


def test_what_was_chosen_is_recorded_and_repeats(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(Pace, "measure", classmethod(lambda _, trainer, seconds: trainer.step(trainer.splits.train[:8])
                                                     or Pace(20.0, 5.0, 3.0)))  # fmt: skip
    timed = train.train_run(changed(quick, train={"least_steps": 400}), tmp_path / "timed", minutes=1)
    assert timed.summary["epochs"] == 2
    config = read_config(tmp_path / "timed" / "config.yaml")
    # 57 seconds less 3, and some for the start: two epochs of 25 seconds, and no step of the third.
    assert (config.train.epochs, config.train.least_steps, config.train.most_steps) == (2, 0, 10)
    again = train.train_run(dataclasses.replace(config), tmp_path / "again")
    assert again.folder.model_file.read_bytes() == timed.folder.model_file.read_bytes()


@pytest.mark.parametrize("words", [("--epochs", "3"), ("--most-steps", "3"), ("--resume", "RUN")])
def test_a_run_whose_steps_are_given_takes_no_minutes(words, call, trained):
    words = [str(trained.folder.path) if word == "RUN" else word for word in words]
    line = call("train", "--minutes", "2", *words, code=2).line
    assert line == "error: --minutes 2 chooses the steps of a new run; omit --epochs, --most-steps and --resume"


def test_epochs_by_name_are_whole_also_those_of_a_timed_run(trainer, tmp_path):
    timed = changed(trainer.config, train={"epochs": 2, "least_steps": 0, "most_steps": 7})
    (tmp_path / "config.yaml").write_text(to_yaml(timed))
    arguments = parse_training("", ["--config", str(tmp_path / "config.yaml"), "--epochs", "30"])
    assert (arguments.run.train.epochs, arguments.run.train.most_steps) == (30, None)
    repeated = parse_training("", ["--config", str(tmp_path / "config.yaml")])
    assert repeated.run.train == timed.train


@pytest.mark.parametrize(("given", "seconds"), [(0.5, 0.6), (20, 3.0)])
def test_a_fiftieth_of_a_short_time_is_measured(trainer, monkeypatch, given, seconds):
    seen = []
    monkeypatch.setattr(
        Pace, "measure", classmethod(lambda _, trainer, seconds: seen.append(seconds) or Pace(0.1, 0.1, 0.1))
    )
    fit_into(given, trainer, time.monotonic())
    assert seen == [pytest.approx(seconds)]


@pytest.mark.parametrize(
    ("fit_on", "per_kind", "count"),
    [("training", 500, 40 + 40 + 16 * 40 + 320), ("calibration", 30, 40 + 40 + 16 * 30)],
)
def test_what_is_scored_after_the_training_counts(trainer, monkeypatch, fit_on, per_kind, count):
    trainer.config = changed(trainer.config, scoring={"fit_on": fit_on})
    monkeypatch.setattr(minutes, "_seconds", lambda work: 1.0)
    monkeypatch.setattr(minutes, "PER_KIND", per_kind)
    assert minutes._seconds_after(trainer) == pytest.approx(400 / 256 + count / 40)


def test_the_first_steps_are_not_timed(trainer, monkeypatch):
    steps = []
    monkeypatch.setattr(minutes, "_train", lambda trainer, count: steps.append(count))
    monkeypatch.setattr(minutes, "_seconds", lambda work: work() or 0.5)
    monkeypatch.setattr(minutes, "_seconds_after", lambda trainer: 7.0)
    monkeypatch.setattr(type(trainer), "finish_epoch", lambda self, board: None)
    pace = Pace.measure(trainer, 1.1)
    assert steps == [minutes.WARM_UP, 1, 3]
    assert pace == Pace(0.5 / 3 * trainer.per_epoch, 0.5, 7.0)
