"""Broken resume.pt files, many of which would run something if they were trusted."""

import copy
import functools
import io
import json
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .cases import EITHER, LOADED, REFUSED, Case, Invalid, Make, flipped, named, no_regular_files, require
from .good import HALF, copy_run, state

FOLDER, FILE = "run", "resume.pt"
CANARY = "touch canary"
BOMB = 400 << 20
State = dict[str, Any]


def read(_: Path, path: Path) -> None:
    """Take the state up and, if it can be, train to the end."""
    from hw8.runs import train as session
    from hw8.training.run_folder import RunFolder

    _measure_once(session)
    _take_up(path)
    done = session.resume_run(path)
    summary = json.loads(done.folder.summary.read_text(), parse_constant=_no_number)
    require(summary["epochs"] == 2 or summary["stopped_early"] is True, f"trained {summary['epochs']} epochs")
    require(1 <= summary["best_epoch"] <= summary["epochs"], f"says that epoch {summary['best_epoch']} is the best")
    folder, config = RunFolder.open(path)
    saved = folder.load_model(config)
    model, calibration = saved.model, saved.calibration
    require(calibration, "has no calibration")
    require(all(value.isfinite().all() for value in model.state_dict().values()), "has weights that are not finite")
    rows = np.loadtxt(folder.metrics, delimiter=",", skiprows=1, ndmin=2)
    require(np.isfinite(rows).all(), "has measurements that are not finite")
    require((rows[:, 0] == np.arange(1, summary["epochs"] + 1)).all(), f"has the epochs {rows[:, 0].tolist()}")
    require((rows[:, 1] == rows[0, 1] * rows[:, 0]).all(), f"has the steps {rows[:, 1].tolist()}")


def _take_up(path: Path) -> None:
    """Load the state alone, which is how most cases are refused; all the rest takes longer."""
    from hw8.models import create_model
    from hw8.training.checkpoint import TrainingState

    file = path / FILE
    if file.exists():
        config, side, channels, fingerprint = _known((path / "config.yaml").read_text())
        model = create_model(config.model.name, side, channels, config.model.options)
        TrainingState(model, config.train, fingerprint).load(file)


@functools.cache
def _known(text: str) -> tuple[Any, int, int, str]:
    """The settings in a config.yaml, and what its images are; no case here breaks them."""
    import yaml

    from hw8.config import from_mapping
    from hw8.data.sources import open_source

    config = from_mapping(yaml.safe_load(text))
    images = open_source(config.data.source).training(config.data.crop)
    return config, images.side, images.channels, images.fingerprint()


def _measure_once(session: Any) -> None:
    """What a run is worth, and where it ran, is not read from the file and takes most of the time: do it once."""
    for name in ("evaluate_held_out", "describe_environment"):
        original = getattr(session, name)
        if original.__module__ != __name__:
            setattr(session, name, _remembering(original))


def _remembering(function: Callable[..., Any]) -> Callable[..., Any]:
    known: list[Any] = []

    def first(*arguments: Any, **options: Any) -> Any:
        if not known:
            known.append(function(*arguments, **options))
        return known[0]

    return first


def _no_number(text: str) -> None:
    raise Invalid(f"writes {text} to summary.json, which is no JSON")


def state_cases() -> Iterator[Case]:
    """All cases of a resume.pt."""
    yield Case("as train.py writes it", lambda folder, base: copy_run(base / HALF, folder / FOLDER), LOADED)
    for case in no_regular_files(FILE, lambda base: (base / HALF / FILE).read_bytes()):
        absent = case.name in ("absent", "a dangling link", "a link to itself", "two links to each other")
        yield Case(case.name, _instead(case.make), EITHER if absent else case.expected)
    yield from named("file: ", _files())
    yield from named("gadget: ", _gadgets())
    yield from named("zip: ", _zips())
    yield from named("progress: ", _progress())
    yield from named("model: ", _models())
    yield from named("optimizer: ", _optimizers())
    yield from named("content: ", _contents())


def _instead(make: Make) -> Make:
    def both(folder: Path, base: Path) -> None:
        copy_run(base / HALF, folder / FOLDER)
        (folder / FOLDER / FILE).unlink()
        make(folder / FOLDER, base)

    return both


