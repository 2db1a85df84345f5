"""The READMEs and docs/: what they link to and tell to type is there, and both languages give the same commands."""

import re
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from model_utils.config import Config
from model_utils.option_names import OTHER_NAMES

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
CHINESE = [page for page in PAGES if page.stem.endswith("_CN")]

LINK = re.compile(r"\]\((?!https?:)([^)\s]*)\)")
BASH_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.M | re.S)
ROOMS = "src|tools|model_utils|modelarts|scripts|configs|tests|benchmarks|docs|ascend310_infer"
FILE = re.compile(rf"(?<![\w/.])((?:{ROOMS})/[\w/]+\.(?:py|sh|yaml|md|png))")
ROOT_PROGRAM = re.compile(r"(?:python |`)(\w+\.py)\b")
TOOL = re.compile(r"python -m tools\.([a-z]\w*)")
OPTION = re.compile(r"(?<![\w-])--([a-z]\w*)")


def each(pages: list[Path]):
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@each([*PAGES, *sorted(ROOT.glob("tests/**/*.md"))])
def test_links_lead_somewhere(page):
    for link in LINK.findall(read(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each(PAGES)
def test_what_is_named_exists(page):
    text = read(page)
    assert not [name for name in FILE.findall(text) + ROOT_PROGRAM.findall(text) if not (ROOT / name).is_file()]
    assert not [name for name in TOOL.findall(text) if not (ROOT / "tools" / f"{name}.py").is_file()]
    assert not set(OPTION.findall(text)) - options()
    assert "python -m src." not in text


@pytest.mark.parametrize("name", ["README.md", "README_CN.md"])
def test_a_readme_is_short_and_lists_every_page(name):
    listed = {Path(link).name for link in LINK.findall(read(ROOT / name)) if re.match(r"docs/\w+\.md", link)}
    pages = {page.name for page in ROOT.glob("docs/*.md")}
    translated = {page.replace("_CN", "") for page in pages if "_CN" in page}
    chinese = {page for page in pages if "_CN" in page or page not in translated}  # untranslated: the English page
    assert listed == (chinese if "_CN" in name else {page for page in pages if "_CN" not in page})
    assert len(read(ROOT / name).splitlines()) <= 150


@each(CHINESE)
def test_both_languages_give_the_same_commands_and_numbers(page):
    chinese, english = read(page), read(page.parent / page.name.replace("_CN", ""))
    assert commands(chinese) == commands(english)
    assert numbers(chinese) == numbers(english)


def anchors(page: Path) -> set[str]:
    """Those that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", read(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def options() -> set[str]:
    """Keys of the configuration, ``--option`` in any program, and names that a program has without the dashes."""
    places = (
        "*.py",
        "tools/*.py",
        "model_utils/*.py",
        "modelarts/*.py",
        "benchmarks/*.py",
        "src/**/*.py",
        "scripts/*.sh",
        "documents/**/*.sh",
    )
    programs = [path for place in places for path in ROOT.glob(place)]
    dashed = {word for path in programs for word in re.findall(r"--(\w+)", read(path))}
    bare = [ROOT / "ascend310_infer/src/options.cc", *ROOT.glob("modelarts/*.py")]
    quoted = {word for path in bare for word in re.findall(r'"(\w+)"', read(path))}
    return dashed | quoted | {field.name for field in fields(Config)} | set(OTHER_NAMES)


def commands(text: str) -> list[str]:
    """The lines of bash blocks, without their comments."""
    return [line.partition(" #")[0].strip() for block in BASH_BLOCK.findall(text) for line in block.splitlines()]


def numbers(text: str) -> list[str]:
    """The decimal numbers in tables, from top to bottom."""
    return [number for line in text.splitlines() if line.startswith("|") for number in re.findall(r"\d+\.\d+", line)]
