"""Show, hide or strip the solutions of a notebook, and lose nothing that a student wrote.

shown      a solution is a plain cell that begins with `# Solution 2.1`
hidden     it is collapsed, and its first line is `%%solution 2.1`
stripped   it is gone; a last cell says how to hand in

The state follows from the cells. Whether a solution is still the kit's own follows from the hash
in its metadata (`labkit.reference`), from those of the other cells, and from the kit itself. What
is not the kit's own is never deleted: `strip` makes a plain cell of it and says so. VS Code does
not read from the file that a cell is collapsed; `build` begins solutions with a line that warns.
"""

import copy
from collections.abc import Callable, Iterator, Set
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from labkit.authoring import AuthoringError
from labkit.authoring.cells import (
    claims_solution,
    facts,
    hidden_number,
    is_kits_own,
    marker,
    marks,
    set_tags,
    solution_number,
    tags,
)
from labkit.authoring.files import read_notebook, write_notebook
from labkit.authoring.steps import add_badge, drop_badge, drop_hidden_tests
from labkit.notebook import markers

HAND_IN = """## Handing in

Restart the kernel and run all cells, so that every output comes from the code above it. Save the \
notebook and hand in this one file, with its outputs. The results that you report must come from \
your own runs: keep the cells and the outputs that show them."""
NOTHING: frozenset[str] = frozenset()


def show(nb: NotebookNode) -> NotebookNode:
    """A copy of the notebook with every solution in a plain cell.

    Raises:
        AuthoringError: where the solutions were stripped, or it is no lab.
    """
    nb = _editable(nb)
    for cell in filter(hidden_number, nb.cells):
        number = hidden_number(cell)
        cell.source = markers.without_magic(cell.source)
        # an editor may have lost these; without them there is no way back
        if "solution" not in tags(cell):
            set_tags(cell, [*tags(cell), "solution"])
        if not solution_number(cell):
            cell.metadata["labkit"] = NotebookNode({**facts(cell), "solution": number})
        _unfold(cell)
    return _with_state(nb, "shown")


def hide(nb: NotebookNode, kit: Set[str] = NOTHING) -> NotebookNode:
    """A copy of the notebook with every solution collapsed and run only where it is needed.

    `kit` has hashes of the kit's own solutions, for a notebook whose metadata were lost.

    Raises:
        AuthoringError: where the solutions were stripped, it is no lab, or one has no number.
    """
    nb = _editable(nb)
    known = references(nb) | kit
    for cell, above in _with_exercise(nb):
        if cell.cell_type != "code" or not (claims_solution(cell) or is_kits_own(cell, known)):
            continue
        if not markers.is_magic(cell.source):
            if not (number := solution_number(cell) or above):
                name = cell.get("id", "without id")
                raise AuthoringError(f"cell {name}: put the line `# Solution N.M` back at its top")
            cell.source = f"%%solution {number}\n{cell.source}"
        jupyter = cell.metadata.get("jupyter")
        folded = {**(jupyter if isinstance(jupyter, dict) else {}), "source_hidden": True}
        cell.metadata |= {"cellView": "form", "jupyter": NotebookNode(folded)}
    return _with_state(nb, "hidden")


def strip(nb: NotebookNode, kit: Set[str] = NOTHING, text: str = "") -> NotebookNode:
    """A copy of the notebook without the kit's solutions, with a last cell on how to hand in.

    What somebody wrote into a solution stays as a plain cell; `left_over` lists it. The badge goes:
    it leads to the notebook with solutions. `kit` is that of `hide`; `text` is the last cell's, the
    kit's own if not given.

    Raises:
        AuthoringError: where it is no lab.
    """
    nb = drop_badge(_lab(nb))
    known = references(nb) | kit
    nb.cells = [cell for cell in nb.cells if not is_kits_own(cell, known)]
    for cell in filter(claims_solution, nb.cells):
        _make_plain(cell)
    if not (is_stripped(nb) or _has_heading(nb)):
        last = new_markdown_cell(text or HAND_IN, id="hand-in", metadata={"tags": ["hand-in"]})
        if nb.get("nbformat_minor", 0) < 5:
            del last["id"]
        nb.cells.append(last)
    return _with_state(nb, "stripped")


def references(nb: NotebookNode) -> frozenset[str]:
    """The hashes of the kit's solutions that a notebook carries in its metadata."""
    found = (facts(cell).get("reference") for cell in nb.cells)
    return frozenset(value for value in found if isinstance(value, str))


