"""The pages that hw8 is told by, and what of them a shell or Python runs."""

import dataclasses
import itertools
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [
    README,
    *(ROOT / folder / "README.md" for folder in ("data", "submissions")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LANGUAGES = {"bash", "python", "", "{toctree}", "{eval-rst}", "{include} ../CHANGELOG.md"}
FENCE = re.compile(r"^```(.*?)\n(.*?)^```$", re.M | re.S)
SHELL_WORDS = r"(?:python|pip|make|hw8|torchrun|accelerate|docker|kaggle|tensorboard|apt-get|npm)"
CODE = re.compile(r"^```.*?^```$|`[^`]*`", re.M | re.S)
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.S)
STOPS = {";", "&&", "||", "|", "&", ">", ">>", "<", ")"}  # what ends the words of a command in a shell
INLINE = re.compile(r"`((?:python scripts/\w+\.py|hw8 \w+|\w+\.py(?= ))[^`]*)`")  # `predict.py --json` is one, too

ALONE = ("benchmark", "explore", "predict", "presets", "train")  # commands that need no option
# What the names in a command stand for.
PLACES = {
    "PRESET": "fcn", "mine": "fcn", "SEED": "0", "N": "16", "ROW": "3", "A": "0", "B": "6", "FACES": "demo",
    "FILE.csv": "evidence.csv", "FOLDER": "labelled", "SOURCE": "digits", "RUN": "runs/first", "NAME": "first",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, the line that it starts at, and its text."""

    page: Path
    line: int
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match[1].strip(), match[2])
        for match in FENCE.finditer(text)
    ]


def of_language(page: Path, language: str) -> list[Block]:
    return [block for block in blocks(page) if block.language == language]


def inline_commands(page: Path) -> list[str]:
    """The commands that stand in a sentence."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [" ".join(match[1].split()) for match in INLINE.finditer(prose)]


def inline_calls(page: Path) -> list[list[str]]:
    """The calls of hw8's commands in sentences: the name and the words of each, PLACES for the names in it.

    A command without a word is one that needs none: others are only named.
    """
    calls = []
    for command in inline_commands(page):
        words = [word.strip("[]") for word in shlex.split(command.removeprefix("python ")) if word != "..."]
        if words[0] == "hw8":
            words.pop(0)
        program = words[0].removesuffix(".py").removeprefix("scripts/")
        rest = words[1:]
        for place, value in PLACES.items():
            rest = [value if word == place else re.sub(rf"/{place}\b", f"/{value}", word) for word in rest]
        if rest or program in ALONE:
            calls.append([program, *rest])
    return calls


def commands(block: Block) -> list[list[str]]:
    """The calls of hw8's commands in a shell block: the name and the words of each."""
    calls = []
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)  # comments are left out
        lexer.whitespace_split = True
        words = [word.removeprefix("scripts/").removesuffix(".py") if "scripts/" in word else word for word in lexer]
        for place, word in enumerate(words):
            if word == "hw8" and words[place + 1 :]:
                calls.append(words[place + 1 :])
            elif f"scripts/{word}.py" in line:
                calls.append(words[place:])
    return [[*itertools.takewhile(lambda word: word not in STOPS, call)] for call in calls if call[0].isidentifier()]


def unfenced_commands(page: Path) -> list[str]:
    """Lines that look like a shell block without a fence, which nothing would run."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.findall(rf"^(?: {{4}}|\t)(?:\$ )?{SHELL_WORDS} .*$", prose, re.M)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))
