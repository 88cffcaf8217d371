"""Whether the tests can fail: small changes to the code that decides figures, each of which some test must catch.

    python -m tests.mutations              100 changes, drawn by seed; prints the share that those tests catch
    python -m tests.mutations --list       all changes that could be drawn

The quick tests first run once with coverage, which notes the lines that each test runs. Then every change is made in a
copy of the checkout, and the quick tests that run its line run there, the fastest first. Where the line runs in no
test, as constants do when they are imported, the tests nearest to its module run, then those of whole runs. Leaves with
exit code 1 if fewer than 90% are caught.

As a pytest plugin (`-p tests.mutations`), this file notes which lines each test runs and how long it takes, or selects
tests.
"""

import argparse
import ast
import collections
import concurrent.futures
import copy
import dataclasses
import json
import math
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parents[1]
COPIED = ("hw8", "scripts", "benchmarks", "tests", "docs", "notebooks", "data/README.md", "README.md", "pyproject.toml",
          "requirements.txt", "requirements-dev.txt", "requirements.lock", "Makefile", "Dockerfile", "CHANGELOG.md",
          "LICENSE", ".gitignore", ".dockerignore")  # fmt: skip
GOAL = 0.9
MAX_SECONDS = 900  # seconds of tests, after which a change that hangs them counts as caught

OF_WHOLE_RUNS = (
    "tests/runs/test_boss.py",
    "tests/runs/test_predict.py",
    "tests/detector/test_detector.py",
    "tests/commands/test_end_to_end.py",
)
# Of each module that scores, learns, measures or cuts: the tests nearest to it.
NEAREST = {
    "hw8/scoring": ("tests/scoring", "tests/runs/test_predict.py", "tests/models/test_transformations.py"),
    **dict.fromkeys(
        [
            "hw8/models/losses.py",
            *(
                f"hw8/models/{name}.py"
                for name in (
                    "adversarial",
                    "auxiliary",
                    "classifier",
                    "denoising",
                    "memae",
                    "noise",
                    "recogniser",
                    "svdd",
                    "transformations",
                    "vae",
                    "views",
                    "vqvae",
                )
            ),
        ],
        ("tests/models",),
    ),
    "hw8/training/loop.py": ("tests/training",),
    "hw8/training/step.py": ("tests/training",),
    "hw8/training/checkpoint.py": ("tests/training",),
    "hw8/training/schedule.py": ("tests/training",),
    "hw8/evaluation/metrics.py": ("tests/evaluation",),
    "hw8/evaluation/paired.py": ("tests/evaluation",),
    "hw8/evaluation/held_out.py": ("tests/evaluation",),
    "hw8/compare/standings.py": ("tests/compare", "tests/report"),
    "hw8/runs/health.py": ("tests/runs/test_health.py",),
    "hw8/data/splits.py": ("tests/data",),
    "hw8/data/loader.py": ("tests/data", "tests/training"),
    "hw8/runs/submission.py": ("tests/runs/test_submission.py", "tests/runs/test_predict.py"),
}
SWAPPED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.And: ast.Or, ast.Or: ast.And, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
RENAMED = {"min": "max", "max": "min", "mean": "sum", "sum": "mean", "exp": "abs", "log": "abs", "sqrt": "square"}
# What a change of cannot be wrong, or only in words.
PASSED_OVER = (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.AnnAssign)


@dataclasses.dataclass(frozen=True)
class Change:
    """A change to the file `path` at a line: which of its changes it is, and how the line reads before and after."""

    path: str
    number: int
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before}  ->  {self.after}"


