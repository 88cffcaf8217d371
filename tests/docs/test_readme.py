"""The README: short, linked, and the same in both languages."""

import re

import pytest

from tests.docs.pages import README, ROOT, of_language

MAX_LINES = 120  # lines
CHINESE = ROOT / "README.zh-TW.md"
NUMBER = re.compile(r"(?<![\w.])\.?\d[\d,.]*\d|(?<![\w.])\d(?![\w.])")
LINK = re.compile(r"\]\(([^)]+)\)")
IN_CODE = re.compile(r"`([^`\n]+)`")


@pytest.mark.parametrize("page", [README, CHINESE], ids=lambda page: page.name)
class TestEach:
    def test_it_is_short(self, page):
        assert page.read_text(encoding="utf-8").count("\n") < MAX_LINES

    def test_every_page_that_it_names_is_linked_and_there(self, page):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"`docs/", text)
        targets = LINK.findall(text)
        assert len(targets) > 15
        for path, _, anchor in (target.partition("#") for target in targets):
            assert (ROOT / path).exists(), path
            headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.M) if anchor else []
            assert not anchor or anchor in [re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-") for name in headings]

    def test_its_tables_fit_a_narrow_page(self, page):
        rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        assert max(row.count("|") for row in rows) <= 7

    def test_the_picture_comes_before_the_commands(self, page):
        text = page.read_text(encoding="utf-8")
        assert text.index("![") < text.index("```bash") < text.index("| ")


def test_both_languages_have_the_same_commands_and_figures():
    texts = [page.read_text(encoding="utf-8") for page in (README, CHINESE)]
    assert len(of_language(CHINESE, "bash")) > 2
    assert [block.text for block in of_language(README, "bash")] == [b.text for b in of_language(CHINESE, "bash")]
    assert sorted(IN_CODE.findall(texts[0])) == sorted(IN_CODE.findall(texts[1]))
    links = [sorted(set(LINK.findall(text)) - {README.name, CHINESE.name}) for text in texts]
    assert links[0] == links[1]
    assert sorted(NUMBER.findall(texts[0])) == sorted(NUMBER.findall(texts[1]))
