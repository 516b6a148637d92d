"""The steps from a source, as jupytext reads it, to a notebook: each notebook -> notebook.

Two builds of one source are equal byte for byte: ids come from lab and position, and metadata
are made afresh, because jupytext invents both at each read.
"""

import hashlib
import json

from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_markdown_cell

from labkit.authoring.source import marker, tags
from labkit.notebook.answers import stub_hash

COLAB = "https://colab.research.google.com"


def add_badge(nb: NotebookNode, path: str, release: tuple[str, str] | None) -> NotebookNode:
    """Put a first cell with the Colab badge, where the course has an address."""
    if release:
        link = f"{COLAB}/github/{release[0]}/blob/{release[1]}/{path}"
        badge = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({link})"
        text = f"{badge}\n\nIn Colab, first choose **File → Save a copy in Drive**."
        nb.cells.insert(0, new_markdown_cell(text))
    return nb


def rebuild_metadata(nb: NotebookNode, lab: str) -> NotebookNode:
    """Give every cell its id and only the metadata that are ours; drop outputs."""
    for position, cell in enumerate(nb.cells):
        role, exercise = marker(cell)
        own = {"tags": tags(cell)} if tags(cell) else {}
        if role == "exercise":
            own["labkit"] = {"exercise": exercise, "stub": stub_hash(cell.source)}
        if role == "solution":
            own["labkit"] = {"solution": exercise}
        cell.id, cell.metadata = f"{lab}-{position:03d}", from_dict(own)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nb


def complete_setup(nb: NotebookNode, lab: str, release: tuple[str, str] | None) -> NotebookNode:
    """Let the set-up cell install labkit first (or say how), and name the lab at its end."""
    if release:
        missing = (
            f'%pip install -q "labkit[lab] @ git+https://github.com/{release[0]}@{release[1]}"'
        )
    else:
        advice = "labkit is missing: run `make lab` in the course folder"
        missing = f'raise ModuleNotFoundError("{advice}") from None'
    stubs = [cell.metadata.labkit for cell in nb.cells if "stub" in cell.metadata.get("labkit", {})]
    known = "".join(f'\n    "{stub.exercise}": "{stub.stub}",' for stub in stubs)
    known += "\n" if known else ""
    setup = next(cell for cell in nb.cells if "setup" in tags(cell))
    setup.source = (
        f"try:\n    import labkit\nexcept ModuleNotFoundError:\n    {missing}\n\n"
        f"{setup.source}\n\n"
        f'lk.start_lab("{lab}", stubs={{{known}}})'
    )
    return nb


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


def drop_output_tags(nb: NotebookNode) -> NotebookNode:
    """Remove the tag that compares outputs, from a notebook that has none."""
    for cell in nb.cells:
        if kept := [tag for tag in tags(cell) if tag != "nbval-check-output"]:
            cell.metadata["tags"] = kept
        else:
            cell.metadata.pop("tags", None)
    return nb


def collapse_checks(nb: NotebookNode) -> NotebookNode:
    """Fold the code of the checks, which a student need not read; their outcome stays in view."""
    for cell in nb.cells:
        if "check" in tags(cell):
            cell.metadata |= {"jupyter": {"source_hidden": True}, "cellView": "form"}
    return nb


def source_hash(nb: NotebookNode) -> str:
    """The SHA-256 of a notebook's code cells, which says whose outputs it holds."""
    code = [cell.source for cell in nb.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()
