"""Broken run folders: weights, calibration, settings and summary, for whatever scores images with a run."""

import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .cases import EITHER, LOADED, REFUSED, Case, Make, flipped, named, no_regular_files, randomness, require
from .good import DATA, RUN, SIDE, copy_run

FOLDER = "run"
WEIGHTS, CONFIG, SUMMARY = "model.safetensors", "config.yaml", "summary.json"
Header = dict[str, Any]
DTYPES = (
    "BOOL",
    "U8",
    "I8",
    "I16",
    "U16",
    "F16",
    "BF16",
    "I32",
    "U32",
    "F32",
    "F64",
    "I64",
    "U64",
    "C64",
    "F8_E4M3",
    "F8_E5M2",
    "F8_E8M0",
    "F4",
    "F6_E2M3",
    "F6_E3M2",
    "F99",
    "",
    "f32",
    "F32\n",
    None,
    5,
)
BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "F64": 64,
    "I64": 64,
    "U64": 64,
    "C64": 64,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}


def read(base: Path, path: Path) -> None:
    """Load the run, score its test images, and ask for the training images it names."""
    from hw8.data.sources import open_source
    from hw8.runs.predict import score_images
    from hw8.runs.trained_run import TrainedRun

    member = TrainedRun.load(path, "cpu")
    images = member.open_test(open_source(str(base / DATA)))
    scored = score_images(member, images)
    for name, value_N in (("score", scored.score_N), ("p-value", scored.p_value_N), ("nats", scored.nats_N)):
        require(value_N.shape == (len(images),), f"its {name} has the shape {value_N.shape}")
        require(np.isfinite(value_N).all(), f"its {name} is not finite")
    require(((scored.p_value_N > 0) & (scored.p_value_N <= 1)).all(), "its p-values are none")
    member.calibration_set()
    for name, value in scored.table.items():
        member.column_names(name, value)
    require((member.side, member.channels) == (SIDE, 1), "takes other images than these")
    member.open_training()


def pack(header: Header | bytes, data: bytes, length: int | None = None) -> bytes:
    """A safetensors file with this header; `length` is what it claims of it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", (len(text) if length is None else length) % 2**64) + text + data


def unpack(content: bytes) -> tuple[Header, bytes]:
    """Header and data of a safetensors file."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def tensors(content: bytes) -> dict[str, np.ndarray]:
    """A file's tensors by name."""
    from safetensors.numpy import load

    return load(content)


def repacked(arrays: dict[str, np.ndarray], images: str = f"{SIDE}x{SIDE}x1") -> bytes:
    """A file of these tensors."""
    from safetensors.numpy import save

    return save({name: value.copy(order="C") for name, value in arrays.items()}, {"images": images})


def run_cases() -> Iterator[Case]:
    """All cases of a run folder."""
    yield Case("as train.py writes it", _run(), LOADED)
    for file in (WEIGHTS, CONFIG, SUMMARY):
        for case in no_regular_files(file, lambda base, file=file: (base / RUN / file).read_bytes()):
            yield Case(f"{file}: {case.name}", _with(file, case.make), case.expected)
    yield Case("a run that is a file", lambda folder, _: (folder / FOLDER).write_bytes(b""))
    yield Case("a run that is a named pipe", lambda folder, _: os.mkfifo(folder / FOLDER))
    yield Case("no run", lambda folder, _: None)
    yield from named("weights: ", _files())
    yield from named("header: ", _headers())
    yield from named("images: ", _images())
    yield from named("tensors: ", _tensors())
    yield from named("calibration: ", _calibrations())
    yield from named("settings: ", _settings())
    yield from named("summary: ", _summaries())


def _run() -> Make:
    return lambda folder, base: copy_run(base / RUN, folder / FOLDER)


def _with(file: str, make: Make) -> Make:
    """A good run, one file of which is something else."""

    def both(folder: Path, base: Path) -> None:
        copy_run(base / RUN, folder / FOLDER)
        (folder / FOLDER / file).unlink()
        make(folder / FOLDER, base)

    return both


