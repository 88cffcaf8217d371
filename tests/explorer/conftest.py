import os
import shutil
from pathlib import Path

import pytest

from hw8.explorer.catalogue import Catalogue
from tests.helpers import scored


@pytest.fixture(scope="session")
def named(demo, tmp_path_factory) -> Path:
    """The demo folder's test set, whose images were made of files with names."""
    folder = tmp_path_factory.mktemp("data") / "named"
    folder.mkdir()
    for name in ("testingset.npy", "testing_labels.csv"):
        os.link(demo / name, folder / name)
    lines = ["ID,file", *(f"{row},shelf {row % 7}/IMG_{row}.jpg" for row in range(120))]
    (folder / "testing_files.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def other_run(trained, tmp_path_factory) -> Path:
    """The finished run with another of its scores: as good as another run, and not trained again."""
    folder = tmp_path_factory.mktemp("runs") / "other"
    shutil.copytree(trained.folder.path, folder)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("score: l1\n", "score: structural\n"))
    return folder


@pytest.fixture(scope="session")
def pair(trained, other_run, named) -> Catalogue:
    """Two runs side by side, on images with file names."""
    return scored(Catalogue(trained.folder.path, str(named), "cpu", other_run))
