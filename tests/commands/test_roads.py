"""Roads that a user takes: every command that is printed as the next one works as it stands."""

import csv
import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw8.base.errors import InputError
from hw8.commands.predict import next_command
from hw8.data import demo
from hw8.data.demo import demo_images
from hw8.data.sources import open_source
from hw8.runs.predict import predict
from hw8.runs.trained_run import TrainedRun
from hw8.training.run_folder import newest_run

QUICK = ("--preset", "fcn", "--epochs", 1, "--held-out-minimum", 20)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def follow(call):
    """Call a command, then what it names as the next one, and so on; the names of all commands called."""

    def followed(name, *words) -> list[str]:
        names = []
        while True:
            names.append(name)
            done = call(name, *words)
            found = re.findall(r"^Next:     .*?(python scripts/.*)$", done.stdout, re.MULTILINE)
            if not found or "explore" in found[-1] or len(names) == 6:
                assert "explore" in done.stdout or not found
                return names
            _, script, *words = shlex.split(found[-1])
            words = [
                name for word in words for name in (sorted(map(str, Path().glob(word))) if "[" in word else [word])
            ]
            name = script.removeprefix("scripts/").removesuffix(".py")

    return followed


def pictures(folder, count: int) -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(demo_images("normal", count, seed=count)[:, ::4, ::4]):
        Image.fromarray(image).save(folder / f"{number}.png")


