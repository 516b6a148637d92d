"""The steps from a source to a notebook: each notebook -> notebook.

Two builds of one source are equal byte for byte: ids come from what a cell is or says, and
metadata are made afresh, because jupytext invents both at each read.
"""

import hashlib
import json
import re
from pathlib import Path

from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_markdown_cell

from labkit.authoring import files
from labkit.authoring.cells import facts, marker, set_tags, tags, without_hidden_tests
from labkit.notebook import markers
from labkit.notebook.answers import stub_hash

COLAB = "https://colab.research.google.com"
WARNING = "# (the reference: try the exercise first)"
_BADGE = re.compile(r"\A\[!\[Open in Colab\][^\n]*\n*")
_SAVE = "In Colab, first choose **File → Save a copy in Drive**."
_ADVICE = f"""{_SAVE}
What you download and train is gone when Colab ends. To keep it, run these lines in a cell of their
own, before all others; Colab asks whether the notebook may use your Drive.

```python
from google.colab import drive
drive.mount("/content/drive")
%env LABKIT_DATA=/content/drive/MyDrive/labkit
```"""
# the distribution's name: PyPI's `labkit` is another project with the same module name
_DISTRIBUTION = "bloodlabs-labkit"
_HEADING = re.compile(r"\A\s*#{1,6}[ \t]+(.+)")


def warn(nb: NotebookNode) -> NotebookNode:
    """Begin each solution with a line for editors that do not fold it: VS Code, for one."""
    for cell in nb.cells:
        if marker(cell)[0] == "solution":
            first, _, rest = cell.source.partition("\n")
            cell.source = f"{first}\n{WARNING}\n{rest}".rstrip("\n")
    return nb


def rebuild_metadata(nb: NotebookNode) -> NotebookNode:
    """Give every cell its id and only the metadata that are ours; drop outputs."""
    seen: dict[str, int] = {}
    for cell in nb.cells:
        anchor = _anchor(cell)
        seen[anchor] = seen.get(anchor, 0) + 1
        cell.id = anchor if seen[anchor] == 1 else f"{anchor}-{seen[anchor]}"
        own, known = {"tags": tags(cell)} if tags(cell) else {}, _known(cell)
        cell.metadata = from_dict(own | ({"labkit": known} if known else {}))
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nb


def _known(cell: NotebookNode) -> dict[str, str]:
    """What the toggles and the kernel compare a student's cell with."""
    role, number = marker(cell)
    if role == "exercise":
        return {"exercise": number, "stub": stub_hash(cell.source)}
    if "solution" in tags(cell):
        number = number or markers.text_role(cell.source)[1]
        named = {"solution": number} if number else {}
        return named | {"reference": stub_hash(cell.source)}
    return {}


def _anchor(cell: NotebookNode) -> str:
    """The id of a cell, which an edit of its text leaves alone wherever something names it."""
    if "setup" in tags(cell):
        return "setup"
    role, number = marker(cell)
    if role:
        return f"{role}-{number}".replace(".", "-")
    if cell.cell_type == "markdown":
        if number := markers.text_role(cell.source)[1]:
            return f"text-{number}".replace(".", "-")
        if heading := _HEADING.match(cell.source):
            return text_id(heading[1].strip())
    return text_id(cell.source)


def text_id(text: str) -> str:
    """The id of a cell that no marker names: a hash of its heading or of its whole text."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def stamp(nb: NotebookNode, lab: str) -> NotebookNode:
    """Set the notebook's metadata and format."""
    nb.metadata = from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
            "labkit": {"lab": lab, "state": "shown", "source": source_hash(nb)},
        }
    )
    nb.nbformat, nb.nbformat_minor = 4, 5
    return nb


def source_hash(nb: NotebookNode) -> str:
    """The SHA-256 of the code whose outputs a notebook holds: all but the checks.

    It is taken before `complete_setup`: the course's address is no code of the lab, and a check
    only looks.
    """
    code = [
        cell.source for cell in nb.cells if cell.cell_type == "code" and marker(cell)[0] != "check"
    ]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def complete_setup(nb: NotebookNode, lab: str, release: tuple[str, str] | None) -> NotebookNode:
    """Let the set-up cell install labkit first (or say how), and name the lab at its end."""
    if release:
        address = f"git+https://github.com/{release[0]}@{release[1]}"
        missing = (
            "import sys\n"
            '    sys.modules.pop("labkit", None)  # PyPI has another package of this name\n'
            f'    %pip install -q "{_DISTRIBUTION}[colab] @ {address}"'
        )
    else:
        advice = "labkit is missing: run `make lab` in the course folder"
        missing = f'raise ModuleNotFoundError("{advice}") from None'
    found = [facts(cell) for cell in nb.cells if "stub" in facts(cell)]
    stubs = " ".join(f"{known['exercise']}:{known['stub'][:6]}" for known in found)
    setup = next(cell for cell in nb.cells if "setup" in tags(cell))
    setup.source = (
        f"try:\n    from labkit import start_lab\nexcept ImportError:\n    {missing}\n\n"
        f"{setup.source}\n\n"
        f'lk.start_lab("{lab}", "{stubs}")'
    )
    return nb


def add_badge(nb: NotebookNode, target: Path) -> NotebookNode:
    """Put a first cell with the Colab badge, where the course has an address and the file a place.

    The badge leads to the file itself, at `target`. One outside the course's folder gets none,
    because its address is not known; nor does the instructor's, because a link to it would be one
    click from every solution.
    """
    root, place = files.place_in_course(target) or (None, Path())
    release = files.release(root) if root else None
    if release and place.parts[0] != "solutions":
        link = f"{COLAB}/github/{release[0]}/blob/{release[1]}/{place.as_posix()}"
        text = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({link})\n\n{_ADVICE}"
        nb.cells.insert(0, new_markdown_cell(text, id="badge"))
        if nb.get("nbformat_minor", 0) < 5:
            del nb.cells[0]["id"]
    return nb


def drop_badge(nb: NotebookNode) -> NotebookNode:
    """Remove the badge: it leads to the file that the notebook was, not to what becomes of it."""
    kept = []
    for cell in nb.cells:
        if cell.cell_type == "markdown" and (badge := _BADGE.match(cell.source)):
            cell.source = cell.source[badge.end() :]
            if cell.source.strip() in ("", _SAVE, _ADVICE):
                continue
        kept.append(cell)
    nb.cells = kept
    return nb


def drop_hidden_tests(nb: NotebookNode) -> NotebookNode:
    """Take the tests that only graders run out of the checks."""
    for cell in nb.cells:
        if marker(cell)[0] == "check":
            cell.source = without_hidden_tests(cell.source)
    return nb


def add_statement(nb: NotebookNode, statement: str) -> NotebookNode:
    """Put the fields and the declaration of a hand-in below the lab's first text."""
    if statement:
        place = next(n for n, cell in enumerate(nb.cells) if "setup" in tags(cell))
        cell = new_markdown_cell(statement, id="statement", metadata={"tags": ["statement"]})
        nb.cells.insert(place, cell)
    return nb


def drop_output_tags(nb: NotebookNode) -> NotebookNode:
    """Remove the tag that compares outputs, from a notebook that has none."""
    for cell in nb.cells:
        set_tags(cell, [tag for tag in tags(cell) if tag != "nbval-check-output"])
    return nb


def collapse_checks(nb: NotebookNode) -> NotebookNode:
    """Fold the code of the checks, which a student need not read; their outcome stays in view."""
    for cell in nb.cells:
        if "check" in tags(cell):
            cell.metadata |= {"jupyter": {"source_hidden": True}, "cellView": "form"}
    return nb