def _changed(file: str, change: Callable[[bytes], bytes]) -> Make:
    """A good run, one file of which is changed."""

    def make(folder: Path, base: Path) -> None:
        copy_run(base / RUN, folder / FOLDER)
        path = folder / FOLDER / file
        path.write_bytes(change(path.read_bytes()))

    return make


def _weights(name: str, change: Callable[[bytes], bytes], expected: str = REFUSED) -> Case:
    return Case(name, _changed(WEIGHTS, change), expected)


def _files() -> Iterator[Case]:
    for length in (1, 7, 8, 9, 20, 100, 500):
        yield _weights(f"the first {length} bytes", lambda content, length=length: content[:length])
    for missing in (1, 8, 100):
        yield _weights(f"{missing} bytes are missing", lambda content, missing=missing: content[:-missing])
        yield _weights(f"{missing} bytes too many", lambda content, missing=missing: content + b"x" * missing)
    yield _weights("twice itself", lambda content: content * 2)
    yield _weights("a pickle", lambda _: b"\x80\x04cos\nsystem\nS'touch canary'\n\x85R.")
    yield _weights("a zip file", lambda _: b"PK\x03\x04" + bytes(500))
    for number in range(40):
        yield _weights(
            f"bits turned in the header, {number}",
            lambda content, n=number: flipped(content, f"header {n}", 1, 0, 1200),
            EITHER,
        )
    for number in range(12):
        yield _weights(
            f"bits turned in the tensors, {number}",
            lambda content, n=number: flipped(content, f"tensors {n}", 4, 1200),
            EITHER,
        )


def _headers() -> Iterator[Case]:
    for claimed in (0, 1, 2, 7, 100, 99_999_999, 100_000_001, 2**31, 2**32, 2**62, 2**63, 2**64 - 1):
        yield _weights(f"claims {claimed} bytes", lambda content, n=claimed: pack(*_text(content), n))
    for more in (-1, 1):
        yield _weights(f"claims {more} more", lambda content, n=more: pack(*_text(content), len(_text(content)[0]) + n))
    texts: dict[str, bytes] = {
        "empty": b"",
        "empty mapping": b"{}",
        "null": b"null",
        "a list": b"[]",
        "a number": b"1",
        "a word": b'"a"',
        "not JSON": b"{'a': 1}",
        "not UTF-8": b'{"\xff": 1}',
        "a list for a tensor": b'{"weights.a": []}',
        "50,000 nested lists": b"[" * 50_000,
        "50,000 nested mappings": b'{"a":' * 50_000,
        "nested in the metadata": b'{"__metadata__":' + b'{"a":' * 50_000,
        "a number of 100,000 digits": b"9" * 100_000,
        "a float beyond all": b'{"a": 1e999}',
        "a null character": b'{"a\0": 1}',
        "a byte order mark": b"\xef\xbb\xbf{}",
        "blanks": b" " * 1000,
        "metadata that is a number": b'{"__metadata__": 5}',
        "metadata that is a list": b'{"__metadata__": []}',
        "metadata of numbers": b'{"__metadata__": {"images": 5}}',
    }
    for name, text in texts.items():
        yield _weights(name, lambda content, text=text: pack(text, unpack(content)[1]))
    yield _weights("20,000 tensors of nothing", lambda _: _nothings(20_000))
    yield _weights(
        "a key twice", lambda content: pack(_text(content)[0][:-1] + b',"__metadata__":{}}', unpack(content)[1])
    )

    def offsets(name: str, *places: Any) -> Case:
        def change(content: bytes) -> bytes:
            header, data = unpack(content)
            header[_largest(header)]["data_offsets"] = list(places)
            return pack(header, data)

        return _weights(f"offsets {name}", change)

    yield offsets("of another tensor", 0, 8)
    yield offsets("in reverse", 100, 0)
    yield offsets("beyond the file", 2**40, 2**40 + 8)
    yield offsets("below zero", -8, 0)
    yield offsets("of no number", "a", "b")
    yield offsets("by halves", 0.5, 1.5)
    yield offsets("too few", 0)
    yield offsets("too many", 0, 8, 16)
    yield offsets("too large for a machine", 2**64, 2**65)
    yield offsets("at the very end", 2**64 - 9, 2**64 - 1)
    for shape in ([], [1], [2**62, 4], [2**64], [-1, 8], [0], [0, 2**62], ["8"], None, 8, [8.5], [1] * 70, [1] * 5000):

        def change(content: bytes, shape: Any = shape) -> bytes:
            header, data = unpack(content)
            header[_largest(header)]["shape"] = shape
            return pack(header, data)

        yield _weights(f"shape {shape if len(str(shape)) < 40 else f'of {len(shape)} ones'}", change)
    for word in ("dtype", "shape", "data_offsets"):

        def without(content: bytes, word: str = word) -> bytes:
            header, data = unpack(content)
            del header[_largest(header)][word]
            return pack(header, data)

        yield _weights(f"without {word}", without)
    for dtype in DTYPES:

        def other(content: bytes, dtype: Any = dtype) -> bytes:
            header, data = unpack(content)
            header[_largest(header)]["dtype"] = dtype
            return pack(header, data)

        yield _weights(f"dtype {dtype!r}", other, LOADED if dtype == "F32" else REFUSED)


