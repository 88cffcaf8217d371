"""Downloads the file of `slow_server` as scripts/download_data.py does; the only argument is the base address."""

import hashlib
import sys
from pathlib import Path

from hw8.commands.exit_codes import run
from hw8.download.homework import download_files
from hw8.download.transfer import RemoteFile
from tests.faults.slow_server import BODY, NAME


def main() -> None:
    """Download it into data/."""
    download_files(Path("data"), sys.argv[1], [RemoteFile(NAME, len(BODY), hashlib.sha256(BODY).hexdigest())])


if __name__ == "__main__":
    run(main)