def changed_nodes(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Every node that can be changed, and what it becomes."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, PASSED_OVER) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            continue
        if isinstance(node, ast.FunctionDef):
            waiting[:0] = node.body  # another default is another setting, not a mistake
            continue
        if isinstance(node, ast.ClassDef):
            waiting[:0] = node.body
            continue
        yield from ((node, new) for new in becomes(node))
        waiting[:0] = list(ast.iter_child_nodes(node))


def becomes(node: ast.AST) -> list[ast.AST]:
    """What a node may be changed to."""
    made: list[ast.AST] = []
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED:
        made.append(with_fields(node, ops=[SWAPPED[type(node.ops[0])](), *node.ops[1:]]))
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPPED:
        made.append(with_fields(node, op=SWAPPED[type(node.op)]()))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        made.append(node.operand)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        made.append(ast.Constant(not node.value))
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        made.append(ast.Constant(node.value + 1))
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        made.append(ast.Constant(node.value * 2 if node.value else 1.0))
    elif isinstance(node, ast.If | ast.IfExp):
        made.append(with_fields(node, test=ast.UnaryOp(ast.Not(), node.test)))
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        made.append(ast.Pass())
    elif isinstance(node, ast.Attribute) and node.attr in RENAMED:
        made.append(with_fields(node, attr=RENAMED[node.attr]))
    elif isinstance(node, ast.Name) and node.id in RENAMED:
        made.append(with_fields(node, id=RENAMED[node.id]))
    return made


def with_fields(node: ast.AST, **fields: object) -> ast.AST:
    """A copy of the node with other fields."""
    made = copy.copy(node)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class Replace(ast.NodeTransformer):
    """Puts one node in place of another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        """The new node at the place of the old one."""
        return self.new if node is self.old else self.generic_visit(node)


def changes_of(path: str) -> list[Change]:
    """All changes to a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = []
    for number, (node, new) in enumerate(changed_nodes(tree)):
        before, after = (" ".join(ast.unparse(item).split())[:70] for item in (node, new))
        found.append(Change(path, number, node.lineno, before, after))
    return found


def apply(change: Change, root: Path) -> None:
    """Write the changed file below `root`."""
    tree = ast.parse((ROOT / change.path).read_text(encoding="utf-8"))
    node, new = list(changed_nodes(tree))[change.number]
    made = ast.fix_missing_locations(Replace(node, ast.copy_location(new, node)).visit(tree))
    (root / change.path).write_text(ast.unparse(made), encoding="utf-8")


def every_change() -> list[Change]:
    """All changes to all modules that decide figures."""
    files = []
    for path in NEAREST:
        files += (
            [path] if path.endswith(".py") else sorted(str(p.relative_to(ROOT)) for p in (ROOT / path).glob("*.py"))
        )
    return [change for path in files for change in changes_of(path)]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note the lines that run from here on as this test's."""
    if measured := coverage.Coverage.current():
        measured.switch_context(item.nodeid)
    return (yield)


SECONDS: dict[str, float] = collections.defaultdict(float)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up how long each test takes; without end if it fails."""
    SECONDS[report.nodeid] += math.inf if report.failed else report.duration


def pytest_sessionfinish() -> None:
    """Write how long each test took, where that is asked for."""
    if SECONDS and "MUTATIONS_SECONDS" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        Path(os.environ["MUTATIONS_SECONDS"]).write_text(json.dumps(SECONDS), encoding="utf-8")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the selected tests, in their order, where any are."""
    if "MUTATIONS_SELECTED" in os.environ:
        order = json.loads(Path(os.environ["MUTATIONS_SELECTED"]).read_text(encoding="utf-8"))
        place = {name: number for number, name in enumerate(order)}
        items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])


@dataclasses.dataclass(frozen=True)
class Measured:
    """The quick tests that run each line of the package, by file and line, and how long each takes."""

    tests: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]

    @classmethod
    def by_running(cls, root: Path) -> "Measured":
        """Run the quick tests once, in this copy of the checkout; what fails there (no repository) is not selected."""
        settings, data, seconds = root / "coverage.ini", root / "measured", root / "seconds.json"
        lines = ("[run]", "source_pkgs = hw8", "parallel = true", "patch = subprocess", f"data_file = {data}")
        settings.write_text("\n".join(lines) + "\n", encoding="utf-8")
        words = ["-m", "pytest", "-q", "-p", "tests.mutations", "-m", "not slow", "-n", "2", "--dist", "loadfile"]
        words = [sys.executable, "-m", "coverage", "run", f"--rcfile={settings}", *words]
        environment = environment_of(root) | {"MUTATIONS_SECONDS": str(seconds)}
        done = subprocess.run(words, cwd=root, env=environment, capture_output=True, check=False)
        if done.returncode not in (0, 1):
            raise RuntimeError(done.stdout.decode()[-4000:] + done.stderr.decode()[-4000:])
        combine = [sys.executable, "-m", "coverage", "combine", "-q", f"--rcfile={settings}"]
        subprocess.run(combine, cwd=root, check=True)
        union = coverage.CoverageData(str(data))
        union.read()
        tests: dict[str, dict[int, list[str]]] = collections.defaultdict(lambda: collections.defaultdict(list))
        for file in union.measured_files():  # of this copy, or of a copy that a test made
            for line, names in union.contexts_by_lineno(file).items():
                tests["hw8/" + file.rpartition("/hw8/")[2]][line] += filter(None, names)
        return cls(tests, json.loads(seconds.read_text(encoding="utf-8")))

    def of(self, change: Change) -> list[str]:
        """The tests that run a change's line, the fastest first."""
        names = {name for name in self.tests[change.path][change.line] if self.seconds[name] < math.inf}
        return sorted(names, key=lambda name: self.seconds[name])