def _text(content: bytes) -> tuple[bytes, bytes]:
    header, data = unpack(content)
    return json.dumps(header).encode(), data


def _largest(header: Header) -> str:
    """The weight with most bytes."""
    weights = [name for name in header if name.startswith("weights.")]
    return max(weights, key=lambda name: header[name]["data_offsets"][1] - header[name]["data_offsets"][0])


def _nothings(count: int) -> bytes:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return pack({"__metadata__": {"images": "16x16x1"}} | {f"weights.{n}": empty for n in range(count)}, b"")


def _images() -> Iterator[Case]:
    sizes = (
        "",
        "x",
        "xx",
        "16",
        "16x16",
        "16x16x1x1",
        "axbxc",
        "0x0x0",
        "0x0x1",
        "16x16x0",
        "-16x-16x1",
        "16x16x-1",
        "999999x999999x3",
        "4000x4000x3",
        "20000x20000x1",
        "16x16x999999",
        "16x16x3",
        "8x8x1",
        "17x17x1",
        "32x8x1",
        "1e1x1e1x1",
        "16.0x16.0x1",
        "0x10x0x10x1",
        "9" * 5000 + "x1x1",
        "1x1x" + "9" * 5000,
        "9" * 400 + "x1x1",
        "nanxnanx1",
        "infxinfx1",
        "2147483648x2147483648x1",
        "4294967296x4294967296x1",
        "x" * 100_000,
        "16x16x1\x1b[2J",
        "16\n16\n1",
    )
    for number, size in enumerate(sizes):
        yield _weights(f"{number}: {size[:24]!a}", lambda content, size=size: repacked(tensors(content), size))
    for size in ("16x99x1", "16xx1", " 16 x 16 x 1 ", "+16x+16x+1", "1_6x1_6x1", "١٦x١٦x١", "016x016x01"):
        yield _weights(f"{size!a}", lambda content, size=size: repacked(tensors(content), size), EITHER)


def _edit(name: str, change: Callable[[dict[str, np.ndarray]], object], expected: str = REFUSED) -> Case:
    """A good run whose tensors are changed in place."""

    def make(content: bytes) -> bytes:
        arrays = {key: value.copy() for key, value in tensors(content).items()}
        change(arrays)
        return repacked(arrays)

    return _weights(name, make, expected)


