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
import functools
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hw8.base.errors import InputError
from hw8.base.files import atomic_folder, is_in_the_way, read_text, write_table, write_text
from hw8.data.labels import NORMAL
from hw8.data.portraits import SIDE, Camera, Scene, draw_cartoon, draw_cat, draw_person

log = logging.getLogger(__name__)
VERSION = 1  # of the generated images; a change of any byte needs a new one, so that old folders are generated again
SEED = 0
# Enough to train a convolutional model in a minute on two cores, and for an AUC within 0.04.
TRAIN_COUNT, TEST_COUNT = 4000, 2000
CHUNK = 20  # faces drawn at once, from one generator: another number would draw other faces
# In face units, chosen by hand: half the width of an eye. Faces that are much more displaced are found by any model,
# much less displaced ones look normal.
DISPLACEMENT = 0.13
# Less noise, sharper, colder, darker, and lit from further aside. Each range overlaps with that of `Camera()`, so that
# relit faces are a near anomaly: no single property tells them all apart.
OTHER_CAMERA = Camera(
    noise=(0.002, 0.012),
    softness=(0.0, 0.3),
    warmth=(-0.12, 0.0),
    gamma=(0.75, 1.0),
    light_x=(-1.4, 1.4),
    light_y=(-0.3, 0.9),
    ambient=(0.3, 0.55),
)
KINDS: dict[str, tuple[Callable[[Scene], None], Camera]] = {
    NORMAL: (draw_person, Camera()),
    "relit": (draw_person, OTHER_CAMERA),
    "displaced": (functools.partial(draw_person, shift=DISPLACEMENT), Camera()),
    "cartoon": (draw_cartoon, Camera()),
    "cat": (draw_cat, Camera()),
}


def demo_images(kind: str, count: int, seed: int) -> np.ndarray:
    """Return `count` images of a kind as uint8 (count, 64, 64, 3); the same seed gives the same images."""
    draw, camera = KINDS[kind]
    chunks = [np.empty((0, SIDE, SIDE, 3), np.uint8)]
    for start in range(0, count, CHUNK):
        rng = np.random.default_rng([VERSION, seed, list(KINDS).index(kind), start])
        scene = Scene(rng, CHUNK, camera)
        draw(scene)
        chunks.append(scene.photograph())
    return np.concatenate(chunks)[:count]


def write_demo(folder: Path, train: int = TRAIN_COUNT, test: int = TEST_COUNT) -> Path:
    """Generate the demo data into `folder` unless it is there already; return `folder`.

    Writes trainingset.npy (all normal), testingset.npy (half normal, the rest evenly the anomalous
    kinds, shuffled), testing_labels.csv (ID,label,kind) and demo.json. The folder appears whole or not at all.
    Raises InputError if it cannot be written, or holds something else.
    """
    recipe, file = {"version": VERSION, "train": train, "test": test, "seed": SEED}, folder / "demo.json"
    if read_recipe(file) == recipe:
        return folder
    if read_recipe(file) is None and is_in_the_way(folder):
        raise InputError(f"{folder}: does not hold demo data; move it away, or name it with `data` {folder}")
    log.info("%s: drawing %s training and %s test faces", folder, f"{train:,}", f"{test:,}")
    counts = {kind: (test - test // 2) // (len(KINDS) - 1) for kind in KINDS if kind != NORMAL}
    counts = {NORMAL: test - sum(counts.values()), **counts}
    with atomic_folder(folder) as temporary:
        np.save(temporary / "trainingset.npy", demo_images(NORMAL, train, SEED))
        images = {kind: demo_images(kind, count, SEED + 1) for kind, count in counts.items()}
        write_test_set(temporary, images, np.random.default_rng([VERSION, SEED]))
        write_text(temporary / file.name, json.dumps(recipe) + "\n")
        if read_recipe(file) != recipe:  # unless another process has just generated the same
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
    return folder


def read_recipe(file: Path) -> object:
    """Return the settings that a folder was generated with, as this file holds them, or None if there is none."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads(read_text(file))
    return None


def write_test_set(folder: Path, images_by_kind: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    """Write the images in random order to testingset.npy, and their labels to testing_labels.csv."""
    kind_N = np.repeat(list(images_by_kind), [len(images) for images in images_by_kind.values()])
    order = rng.permutation(len(kind_N))
    np.save(folder / "testingset.npy", np.concatenate(list(images_by_kind.values()))[order])
    rows = ((row, int(kind != NORMAL), kind) for row, kind in enumerate(kind_N[order]))
    write_table(folder / "testing_labels.csv", ("ID", "label", "kind"), rows)
