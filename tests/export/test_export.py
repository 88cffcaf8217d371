"""The export to ONNX: onnxruntime's scores beside PyTorch's, for every model; what is refused, and how."""

import contextlib
import dataclasses
import functools
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from hw8.base.errors import InputError
from hw8.base.files import write_text
from hw8.commands.export import main
from hw8.config import DataConfig, ModelConfig, RunConfig, ScoreConfig, to_yaml
from hw8.config.presets import changed, load_preset
from hw8.data.arrays import Images, to_pixels
from hw8.data.demo import demo_images
from hw8.export import onnx as export
from hw8.export.graph import ScoreGraph
from hw8.export.onnx import Exported, export_onnx
from hw8.models import MODELS, create_model
from hw8.runs.train import train_run
from hw8.runs.trained_run import TrainedRun
from hw8.scoring.calibration import Calibration
from hw8.scoring.evidence import ERRORS, STATISTICS
from hw8.scoring.inference import Scorer
from hw8.training.run_folder import RunFolder, SavedModel
from tests.helpers import heavy

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

TRAINED = {
    "resnet": {"widths": [8, 8, 16, 16], "latent": 8},
    "vae": {"latent": 8, "draws": 2},
    "boss": {"widths": [8, 16, 16, 32], "latent": 16},
}
COVERED = {"resnet": "resnet", "vae": "vae", "recogniser": "boss"}
OPTIONS = {  # small graphs, which take less time
    "auxiliary": {"backbone": "conv"},
    "classifier": {"backbone": "conv"},
    "denoising": {"backbone": "fcn", "draws": 1, "many_levels": True},
    "memae": {"temperature": 0.1, "shrink": 1.0},  # else its entropies differ in the last digit alone
    "multi_encoder": {"encoders": ["fcn", "conv"]},
}
SCORES = {"course_vae": "rse"}  # the rest of its evidence is the vae's
GREY = ("conv", "vqvae")


