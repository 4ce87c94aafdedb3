"""The pages hold together: links and anchors lead somewhere, lines are short, the site builds."""

import importlib.util
import pkgutil
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "benchmarks").rglob("*.md"))]
MAX_LINE = 120
MAX_PICTURE_BYTES = 400_000
NOT_SAID = {
    "goals of ours": r"\bour goals?\b|\bgoals?:|\(goals?\b",
    "work without a command": r"\bby hand was\b|tried by hand",
    "another word for a search": r"few.?shot",
    "commits": r"\bcommit [0-9a-f]{7}|\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{7}\b|\b[0-9a-f]{40}\b",
    "history": r"earlier commit|as it was up to",
}


def prose(page: Path) -> list[tuple[int, str]]:
    """Lines of a page outside fenced code, with their numbers."""
    lines, fenced = [], False
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            lines.append((number, line))
    return lines


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    found: Counter[str] = Counter()
    slugs = set()
    for _, line in prose(page):
        if heading := re.match(r"#+ (.*)", line):
            slug = re.sub(r"[^\w\- ]", "", heading[1].strip().lower()).replace(" ", "-")
            slugs.add(f"{slug}-{found[slug]}" if found[slug] else slug)
            found[slug] += 1
    return slugs


def links(page: Path) -> list[tuple[str, str]]:
    """Targets and anchors of the links and pictures of a page that lead into the project."""
    text = "\n".join(line for _, line in prose(page))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    inner = [target for target in targets if not re.match(r"[a-z]+:", target)]
    return [(target.partition("#")[0], target.partition("#")[2]) for target in inner]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for target, anchor in links(page):
        place = (page.parent / target).resolve() if target else page
        if not place.is_file() or (anchor and anchor not in anchors(place)):
            broken.append(f"{target}#{anchor}" if anchor else target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_short_lines_and_whole_code_spans(page: Path) -> None:
    text = [(number, line) for number, line in prose(page) if not line.startswith(("|", "!["))]
    assert [number for number, line in text if len(line) > MAX_LINE] == []
    assert [number for number, line in text if line.count("`") % 2] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_tells_no_history(page: Path) -> None:
    text = "\n".join(line for _, line in prose(page))
    assert {what: found for what, words in NOT_SAID.items() if (found := re.findall(words, text, re.IGNORECASE))} == {}


def test_what_is_not_said_would_be_noticed() -> None:
    told = ("our goal was 0.88", "few-shot", "few_shot", "at commit 353b726", "tried by hand", "an earlier commit")
    for words in told:
        assert any(re.search(pattern, words, re.IGNORECASE) for pattern in NOT_SAID.values()), words


def test_every_picture_is_shown_by_a_page_and_small() -> None:
    shown = {(page.parent / target).resolve() for page in PAGES for target, _ in links(page) if target.endswith(".png")}
    pictures = {path.resolve() for path in (ROOT / "docs").rglob("*.png")}
    assert shown == pictures
    assert [path.name for path in pictures if path.stat().st_size > MAX_PICTURE_BYTES] == []


def test_every_page_of_docs_and_benchmarks_is_on_the_site() -> None:
    def paths(entry: object) -> list[str]:
        if isinstance(entry, dict):
            return [path for value in entry.values() for path in paths(value)]
        return [path for each in entry for path in paths(each)] if isinstance(entry, list) else [str(entry)]

    listed = paths(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(listed) == sorted(str(page.relative_to(ROOT)) for page in PAGES)


def test_readme_and_the_index_of_the_tables_lead_to_every_page() -> None:
    for index, folder in ((ROOT / "README.md", "docs"), (ROOT / "benchmarks/results/README.md", "benchmarks/results")):
        reached = {(index.parent / target).resolve() for target, _ in links(index) if target}
        assert set((ROOT / folder).glob("*.md")) - reached - {index} == set()


def test_the_reference_names_what_exists() -> None:
    names = re.findall(r"^::: (\S+)$", (ROOT / "docs/reference.md").read_text(), re.MULTILINE)
    assert names and all(pkgutil.resolve_name(name) for name in names)


def test_the_site_builds_and_shows_docstrings(tmp_path: Path) -> None:
    if importlib.util.find_spec("zensical") is None or importlib.util.find_spec("mkdocstrings") is None:
        pytest.skip("the site's builder is not installed: make docs installs it")
    recipe = re.findall(r"^\t@(rm -rf build/pages.*|cp README.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(recipe) == 2
    for name in ("README.md", "docs", "benchmarks", "tomoseek", "embed", "finetune", "pretrain"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)  # a link would lead the builder back to the checkout
    subprocess.run(["bash", "-ec", "\n".join(recipe)], cwd=tmp_path, check=True)
    words = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    built = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    reference = (tmp_path / "build/site/docs/reference/index.html").read_text()
    assert "Turn points into fractional voxel indices" in reference
