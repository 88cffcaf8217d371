"""The demo data: generated portraits in the homework's format, with labelled anomalies.

| kind | what |
|---|---|
| normal | people, lit and photographed by one recipe |
| relit (near) | the same people under a harder light and another camera |
| displaced (near) | the same recipe, with eyes, nose and mouth out of place |
| cartoon (far) | drawn faces |
| cat (far) | cats |
"""

import contextlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hw8.base.errors import InputError
from hw8.base.files import atomic_folder, read_text, write_text
from hw8.data.portraits import SIDE, Camera, Scene, draw_cartoon, draw_cat, draw_person

log = logging.getLogger(__name__)
VERSION = 1
TRAIN_COUNT, TEST_COUNT = 4000, 2000
CHUNK = 20
OTHER_CAMERA = Camera(
    noise=(0.002, 0.012),
    softness=(0.0, 0.3),
    warmth=(-0.12, 0.0),
    gamma=(0.75, 1.0),
    light_x=(-1.4, 1.4),
    light_y=(-0.3, 0.9),
    ambient=(0.3, 0.55),
)


def _person(scene: Scene) -> None:
    draw_person(scene)


def _displaced(scene: Scene) -> None:
    draw_person(scene, shift=0.13)


KINDS: dict[str, tuple[Callable[[Scene], None], Camera]] = {
    "normal": (_person, Camera()),
    "relit": (_person, OTHER_CAMERA),
    "displaced": (_displaced, Camera()),
    "cartoon": (draw_cartoon, Camera()),
    "cat": (draw_cat, Camera()),
}


def demo_images(kind: str, count: int, seed: int) -> np.ndarray:
    """`count` images of a kind as uint8 (count, 64, 64, 3); the same seed gives the same images."""
    draw, camera = KINDS[kind]
    chunks = []
    for start in range(0, count, CHUNK):
        rng = np.random.default_rng([VERSION, seed, list(KINDS).index(kind), start])
        scene = Scene(rng, CHUNK, camera)
        draw(scene)
        chunks.append(scene.photograph())
    return np.concatenate(chunks)[:count] if chunks else np.empty((0, SIDE, SIDE, 3), np.uint8)


def write_demo(folder: Path, train: int = TRAIN_COUNT, test: int = TEST_COUNT, seed: int = 0) -> Path:
    """Generate the demo data into `folder` unless it is there already; return `folder`.

    Writes trainingset.npy (all normal), testingset.npy (half normal, the rest evenly the anomalous
    kinds, shuffled), testing_labels.csv (ID,label,kind) and demo.json. The folder appears whole or not at all.
    Raises InputError if it cannot be written, or holds something else.
    """
    recipe = {"version": VERSION, "train": train, "test": test, "seed": seed}
    if _recipe(folder) == recipe:
        return folder
    if folder.exists() and _recipe(folder) is None:
        raise InputError(
            f"{folder}: holds something else than demo data; move it away, or name it with `data` {folder}"
        )
    log.info("%s: drawing %s training and %s test faces", folder, f"{train:,}", f"{test:,}")
    with atomic_folder(folder) as aside:
        _write_files(aside, train, test, seed)
        write_text(aside / "demo.json", json.dumps(recipe) + "\n")
        if _recipe(folder) != recipe:  # unless another process has just made the same
            if folder.exists():
                shutil.rmtree(folder)
            aside.rename(folder)
    return folder


def _recipe(folder: Path) -> object:
    """The settings that a folder of demo data was generated with, or None if it is none."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return json.loads(read_text(folder / "demo.json"))
    return None


def _write_files(folder: Path, train: int, test: int, seed: int) -> None:
    np.save(folder / "trainingset.npy", demo_images("normal", train, seed))
    counts = {kind: (test - test // 2) // (len(KINDS) - 1) for kind in KINDS if kind != "normal"}
    counts = {"normal": test - sum(counts.values()), **counts}
    images = np.concatenate([demo_images(kind, count, seed + 1) for kind, count in counts.items()])
    kinds = np.repeat(list(counts), list(counts.values()))
    order = np.random.default_rng([VERSION, seed]).permutation(test)
    np.save(folder / "testingset.npy", images[order])
    rows = [f"{row},{int(kind != 'normal')},{kind}" for row, kind in enumerate(kinds[order])]
    write_text(folder / "testing_labels.csv", "\n".join(["ID,label,kind", *rows]) + "\n")