@pytest.fixture(scope="module", autouse=True)
def quicker():
    """One thread, which small models take best; and PyTorch's table of operators, a second's work an export, once."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        with contextlib.suppress(ImportError, AttributeError):
            from torch.onnx._internal.exporter._registration import ONNXRegistry

            patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained_run(demo, tmp_path_factory) -> Callable[[str], Path]:
    """A run of a second or two, of one of the TRAINED."""

    @functools.cache
    def of(name: str) -> Path:
        config = changed(
            load_preset(name),
            data={"source": str(demo), "held_out_minimum": 40},
            model={"options": TRAINED[name]},
            train={"epochs": 1, "least_steps": 0, "batch_size": 64},
        )
        folder = tmp_path_factory.mktemp("export") / name
        return train_run(dataclasses.replace(config, device="cpu"), folder).folder.path

    return of


@pytest.fixture(scope="module")
def exported(trained_run) -> Callable[[str], Exported]:
    return functools.cache(lambda name: export_onnx(trained_run(name)))


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Exported:
    """A small run, exported, whose data are gone."""
    return export_onnx(by_hand(tmp_path_factory.mktemp("plain") / "run", "fcn", {"widths": [16], "latent": 4}, "l1"))


def by_hand(
    path: Path,
    name: str,
    options: dict | None = None,
    score: str = "joint",
    parts: Sequence[str] | None = None,
    *,
    distance: str = "mahalanobis",
    channels: int = 3,
    side: int = 16,
) -> Path:
    """A run without training: its normalisations have met forty faces, and forty others calibrated it.

    Without `parts`, the joint score is of all that the model itself gives, and l1.
    """
    torch.manual_seed(0)
    model = create_model(name, side, channels, options or {})
    images = Images(demo_images("normal", 80, seed=5)[..., :channels], crop=side)
    x_NCHW = to_pixels(torch.from_numpy(images.read(np.arange(40))))
    with torch.no_grad():
        model.train()(x_NCHW)
        output = model.eval()(x_NCHW)
        own = model.evidence(x_NCHW, output)
    if score == "joint" and parts is None:
        parts = [*own, *(["l1"] if output.recon_NCHW is not None else [])]
    fused = ("latent", *own) if score == "fused" else ()
    scoring = ScoreConfig(score, parts=tuple(parts or ()), fused=fused, distance=distance)
    table = Scorer(model, torch.device("cpu"), "fp32", 64).table(images, np.arange(40, 80))
    calibration = Calibration.fit(table, scoring)
    config = RunConfig(model=ModelConfig(name, options or {}), data=DataConfig("gone", crop=side), scoring=scoring)
    folder = RunFolder(path)
    write_text(folder.config_file, to_yaml(config))
    folder.save_model(SavedModel(model, images.side, images.channels, calibration.tensors()).to_bytes())
    return path


def session(file: Path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def by_hw8(path: Path, images_NHWC: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """What hw8 in float32 makes of whole images: scores and p-values (N,), and the number of calibration images."""
    run = TrainedRun.load(path, "cpu")
    scorer = Scorer(run.scorer.model, torch.device("cpu"), "fp32", 50, run.scorer.evidence_names)
    images = Images(images_NHWC, run.config.data.crop)
    score_N = run.calibration.scores(scorer.table(images, np.arange(len(images))))[run.score_name]
    normals = len(run.calibration.values_C[run.score_name])
    return score_N, run.calibration.p_value(run.score_name, score_N), normals


@pytest.mark.parametrize("name", heavy(list(TRAINED), {"resnet"}))
def test_scores_and_p_values_are_hw8s(trained_run, exported, demo, name):
    images_NHWC = np.load(demo / "testingset.npy")
    score_N, p_value_N = session(exported(name).out).run(None, {"images": images_NHWC})
    expected_N, expected_p_N, normals = by_hw8(trained_run(name), images_NHWC)
    assert score_N.shape == p_value_N.shape == (120,)
    assert (score_N.dtype, p_value_N.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(score_N, expected_N, rtol=1e-3)
    assert spearmanr(score_N, expected_N)[0] > 0.9999
    assert len(np.unique(expected_p_N)) > 5
    np.testing.assert_allclose(p_value_N, expected_p_N, rtol=0, atol=1.01 / (normals + 1))


@pytest.mark.parametrize("name", heavy(list(TRAINED), {"resnet"}))
def test_any_number_of_images_gives_the_same(exported, demo, name):
    images_NHWC, run = np.load(demo / "testingset.npy")[:17], session(exported(name).out)
    alone = [run.run(None, {"images": image[None]}) for image in images_NHWC]
    for count in (1, 3, 17):
        together = run.run(None, {"images": images_NHWC[:count]})
        for place, value_N in enumerate(together):
            np.testing.assert_allclose(value_N, np.concatenate([each[place] for each in alone[:count]]), rtol=1e-4)


@pytest.mark.parametrize("name", heavy(["resnet", "vae"], {"resnet"}))
def test_the_crop_is_inside(trained_run, exported, demo, name):
    images_NHWC, run = np.load(demo / "testingset.npy")[:9], session(exported(name).out)
    for start, height, width in [(0, 64, 64), (14, 37, 37), (16, 32, 32), (11, 40, 51)]:
        cut_NHWC = np.ascontiguousarray(images_NHWC[:, start : start + height, start : start + width])
        down, across = (height - 32) // 2, (width - 32) // 2
        centre_NHWC = np.ascontiguousarray(cut_NHWC[:, down : down + 32, across : across + 32])
        expected_N = by_hw8(trained_run(name), cut_NHWC if height == width else centre_NHWC)[0]
        np.testing.assert_allclose(run.run(None, {"images": cut_NHWC})[0], expected_N, rtol=1e-3)
    for size in (31, 30, 16, 1):
        for height, width in ((size, 64), (64, size), (size, size)):
            with pytest.raises(Exception, match=r"Input shape:.*requested shape:\{9,32,32,3\}"):
                run.run(None, {"images": images_NHWC[:, :height, :width].copy()})


@pytest.mark.slow
def test_without_a_crop_another_side_is_refused(exported):
    with pytest.raises(Exception, match="Got: 48 Expected: 64"):
        session(exported("boss").out).run(None, {"images": np.zeros((2, 48, 48, 3), np.uint8)})


def test_the_file_says_what_it_is(trained_run, exported, plain):
    model = onnx.load(exported("resnet").out)
    assert [(item.domain, item.version) for item in model.opset_import if not item.domain] == [("", 18)]
    about = {item.key: item.value for item in model.metadata_props}
    folder = RunFolder(trained_run("resnet"))
    assert about.items() > {
        "run": "resnet", "preset": "resnet", "side": "32", "crop": "32", "channels": "3", "score": "l1",
        "calibration_images": "40", "fingerprint": folder.fingerprint(),
    }.items()  # fmt: skip
    run = session(exported("resnet").out)
    assert [(item.name, item.type, item.shape) for item in (*run.get_inputs(), *run.get_outputs())] == [
        ("images", "tensor(uint8)", ["N", "height", "width", 3]),
        ("score", "tensor(float)", ["N"]),
        ("p_value", "tensor(double)", ["N"]),
    ]
    for result in (exported("resnet"), plain):
        content = result.out.read_bytes()
        assert os.fsencode(Path(export.__file__).parent) not in content, "the paths of this machine"
        assert b"site-packages" not in content


@pytest.mark.parametrize("name", heavy(sorted(MODELS), {"deep_svdd", "resnet"}))
def test_every_model_is_exported_with_all_that_it_says(exported, tmp_path, name):
    """The joint distance of all evidence of the model's own; the check is on random images, for its data are gone."""
    if name in COVERED:
        agreement = exported(COVERED[name]).agreement
        assert agreement is not None
        assert (agreement.kind, agreement.steps, agreement.problem()) == ("development", 0, None)
        return
    channels = 1 if name in GREY else 3
    run = by_hand(tmp_path / "run", name, OPTIONS.get(name), SCORES.get(name, "joint"), channels=channels)
    result = export_onnx(run)
    assert result.agreement is not None
    assert (result.agreement.kind, result.agreement.images) == ("random", 64)
    cats = demo_images("cat", 12, seed=6)[..., :channels]
    score_N = session(result.out).run(None, {"images": cats})[0]
    # A distance of one number alone may be nearly zero, in units of the normals' spread.
    np.testing.assert_allclose(score_N, by_hw8(run, cats)[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("exporting", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["graph", "file"])
def test_fused_scores(tmp_path, exporting):
    """The graph in PyTorch, and the file."""
    run = by_hand(tmp_path / "run", "views", {"widths": [4, 4, 8, 8]}, "fused", side=32, distance="euclidean")
    images_NHWC = demo_images("normal", 30, seed=7)[:, 16:48, 16:48]
    if exporting:
        score_N, p_value_N = session(export_onnx(run).out).run(None, {"images": images_NHWC})
    else:
        with torch.no_grad():
            outputs = ScoreGraph(TrainedRun.load(run, "cpu"))(torch.from_numpy(images_NHWC))
        score_N, p_value_N = (output.numpy() for output in outputs)
    expected_N, expected_p_N, normals = by_hw8(run, images_NHWC)
    # Where few normals lie, -log p is steep in the score, and magnifies rounding.
    np.testing.assert_allclose(score_N, expected_N, rtol=1e-2)
    np.testing.assert_allclose(p_value_N, expected_p_N, rtol=0, atol=1.01 / (normals + 1))


@pytest.mark.slow
def test_every_error_and_the_nearest_normals(tmp_path):
    """The texture, much the largest graph, is among the evidence of boss."""
    parts = [*ERRORS, *(name for name in STATISTICS if name != "texture"), "latent"]
    run = by_hand(
        tmp_path / "run", "fcn", {"widths": [16], "latent": 4}, "joint", parts, distance="neighbours", side=19
    )
    cats = demo_images("cat", 12, seed=6)
    score_N = session(export_onnx(run).out).run(None, {"images": cats})[0]
    np.testing.assert_allclose(score_N, by_hw8(run, cats)[0], rtol=1e-3)


@pytest.mark.parametrize(
    ("score", "parts", "distance"),
    [
        ("mse", (), "mahalanobis"),
        ("latent", (), "mahalanobis"),
        ("latent", (), "neighbours"),
        ("l1_two_sided", ("l1",), "mahalanobis"),
        ("joint", ("l1", "bands"), "neighbours"),
    ],
)
def test_every_kind_of_score(tmp_path, score, parts, distance):
    """The graph in PyTorch, before it is exported."""
    run = TrainedRun.load(by_hand(tmp_path / "run", "fcn", None, score, parts, distance=distance), "cpu")
    images_NHWC = np.concatenate([demo_images(kind, 20, seed=7)[:, 24:40, 24:40] for kind in ("normal", "cat")])
    with torch.no_grad():
        graph = ScoreGraph(run)
        score_N, p_value_N = graph(torch.from_numpy(images_NHWC))
    expected_N, expected_p_N, _ = by_hw8(run.folder.path, images_NHWC)
    # Two-sided scores near zero are differences of nearly equal numbers.
    np.testing.assert_allclose(score_N, expected_N, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(p_value_N, expected_p_N)


def test_the_example_that_it_prints_works(exported, plain):
    for result, images in ((exported("resnet"), {}), (plain, {"images_NHWC": demo_images("normal", 5, seed=1)})):
        lines = result.lines()
        assert lines[0].startswith(f"Wrote:    {result.out} (0.")
        space = dict(images)
        exec("\n".join(line[10:] for line in lines[-3:]), space)
        assert space["score_N"].shape == space["p_value_N"].shape == (5 if images else 120,)
    assert any("64 random images: scores within" in line for line in plain.lines())
    assert any("the run's own images are not here" in line for line in plain.lines())
    assert any(" development images: scores within" in line for line in exported("resnet").lines())


def test_the_example_works_wherever_the_file_is(quick, tmp_path):
    out = tmp_path / os.fsdecode(b'a "caf\xe9"\n\\\xc3\xa9') / "x.onnx"
    lines = export_onnx(quick, out, check=False).lines()
    assert all(line.isprintable() for line in lines)
    space: dict = {}
    exec(lines[-2][10:].replace("onnxruntime.InferenceSession", ""), space)
    assert space["session"] == str(out)


@pytest.fixture
def quick(plain, monkeypatch) -> Path:
    """The small run, whose graph need not be traced again."""
    monkeypatch.setattr(export, "_converted", lambda _: plain.out.read_bytes())
    return plain.out.parent


@pytest.mark.parametrize("checked", [True, False])
def test_the_command(quick, tmp_path, monkeypatch, capsys, checked):
    out = tmp_path / "new" / "file.onnx"
    words = ["--run", str(quick), "--format", "onnx", "--out", str(out), *([] if checked else ["--no-check"])]
    monkeypatch.setattr(sys, "argv", ["export.py", *words])
    if not checked:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    main()
    printed = capsys.readouterr()
    assert printed.err == ""
    assert ("scores within" if checked else "Checked:  not, as asked") in printed.out
    assert f'InferenceSession("{out}")' in printed.out
    assert [path.name for path in out.parent.iterdir()] == ["file.onnx"]


def off(score_N, p_value_N):
    return score_N * 1.01, p_value_N


def not_finite(score_N, p_value_N):
    return score_N * np.nan, p_value_N


def shifted(score_N, p_value_N):
    return score_N, p_value_N + 0.1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [(off, r"are up to 1\.\de-02 off PyTorch's"), (not_finite, "up to nan off"), (shifted, "do not fit its scores")],
)
def test_a_file_that_fails_the_check_leaves_nothing(quick, tmp_path, monkeypatch, wrong, words):
    original = export.run_file
    monkeypatch.setattr(export, "run_file", lambda *arguments: wrong(*original(*arguments)))
    with pytest.raises(InputError, match=words):
        export_onnx(quick, tmp_path / "new.onnx")
    assert not list(tmp_path.iterdir())
    (tmp_path / "old.onnx").write_text("from before")
    with pytest.raises(InputError, match=words):
        export_onnx(quick, tmp_path / "old.onnx")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["from before"]


def test_a_graph_that_onnxruntime_cannot_run_is_one_line(quick, tmp_path, monkeypatch):
    model = onnx.load(quick / "model.onnx")
    model.graph.node[-1].op_type = "Unheard"
    monkeypatch.setattr(export, "_converted", lambda _: model.SerializeToString())
    with pytest.raises(InputError, match="onnxruntime cannot run the exported graph .*INVALID_GRAPH"):
        export_onnx(quick, tmp_path / "new.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_its_command(plain, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf'{package} is not installed, .*: pip install -e "\.\[export\]"'):
        export_onnx(plain.out.parent, tmp_path / "new.onnx")
    assert not list(tmp_path.iterdir())


def unfinished(folder: RunFolder, config: RunConfig) -> None:
    model = folder.load_model(config).model
    folder.save_model(SavedModel(model, 16, 3).to_bytes())


def truncated(folder: RunFolder, config: RunConfig) -> None:
    folder.model_file.write_bytes(folder.model_file.read_bytes()[:1000])


def without_settings(folder: RunFolder, config: RunConfig) -> None:
    folder.config_file.unlink()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (unfinished, "its training is not finished"),
        (truncated, r"model\.safetensors: cannot be loaded"),
        (without_settings, "no run here"),
    ],
)
def test_broken_runs_are_refused(plain, tmp_path, broken, words):
    run = shutil.copytree(plain.out.parent, tmp_path / "run", ignore=shutil.ignore_patterns("*.onnx"))
    broken(*RunFolder.open(run))
    with pytest.raises(InputError, match=words):
        export_onnx(run)
    assert not list(run.glob("*.onnx*"))


def test_transductive_runs_are_refused(tmp_path):
    run = by_hand(tmp_path / "run", "recogniser", TRAINED["boss"], parts=("amounts",))
    folder, config = RunFolder.open(run)
    folder.config_file.write_text(to_yaml(changed(config, scoring={"transductive": True})))
    with pytest.raises(InputError, match="is transductive: its scores come from a whole test set at once"):
        export_onnx(run)
    assert not list(run.glob("*.onnx*"))


def test_another_suffix_is_refused(plain, tmp_path):
    with pytest.raises(InputError, match=r"model\.pt: must end in \.onnx"):
        export_onnx(plain.out.parent, tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())


def test_a_model_that_pytorch_cannot_export_is_one_line(plain, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no such\noperator")

    monkeypatch.setattr(export, "to_onnx", fail)
    with pytest.raises(InputError, match=r"PyTorch cannot export its model \(no such operator\)"):
        export_onnx(plain.out.parent, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_the_check_gives_a_file_one_image_then_three_then_the_rest(monkeypatch):
    sizes = []

    class Session:
        def __init__(self, *_, **__):
            pass

        def run(self, names, images):
            sizes.append(len(images["images"]))
            return np.zeros(sizes[-1]), np.zeros(sizes[-1])

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    assert len(export.run_file(Path("x.onnx"), np.zeros((10, 8, 8, 3), np.uint8))[0]) == 10
    assert sizes == [1, 3, 6]