def names_by_score(path) -> list[str]:
    """The names in a table of scores by picture, whose rows are checked to fall."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "score", "p_value"]
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < float(row["p_value"]) <= 1 for row in rows)
    return [row["file"] for row in rows]


def test_a_folder_of_pictures_is_named_as_such_with_the_command_that_makes_arrays(call, tmp_path):
    pictures(tmp_path / "my pictures", 4)
    line = call("train", "--data", "my pictures", code=2).line
    assert "my pictures: holds pictures (" in line
    assert line.endswith("python scripts/prepare_data.py 'my pictures' 'my pictures-images'")
    pictures(tmp_path / "nested" / "normal" / "2026", 4)
    assert "holds pictures" in call("train", "--data", "nested", code=2).line
    inside = call("train", "--data", "nested/normal", code=2).line
    assert inside.endswith("prepare_data.py nested/normal normal-images"), "not among the pictures"
    (tmp_path / "empty").mkdir()
    assert "no such file" in call("train", "--data", "empty", code=2).line


def test_own_pictures_without_a_test_part_have_no_dead_end(follow, call, tmp_path):
    """Prepare, train, and look at the images that were held out, since there is no test set."""
    pictures(tmp_path / "rü n", 60)
    prepared = call("prepare_data", "rü n", "my images", "--side", 16).stdout
    assert prepared.endswith("Next:     python scripts/train.py --data 'my images'\n")
    trained = call("train", *QUICK, "--data", "my images", "--out", "runs/rü n").stdout
    assert trained.endswith("Next:     python scripts/report.py 'runs/rü n'\n")
    reported = call("report", "runs/rü n").stdout
    assert reported.endswith("python scripts/explore.py --run 'runs/rü n'\n")
    page = (tmp_path / "submissions" / "rü n.html").read_text()
    assert "development images of my images, which has no test set" in page
    predicted = call("predict", "--run", "runs/rü n").stdout
    assert "Scored:   12 normal images of my images, held out from training: it has no test set" in predicted
    assert predicted.endswith("Next:     python scripts/report.py 'runs/rü n'\n")
    names = names_by_score(tmp_path / "submissions" / "rü n.files.csv")
    assert len(names) == 12
    assert set(names) <= {f"{number}.png" for number in range(60)}
    assert re.findall(r"<i>(\d+\.png)</i>", page) == names[:6], "the strip of the report names the most anomalous"
    explained = call("explain", "--run", "runs/rü n", "--id", 3).stdout
    assert "normal images" in explained
    name = re.match(r"image 3 \((\d+\.png)\): score ", explained)[1]
    by_name = call("explain", "--run", "runs/rü n", "--id", name).stdout
    assert by_name.splitlines()[:-1] == explained.splitlines()[:-1], "but for the picture's own name"
    images, splits = TrainedRun.load(Path("runs/rü n")).open_training()
    with Image.open(tmp_path / "rü n" / name) as picture:
        np.testing.assert_array_equal(images.read_whole(splits.development[[3]])[0], np.asarray(picture))
    assert "did you mean" not in call("explain", "--id", 0, 1, code=2).line
    line = call("explain", "--run", "runs/rü n", "--id", 12, code=2).stderr
    assert "error: --id 12: give an ID from 0 to 11, or the name of a picture, for instance " in line
    assert "did you mean runs/rü n? " in call("explain", "--run", "runs/run", "--id", 3, code=2).line
    assert call("ablate", "--run", "runs/rü n").stdout


def test_new_pictures_are_scored_with_the_run_that_is_there(call, tmp_path):
    pictures(tmp_path / "new", 5)
    said = call("prepare_data", "new", "new-images", "--side", 16, "--unlabelled").stdout
    assert "Next:" not in said, "no command works yet"
    assert said.endswith("prepared alike, then score these with python scripts/predict.py --data new-images\n")
    pictures(tmp_path / "old", 60)
    call("prepare_data", "old", "old-images", "--side", 16)
    call("train", *QUICK, "--data", "old-images", "--out", "runs/a b")
    shutil.rmtree(tmp_path / "new-images")
    larger = call("prepare_data", "new", "large-images", "--side", 32, "--unlabelled").stdout
    assert "No run:   none that is finished takes such images" in larger, "the run takes smaller ones"
    said = call("prepare_data", "new", "new-images", "--side", 16, "--unlabelled").stdout
    next_words = "--run 'runs/a b' --data new-images --out submissions/new-images.csv\n"
    assert said.endswith(f"Next:     python scripts/predict.py {next_words}")
    words = shlex.split(said.splitlines()[-1].removeprefix("Next:     python scripts/predict.py"))
    predicted = json.loads(call("predict", *words, "--json").stdout)
    assert predicted["rows"] == 5
    assert sorted(names_by_score(predicted["files"])) == [f"{number}.png" for number in range(5)]
    said = call("predict", *words).stdout
    page = "submissions/new-images.html"
    assert said.endswith(f"Next:     python scripts/report.py 'runs/a b' --data new-images --out {page}\n")
    reported = call("report", "--run", "runs/a b", "--data", "new-images").stdout
    assert reported.endswith("python scripts/explore.py --run 'runs/a b' --data new-images\n")
    line = call("predict", "--data", "old", code=2).line
    assert "holds pictures" in line
    assert "--unlabelled" in line
    shutil.copytree(tmp_path / "old-images", tmp_path / "other-images")
    line = call("predict", "--run", "runs/a b", "--data", "other-images", code=2).line
    assert "other-images: has no testingset.npy" in line


@pytest.mark.slow
def test_names_of_labelled_pictures_travel_to_the_end(follow, call, tmp_path):
    """Prepare, train, predict, evaluate, report and compare: each picture is called by its name."""
    pictures(tmp_path / "mine" / "normal", 80)
    pictures(tmp_path / "mine" / "anomaly" / "odd, one", 10)
    call("prepare_data", "mine", "images", "--side", 16)
    assert follow("train", *QUICK, "--data", "images") == ["train", "predict", "evaluate", "report"]
    names = names_by_score("submissions/fcn.files.csv")
    anomalies = [name for name in names if name.startswith("anomaly/odd, one/")]
    assert [len(names), len(anomalies)] == [26, 10]
    call("report")
    words = ("compare", "--presets", "fcn", "pca", "--epochs", 1, "--data", "images", "--out")
    before = Path("submissions/fcn.csv").read_bytes()
    Path("submissions/mine.csv").write_bytes(before + b"0,0.0\n" * 20_000)  # as long as the homework's
    for name, reason in (
        ("submissions/fcn", ": a run has this name; choose another one"),
        ("submissions/mine", ".csv: was not written by this command, and would be lost; choose another name"),
    ):
        assert call(*words, name, code=2).line == f"error: --out {name}{reason}"
    assert Path("submissions/fcn.csv").read_bytes() == before
    assert Path("submissions/mine.csv").read_bytes().startswith(before)
    for nothing in (("--presets", "--seeds", 0), ("--presets", "pca", "--seeds")):
        assert "give at least one of each" in call("compare", *nothing, "--data", "images", code=2).line
    call(*words, "submissions/board")
    for page in ("fcn", "board"):
        text = Path(f"submissions/{page}.html").read_text()
        assert f'"file":"{anomalies[0]}"' in text
    with Path("images/testing_files.csv").open("a") as file:
        file.write("26,another.png\n")
    assert "names 27 pictures" in call("predict", code=2).line


def test_from_training_to_the_end_by_the_commands_that_are_printed(follow, small):
    assert follow("train", *QUICK, "--data", small) == ["train", "predict", "evaluate", "report"]
    assert follow("predict", "--shard", "0/1") == ["predict", "merge", "check"]
    shutil.copytree(small, "other")
    assert follow("predict", "--data", "other") == ["predict", "evaluate", "report"]
    assert " on other</title>" in next(Path("submissions").glob("*.html")).read_text()
    pictures(Path("seven"), 30)
    assert follow("prepare_data", "seven", "seven-images", "--side", 7) == ["prepare_data", "train", "report"]


def test_the_development_images_stand_in_for_the_test_set_of_the_runs_own_data_alone(call, small, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(small / "trainingset.npy", data)
    call("train", *QUICK, "--data", "data", "--out", "run")
    member = TrainedRun.load(tmp_path / "run")
    images = member.open_test(open_source("data"))
    training, splits = member.open_training()
    np.testing.assert_array_equal(images.read(np.arange(20)), training.read(splits.development))
    assert images.read(np.array([3])).shape == (1, 16, 16, 3)
    with pytest.raises(InputError, match="has no testingset.npy"):
        open_source("data").testing()


def test_runs_that_held_out_other_images_need_a_test_set(call, small, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(small / "trainingset.npy", data)
    for seed in (0, 1):
        call("train", *QUICK, "--data", "data", "--split-seed", seed, "--out", f"run{seed}")
    members = [TrainedRun.load(tmp_path / f"run{seed}") for seed in (0, 1)]
    assert members[0].calibration_set() != members[1].calibration_set()
    np.save(data / "trainingset.npy", np.load(data / "trainingset.npy")[::-1])
    call("train", *QUICK, "--data", "data", "--split-seed", 0, "--out", "other-images")
    assert TrainedRun.load(tmp_path / "other-images").calibration_set() != members[0].calibration_set()
    shutil.copy(small / "trainingset.npy", data)
    with pytest.raises(InputError, match="these runs held out other images; give `data`"):
        predict([tmp_path / "run0", tmp_path / "run1"], None, tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


def test_a_training_set_beside_its_place_is_pointed_out(call, small, tmp_path, monkeypatch):
    (tmp_path / "data" / "hw8").mkdir(parents=True)
    shutil.copy(small / "trainingset.npy", tmp_path / "data" / "hw8")
    there = "there is data/hw8/trainingset.npy: if that is it, move the files into data/"
    assert there in call("train", "--data", "hw8", code=2).line
    monkeypatch.setattr(demo, "write_demo", lambda _: small)
    assert there in call("train", *QUICK).stderr
    shutil.move(tmp_path / "data" / "hw8" / "trainingset.npy", tmp_path)
    assert "there is trainingset.npy:" in call("train", "--data", "hw8", code=2).line


def test_scores_that_replace_others_are_said_to(call, small):
    for seed in (0, 1):
        call("train", *QUICK, "--data", small, "--seed", seed, "--out", f"runs/{seed}/same")
    words = ("--run", "runs/0/same")
    assert "replaced" not in call("predict", *words).stderr + call("predict", *words).stderr
    assert "submissions/same.csv: replaced; it held other scores" in call("predict", "--run", "runs/1/same").stderr


def test_folders_named_like_a_source_are_spelled_as_folders(call, tmp_path):
    pictures(tmp_path / "pics", 60)
    said = call("prepare_data", "pics", "demo", "--side", 16).stdout
    assert said.endswith("Next:     python scripts/train.py --data ./demo\n")
    call("train", *QUICK, "--data", "./demo", "--out", "runs/mine")
    said = call("prepare_data", "pics", "lfw", "--side", 16, "--unlabelled").stdout
    words = "--run runs/mine --data ./lfw --out submissions/lfw.csv"
    assert said.endswith(f"Next:     python scripts/predict.py {words}\n")


def test_a_part_elsewhere_is_followed_by_no_pattern_that_matches_nothing(call, small):
    call("train", *QUICK, "--data", small, "--out", "runs/one")
    said = call("predict", "--run", "runs/one", "--shard", "0/1", "--out", "parts/a.csv").stdout
    assert said.endswith("Next:     merge the parts: python scripts/merge.py PARTS --out submissions/one.csv\n")
    said = call("predict", "--run", "runs/one", "--shard", "0/1").stdout
    pattern = re.search(r"merge.py (\S+) --out", said)[1]
    Path("submissions/one.2.0-of-1.csv").touch()  # of another run
    assert [path.name for path in Path().glob(pattern)] == ["one.0-of-1.csv"]


def test_development_images_of_the_homework_are_not_checked_as_a_submission(call, small):
    call("train", *QUICK, "--data", small, "--out", "runs/one")
    prediction = dataclasses.replace(predict([Path("runs/one")], None, Path("x.csv")), source="hw8", labels=None)
    assert "scripts/check.py" in next_command(prediction, None)
    assert "scripts/report.py" in next_command(dataclasses.replace(prediction, development=True), None)
    both = dataclasses.replace(prediction, source="mine", runs=[Path("runs/one"), Path("runs/two")])
    assert next_command(both, None).endswith("report.py runs/one"), "a page of one run, under its own name"


@pytest.mark.parametrize("words", [("explain", "--id", 3), ("ablate",), ("compare", "--presets", "pca")])
@pytest.mark.parametrize("folder", [".", ".."])
def test_a_folder_in_place_of_a_file_is_one_line(call, small, words, folder):
    call("train", *QUICK, "--data", small, "--out", "runs/one")
    assert call(*words, "--out", folder, code=2).stderr.splitlines()[-1].startswith("error: ")


def test_the_same_images_by_another_path_have_p_values_together(call, small):
    Path("link").symlink_to(small)
    for name, where in (("a", small), ("b", "link")):
        call("train", *QUICK, "--data", where, "--out", f"runs/{name}")
    assert "P-values: none" not in call("predict", "--run", "runs/a", "runs/b", "--data", small).stdout


def test_constant_images_are_refused_before_a_run_is_made(call, tmp_path):
    np.save(tmp_path / "trainingset.npy", np.full((60, 16, 16, 3), 9, np.uint8))
    assert "all 60 images are the same" in call("train", *QUICK, "--data", ".", code=2).line
    assert not list(tmp_path.glob("runs/*"))


def test_a_run_that_failed_says_why(call, small, tmp_path):
    words = ("--lr", 1e12, "--clip-norm", 1e17, "--warmup-share", 0, "--precision", "fp32")
    call("train", *QUICK, *words, "--data", small, "--out", "run", code=2)
    (tmp_path / "run" / "model.safetensors").unlink(missing_ok=True)
    line = call("predict", "--run", "run", code=2).line
    assert "run: its training failed: " in line
    assert "--resume" not in line
    with pytest.raises(InputError, match="no finished run"):
        newest_run(tmp_path)
