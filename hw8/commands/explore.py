"""Serve a local page to look through a test set by any score, and to try images of your own. Ctrl-C ends it."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from hw8.commands.parsing import Omittable, parse
from hw8.config import Device


@dataclasses.dataclass
class Arguments:
    """The command line of scripts/explore.py."""

    folder: Annotated[Omittable[Path], tyro.conf.arg(name="run")] = None
    """Folder of a finished run. Default: the run finished last."""
    beside: Annotated[Omittable[Path], tyro.conf.arg(metavar="RUN")] = None
    """Folder of a second run, to see every image under both."""
    data: Annotated[Omittable[str], tyro.conf.arg(metavar="WHERE")] = None
    """Folder or named source of the test images. Default: the data of the run."""
    port: int = 8008
    """Port on this machine; 0 takes any that is free."""
    device: Device = "auto"
    """Where to compute."""


def main() -> None:
    """Parse, serve the page, and score the test set meanwhile."""
    arguments = parse(Arguments, __doc__ or "")
    from hw8.explorer.catalogue import Catalogue
    from hw8.explorer.server import HOST, create_server, listen
    from hw8.training.run_folder import newest_run

    # Before the runs are loaded, so that a port in use is reported at once.
    with listen(arguments.port) as listening:
        run = arguments.folder or newest_run()
        catalogue = Catalogue(run, arguments.data, arguments.device, arguments.beside)
        print(f"Open:     http://{HOST}:{listening.getsockname()[1]}/  (this machine only; Ctrl-C ends it)", flush=True)
        server = create_server(catalogue)
        catalogue.start(on_error=lambda: setattr(server, "should_exit", True))
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:
            print("Stopped.")
        finally:
            catalogue.stop()
        if catalogue.error is not None:
            raise catalogue.error