def left_over(nb: NotebookNode, action: str, kit: Set[str] = NOTHING) -> list[str]:
    """The numbers of the cells that an action leaves alone though they are marked as solutions.

    To `strip` these are cells that hold something else than the kit's own text; to `hide`, cells
    that only their text calls solutions. One without number takes that of its exercise.
    """
    known, found = references(nb) | kit, []
    for cell, above in _with_exercise(nb):
        claimed = claims_solution(cell)
        if action == "strip":
            left = claimed or "solution" in [role for role, _ in marks(cell)]
        else:
            left = action == "hide" and not claimed and marker(cell)[0] == "solution"
        if left and not is_kits_own(cell, known):
            of_none = "reference" in facts(cell)
            found.append(solution_number(cell) or ("" if of_none else above) or "without number")
    return found


def _with_exercise(nb: NotebookNode) -> Iterator[tuple[NotebookNode, str]]:
    """Each cell with the number of the exercise above it."""
    above = ""
    for cell in nb.cells:
        role, number = marker(cell)
        above = number if role == "exercise" else above
        yield cell, above


def is_stripped(nb: NotebookNode) -> bool:
    """Whether the last cell of `strip` is there."""
    if any("hand-in" in tags(cell) for cell in nb.cells):
        return True
    # an editor may have lost the tag; but a student may write such a heading, too
    return _has_heading(nb) and not any(map(claims_solution, nb.cells))


def _has_heading(nb: NotebookNode) -> bool:
    texts = [cell.source for cell in nb.cells if cell.cell_type == "markdown"]
    return any(text.startswith("## Handing in\n") for text in texts)


def _make_plain(cell: NotebookNode) -> None:
    if cell.cell_type == "code":
        cell.source = markers.without_magic(cell.source)
    set_tags(cell, [tag for tag in tags(cell) if tag != "solution"])
    own = {k: v for k, v in facts(cell).items() if k not in ("solution", "reference")}
    cell.metadata.pop("labkit", None)
    cell.metadata |= {"labkit": NotebookNode(own)} if own else {}
    _unfold(cell)


def _unfold(cell: NotebookNode) -> None:
    cell.metadata.pop("cellView", None)
    jupyter = cell.metadata.get("jupyter")
    if isinstance(jupyter, dict):
        jupyter.pop("source_hidden", None)
    if not jupyter:
        cell.metadata.pop("jupyter", None)


def _lab(nb: NotebookNode) -> NotebookNode:
    """A copy of the notebook, if it is one of a lab."""
    if not (facts(nb) or any(claims_solution(cell) or marker(cell)[0] for cell in nb.cells)):
        raise AuthoringError("no lab notebook: it holds no solution cells of labkit")
    return copy.deepcopy(nb)


def _editable(nb: NotebookNode) -> NotebookNode:
    if is_stripped(nb):
        raise AuthoringError(
            "its solutions were stripped; copy your answers into a fresh notebook from notebooks/"
        )
    return _lab(nb)


def _with_state(nb: NotebookNode, state: str) -> NotebookNode:
    if facts(nb):
        nb.metadata.labkit["state"] = state
    return nb


STATES: dict[str, Callable[[NotebookNode, Set[str], str], NotebookNode]] = {
    "show": lambda nb, kit, text: show(nb),
    "hide": lambda nb, kit, text: drop_hidden_tests(hide(nb, kit)),
    "strip": lambda nb, kit, text: drop_hidden_tests(strip(nb, kit, text)),
}


def toggle_file(
    path: Path,
    action: str,
    target: Path | None = None,
    kit: Set[str] = NOTHING,
    text: str = "",
    bare: bool = False,
) -> bool:
    """Toggle a notebook file, in place or into another file.

    Args:
        path: the notebook; line ends, byte-order mark, rights and links stay as they are.
        action: "show", "hide" or "strip".
        target: where to write instead.
        kit: as for `hide`.
        text: as for `strip`.
        bare: whether to drop all outputs, which show what the references gave.

    Returns:
        Whether the notebook changed.

    Raises:
        AuthoringError: for a file that is no lab notebook, or one that was stripped.

    Example:
        >>> toggle_file(Path("notebooks/02_mini.ipynb"), "show")
        True
    """
    before = read_notebook(path)
    try:
        after = STATES[action](before, kit, text)
    except AuthoringError as error:
        raise AuthoringError(f"{path}: {error}") from None
    if target and action == "strip":
        after = add_badge(after, target)
    for cell in after.cells if bare else ():
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if target or after != before:
        write_notebook(after, target or path, like=path)
    return after != before
