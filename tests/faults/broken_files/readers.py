"""The readers of hw8 with their cases."""

from collections.abc import Callable

from . import configs, npy, pictures, run_folders, tables
from .cases import Case, Reader

READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        Reader("arrays", npy.FILE, npy.read, npy.array_cases),
        Reader("shards", npy.FILE, npy.read, npy.shard_cases),
        Reader("labels", tables.KINDS.file, tables.KINDS.read, tables.label_cases),
        Reader("submissions", tables.SCORES.file, tables.SCORES.read, tables.submission_cases),
        Reader("parts", tables.PARTS.file, tables.PARTS.read, tables.part_cases),
        Reader("settings", configs.FILE, configs.read, configs.config_cases),
        Reader("options", configs.FILE, configs.read_options, configs.option_cases, names_file=False),
        Reader("runs", run_folders.FOLDER, run_folders.read, run_folders.run_cases),
        Reader("pictures", pictures.FILE, pictures.read, pictures.picture_cases, names_file=False),
    )
}


def cases(wanted: Callable[[str], bool] = lambda _: True) -> dict[str, tuple[Reader, Case]]:
    """The cases whose full names, READER: CASE, are wanted. Raises ValueError if two have one name."""
    found: dict[str, tuple[Reader, Case]] = {}
    for reader in READERS.values():
        if not wanted(reader.name):
            continue
        for case in reader.cases():
            name = f"{reader.name}: {case.name}"
            if name in found:
                raise ValueError(f"two cases have the name {name!r}")
            found[name] = reader, case
    return found
