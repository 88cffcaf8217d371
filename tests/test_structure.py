"""The structure that docs/architecture.md shows: rooms in one order, and imports that only run down it."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "hw8"
# Each room may import those before it.
ROAD = ("base", "config", "data", "models", "training", "scoring", "evaluation", "runs")
# Each application may import the road, and of the other applications only these.
APPLICATIONS = {
    "compare": (),
    "oneclass": (),
    "report": ("compare",),
    "explorer": ("report",),
    "detector": (
        "prepare",
        "report",
    ),  # whether a folder holds normal pictures only; what sets an image apart, in words
    "export": (),
    "kaggle": (),
    "prepare": (),
    "download": ("kaggle",),
}
ROOMS = [path.name for path in sorted(PACKAGE.iterdir()) if (path / "__init__.py").is_file()]
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_ROOMS, MAX_FLOORS = 22, 10  # of a house that can be drawn on one screen


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """The modules of hw8 that a file imports anywhere in it, and the names it takes from each."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hw8":
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "hw8")


def room_of(module: str, name: str = "") -> str:
    words = [*module.split("."), name]
    return words[1] if words[1] in ROOMS else "hw8"


def allowed(room: str) -> set[str]:
    if room == "commands":
        return {*ROOMS}
    if room in APPLICATIONS:
        return {*ROAD, room, *APPLICATIONS[room]}
    return {*ROAD[: ROAD.index(room) + 1]}


def test_every_room_has_its_place():
    assert set(ROOMS) == {*ROAD, *APPLICATIONS, "commands"}
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("room", [*ROAD, *APPLICATIONS])
def test_imports_run_down(room):
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {module}"
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for module, name in imported(path)
        if room_of(module, name) not in allowed(room) and (module, name) != ("hw8", "__version__")
    ]
    assert not wrong


@functools.cache
def floor_of(room: str) -> int:
    """1 for a room that imports no other, else one more than the highest room that it imports."""
    below = {room_of(*item) for path in (PACKAGE / room).rglob("*.py") for item in imported(path)} - {room, "hw8"}
    return 1 + max(map(floor_of, below), default=0)


def test_the_house_has_few_rooms_and_floors():
    """Scripts and `python -m hw8` stand on the highest room."""
    assert len(ROOMS) <= MAX_ROOMS
    assert max(map(floor_of, ROOMS)) + 1 <= MAX_FLOORS


def test_no_room_imports_a_private_name_of_another():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {module}.{name}"
        for path in MODULES
        for module, name in imported(path)
        if name.startswith("_") and not name.startswith("__")
    ]
    assert not wrong


def test_every_room_says_what_it_is_for():
    assert all(ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) for room in ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_imported_at_the_top_that_windows_has_not(path):
    top = [
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {alias.name for node in top for alias in node.names} | {getattr(node, "module", None) for node in top}
    assert not names & {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
