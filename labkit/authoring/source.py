"""Read the source of a lab (a percent script), or say exactly where it breaks the rules.

`rules` lists what a lab must keep.
"""

import re
from pathlib import Path

import jupytext
from nbformat import NotebookNode

from labkit.authoring import AuthoringError, rules
from labkit.authoring.cells import ROLES, marker, set_tags, tags
from labkit.notebook import markers


def read_source(path: Path) -> NotebookNode:
    """Read the percent script of a lab: tags follow from the text, checks stand below the stubs.

    Raises:
        AuthoringError: names the file, the cell, its line, and the remedy.

    Example:
        >>> [marker(cell)[0] for cell in read_source(Path("solutions/02_mini.py")).cells[3:6]]
        ['exercise', 'check', 'solution']
    """
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem):
        raise AuthoringError(f"{path}: name the file like 02_mlp.py (number, then small letters)")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AuthoringError(f"{path}: cannot be read ({error}); save it as UTF-8") from None
    try:
        nb = _parse(text)
    except Exception as error:  # jupytext, yaml and nbformat each raise their own
        reason = str(error).partition("\n")[0]
        raise AuthoringError(f"{path}: jupytext cannot read it ({reason}); mend it") from None
    if fault := rules.first_fault(nb.cells, str(int(path.stem[:2]))):
        place, message = fault
        raise AuthoringError(f"{path}: cell {place + 1}{_line(text, place)}: {message}")
    return _checks_below_stubs(_with_roles(nb))


def _parse(text: str) -> NotebookNode:
    nb = jupytext.reads(text, fmt="py:percent")
    # two blank lines below the header are an empty cell to jupytext
    nb.cells = [cell for cell in nb.cells if cell.source.strip()]
    return nb


def _line(text: str, place: int) -> str:
    """Where a cell begins: jupytext does not say, so each header is given its own line number."""
    numbered = [
        f"{line} line={number}" if re.match(r"#\s*%%", line) else line
        for number, line in enumerate(text.splitlines(), 1)
    ]
    cells = _parse("\n".join(numbered)).cells[place : place + 1]  # none where a file is empty
    return "".join(f", line {cell.metadata['line']}" for cell in cells if "line" in cell.metadata)


def _with_roles(nb: NotebookNode) -> NotebookNode:
    for place, named, current in rules.text_solutions(nb.cells):
        cell, number = nb.cells[place], named or current
        if not markers.text_role(cell.source)[0]:
            cell.source = f"<!-- Solution{number and ' '}{number} -->\n{cell.source}"
        elif number != named:
            cell.source = re.sub(r"Solution\s*-->", f"Solution {number} -->", cell.source, count=1)
    setup = next(cell for cell in nb.cells if cell.cell_type == "code")
    for cell in nb.cells:
        derived = "setup" if cell is setup else (marker(cell)[0] or _text_role(cell))
        others = [tag for tag in tags(cell) if tag not in ROLES]
        set_tags(cell, [derived, *others] if derived else others)
    return nb


def _checks_below_stubs(nb: NotebookNode) -> NotebookNode:
    """The verdict belongs where the student types; the source may read in the other order."""
    checks = {marker(cell)[1]: cell for cell in nb.cells if marker(cell)[0] == "check"}
    cells = []
    for cell in nb.cells:
        role, number = marker(cell)
        if role != "check":
            cells.append(cell)
        if role == "exercise":
            cells.append(checks[number])
    nb.cells = cells
    return nb


def _text_role(cell: NotebookNode) -> str:
    return markers.text_role(cell.source)[0] if cell.cell_type == "markdown" else ""