def _tensors() -> Iterator[Case]:
    def all_weights(arrays: dict[str, np.ndarray], change: Callable[[np.ndarray], np.ndarray]) -> None:
        for name in arrays:
            if name.startswith("weights.") and arrays[name].dtype == np.float32:
                arrays[name] = change(arrays[name])

    values = (np.nan, np.inf, -np.inf, 0.0, 1e38, -1e38, 1e-45)
    for value in values:
        expected = REFUSED if not np.isfinite(value) else EITHER
        yield _edit(f"every weight {value}", lambda a, v=value: all_weights(a, lambda w: np.full_like(w, v)), expected)
    yield _edit("one weight is not a number", lambda a: a[_big(a)].reshape(-1).__setitem__(3, np.nan))
    yield _edit("one weight is infinite", lambda a: a[_big(a)].reshape(-1).__setitem__(3, np.inf), EITHER)
    yield _edit("negative variances", lambda a: [a[n].fill(-5) for n in a if n.endswith("running_var")])
    yield _edit("no weights", lambda a: [a.pop(name) for name in list(a) if name.startswith("weights.")])
    yield _edit("no tensors", lambda a: a.clear())
    yield _edit("no calibration", lambda a: [a.pop(name) for name in list(a) if name.startswith("calibration.")])
    yield _edit("a weight is missing", lambda a: a.pop(_big(a)))
    yield _edit("a weight too many", lambda a: a.update({"weights.more": np.zeros(3)}))
    yield _edit("a tensor of nobody", lambda a: a.update({"more": np.zeros(3)}), EITHER)
    yield _edit("a name of two lines", lambda a: a.update({"weights.a\nb\x1b[2J\x07": np.zeros(3)}))
    yield _edit("a name of 50,000 letters", lambda a: a.update({"weights." + "k" * 50_000: np.zeros(3)}))
    yield _edit("a name of nothing", lambda a: a.update({"": np.zeros(3)}), EITHER)
    yield _edit("5,000 weights too many", lambda a: a.update({f"weights.m{n}": np.zeros(1) for n in range(5000)}))
    for shape in ((), (0,), (1,), (3, 3, 3), (8, 255), (255, 8)):
        yield _edit(f"a weight of shape {shape}", lambda a, s=shape: a.update({_big(a): np.zeros(s, np.float32)}))
    yield _edit("a weight turned", lambda a: a.update({_big(a): a[_big(a)].T}))
    for kind in (np.float16, np.float64, np.int64, np.uint8, np.bool_, np.int8):
        yield _edit(f"weights of {kind.__name__}", lambda a, k=kind: all_weights(a, lambda w: w.astype(k)), EITHER)
    yield _edit(
        "another run's calibration alone", lambda a: [a.pop(n) for n in list(a) if n.startswith("calibration.fit.")]
    )


def _big(arrays: dict[str, np.ndarray]) -> str:
    return max((name for name in arrays if name.startswith("weights.")), key=lambda name: arrays[name].size)


