"""The site: how pages are made from files, and what `make site` has left in build/site."""

import inspect
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import labkit as lk
from labkit.authoring.complete import KIT_LABS
from labkit.authoring.files import find_sources
from labkit.authoring.source import read_source

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "site"
sys.path.insert(0, str(ROOT / "docs"))
from api import public_names  # noqa: E402 - docs is no package
from pages import page_names, relink, students_edition  # noqa: E402 - as above

LAB = "solutions/02_mlp.ipynb"
PAGES = sorted(set(SITE.rglob("*.html")) - set(SITE.glob("_static/**/*.html")))
REFERENCE = "(the reference: try the exercise first)"  # begins every solution


@pytest.mark.parametrize(
    ("text", "file", "page"),
    [
        ("[a](../data/README.md#mnist-mnist)", "docs/speed.md", "[a](data.md#mnist-mnist)"),
        ("[a](docs/speed.md)", "README.md", "[a](speed.md)"),
        ("[a](notebooks/02_mlp.ipynb)", "README.md", "[a](labs/02_mlp.ipynb)"),
        ("[The data](#The-data)", LAB, "[The data](#the-data)"),
        ("[a](https://x.org/Y#Z)", LAB, "[a](https://x.org/Y#Z)"),
        ("[MIT](LICENSE)", "README.md", "MIT"),
        ("![a [b]](docs/pictures/p.png)", "README.md", "![a [b]](docs/pictures/p.png)"),
    ],
)
def test_a_link_leads_to_the_page_of_a_file(text, file, page):
    assert relink(text, file, page_names()) == page


def test_the_reference_lists_of_each_module_what_tab_shows():
    modules = [getattr(lk, name) for name in dir(lk) if inspect.ismodule(getattr(lk, name))]
    assert len(modules) > 8
    for module in modules:
        assert sorted(public_names(module.__name__)) == dir(module), module.__name__


def test_the_students_edition_folds_every_solution():
    seen = new_output("display_data", {"image/png": "", "text/plain": "a cell"})
    cells = [
        new_markdown_cell("# Lab"),
        new_code_cell("# Exercise 2.1\nx = ..."),
        new_code_cell('with lk.check("2.1", "x"):\n    pass', outputs=[seen]),
        new_code_cell("# Solution 2.1\nx = 1"),
        new_markdown_cell("<!-- Solution 2.1 -->\nBecause."),
        new_code_cell("draw()", outputs=[seen]),
    ]
    nb = students_edition(new_notebook(cells=cells), LAB, page_names())
    _, link, exercise, solution, reason, drawn = nb.cells  # and no check
    assert "<../notebooks/02_mlp.ipynb>" in link.source
    assert "tags" not in exercise.metadata
    assert solution.metadata.tags == ["hide-cell"]
    assert solution.metadata.mystnb.code_prompt_show == "Solution 2.1"
    assert reason.source.startswith("<details>") and reason.source.endswith("</details>")
    assert drawn.metadata.mystnb.image.alt == "a cell"


def test_the_first_use_of_a_term_is_found_also_in_the_plural():
    pytest.importorskip("sphinx", reason="the site is not installed: make site")
    from glossary_links import first_use, read_terms

    terms = read_terms("batch\n: Some.\n\nbatch normalisation\n: A layer.\n  It has two lines.\n")
    assert terms == ["batch normalisation", "batch"]
    assert first_use("Mini-batch, rebatched; Batches come", terms) == ("batch", 23, 30)
    assert first_use("batch normalisation", terms)[0] == "batch normalisation"
    assert first_use("none of them", terms) is None


def test_some_lab_uses_each_term_of_the_glossary_where_it_can_be_linked():
    pytest.importorskip("sphinx", reason="the site is not installed: make site")
    from glossary_links import first_use, read_terms

    sources = find_sources(ROOT)
    if not set(KIT_LABS) <= {source.stem for source in sources}:
        pytest.skip("the course leaves labs out")
    cells = [cell for source in sources for cell in read_source(source).cells]
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    no_prose = r"<details>.*?</details>|```.*?```|`[^`]*`|\$[^$]*\$|^#.*?$"
    prose = " ".join(re.sub(no_prose, " ", text, flags=re.S | re.M).split())
    terms = read_terms((ROOT / "docs" / "glossary.md").read_text())
    assert len(terms) > 60 and [term for term in terms if not first_use(prose, [term])] == []


class Page(HTMLParser):
    """What a page holds: its ids, its links, what it loads, and solutions that lie open."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loads, self.folds, self.open = set(), [], [], 0, []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        self.folds += tag == "details"
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])
        elif tag in ("img", "script", "source", "iframe", "link"):
            self.loads += [attrs[name] for name in ("src", "href") if attrs.get(name)]

    def handle_endtag(self, tag):
        self.folds -= tag == "details"

    def handle_data(self, data):
        if REFERENCE in data and not self.folds:
            self.open.append(data)


@pytest.fixture(scope="module")
def parsed():
    """Every page of the site, by its path."""
    if not PAGES:
        pytest.skip("build/site is not there: make site")
    return {path: Page(path) for path in PAGES}


def test_every_link_within_the_site_leads_somewhere(parsed):
    dead, count = [], 0
    for path, page in parsed.items():
        for target in page.links + page.loads:
            if re.match(r"(https?|mailto|data):", target):
                continue
            name, _, anchor = unquote(target).partition("#")
            there = (path.parent / name.partition("?")[0]).resolve() if name else path
            count += 1
            known = parsed[there].ids if there in parsed else {anchor}
            if not there.exists() or (anchor and anchor not in known):
                dead.append(f"{path.relative_to(SITE)}: {target}")
    assert not dead
    assert count > 1000


def test_no_page_loads_anything_from_elsewhere(parsed):
    for path, page in parsed.items():
        assert not [load for load in page.loads if re.match(r"(https?:)?//", load)], path


def test_no_page_is_large_with_its_pictures(parsed):
    for path, page in parsed.items():
        pictures = {path.parent / load for load in page.loads if "_images/" in load}
        size = sum(part.stat().st_size for part in [path, *pictures])
        assert size < 1_000_000, (path, size)


def test_no_solution_lies_open(parsed):
    labs = [path for path in parsed if path.parent.name == "labs"]
    assert labs and all(REFERENCE in path.read_text() for path in labs)
    for path in labs:
        assert parsed[path].open == [], path


def test_each_term_of_the_glossary_is_linked_at_most_once_a_lab(parsed):
    labs = [page for path, page in parsed.items() if path.parent.name == "labs"]
    for page in labs:
        terms = [link for link in page.links if "glossary.html#term-" in link]
        assert len(terms) >= 5 and len(terms) == len(set(terms))
