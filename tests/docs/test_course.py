"""The chapters of the course: what each must have, and the pictures beside them."""

import re

import pytest

from tests.docs.pages import CODE, ROOT, commands, name, of_language

COURSE, PICTURES = ROOT / "docs" / "course", ROOT / "docs" / "pictures" / "course"
CHAPTERS = sorted(COURSE.glob("[1-8]-*.md"))
PICTURE = re.compile(r"!\[([^\]]+)\]\(([^)]+)\)")
MAX_BYTES, MAX_TOGETHER = 80_000, 600_000  # bytes


def test_there_are_eight_which_the_index_links_and_lists():
    text = (COURSE / "index.md").read_text(encoding="utf-8")
    assert len(CHAPTERS) == 8
    for chapter in CHAPTERS:
        assert f"]({chapter.name})" in text
        assert f"\n{chapter.stem}\n" in text


@pytest.mark.parametrize("chapter", CHAPTERS, ids=name)
def test_a_chapter_has_its_parts(chapter):
    text = chapter.read_text(encoding="utf-8")
    pictures = [path for _, path in PICTURE.findall(text)]
    assert f"../pictures/course/24-{pictures[0].rpartition('/')[2]}" in pictures
    assert all((COURSE / path).is_file() for path in pictures)
    assert "## The formula: " in text
    assert text.count("$$") >= 4
    run = text.index("## Run it")
    assert [words for block in of_language(chapter, "bash") for words in commands(block)]
    assert re.search(r"^```\n.+?^```$", text[run:], re.M | re.S), "the output of the command"
    assert text.count("<summary>Answer</summary>\n\n") == text.count("\n</details>\n") == 1
    assert (
        run
        < text.index("what it misses\n" if "what it misses\n" in text else "what they miss\n")
        < text.index("## Question")
    )
    assert "@" not in CODE.sub("", text), "a place still waits for its figures"


def test_the_pictures_are_small_and_all_shown():
    sizes = {path.name: path.stat().st_size for path in PICTURES.iterdir()}
    assert max(sizes.values()) < MAX_BYTES
    assert sum(sizes.values()) < MAX_TOGETHER
    shown = {path.rpartition("/")[2] for chapter in CHAPTERS for _, path in PICTURE.findall(chapter.read_text())}
    assert shown == set(sizes)
