"""Labeled Faces in the Wild as one-class data: real faces to learn from, and those of other people as normal test set.

The anomalies of the test set, of the demo's kinds, are all drawn: LFW itself has normal faces only.
"""

import json
import logging
from pathlib import Path

import numpy as np

from hw8.base.errors import InputError, error_reason
from hw8.base.files import atomic_folder, is_in_the_way, write_text
from hw8.data.demo import KINDS, demo_images, read_recipe, write_test_set
from hw8.data.labels import NORMAL

log = logging.getLogger(__name__)
VERSION = 1  # of the written files; a change of any byte needs a new one
SEED = 0
PHOTOGRAPHS = 13_233  # in all of LFW
HELD_OUT = 0.2  # share of the people whose images are the test set's normal ones; chosen by hand
CENTRE = slice(61, 189)  # rows and columns of the 250-pixel photograph that hold the face: 128, halved to 64


def write_lfw(folder: Path) -> Path:
    """Fetch LFW with scikit-learn and write it in the homework's format, unless `folder` holds it; return `folder`.

    Writes trainingset.npy (uint8 (N, 64, 64, 3): the images of four people in five), testingset.npy (those of the
    others, and as many drawn anomalies, shuffled), testing_labels.csv (ID,label,kind) and lfw.json. The folder appears
    whole or not at all. Raises InputError if LFW cannot be fetched, and for a `folder` that cannot be written or holds
    something else.
    """
    recipe, file = {"version": VERSION, "seed": SEED}, folder / "lfw.json"
    if read_recipe(file) == recipe:
        return folder
    if is_in_the_way(folder):
        raise InputError(f"{folder}: holds something else; move it away")
    faces_NHWC, name_N = _fetch_faces()
    rng = np.random.default_rng([VERSION, SEED])
    people = rng.permutation(np.unique(name_N))
    test_N = np.isin(name_N, people[: round(HELD_OUT * len(people))])
    anomalous = [kind for kind in KINDS if kind != NORMAL]
    with atomic_folder(folder) as temporary:
        np.save(temporary / "trainingset.npy", faces_NHWC[~test_N])
        images = {NORMAL: faces_NHWC[test_N]}
        for place, kind in enumerate(anomalous):
            images[kind] = demo_images(kind, (int(test_N.sum()) + place) // len(anomalous), SEED + 1)
        write_test_set(temporary, images, rng)
        write_text(temporary / file.name, json.dumps(recipe) + "\n")
        if read_recipe(file) != recipe:  # unless another process was faster
            temporary.replace(folder)
    return folder


def _fetch_faces() -> tuple[np.ndarray, np.ndarray]:
    """All faces, uint8 (N, 64, 64, 3), and the name of the person on each (N,). Raises InputError."""
    from sklearn.datasets import fetch_lfw_people, get_data_home

    log.info("LFW: 250 MB, fetched by scikit-learn into its own folder unless they are there; takes minutes")
    try:
        people = fetch_lfw_people(color=True, funneled=True, resize=0.5, slice_=(CENTRE, CENTRE))
    except Exception as error:  # no connection, one that broke, wrong bytes, an archive that cannot be unpacked
        reason = error_reason(error, 160)
        raise InputError(f"LFW: scikit-learn could not fetch it ({reason}); run the command again") from None
    count = len(people.images)
    if count != PHOTOGRAPHS:  # an interrupted unpacking leaves a part, which scikit-learn then takes for everything
        raise InputError(
            f"LFW: scikit-learn has {count:,} of {PHOTOGRAPHS:,} photographs, its unpacking was cut short; delete "
            f"{Path(get_data_home()) / 'lfw_home'} and run the command again"
        )
    faces_NHWC = np.empty(people.images.shape, np.uint8)
    scale = 255 if people.images.max() <= 1 else 1  # pixels end at 1 in today's scikit-learn, at 255 in earlier ones
    for row, face_HWC in enumerate(people.images):  # one by one: the floats alone are 650 MB
        faces_NHWC[row] = np.rint(face_HWC * scale)
    return faces_NHWC, people.target_names[people.target]
