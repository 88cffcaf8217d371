"""Broken config.yaml files, and options of models that make no sense."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .cases import EITHER, LOADED, REFUSED, Case, flipped, named, no_regular_files, randomness, require, writes

FILE = "config.yaml"
HUGE = "0x" + "f" * 5000
VALUES = {
    "nothing": "",
    "true": "true",
    "a word": "word",
    "1.5": "1.5",
    "-1": "-1",
    "0": "0",
    "not a number": ".nan",
    "10**30": "1" + "0" * 30,
    "5,000 hexadecimal digits": HUGE,
    "a float beyond all": "1.0e+400",
    "a list": "[1, [2]]",
    "a mapping": "{a: 1}",
    "a date": "2024-01-01",
    "5,000 letters": "x" * 5000,
    "control characters": '"a\\nb\\e[31m\\0\\u2028"',
    "a list of 300 words": "[" + "word, " * 300 + "]",
}


def read(_: Path, path: Path) -> None:
    """Read the settings, and use them as a run does: copied, written again and read again."""
    from hw8.config import read_config, to_yaml

    config = read_config(path)
    dataclasses.asdict(config)
    text = to_yaml(config)
    require(len(text) < 1_000_000, f"becomes {len(text):,} characters")
    path.with_name("again.yaml").write_text(text)
    try:
        require(to_yaml(read_config(path.with_name("again.yaml"))) == text, "is another when it is written and read")
    finally:
        path.with_name("again.yaml").unlink()


def _good() -> str:
    from hw8.config import to_yaml
    from hw8.config.presets import load_preset

    return to_yaml(load_preset("resnet"))


def config_cases() -> Iterator[Case]:
    """All cases of a config.yaml."""
    yield Case("as train.py writes it", writes(FILE, _good), LOADED)
    yield from no_regular_files(FILE, lambda _: _good().encode())
    yield from named("", _fields())
    yield from named("unknown: ", _unknown())
    yield from named("text: ", _texts())
    yield from named("aliases: ", _aliases())
    yield from named("tags: ", _tags())
    yield from named("size: ", _sizes())
    for number in range(25):

        def turned(number: int = number) -> bytes:
            return flipped(_good().encode(), f"config {number}", 1 + number % 3)

        yield Case(f"bits turned, {number}", writes(FILE, turned), EITHER)
    for number in range(10):

        def cut(number: int = number) -> bytes:
            return _good().encode()[: randomness(f"config cut {number}").integers(1, 800)]

        yield Case(f"cut, {number}", writes(FILE, cut), EITHER)


def _of(name: str, text: str | bytes, expected: str = EITHER) -> Case:
    return Case(name, writes(FILE, text), expected)


def _fields() -> Iterator[Case]:
    """Every field with a value of every type."""
    from hw8.config import SECTIONS, RunConfig

    for section, kind in {"": RunConfig, **SECTIONS}.items():
        for field in dataclasses.fields(kind):
            for name, value in VALUES.items():
                inside = f"{field.name}: {value}"
                text = f"{section}:\n  {inside}\n" if section else f"{inside}\n"
                yield _of(f"{section + '.' if section else ''}{field.name}: {name}", text)


def _unknown() -> Iterator[Case]:
    for section in ("data", "model", "train", "scoring"):
        yield _of(f"in {section}", f"{section}: {{colour: red}}\n", REFUSED)
        yield _of(f"{section} is a list", f"{section}: [1]\n", REFUSED)
        yield _of(f"{section} twice", f"{section}: {{}}\n{section}: {{}}\n")
    keys = {
        "a key of two lines": '"a\\nb"',
        "an escape sequence": '"\\e[2J\\e]0;x\\a"',
        "a key of 500 control characters": '"' + "\\e" * 500 + '"',
        "a key of 50,000 letters": '"' + "k" * 50_000 + '"',
        "a number": "5",
        "not a number": ".nan",
        "nothing": "~",
        "true": "yes",
        "a list": "[1, 2]",
        "a mapping": "{a: 1}",
        "a date": "2024-01-01",
        "a dunder": "__class__",
        "an empty one": '""',
        "self": "self",
        "a null character": '"\\0"',
        "a lone surrogate": '"\\ud800"',
        "a line separator": '"\\u2028"',
    }
    for name, key in keys.items():
        yield _of(f"the key is {name}", f"? {key}\n: 1\n", REFUSED)
        yield _of(f"the key is {name}, in train", f"train:\n  ? {key}\n  : 1\n", REFUSED)
        yield _of(f"the option is {name}", f"model:\n  options:\n    ? {key}\n    : 1\n")
    yield _of("the value has 50,000 letters", "colour: " + "x" * 50_000 + "\n", REFUSED)


def _texts() -> Iterator[Case]:
    texts: dict[str, str | bytes] = {
        "a list": "- 1\n- 2\n",
        "a word": "word\n",
        "a number": "5\n",
        "a date": "2024-01-01\n",
        "true": "true\n",
        "two documents": "seed: 1\n---\nseed: 2\n",
        "ten documents": "--- {}\n" * 10,
        "an end, and more": "seed: 1\n...\nseed 2\n",
        "a list not closed": "seed: [1\n",
        "a mapping not closed": "data: {crop: 4\n",
        "a text not closed": 'preset: "a\n',
        "tabs": "train:\n\tepochs: 3\n",
        "indented wrong": "train:\n  epochs: 3\n lr: 1.0e-3\n",
        "a colon too many": "seed: 1: 2\n",
        "JSON": '{"seed": 1, "train": {"epochs": 3}}\n',
        "TOML": "[train]\nepochs = 3\n",
        "Latin-1": "preset: caf\xe9\n".encode("latin-1"),
        "UTF-16": "seed: 1\n".encode("utf-16"),
        "UTF-16 without a mark": "seed: 1\n".encode("utf-16-le"),
        "UTF-32": "seed: 1\n".encode("utf-32"),
        "a byte order mark": b"\xef\xbb\xbfseed: 1\n",
        "a null character": b"seed: 1\0\n",
        "a bell": b"seed: \x07\n",
        "an escape sequence": b"preset: \x1b[31m\n",
        "a pickle": b"\x80\x04\x95\x10\0\0\0.",
        "a zip file": b"PK\x03\x04" + bytes(100),
        "an unknown directive": "%NOTHING 1\n---\nseed: 1\n",
        "another version": "%YAML 9.9\n---\nseed: 1\n",
        "a tag directive": "%TAG ! tag:x,2000:\n---\nseed: !y 1\n",
        "only a remark": "# nothing\n",
        "a question mark": "?\n",
        "a dash": "-\n",
        "a percent sign": "%\n",
        "an at sign": "@\n",
        "a backtick": "`seed`: 1\n",
        "an escape that is none": 'preset: "\\q"\n',
        "half an escape": 'preset: "\\u12"\n',
        "a lone surrogate": 'preset: "\\ud800"\n',
        "beyond Unicode": 'preset: "\\U00110000"\n',
        "folded": "preset: >\n  a\n  b\n",
        "a block of 60 lines": "preset: |\n" + "  line\n" * 60,
        "a seed twice": "seed: 1\nseed: 2\n",
        "1e-3": "train: {lr: 1e-3}\n",
        "sexagesimal": "seed: 1:30:00\n",
        "sexagesimal float": "train: {lr: 0:0.5}\n",
        "octal": "seed: 0777\n",
        "binary": "seed: 0b11\n",
        "underscores": "seed: 1_000\n",
        "underscores alone": "seed: 0x_\n",
        "a sign alone": "seed: +\n",
        "no date": "seed: 2024-13-45\n",
        "no time": "seed: 2024-01-01T99:99:99Z\n",
        "a time zone of 99 hours": "seed: 2024-01-01T00:00:00+99:00\n",
        "the year 0": "seed: 0000-01-01\n",
        "a merge key": "train: {<<: {epochs: 3}}\n",
        "a merge key of a number": "train: {<<: 5}\n",
        "a merge key of a list": "train: {<<: [1]}\n",
        "a value key": "train: {=: 5}\n",
    }
    for name, text in texts.items():
        yield _of(name, text)
    for depth in (50, 400, 20_000):
        yield _of(f"{depth} nested lists", "preset: " + "[" * depth + "]" * depth + "\n", REFUSED)
        yield _of(f"{depth} nested lists in an option", "model: {options: {x: " + "[" * depth + "]" * depth + "}}\n")
        yield _of(f"{depth} nested mappings", "{a: " * depth + "1" + "}" * depth + "\n", REFUSED)
        yield _of(f"{depth} lists not closed", "[" * depth, REFUSED)
        yield _of(f"{depth} dashes", "- " * depth + "1\n", REFUSED)
        yield _of(f"{depth} question marks", "? " * depth + "1\n", REFUSED)


def _laughs(levels: int, width: int = 9) -> str:
    """A list of lists of lists, each naming the one before `width` times."""
    lines = ["    a0: &a0 [ha, ha, ha]"]
    lines += [f"    a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * width) + "]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def _aliases() -> Iterator[Case]:
    """What a few names can unfold to: never more than the file itself, or it is refused."""
    options = "model:\n  options:\n"
    for levels in (3, 10, 30):
        yield _of(f"{levels} levels of laughs in options", options + _laughs(levels))
        yield _of(f"{levels} levels of laughs, unknown", "x:\n" + _laughs(levels), REFUSED)
        yield _of(
            f"{levels} levels of laughs in parts", f"x:\n{_laughs(levels)}scoring: {{parts: *a{levels - 1}}}\n", REFUSED
        )
        yield _of(f"{levels} levels of laughs for a seed", f"{options}{_laughs(levels)}seed: *a{levels - 1}\n", REFUSED)
        yield _of(
            f"{levels} levels of laughs for a model",
            f"seed: 1\n{options}{_laughs(levels)}  name: *a{levels - 1}\n",
            REFUSED,
        )
    chain = "".join(f"    a{level}: &a{level} [*a{level - 1}]\n" for level in range(1, 2000))
    yield _of("2,000 lists, each in the next", f"{options}    a0: &a0 []\n{chain}")
    merged = "".join(f"    a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}, *a{n - 1}], k{n}: 1}}\n" for n in range(1, 25))
    yield _of("25 levels of merge keys", f"{options}    a0: &a0 {{k: 1}}\n{merged}")
    yield _of("a list in itself", "model: {options: {x: &a [*a]}}\n", REFUSED)
    yield _of("a mapping in itself", "model: {options: {x: &a {y: *a}}}\n", REFUSED)
    yield _of("options in themselves", "model: {options: &a {x: *a}}\n", REFUSED)
    yield _of("everything in itself", "&a\nmodel: {options: {x: *a}}\n", REFUSED)
    yield _of("a mapping that is its own key", "&a ? *a\n: 1\n", REFUSED)
    yield _of("parts in themselves", "scoring: {parts: &a [*a]}\n", REFUSED)
    yield _of("a seed in itself", "seed: &a [*a]\n", REFUSED)
    yield _of("a merge key of itself", "train: &a {<<: *a}\n", REFUSED)
    yield _of("of nothing", "seed: *a\n", REFUSED)
    yield _of("of nothing, by 5,000 letters", "seed: *" + "a" * 5000 + "\n", REFUSED)
    yield _of("an anchor twice", "seed: &a 1\npreset: &a x\n")
    yield _of("an anchor that nobody names", "seed: &a 1\n")
    yield _of("one number in two places", "seed: &a 1\ndata: {split_seed: *a}\n")
    yield _of("50,000 anchors", "x: [" + "&a 1, " * 5000 + "]\n", REFUSED)


def _tags() -> Iterator[Case]:
    tags = {
        "os.system": "!!python/object/apply:os.system ['touch canary']",
        "eval": "!!python/object/apply:builtins.eval ['1']",
        "a name": "!!python/name:os.system",
        "a module": "!!python/module:os",
        "an object": "!!python/object:hw8.config.RunConfig {}",
        "a new object": "!!python/object/new:os.system ['touch canary']",
        "a tuple": "!!python/tuple [1, 2]",
        "complex": "!!python/complex 1j",
        "bytes": "!!python/bytes aGk=",
        "no int": "!!int abc",
        "no float": "!!float abc",
        "no bool": "!!bool maybe",
        "no null": "!!null x",
        "no binary": "!!binary ~~~",
        "no timestamp": "!!timestamp x",
        "an int of nothing": '!!int ""',
        "a float of nothing": '!!float ""',
        "omap": "!!omap [a: 1]",
        "no omap": "!!omap [1]",
        "pairs": "!!pairs [a: 1, a: 2]",
        "no pairs": "!!pairs {a: 1}",
        "set": "!!set {a, b}",
        "no set": "!!set [a]",
        "a set with a list": "!!set {[a]}",
        "str of a list": "!!str [1]",
        "map of a text": "!!map x",
        "seq of a text": "!!seq x",
        "one of its own": "!mine 1",
        "with a line break": "!!a%0Ab 1",
        "with an escape": "!!a%1B[2J 1",
        "of 5,000 letters": "!!" + "t" * 5000 + " 1",
        "merge": "!!merge x",
        "value": "!!value x",
        "sexagesimal of nothing": "!!int ':'",
        "a hexadecimal nothing": "!!int 0x",
    }
    for name, value in tags.items():
        yield _of(f"{name}, for a seed", f"seed: {value}\n", EITHER)
        yield _of(
            f"{name}, for an option",
            f"model: {{options: {{x: {value}}}}}\n" if "{" not in value else f"model:\n  options:\n    x: {value}\n",
        )


def _sizes() -> Iterator[Case]:
    yield _of("a million widths", "model: {options: {widths: [" + "1," * 1_000_000 + "]}}\n", REFUSED)
    yield _of("5,000 widths", "model: {options: {widths: [" + "1," * 5000 + "]}}\n")
    yield _of("1,000 options", "model:\n  options:\n" + "".join(f"    o{n}: 1\n" for n in range(1000)))
    yield _of("a megabyte of remarks", "# remark\n" * 120_000 + "seed: 1\n")
    yield _of("a line of a megabyte", "preset: " + "x" * 1_000_000 + "\n")
    yield _of("ten megabytes of blanks", " " * 10_000_000 + "\n")
    yield _of("a megabyte of documents", "---\n" * 250_000)
    yield _of("a sexagesimal number of 90 kilobytes", "seed: 1" + ":59" * 30_000 + "\n", REFUSED)
    yield _of("a sexagesimal float of 90 kilobytes", "train: {lr: 1" + ":59" * 29_000 + ".5}\n", REFUSED)
    yield _of("a hexadecimal number of 90 kilobytes", "seed: 0x" + "f" * 90_000 + "\n", REFUSED)
    yield _of("a number of 90 kilobytes", "seed: " + "9" * 90_000 + "\n", REFUSED)
    yield _of("underscores of 90 kilobytes", "seed: 1" + "_" * 90_000 + "\n")
    yield _of("90 kilobytes of one flow list", "x: [" + "a, " * 30_000 + "]\n", REFUSED)
    yield _of("parts of 10 kilobytes", "scoring: {parts: [" + "l1, " * 2500 + "]}\n")


def read_options(_: Path, path: Path) -> None:
    """Build the model of a config and let it look at two images, as a run that scores them does."""
    import torch

    from hw8.config import read_config
    from hw8.models import create_model
    from hw8.scoring.evidence import evidence

    config = read_config(path)
    torch.manual_seed(0)
    model = create_model(config.model.name, 16, 1, config.model.options).eval()
    with torch.inference_mode():
        x_NCHW = torch.rand(2, 1, 16, 16) * 2 - 1
        found = evidence(model, x_NCHW, model(x_NCHW))
    for name, value in found.items():
        require(len(value) == 2, f"{name} has {len(value)} rows for two images")


BY_TYPE: dict[type, tuple[str, ...]] = {
    int: ("0", "1.5", "word", "1000000000", "1" + "0" * 30),
    float: (".nan", "-1", "word", "~", "1" + "0" * 400),
    str: ("nothing", "5", "[conv]"),
    bool: ("word", "~"),
    tuple: (
        "[]",
        "[0]",
        "[true]",
        "[1000000000]",
        "[2000000]",
        "[1, 1, 1, 1000000000]",
        "[[1]]",
        "word",
        "{a: 1}",
        "[" + "1, " * 3000 + "]",
    ),
}


def option_cases() -> Iterator[Case]:
    """Every option of every model with values of every type."""
    from hw8.models import MODELS, options_class

    for model in sorted(MODELS):
        yield _of(f"{model} by default", f"model: {{name: {model}}}\n", LOADED)
        for option in dataclasses.fields(options_class(model)):
            for value in BY_TYPE[_kind(option.default)]:
                text = f"model: {{name: {model}, options: {{{option.name}: {value}}}}}\n"
                yield _of(f"{model} {option.name}={value[:24]}{'...' if len(value) > 24 else ''}", text)
        yield _of(f"{model} no_such=1", f"model: {{name: {model}, options: {{no_such: 1}}}}\n", REFUSED)
    for name in ("", "nothing", "__class__", "a\\nb\\e[2J", "x" * 20_000):
        yield _of(f"model {name[:12]!a}", f'model: {{name: "{name}"}}\n', REFUSED)


def _kind(default: Any) -> type:
    return next(kind for kind in (bool, int, float, str, tuple) if isinstance(default, kind))