def nearest_tests(path: str) -> tuple[str, ...]:
    """The tests nearest to a module."""
    return NEAREST.get(path) or NEAREST[str(Path(path).parent)]


def environment_of(root: Path) -> dict[str, str]:
    """The environment in which the tests of a copy run: one thread, and the copy's package."""
    return os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def passes(root: Path, tests: list[str], only: list[str] | None = None) -> bool:
    """Whether these quick tests pass in a copy of the checkout: whole files, or `only` some of their tests."""
    environment = environment_of(root)
    if only is not None:
        environment["MUTATIONS_SELECTED"] = str(root / "selected.json")
        (root / "selected.json").write_text(json.dumps(only), encoding="utf-8")
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
    words += ["-p", "tests.mutations", *tests]
    try:
        done = subprocess.run(words, cwd=root, env=environment, capture_output=True, timeout=MAX_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1, 2):
        raise RuntimeError(done.stdout.decode() + done.stderr.decode())
    return done.returncode == 0


def survives(change: Change, root: Path, measured: Measured) -> bool:
    """Whether no quick test notices a change, made in this copy of the checkout and taken back."""
    apply(change, root)
    try:
        names = measured.of(change)
        if not names:  # a line that runs when its module is imported, or in no quick test
            return passes(root, [*nearest_tests(change.path)]) and passes(root, [*OF_WHOLE_RUNS])
        return passes(root, sorted({name.partition("::")[0] for name in names}), names)
    finally:
        shutil.copy(ROOT / change.path, root / change.path)


def copied_checkout(root: Path) -> Path:
    """A copy of what the tests need of the checkout."""
    for name in COPIED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, root / name)
    return root


def main() -> int:
    """Draw, change, test, and say what was caught."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="changes to draw")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="changes tested at once")
    parser.add_argument("--only", default="", help="draw of files whose path holds this")
    parser.add_argument("--list", action="store_true", help="print what could be drawn")
    arguments = parser.parse_args()
    known = [change for change in every_change() if arguments.only in change.path]
    if arguments.list:
        print(*known, sep="\n")
        return 0
    drawn = random.Random(arguments.seed).sample(known, min(arguments.count, len(known)))
    survivors = []
    with tempfile.TemporaryDirectory(prefix="hw8-mutations-") as folder:
        measured = Measured.by_running(copied_checkout(Path(folder) / "measured"))
        places: queue.Queue[Path] = queue.Queue()
        for number in range(arguments.workers):
            places.put(copied_checkout(Path(folder) / str(number)))

        def tested(change: Change) -> tuple[Change, bool]:
            place = places.get()
            try:
                return change, survives(change, place, measured)
            finally:
                places.put(place)

        with concurrent.futures.ThreadPoolExecutor(arguments.workers) as pool:
            for number, (change, survived) in enumerate(pool.map(tested, drawn), 1):
                survivors += [change] if survived else []
                print(f"{number:>3}/{len(drawn)}  {'SURVIVED' if survived else 'caught  '}  {change}", flush=True)
    share = 1 - len(survivors) / len(drawn)
    print(f"Caught: {len(drawn) - len(survivors)} of {len(drawn)} of {len(known):,} changes (seed {arguments.seed})")
    for change in survivors:
        print(f"Survived: {change}")
    return 0 if share >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
