"""Build the site into build/site (`make site`): the pages' sources first, then Sphinx."""

import shutil
import sys
from pathlib import Path

from api import write_api
from pages import ROOT, write_pages
from sphinx.cmd.build import main

SOURCE, SITE = ROOT / "build" / "site-source", ROOT / "build" / "site"
GUIDES = ("students", "instructors", "authors", "comparison", "reliability")
REFERENCE = ("api/index", "data", "glossary", "results", "best-rung", "speed")
REFERENCE += ("changelog", "releasing")


def write_contents(out: Path) -> None:
    """The lists of pages: labs, guides, reference; a page that is in no list is a guide."""
    labs = sorted(f"labs/{path.stem}" for path in (out / "labs").glob("*.ipynb"))
    found = [path.stem for path in sorted(out.glob("*.md")) if path.stem != "index"]
    guides = [name for name in GUIDES if name in found]
    guides += [name for name in found if name not in (*GUIDES, *REFERENCE)]
    reference = [name for name in REFERENCE if name in (*found, "api/index")]
    lists = {"Labs": labs, "Guides": guides, "Reference": reference}
    for title, pages in lists.items():
        text = f"# {title}\n\n```{{toctree}}\n:maxdepth: 1\n\n" + "\n".join(f"/{p}" for p in pages)
        (out / f"list-{title.lower()}.md").write_text(f"{text}\n```\n")
    with (out / "index.md").open("a") as index:
        lists = "\n".join(
            f"{name} <list-{name.lower()}>" for name in ("Labs", "Guides", "Reference")
        )
        index.write(f"\n```{{toctree}}\n:hidden:\n\n{lists}\n```\n")


if __name__ == "__main__":
    for folder in (SOURCE, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    write_pages(SOURCE)
    write_api(SOURCE / "api")
    write_contents(SOURCE)
    options = ["-W", "--keep-going", "-q", "-b", "html", "-j", "2"]
    sys.exit(main([*options, "-c", str(ROOT / "docs"), str(SOURCE), str(SITE)]))
