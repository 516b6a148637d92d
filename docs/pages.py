"""The pages of the site from the files of the course: each function file -> page.

Nothing is written twice: the first page is the README, a lab's page is the executed instructor's
notebook with its solutions folded away, and a link between two files of the course becomes one
between their pages.
"""

import os
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from labkit.authoring import files
from labkit.authoring.cells import marker, set_tags, tags
from labkit.notebook import markers

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_SRC = re.compile(r'(\b(?:src|href|srcset)=")([^"]+)(")')


def page_names() -> dict[str, str]:
    """The page of each file of the course that has one, both by their paths."""
    names = {"README.md": "index.md", "data/README.md": "data.md"}
    names |= {f"{name}.md": f"{name.lower()}.md" for name in ("RESULTS", "CHANGELOG")}
    names |= {f"docs/{path.name}": path.name for path in sorted((ROOT / "docs").glob("*.md"))}
    for source in files.find_sources(ROOT):
        for folder in ("notebooks", "solutions"):
            names[f"{folder}/{source.stem}.ipynb"] = f"labs/{source.stem}.ipynb"
    return names


def relink(text: str, file: str, names: dict[str, str]) -> str:
    """Let the links of a file lead to pages; one to a file without page leads to the repository.

    Where the course has no address yet, such a link becomes plain text.

    Args:
        text: the Markdown.
        file: the file's path in the course.
        names: what `page_names` gives.

    Example:
        >>> relink("see [the data](../data/README.md#mnist)", "docs/a.md", page_names())
        'see [the data](data.md#mnist)'
    """
    here = Path(names[file]).parent

    def address(target: str) -> str | None:
        if re.match(r"[a-z]+:|#", target):
            return target.lower() if target.startswith("#") else target
        path, _, anchor = target.partition("#")
        path = os.path.normpath(Path(file).parent / path)
        if path in names:
            page = os.path.relpath(names[path], here)
            return f"{page}#{anchor.lower()}" if anchor else page
        if Path(path).suffix in (".png", ".webp", ".svg", ".gif"):
            return os.path.relpath(path, here)
        release = files.release(ROOT)
        return release and f"https://github.com/{release[0]}/blob/{release[1]}/{path}"

    def link(match: re.Match) -> str:
        target = address(match[3])
        return f"{match[1]}[{match[2]}]({target})" if target else match[2]

    text = _SRC.sub(lambda match: f"{match[1]}{address(match[2])}{match[3]}", text)
    return _LINK.sub(link, text)


def students_edition(nb: NotebookNode, file: str, names: dict[str, str]) -> NotebookNode:
    """A lab to read: outputs as they are, solutions folded away, no checks: here runs no answer.

    Args:
        nb: the instructor's notebook, executed.
        file: its path in the course.
        names: what `page_names` gives.
    """
    nb.cells = [cell for cell in nb.cells if marker(cell)[0] != "check"]
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = relink(_folded(cell.source), file, names)
            continue
        role, number = marker(cell)
        if role == "solution":
            _fold(cell, "hide-cell", f"Solution {number}")
        elif "setup" in tags(cell):
            _fold(cell, "hide-input", "What this lab imports")
        _describe(cell)
    lab = Path(file).stem
    note = (
        f"{{download}}`This lab as a notebook <../notebooks/{lab}.ipynb>`, with its checks. Below: "
        "the outputs of one full run; each figure names its data. Solutions are folded."
    )
    nb.cells.insert(1, new_markdown_cell(note))
    return nb


def _fold(cell: NotebookNode, tag: str, prompt: str) -> None:
    set_tags(cell, [*tags(cell), tag])
    prompts = {"code_prompt_show": prompt, "code_prompt_hide": prompt}
    cell.metadata["mystnb"] = NotebookNode(prompts)


def _folded(text: str) -> str:
    """A solution's text is a fold already, as a rule; one that is not becomes one."""
    is_solution = markers.text_role(text)[0] == "solution"
    if is_solution and not re.match(r"\A\s*<!--[^>]*-->\s*<details>", text):
        return f"<details><summary>Solution</summary>\n\n{text}\n</details>"
    return text


def _describe(cell: NotebookNode) -> None:
    """Give a picture the line of text that stands beside it in the output, for who cannot see."""
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "text/html" not in data and {"image/png", "image/jpeg"} & set(data):
            alt = " ".join(data.get("text/plain", "").split())
            settings = cell.metadata.setdefault("mystnb", NotebookNode())
            settings["image"] = NotebookNode({"alt": alt or "a figure"})


def write_pages(out: Path) -> None:
    """Write every page's source but the API's into a folder."""
    names = page_names()
    for file, page in names.items():
        target = out / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.startswith("notebooks/"):
            (out / "notebooks").mkdir(exist_ok=True)
            (out / file).write_bytes((ROOT / file).read_bytes())
        elif file.startswith("solutions/"):
            nb = students_edition(files.read_notebook(ROOT / file), file, names)
            nbformat.write(nb, target)
        elif (ROOT / file).exists():
            target.write_text(relink((ROOT / file).read_text(), file, names))
    for picture in (ROOT / "docs" / "pictures").glob("*"):
        copy = out / "docs" / "pictures" / picture.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(picture.read_bytes())
