"""Show, hide or strip the solutions of a notebook, and touch nothing else in it.

shown      a solution is a plain cell that begins with `# Solution 2.1`
hidden     it is collapsed, and its first line is `%%solution 2.1`
stripped   it is gone; a last cell says how to hand in

What is not a solution cell is never changed: no answer, no note, no output of a student's.
"""

import copy
import re
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from labkit.authoring import AuthoringError
from labkit.authoring.files import read_notebook, write_notebook
from labkit.authoring.source import tags

HAND_IN = """## Handing in

Restart the kernel and run all cells, so that every output comes from the code above it. Save the \
notebook and hand in this one file, with its outputs. The results that you report must come from \
your own runs: keep the cells and the outputs that show them."""
_MAGIC = re.compile(r"\A\s*%%solution[ \t]+(\S+)[^\n]*\n?")
_MARKER = re.compile(r"^# Solution (\d+\.\d+)\b", re.M)


def show(nb: NotebookNode) -> NotebookNode:
    """The notebook with every solution in a plain cell.

    Args:
        nb: A lab notebook, shown or hidden; it is left as it is.

    Returns:
        A new notebook.

    Raises:
        AuthoringError: Where the solutions were stripped.

    Example:
        >>> shown = show(read_notebook(Path("notebooks/02_mlp.ipynb")))
    """
    nb = _editable(nb)
    for cell in filter(_is_hidden, nb.cells):
        cell.source = _MAGIC.sub("", cell.source)
        if "solution" not in tags(cell):  # an editor lost it; without it there is no way back
            cell.metadata["tags"] = [*tags(cell), "solution"]
        cell.metadata.pop("cellView", None)
        jupyter = cell.metadata.get("jupyter", {})
        jupyter.pop("source_hidden", None)
        if not jupyter:
            cell.metadata.pop("jupyter", None)
    return _with_state(nb, "shown")


def hide(nb: NotebookNode) -> NotebookNode:
    """The notebook with every solution collapsed and run only where it is needed.

    Args:
        nb: A lab notebook, shown or hidden; it is left as it is.

    Returns:
        A new notebook.

    Raises:
        AuthoringError: Where the solutions were stripped.

    Example:
        >>> hide(show(hidden)) == hidden
        True
    """
    nb = _editable(nb)
    for cell in nb.cells:
        if not _is_solution(cell) or cell.cell_type != "code" or _is_hidden(cell):
            continue
        match = _MARKER.search(cell.source)
        exercise = cell.metadata.get("labkit", {}).get("solution") or (match and match[1])
        if not exercise:
            name = cell.get("id", "without id")
            raise AuthoringError(f"cell {name}: put the line `# Solution N.M` back at its top")
        cell.source = f"%%solution {exercise}\n{cell.source}"
        cell.metadata["cellView"] = "form"  # Colab
        cell.metadata.setdefault("jupyter", NotebookNode())["source_hidden"] = True
    return _with_state(nb, "hidden")


def strip(nb: NotebookNode) -> NotebookNode:
    """The notebook without solutions, with a last cell on how to hand in.

    Args:
        nb: A lab notebook in any state; it is left as it is.

    Returns:
        A new notebook.

    Example:
        >>> strip(strip(nb)) == strip(nb)
        True
    """
    if _is_stripped(nb):
        return copy.deepcopy(nb)
    nb = _editable(nb)
    nb.cells = [cell for cell in nb.cells if not _is_solution(cell)]
    lab = nb.metadata.get("labkit", {}).get("lab", "lab")
    last = new_markdown_cell(HAND_IN, id=f"{lab}-hand-in", metadata={"tags": ["hand-in"]})
    if nb.nbformat_minor < 5:
        del last["id"]
    nb.cells.append(last)
    return _with_state(nb, "stripped")


STATES = {"show": show, "hide": hide, "strip": strip}


def toggle_file(path: Path, action: str) -> bool:
    """Toggle a notebook file in place.

    Args:
        path: The notebook.
        action: "show", "hide" or "strip".

    Returns:
        Whether the file changed.

    Raises:
        AuthoringError: For a file that is no lab notebook, or one that was stripped.

    Example:
        >>> toggle_file(Path("notebooks/02_mlp.ipynb"), "show")
        True
    """
    before = read_notebook(path)
    try:
        after = STATES[action](before)
    except AuthoringError as error:
        raise AuthoringError(f"{path}: {error}") from None
    if after != before:
        write_notebook(after, path)
    return after != before


def _is_hidden(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and bool(_MAGIC.match(cell.source))


def _is_solution(cell: NotebookNode) -> bool:
    # the marker alone does not count: a student may head an own cell so
    return "solution" in tags(cell) or _is_hidden(cell)


def _is_stripped(nb: NotebookNode) -> bool:
    return any("hand-in" in tags(cell) for cell in nb.cells)


def _editable(nb: NotebookNode) -> NotebookNode:
    if _is_stripped(nb):
        raise AuthoringError(
            "its solutions were stripped; copy your answers into a fresh notebook from notebooks/"
        )
    if "labkit" not in nb.metadata and not any(map(_is_solution, nb.cells)):
        raise AuthoringError("no lab notebook: it holds no solution cells of labkit")
    return copy.deepcopy(nb)


def _with_state(nb: NotebookNode, state: str) -> NotebookNode:
    if "labkit" in nb.metadata:
        nb.metadata.labkit["state"] = state
    return nb