def _bytes(name: str, change: Callable[[bytes], bytes], expected: str = REFUSED) -> Case:
    """A good run half-way, whose state is changed."""

    def make(folder: Path, base: Path) -> None:
        copy_run(base / HALF, folder / FOLDER)
        path = folder / FOLDER / FILE
        path.write_bytes(change(path.read_bytes()))

    return Case(name, make, expected)


def _saved(name: str, change: Callable[[State], object], expected: str = REFUSED) -> Case:
    """A state changed in place, saved as train.py saves it."""

    def changed(content: State) -> State:
        change(content)
        return content

    return _replaced(name, changed, expected)


def _replaced(name: str, other: Callable[[State], object], expected: str = REFUSED) -> Case:
    """What is made of a state, saved in its place."""

    def make(folder: Path, base: Path) -> None:
        import torch

        copy_run(base / HALF, folder / FOLDER)
        torch.save(other(state(base / HALF)), folder / FOLDER / FILE)

    return Case(name, make, expected)


def _files() -> Iterator[Case]:
    for length in (1, 2, 4, 10, 30, 64, 100, 1000):
        yield _bytes(f"the first {length} bytes", lambda content, n=length: content[:n])
    for missing in (1, 5, 22, 100, 1000):
        yield _bytes(f"{missing} bytes are missing", lambda content, n=missing: content[:-n])
    yield _bytes("half of it", lambda content: content[: len(content) // 2])
    yield _bytes("bytes before it", lambda content: b"x" * 100 + content, EITHER)
    yield _bytes("bytes after it", lambda content: content + b"x" * 100, EITHER)
    yield _bytes("text", lambda _: b"no zip")
    yield _bytes("JSON", lambda _: b'{"model": {}}')
    for number in range(6):
        yield _bytes(f"bits turned, {number}", lambda content, n=number: flipped(content, f"state {n}", 3), EITHER)
    for number in range(6):
        yield _bytes(
            f"bits turned at the end, {number}",
            lambda content, n=number: flipped(content, f"end {n}", 1, len(content) - 400),
            EITHER,
        )
    for number in range(18):
        yield _bytes(
            f"bits turned in the pickle, {number}",
            lambda content, n=number: _repacked(content, lambda data: flipped(data, f"pickle {n}", 1)),
            EITHER,
        )


class _Call:
    """What a pickle calls when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


def calls() -> dict[str, bytes]:
    """Pickles of protocol 0 that call something by its name, which would leave a file behind."""
    line = f"S{CANARY!r}\n"
    inner = f"cos\nsystem\n({line}tR."
    code = "S\"open('canary','w')\"\n"
    return {
        "os.system": f"cos\nsystem\n({line}tR.",
        "posix.system": f"cposix\nsystem\n({line}tR.",
        "nt.system": f"cnt\nsystem\n({line}tR.",
        "os.popen": f"cos\npopen\n({line}tR.",
        "subprocess.getoutput": f"csubprocess\ngetoutput\n({line}tR.",
        "subprocess.Popen": "csubprocess\nPopen\n((S'touch'\nS'canary'\nltR.",
        "builtins.eval": f"cbuiltins\neval\n({code}tR.",
        "builtins.exec": f"cbuiltins\nexec\n({code}tR.",
        "__builtin__.eval": f"c__builtin__\neval\n({code}tR.",
        "builtins.open": "cbuiltins\nopen\n(S'canary'\nS'w'\ntR.",
        "builtins.__import__": "cbuiltins\n__import__\n(S'antigravity'\ntR.",
        "builtins.getattr": f"cbuiltins\ngetattr\n(cos\nsystem\nS'__call__'\ntR({line}tR.",
        "io.open": "cio\nopen\n(S'canary'\nS'w'\ntR.",
        "os.mkdir": "cos\nmkdir\n(S'canary'\ntR.",
        "os.remove": "cos\nremove\n(S'config.yaml'\ntR.",
        "shutil.rmtree": "cshutil\nrmtree\n(S'.'\ntR.",
        "pathlib": "cpathlib\nPath.touch\n(cpathlib\nPath\n(S'canary'\ntRtR.",
        "runpy": "crunpy\nrun_path\n(S'canary.py'\ntR.",
        "importlib": "cimportlib\nimport_module\n(S'this'\ntR.",
        "code": f"ccode\nInteractiveInterpreter\n(tR(S'runsource'\n{code}tR.",
        "pdb": f"cpdb\nrun\n({code}tR.",
        "timeit": f"ctimeit\ntimeit\n({code}tR.",
        "functools.partial": f"cfunctools\npartial\n(cos\nsystem\n{line}tR(tR.",
        "operator.methodcaller": f"coperator\nmethodcaller\n(S'system'\n{line}tR(cos\n__dict__\ntR.",
        "types.FunctionType": f"ctypes\nFunctionType\n({line}tR.",
        "ctypes": "cctypes\nCDLL\n(NtR.",
        "socket": "csocket\ncreate_connection\n((S'127.0.0.1'\nI9\nttR.",
        "webbrowser": "cwebbrowser\nopen\n(S'http://127.0.0.1/'\ntR.",
        "pickle.loads": f"cpickle\nloads\n(c_codecs\nencode\n(S{inner!r}\nS'latin1'\ntRtR.",
        "torch.load": "ctorch\nload\n(S'resume.pt'\nNNI00\ntR.",
        "torch.serialization.load": "ctorch.serialization\nload\n(S'other.pt'\ntR.",
        "torch.storage": "ctorch.storage\n_load_from_bytes\n(c_codecs\nencode\n(S'x'\nS'latin1'\ntRtR.",
        "torch.jit.load": "ctorch.jit\nload\n(S'other.pt'\ntR.",
        "torch.hub.load": "ctorch.hub\nload\n(S'a/b'\nS'c'\ntR.",
        "torch.save": "ctorch\nsave\n(I1\nS'canary'\ntR.",
        "torch.from_file": "ctorch\nfrom_file\n(S'canary'\nI01\nI10\ntR.",
        "torch.ops": "ctorch\nops.load_library\n(S'canary.so'\ntR.",
        "torch._utils._rebuild_tensor": "ctorch._utils\n_rebuild_tensor\n(NI0\n(I9\nt(I1\nttR.",
        "torch._tensor": f"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\ncbuiltins\nint\n({line}tNtR.",
        "torch.nn.Linear": "ctorch.nn\nLinear\n(I999999\nI999999\ntR.",
        "torch.zeros": "ctorch\nzeros\n(I99999999999\ntR.",
        "numpy": "cnumpy\nsave\n(S'canary.npy'\nI1\ntR.",
        "numpy.f2py": f"cnumpy.f2py.crackfortran\nmyeval\n({code}tR.",
        "hw8": "chw8.files\nwrite_text\n(cpathlib\nPath\n(S'canary'\ntRS'x'\ntR.",
        "yaml": f"cyaml\nunsafe_load\n(S'!!python/object/apply:os.system [{CANARY}]'\ntR.",
        "collections": "ccollections\nnamedtuple\n(S'a'\nS'b'\ntR.",
        "a persistent id": "P('storage', 'cpu')\n.",
        "an extension": "\x82\x01.",
        "deep nesting": "(" * 50_000 + "t" * 50_000 + ".",
        "deep lists": "]" * 30_000 + "a" * 29_999 + ".",
        "a recursive list": "(lp0\ng0\na.",
        "a billion laughs": "(lp0\n" + "".join(f"(lp{n}\n" + f"g{n - 1}\na" * 9 for n in range(1, 12)) + ".",
        "a stop at once": ".",
        "no stop": "I1\n",
        "pops of nothing": "00000.",
        "a memo that is not there": "g99\n.",
        "an unknown opcode": "\xfe.",
    }


def _gadgets() -> Iterator[Case]:
    for name, text in calls().items():
        data = text.encode("latin-1")
        yield _bytes(f"{name}, a bare pickle", lambda _, data=data: data)
        yield _bytes(f"{name}, in a zip file", lambda content, data=data: _repacked(content, lambda _: data))
    for protocol in range(6):
        data = pickle.dumps({"model": _Call(exec, "open('canary','w')")}, protocol)
        yield _bytes(f"exec, protocol {protocol}", lambda content, data=data: _repacked(content, lambda _: data))
    yield _bytes(
        "os.system, of the old format", lambda _: _old_format(b"\x80\x02cos\nsystem\nX\x0c\0\0\0touch canary\x85R.")
    )
    yield _bytes("os.system, in a tar file", lambda _: _tarred(b"\x80\x02cos\nsystem\nX\x0c\0\0\0touch canary\x85R."))
    yield _replaced("a module", lambda _: __import__("torch").nn.Linear(2, 2))
    yield _saved("a class of numpy", lambda content: content.update(model=np.zeros(3)))
    yield _saved("an object array", lambda content: content.update(model=np.array([_Call(exec, "1")], object)))
    yield _saved("a path", lambda content: content.update(fingerprint=Path("x")))
    yield _saved("a set", lambda content: content.update(fingerprint={1, 2}))
    yield _saved("a slice", lambda content: content.update(fingerprint=slice(1)))


def _old_format(data: bytes) -> bytes:
    """The format before zip files: magic number, version, system, then the object."""
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    return magic + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2) + data


def _tarred(data: bytes) -> bytes:
    box = io.BytesIO()
    with tarfile.open(fileobj=box, mode="w") as file:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return box.getvalue()


def _entries(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def _zip(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", method) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return box.getvalue()


def _repacked(content: bytes, change: Callable[[bytes], bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """The same file with another pickle."""
    entries = _entries(content)
    return _zip({name: change(data) if name.endswith("/data.pkl") else data for name, data in entries.items()}, method)


def _zips() -> Iterator[Case]:
    yield _bytes("packed anew", lambda content: _repacked(content, bytes), EITHER)
    yield _bytes("packed tightly", lambda content: _repacked(content, bytes, zipfile.ZIP_DEFLATED), EITHER)
    for method, name in ((zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA")):
        yield _bytes(f"packed by {name}", lambda content, m=method: _repacked(content, bytes, m))
    yield _bytes("no entries", lambda _: _zip({}))
    yield _bytes("another zip file", lambda _: _zip({"a.txt": b"hello"}))
    yield _bytes("names that climb", lambda content: _zip({f"../../{n}": d for n, d in _entries(content).items()}))
    yield _bytes("absolute names", lambda content: _zip({f"/tmp/{n}": d for n, d in _entries(content).items()}), EITHER)
    yield _bytes(
        "names of two lines", lambda content: _zip({f"a\nb\x1b/{n}": d for n, d in _entries(content).items()}), EITHER
    )
    yield _bytes(
        "a TorchScript archive",
        lambda content: _zip({**_entries(content), "archive/constants.pkl": b"\x80\x02)."}),
        EITHER,
    )
    for name in ("data.pkl", "version", "byteorder", "data/0", ".format_version"):

        def without(content: bytes, name: str = name) -> bytes:
            return _zip({key: data for key, data in _entries(content).items() if not key.endswith(f"/{name}")})

        yield _bytes(
            f"without {name}", without, EITHER if name in ("byteorder", ".format_version", "version") else REFUSED
        )

        def other(content: bytes, name: str = name) -> bytes:
            return _zip(
                {key: b"x" * 3 if key.endswith(f"/{name}") else data for key, data in _entries(content).items()}
            )

        yield _bytes(f"{name} is another", other, EITHER if name == ".format_version" else REFUSED)
    yield _bytes(
        "a version of 10**9",
        lambda content: _zip(
            {key: b"1000000000\n" if key.endswith("/version") else data for key, data in _entries(content).items()}
        ),
        EITHER,
    )
    yield _bytes(
        "20,000 entries",
        lambda content: _zip({**_entries(content), **{f"archive/x{n}": b"" for n in range(20_000)}}),
        EITHER,
    )
    yield _bytes("weights that unpack to 400 megabytes", lambda content: _bombed(content, "data/0"))
    yield _bytes("an entry that claims 2**62 bytes", _lying)
    yield _bytes("a whole tensor that unpacks to 400 megabytes", lambda _: _tensor_bomb())


def _bombed(content: bytes, name: str) -> bytes:
    entries = _entries(content)
    folder = next(iter(entries)).partition("/")[0]
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for key, data in entries.items():
            if key != f"{folder}/{name}":
                file.writestr(key, data)
        _write_zeros(file, f"{folder}/{name}", BOMB)
    return box.getvalue()


def _write_zeros(file: zipfile.ZipFile, name: str, size: int) -> None:
    block = bytes(1 << 24)
    with file.open(name, "w", force_zip64=True) as entry:
        for _ in range(size // len(block)):
            entry.write(block)


def _tensor_bomb() -> bytes:
    """A state whose model is one tensor of a gigabyte, in a megabyte."""
    import torch

    small = io.BytesIO()
    torch.save(
        {"model": {"a": torch.zeros(4)}, "average": {}, "optimizer": {}, "progress": {}, "fingerprint": ""}, small
    )
    entries = _entries(small.getvalue())
    folder = next(iter(entries)).partition("/")[0]
    four, many = b"K\x04", b"J" + struct.pack("<i", BOMB // 4)
    data = entries[f"{folder}/data.pkl"]
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for key, value in entries.items():
            if key not in (f"{folder}/data.pkl", f"{folder}/data/0"):
                file.writestr(key, value)
        file.writestr(f"{folder}/data.pkl", data.replace(four, many))
        _write_zeros(file, f"{folder}/data/0", BOMB)
    return box.getvalue()


def _lying(content: bytes) -> bytes:
    """The central directory's first sizes say 2**32 - 2."""
    place = content.rfind(b"PK\x01\x02", 0, content.find(b"PK\x05\x06"))
    found = bytearray(content)
    found[place + 20 : place + 28] = struct.pack("<II", 2**32 - 2, 2**32 - 2)
    return bytes(found)


def _set(field: str, value: Any) -> Callable[[State], None]:
    return lambda content: content["progress"].__setitem__(field, value)


def _progress() -> Iterator[Case]:
    import torch

    wrong: dict[str, tuple[Any, ...]] = {
        "step": (-1, 10**6, 2**63, 10**400, 1.5, float("nan"), "3", None, True, [1], torch.tensor(3), 0),
        "seconds": ("x", None, [], float("nan"), float("inf"), -1.0, 10**400),
        "epoch_seconds": ("x", None, float("nan"), -5.0),
        "epoch_sums": (
            None,
            5,
            [],
            {"loss": "x"},
            {"loss": float("nan")},
            {"steps": 0},
            {"more": 1.0},
            {5: 1.0},
            {"loss": None},
        ),
        "best_loss": ("x", None, float("nan"), -1.0, [], True),
        "best_epoch": (-1, 99, "x", None, 1.5, 10**400),
        "stopped_early": (1, "no", None, []),
        "command": (5, None, b"x", "a\nb\x1b[2J", "x" * 1_000_000),
        "history": (
            None,
            5,
            "x",
            {},
            [None],
            [5],
            [[]],
            [{}],
            ["x"],
            [{"epoch": 1}],
            [{"epoch": 1}] * 2,
            [[("epoch", 1)]],
        ),
    }
    for field, values in wrong.items():
        for value in values:
            text = str(value)[:20]
            yield _saved(f"{field} = {text!a} ({type(value).__name__})", _set(field, value), EITHER)
    for field in ("step", "best_loss", "history"):
        yield _saved(f"no {field}", lambda content, field=field: content["progress"].pop(field), EITHER)
    yield _saved("an unknown field", _set("more", 1))
    yield _saved("a field that is no name", lambda content: content["progress"].__setitem__(5, 1))
    yield _saved("a field of two lines", _set("a\nb\x1b[2J", 1))
    yield _saved("a field of 5,000 letters", _set("k" * 5000, 1))
    row_changes: dict[str, Callable[[dict[str, Any]], object]] = {
        f"without {name}": lambda row, name=name: row.pop(name)
        for name in (
            "epoch",
            "step",
            "lr",
            "train_loss",
            "held_out_loss",
            "gradient_norm",
            "images_per_second",
            "seconds",
        )
    }
    for value in ("x", None, float("nan"), [], 10**400, True):
        row_changes[f"held_out_loss = {str(value)[:9]}"] = lambda row, v=value: row.__setitem__("held_out_loss", v)
        row_changes[f"step = {str(value)[:9]}"] = lambda row, v=value: row.__setitem__("step", v)
    row_changes["one column more"] = lambda row: row.__setitem__("more", 1.0)
    for name, change in row_changes.items():
        yield _saved(f"a row {name}", lambda content, change=change: change(content["progress"]["history"][0]), EITHER)
    yield _saved("9 epochs", lambda c: c["progress"].update(history=c["progress"]["history"] * 9))
    yield _saved("20,000 epochs", lambda c: c["progress"].update(history=c["progress"]["history"] * 20_000))
    yield _saved("no epochs, but steps", lambda c: c["progress"].update(history=[]))
    yield _saved("an epoch, but no steps", _set("step", 0))
    yield _saved("a step beyond the epoch", lambda c: c["progress"].update(step=c["progress"]["step"] + 1), EITHER)
    yield _saved("done, it says", lambda c: c["progress"].update(stopped_early=True), EITHER)
    for name, value in {
        "a list": [],
        "a number": 5,
        "nothing": None,
        "a word": "x",
        "a tensor": torch.zeros(3),
    }.items():
        yield _saved(f"is {name}", lambda content, value=value: content.update(progress=value))


def _models() -> Iterator[Case]:
    import torch

    def each(content: State, which: str, change: Callable[[Any], Any]) -> None:
        content[which] = {name: change(value) for name, value in content[which].items()}

    for which in ("model", "average"):
        values = {"a list": [], "a number": 5, "nothing": None, "a word": "x", "a tensor": torch.zeros(3), "empty": {}}
        for name, value in values.items():
            yield _saved(f"{which} is {name}", lambda content, w=which, v=value: content.update({w: v}))
        yield _saved(
            f"{which} has a key that is no name", lambda content, w=which: content[w].__setitem__(5, torch.zeros(1))
        )
        yield _saved(
            f"{which} has a key of two lines",
            lambda content, w=which: content[w].__setitem__("a\nb\x1b[2J", torch.zeros(1)),
        )
        yield _saved(
            f"{which} has 1,000 keys more",
            lambda content, w=which: content[w].update({f"k{n}": torch.zeros(1) for n in range(1000)}),
        )
        yield _saved(f"{which} lacks one", lambda content, w=which: content[w].popitem())
        changes: dict[str, Callable[[Any], Any]] = {
            "of numbers": lambda _: 5,
            "of lists": lambda value: value.tolist(),
            "of no shape": lambda _: torch.zeros(()),
            "of another shape": lambda _: torch.zeros(7, 7),
            "of no size": lambda _: torch.zeros(0),
            "complex": lambda value: value.to(torch.complex64),
            "sparse": lambda value: value.reshape(-1).to_sparse(),
            "on no device": lambda value: value.to("meta"),
            "quantised": lambda value: value.to(torch.uint8),
            "in doubles": lambda value: value.double(),
            "not a number": lambda value: value * float("nan"),
            "all the same place": lambda value: torch.zeros((), dtype=value.dtype).expand(value.shape),
            "a gigabyte of one place": lambda _: torch.zeros(1, dtype=torch.half).expand(1 << 29),
        }
        for name, change in changes.items():
            expected = EITHER if name in ("quantised", "in doubles", "all the same place", "complex") else REFUSED
            yield _saved(f"{which} {name}", lambda content, w=which, c=change: each(content, w, c), expected)


def _optimizers() -> Iterator[Case]:
    import torch

    for name, value in {"a list": [], "a number": 5, "nothing": None, "empty": {}, "a tensor": torch.zeros(3)}.items():
        yield _saved(f"is {name}", lambda content, v=value: content.update(optimizer=v))
        yield _saved(f"state is {name}", lambda content, v=value: content["optimizer"].update(state=v), EITHER)
        yield _saved(f"groups are {name}", lambda content, v=value: content["optimizer"].update(param_groups=v))
        yield _saved(
            f"a group is {name}", lambda content, v=value: content["optimizer"]["param_groups"].__setitem__(0, v)
        )

    def in_states(content: State, change: Callable[[dict[str, Any]], object]) -> None:
        for entry in content["optimizer"]["state"].values():
            change(entry)

    for key in ("step", "exp_avg", "exp_avg_sq"):
        values = {
            "missing": None,
            "a number": 5,
            "a word": "x",
            "a list": [1],
            "of no shape": torch.zeros(()),
            "of no size": torch.zeros(0),
            "of another shape": torch.zeros(3, 5, 7),
            "not a number": torch.tensor(float("nan")),
            "whole": torch.tensor(3),
            "negative": torch.tensor(-1.0),
            "complex": torch.zeros(2, dtype=torch.complex64),
            "on no device": torch.zeros(2, device="meta"),
            "sparse": torch.zeros(2).to_sparse(),
            "a gigabyte of one place": torch.zeros(1, dtype=torch.half).expand(1 << 29),
        }
        for name, value in values.items():

            def change(entry: dict[str, Any], key: str = key, name: str = name, value: Any = value) -> None:
                if name == "missing":
                    entry.pop(key)
                else:
                    entry[key] = value

            yield _saved(f"{key} is {name}", lambda content, c=change: in_states(content, c), EITHER)
    yield _saved(
        "more than there is",
        lambda content: in_states(content, lambda entry: entry.update(more=torch.zeros(3))),
        EITHER,
    )
    yield _saved("of one parameter too few", lambda content: content["optimizer"]["state"].popitem(), EITHER)
    yield _saved(
        "of one parameter too many",
        lambda c: c["optimizer"]["state"].__setitem__(99, copy.deepcopy(c["optimizer"]["state"][0])),
        EITHER,
    )
    yield _saved(
        "of a parameter by name",
        lambda c: c["optimizer"]["state"].__setitem__("x", copy.deepcopy(c["optimizer"]["state"][0])),
        EITHER,
    )
    yield _saved("one group too few", lambda content: content["optimizer"]["param_groups"].pop())
    yield _saved("groups exchanged", lambda content: content["optimizer"]["param_groups"].reverse(), EITHER)
    group: dict[str, tuple[Any, ...]] = {
        "params": ([], [0] * 9, None, "x", 5),
        "betas": (None, 5, "ab", (0.9,), (2.0, -1.0), (float("nan"), 0.9)),
        "eps": (None, "x", -1.0, float("nan")),
        "weight_decay": (None, "x", float("nan"), -1.0, 1e30),
        "amsgrad": (True, "x"),
        "maximize": (True,),
        "capturable": (True,),
        "foreach": (True,),
        "differentiable": (True,),
        "fused": (False, None, "x"),
        "lr": (None, "x", float("nan")),
        "more": (1,),
        "decoupled_weight_decay": (False,),
    }
    for key, found in group.items():
        for value in found:

            def set_in(content: State, key: str = key, value: Any = value) -> None:
                for entry in content["optimizer"]["param_groups"]:
                    entry[key] = value

            yield _saved(f"{key} = {value!r}", set_in, EITHER)
        yield _saved(
            f"no {key}", lambda content, k=key: [g.pop(k, None) for g in content["optimizer"]["param_groups"]], EITHER
        )


def _contents() -> Iterator[Case]:
    import torch

    for name in ("model", "average", "optimizer", "progress", "fingerprint"):
        yield _saved(f"no {name}", lambda content, name=name: content.pop(name))
    fingerprints = {
        "a number": 5,
        "nothing": None,
        "a list": [],
        "a tensor": torch.zeros(3),
        "no tensor": torch.zeros(0),
        "another": "0" * 64,
        "of two lines": "a\nb\x1b[2J",
        "of a megabyte": "f" * 1_000_000,
    }
    for name, value in fingerprints.items():
        yield _saved(f"the fingerprint is {name}", lambda content, v=value: content.update(fingerprint=v))
    whole: dict[str, Any] = {
        "a list": [],
        "a number": 5,
        "nothing": False,
        "a tensor": torch.zeros(3),
        "a word": "x",
        "empty": {},
    }
    for name, value in whole.items():
        yield _replaced(f"is {name}", lambda _, v=value: v)
    yield _saved("one entry more", lambda content: content.update(more=1), EITHER)
    yield _replaced("weights alone", lambda content: content["model"])
    yield _bytes("weights as safetensors", lambda _: b"\x08\0\0\0\0\0\0\0{}      ")
    yield Case("of another run", _other_run, EITHER)


def _other_run(folder: Path, base: Path) -> None:
    """The state of a run that has one epoch more behind it."""
    from .good import RUN

    copy_run(base / HALF, folder / FOLDER)
    for name in (FILE, "metrics.csv"):
        shutil.copyfile(base / RUN / name, folder / FOLDER / name)