def _calibrations() -> Iterator[Case]:
    """Every part of the calibration that the score joint needs, broken in every way."""
    fit = "calibration.fit.joint."
    for field in ("location_D", "scale_D", "precision_DD", "reference_RD"):
        name = fit + field
        yield _edit(f"{field} is missing", lambda a, n=name: a.pop(n))
        for shape in ((), (0,), (1,), (9,), (2, 2), (9, 9), (3, 4), (4, 4, 4), (0, 4)):
            yield _edit(f"{field} of shape {shape}", lambda a, n=name, s=shape: a.update({n: np.ones(s)}), EITHER)
        for value in (np.nan, np.inf, 0.0, -1.0, 1e308):

            def fill(arrays: dict[str, np.ndarray], name: str = name, value: float = value) -> None:
                shape = (5, 4) if name.endswith("RD") else arrays[name].shape
                arrays[name] = np.full(shape, value)

            yield _edit(f"{field} all {value}", fill, EITHER)
        for kind in (np.int64, np.bool_, np.complex64):
            yield _edit(f"{field} of {kind.__name__}", lambda a, n=name, k=kind: a.update({n: a[n].astype(k)}), EITHER)
    values = "calibration.joint"
    yield _edit("the values are missing", lambda a: a.pop(values))
    for shape in ((), (0,), (1,), (2,), (12, 2), (1, 12), (0, 3), (3, 0), (2, 2, 2)):
        expected = EITHER if shape in ((), (1,), (2,)) else REFUSED  # () is saved as (1,)
        yield _edit(f"values of shape {shape}", lambda a, s=shape: a.update({values: np.ones(s)}), expected)
    for value in (np.nan, np.inf, -np.inf, 0.0, 1e308, -1e308):
        expected = EITHER if np.isfinite(value) else REFUSED
        yield _edit(f"values all {value}", lambda a, v=value: a.update({values: np.full(12, v)}), expected)
    yield _edit("one value is not a number", lambda a: a[values].__setitem__(3, np.nan))
    yield _edit("one value is infinite", lambda a: a[values].__setitem__(3, np.inf))
    for kind in (np.float32, np.float16, np.int64, np.bool_, np.complex64):
        yield _edit(f"values of {kind.__name__}", lambda a, k=kind: a.update({values: a[values].astype(k)}), EITHER)
    for dtype, bits in BITS.items():

        def typed(content: bytes, dtype: str = dtype, bits: int = bits) -> bytes:
            header, data = unpack(content)
            start = len(data)
            more = randomness(dtype).bytes(64)
            header["calibration.more"] = {
                "dtype": dtype,
                "shape": [512 // bits],
                "data_offsets": [start, start + len(more) * 1],
            }
            if 512 % bits:
                header["calibration.more"]["shape"] = [512 // bits // 4 * 4]
                more = more[: 512 // bits // 4 * 4 * bits // 8]
                header["calibration.more"]["data_offsets"] = [start, start + len(more)]
            return pack(header, data + more)

        yield _weights(f"a score more, of {dtype}", typed, EITHER)
    yield _edit("a fit without a field", lambda a: a.update({"calibration.fit.more": np.zeros(3)}))
    yield _edit("a fit without a name", lambda a: a.update({"calibration.fit..": np.zeros(3)}))
    yield _edit("a fit of two lines", lambda a: a.update({"calibration.fit.a\nb\x1b[2J.x": np.zeros(3)}))
    yield _edit("a fit of 50,000 letters", lambda a: a.update({"calibration.fit." + "k" * 50_000 + ".x": np.zeros(3)}))

    def renamed(arrays: dict[str, np.ndarray], name: str) -> None:
        arrays["calibration." + name] = arrays.pop(values)

    yield _edit("its score has another name", lambda a: renamed(a, "other"))
    yield _edit("its score has a name of two lines", lambda a: renamed(a, "a\nb\x1b[2J"))
    yield _edit("its score has a name of 50,000 letters", lambda a: renamed(a, "k" * 50_000))
    for part in ("statistics", "digests", "total"):
        name = f"appearance.{part}"
        for shape in ((), (0,), (2, 9), (4, 4, 4)):
            yield _edit(f"{name} of shape {shape}", lambda a, n=name, s=shape: a.update({n: np.ones(s)}), EITHER)
        yield _edit(f"{name} is missing", lambda a, n=name: a.pop(n, None), EITHER)
        yield _edit(f"{name} is not a number", lambda a, n=name: a.update({n: np.full(3, np.nan)}), EITHER)


def _settings() -> Iterator[Case]:
    """Settings that do not fit the weights, or ask for what no machine has."""
    others = {
        "another model": {"model": {"name": "conv", "options": {}}},
        "a model that is not there": {"model": {"name": "nothing", "options": {}}},
        "a model of two lines": {"model": {"name": "a\nb\x1b[2J", "options": {}}},
        "a billion units": {"model": {"name": "fcn", "options": {"widths": [1_000_000_000]}}},
        "a hundred thousand units": {"model": {"name": "fcn", "options": {"widths": [100_000]}}},
        "3,000 layers": {"model": {"name": "fcn", "options": {"widths": [1] * 3000}}},
        "a latent of 10**18": {"model": {"name": "fcn", "options": {"latent": 10**18}}},
        "a latent of 10**30": {"model": {"name": "fcn", "options": {"latent": 10**30}}},
        "a latent of a word": {"model": {"name": "fcn", "options": {"latent": "wide"}}},
        "no norm": {"model": {"name": "fcn", "options": {"widths": [8], "latent": 3}}},
        "another score": {"scoring": {"score": "nothing"}},
        "a score of the Greek": {"scoring": {"score": "αβγ"}},
        "a score of 5,000 letters": {"scoring": {"score": "s" * 5000}},
        "other parts": {"scoring": {"score": "joint", "parts": ["l1"]}},
        "parts that are not there": {"scoring": {"score": "joint", "parts": ["nothing", "l1"]}},
        "a part of 5,000 letters": {"scoring": {"score": "joint", "parts": ["s" * 5000]}},
        "2,000 parts": {"scoring": {"score": "joint", "parts": ["l1"] * 2000}},
        "transductive": {"scoring": {"score": "joint", "parts": ["l1", "latent"], "transductive": True}},
        "a crop of 4": {"data": {"crop": 4}},
        "a crop of 10**15": {"data": {"crop": 10**15}},
        "data that are gone": {"data": {"source": "/nowhere"}},
        "data of two lines": {"data": {"source": "a\nb\x1b[2J"}},
        "data of a null character": {"data": {"source": "a\0b"}},
        "data of 5,000 letters": {"data": {"source": "d" * 5000}},
        "data in a device": {"data": {"source": "/dev/zero"}},
        "other splits": {"data": {"held_out_minimum": 3, "calibration_share": 1e-9}},
    }
    for name, sections in others.items():

        def change(content: bytes, sections: dict[str, Any] = sections) -> bytes:
            import yaml

            values = yaml.safe_load(content)
            for section, fields in sections.items():
                values[section] |= fields
            return yaml.safe_dump(values).encode()

        yield Case(name, _changed(CONFIG, change), names="`data`" if name.startswith("data ") else None)
    for size in (1, 7, 10**17):
        yield Case(f"{size} images at once", _changed(CONFIG, _batches(size)), LOADED)


def _batches(size: int) -> Callable[[bytes], bytes]:
    return lambda content: content.replace(b"scoring:\n", f"scoring:\n  score_batch_size: {size}\n".encode())


def _summaries() -> Iterator[Case]:
    texts: dict[str, bytes] = {
        "a list": b"[]",
        "a number": b"5",
        "null": b"null",
        "a word": b'"data"',
        "an empty mapping": b"{}",
        "data is a list": b'{"data": []}',
        "data is null": b'{"data": null}',
        "data is a word": b'{"data": "x"}',
        "data is empty": b'{"data": {}}',
        "the fingerprint is a number": b'{"data": {"fingerprint": 5}}',
        "the fingerprint is null": b'{"data": {"fingerprint": null}}',
        "the fingerprint is a list": b'{"data": {"fingerprint": []}}',
        "another fingerprint": b'{"data": {"fingerprint": "' + b"0" * 64 + b'"}}',
        "a fingerprint of two lines": b'{"data": {"fingerprint": "a\\nb\\u001b[2J"}}',
        "a fingerprint of a megabyte": b'{"data": {"fingerprint": "' + b"f" * 1_000_000 + b'"}}',
        "100,000 nested lists": b"[" * 100_000,
        "50,000 nested lists": b"[" * 40_000 + b"]" * 40_000,
        "nested mappings": b'{"data":' * 16_000 + b"1" + b"}" * 16_000,
        "5,000 digits": b'{"data": ' + b"9" * 5000 + b"}",
        "not a number": b'{"data": NaN}',
        "not UTF-8": b'{"data": "\xff"}',
        "a byte order mark": b"\xef\xbb\xbf{}",
        "UTF-16": '{"data": 1}'.encode("utf-16"),
        "cut": b'{"data": {"fingerpr',
        "a comma too many": b'{"data": {},}',
        "single quotes": b"{'data': {}}",
        "two of them": b"{}{}",
        "ten megabytes": b'{"data": "' + b"x" * 10_000_000 + b'"}',
        "a key of two lines": b'{"a\\nb": 1}',
        "a lone surrogate": b'{"data": {"fingerprint": "\\ud800"}}',
    }
    for name, text in texts.items():
        yield Case(name, _changed(SUMMARY, lambda _, text=text: text))
    for number in range(8):
        yield Case(
            f"bits turned, {number}",
            _changed(SUMMARY, lambda content, n=number: flipped(content, f"summary {n}", 6)),
            EITHER,
        )
