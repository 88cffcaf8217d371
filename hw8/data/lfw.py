"""Labeled Faces in the Wild as one-class data: real faces to learn from, faces of other people to take for normal.

Of the test set's anomalies, those of the demo's kinds, all are drawn: LFW itself has normal faces only.
"""

import contextlib
import http.client
import json
import logging
import tarfile
import zlib
from pathlib import Path

import numpy as np

from hw8.base.errors import InputError
from hw8.base.files import atomic_folder, read_text, write_text
from hw8.data.demo import KINDS, demo_images

log = logging.getLogger(__name__)
VERSION = 1
PHOTOGRAPHS = 13_233
HELD_OUT = 0.2  # share of the people whose images are the test set's normal ones
CENTRE = slice(61, 189)  # rows and columns of the 250-pixel photograph: 128, halved to 64
RECIPE = "lfw.json"
# No connection, one that broke, other bytes than scikit-learn expects, an archive that cannot be unpacked.
FAULTS = (OSError, ValueError, EOFError, http.client.HTTPException, tarfile.TarError, zlib.error)


def write_lfw(folder: Path, seed: int = 0) -> Path:
    """Fetch LFW with scikit-learn, and write it in the homework's format into `folder`, unless it is there; return it.

    Writes trainingset.npy (uint8 (N, 64, 64, 3): the images of four people in five), testingset.npy (those of the
    others, and as many drawn anomalies, shuffled), testing_labels.csv (ID,label,kind) and lfw.json. The folder appears
    whole or not at all. Raises InputError if LFW cannot be fetched, and for a `folder` that cannot be written or holds
    something else.
    """
    recipe = {"version": VERSION, "seed": seed}
    if _recipe(folder) == recipe:
        log.info("%s: is there already; kept", folder)
        return folder
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder}: holds something else; move it away, or choose another `out`")
    faces_NHWC, name_N = _fetch_faces()
    with atomic_folder(folder) as aside:
        _write_files(aside, faces_NHWC, name_N, seed)
        write_text(aside / RECIPE, json.dumps(recipe) + "\n")
        if _recipe(folder) != recipe:  # another process may have been faster
            aside.replace(folder)
    return folder


def _recipe(folder: Path) -> object:
    """The settings that a folder was written with, or None if it was not written here."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return json.loads(read_text(folder / RECIPE))
    return None


def _fetch_faces() -> tuple[np.ndarray, np.ndarray]:
    """All faces, uint8 (N, 64, 64, 3), and the name of the person on each (N,). Raises InputError."""
    from sklearn.datasets import fetch_lfw_people, get_data_home

    log.info("LFW: 250 MB, fetched by scikit-learn into its own folder unless they are there; takes minutes")
    try:
        found = fetch_lfw_people(color=True, funneled=True, resize=0.5, slice_=(CENTRE, CENTRE))
    except FAULTS as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"LFW: scikit-learn could not fetch it ({reason}); run the command again") from None
    count = len(found.images)
    if count != PHOTOGRAPHS:  # stopped while it unpacks, scikit-learn takes what is there for all of it the next time
        raise InputError(
            f"LFW: scikit-learn has {count:,} of {PHOTOGRAPHS:,} photographs, its unpacking was cut short; delete "
            f"{Path(get_data_home()) / 'lfw_home'} and run the command again"
        )
    faces_NHWC = np.empty(found.images.shape, np.uint8)
    # Pixels end at 1 in today's scikit-learn and ended at 255 once.
    scale = 255 if found.images.max() <= 1 else 1
    for row, face_HWC in enumerate(found.images):  # one by one: the floats alone are 650 MB
        faces_NHWC[row] = np.rint(face_HWC * scale)
    return faces_NHWC, found.target_names[found.target]


def _write_files(folder: Path, faces_NHWC: np.ndarray, name_N: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng([VERSION, seed])
    people = rng.permutation(np.unique(name_N))
    test_N = np.isin(name_N, people[: round(HELD_OUT * len(people))])
    np.save(folder / "trainingset.npy", faces_NHWC[~test_N])
    drawn = [kind for kind in KINDS if kind != "normal"]
    counts = [(int(test_N.sum()) + place) // len(drawn) for place in range(len(drawn))]
    anomalies = [demo_images(kind, count, seed + 1) for kind, count in zip(drawn, counts, strict=True)]
    images = [faces_NHWC[test_N], *anomalies]
    kind_N = np.repeat(["normal", *drawn], [len(part) for part in images])
    order = rng.permutation(len(kind_N))
    np.save(folder / "testingset.npy", np.concatenate(images)[order])
    rows = [f"{row},{int(kind != 'normal')},{kind}" for row, kind in enumerate(kind_N[order])]
    write_text(folder / "testing_labels.csv", "\n".join(["ID,label,kind", *rows]) + "\n")
