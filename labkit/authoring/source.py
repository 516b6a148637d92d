"""Read the source of a lab (a percent script) and say exactly where it breaks the rules.

The rules: one set-up cell, the first code cell, which imports labkit as `lk`. Each exercise is
a text with a hint in `<details>`, then a stub, its solution and its check, in this order and
tagged so. A stub is valid Python, and its top level raises nothing. Numbers rise and begin with
the lab's: in `02_mlp.py` they are 2.1, 2.2, …
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import jupytext
from nbformat import NotebookNode

from labkit.authoring import AuthoringError

TAGS = {"setup", "exercise", "solution", "check", "nbval-check-output", "results"}
EXERCISE = re.compile(r"^# Exercise (\d+\.\d+)\b", re.M)
SOLUTION = re.compile(r"\A# Solution (\d+\.\d+)\b")
CHECK = re.compile(r"""\Awith lk\.check\(["'](\d+\.\d+)["']""")
_MARKERS = {"exercise": EXERCISE, "solution": SOLUTION, "check": CHECK}
_FORMS = {
    "exercise": "contain one line `# Exercise N.M`",
    "solution": "begin with the line `# Solution N.M`",
    "check": 'begin with `with lk.check("N.M", …):`',
}


def read_source(path: Path) -> NotebookNode:
    """Read and validate the percent script of a lab.

    Args:
        path: For example ``solutions/02_mlp.py``.

    Returns:
        A notebook as jupytext makes it: ids and metadata are not yet those of a built one.

    Raises:
        AuthoringError: Names the file, the cell, its line, and the remedy.

    Example:
        >>> nb = read_source(Path("solutions/02_mlp.py"))
    """
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem):
        raise AuthoringError(f"{path}: name the file like 02_mlp.py (number, then small letters)")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AuthoringError(f"{path}: cannot be read ({error}); save it as UTF-8") from None
    try:
        nb = jupytext.reads(text, fmt="py:percent")
    except Exception as error:  # jupytext, yaml and nbformat each raise their own
        reason = str(error).partition("\n")[0]
        raise AuthoringError(f"{path}: jupytext cannot read it ({reason}); mend it") from None
    # two blank lines below the header are an empty cell to jupytext
    nb.cells = [cell for cell in nb.cells if cell.source.strip()]
    lines = [n for n, line in enumerate(text.splitlines(), 1) if line.startswith("# %%")]
    try:
        for rule in (_check_tags, _check_setup, _check_stubs, _check_order):
            rule(nb.cells, str(int(path.stem[:2])))
    except _Fault as fault:
        number, message = fault.args
        line = f", line {lines[number]}" if len(lines) == len(nb.cells) else ""
        raise AuthoringError(f"{path}: cell {number + 1}{line}: {message}") from None
    return nb


class _Fault(Exception):
    """(number of the cell, what is wrong and what to do)."""


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell, also where its metadata have none.

    Args:
        cell: Any cell.

    Returns:
        Its tags.

    Example:
        >>> "solution" in tags(cell)
    """
    return list(cell.metadata.get("tags", []))


def marker(cell: NotebookNode) -> tuple[str, str]:
    """The role of a code cell and the number of its exercise, ("", "") for any other cell.

    Args:
        cell: Any cell of a validated source.

    Returns:
        For example ``("exercise", "2.1")``.

    Example:
        >>> role, exercise = marker(cell)
    """
    if cell.cell_type == "code":
        for role, pattern in _MARKERS.items():
            if role in tags(cell) and (match := pattern.search(cell.source)):
                return role, match[1]
    return "", ""


def _code(cells: list[NotebookNode]) -> Iterator[tuple[int, NotebookNode]]:
    return ((n, cell) for n, cell in enumerate(cells) if cell.cell_type == "code")


def _check_tags(cells: list[NotebookNode], lab: str) -> None:
    for number, cell in enumerate(cells):
        if unknown := set(tags(cell)) - TAGS:
            known = ", ".join(sorted(TAGS))
            raise _Fault(number, f"unknown tag {unknown.pop()!r}; the tags are {known}")
        if cell.cell_type == "code":
            continue
        if wrong := {"exercise", "check"} & set(tags(cell)):
            raise _Fault(number, f"a cell tagged {wrong.pop()!r} must be a code cell")
        if "solution" in tags(cell) and "<details" not in cell.source:
            raise _Fault(number, "put the text of a solution inside <details> … </details>")
    for number, cell in _code(cells):
        for role, pattern in _MARKERS.items():
            found = len(pattern.findall(cell.source))
            if role in tags(cell) and found != 1:
                raise _Fault(number, f"a cell tagged {role!r} must {_FORMS[role]}")
            if found and role not in tags(cell):
                raise _Fault(number, f"has the marker of a cell tagged {role!r}; add that tag")


def _check_setup(cells: list[NotebookNode], lab: str) -> None:
    code = list(_code(cells))
    setups = [number for number, cell in enumerate(cells) if "setup" in tags(cell)]
    if not code or len(setups) != 1 or setups[0] != code[0][0]:
        where = setups[1] if len(setups) > 1 else 0
        raise _Fault(where, "tag one cell 'setup': the first code cell, and no other")
    if "import labkit as lk" not in code[0][1].source:
        raise _Fault(setups[0], "the set-up cell must say `import labkit as lk`")


def _check_stubs(cells: list[NotebookNode], lab: str) -> None:
    for number, cell in _code(cells):
        if "exercise" not in tags(cell):
            continue
        try:
            compile(cell.source, "<stub>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as error:
            fault = f"the stub is not valid Python (its line {error.lineno}: {error.msg})"
            raise _Fault(number, f"{fault}; write `...` into the holes") from None
        if any(isinstance(node, ast.Raise) for node in _top_level(ast.parse(cell.source))):
            raise _Fault(number, "the stub raises when it runs; use `...`, or raise in functions")


def _top_level(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs when the cell runs: not the inside of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _top_level(child)


def _check_order(cells: list[NotebookNode], lab: str) -> None:
    expected, current, last, text = "exercise", "", (0,), ""
    for number, cell in enumerate(cells):
        role, exercise = marker(cell)
        text += cell.source if cell.cell_type == "markdown" else ""
        if not role:
            continue
        if role != expected or (role != "exercise" and exercise != current):
            wanted = "an exercise" if expected == "exercise" else f"the {expected} of {current}"
            fault = f"the {role} of {exercise} where {wanted} should be"
            raise _Fault(number, f"{fault}; the order is exercise, solution, check")
        if role == "exercise":
            current, rank = exercise, tuple(map(int, exercise.split(".")))
            if exercise.split(".")[0] != lab:
                raise _Fault(number, f"exercise {exercise} in lab {lab}; number it {lab}.…")
            if rank <= last:
                raise _Fault(number, f"exercise {exercise} comes twice or too late; renumber it")
            if not ("<details" in text and "</details>" in text):
                raise _Fault(number, "give a hint in <details> … </details> in the text before it")
            last = rank
        if role == "check":
            text = ""
        expected = {"exercise": "solution", "solution": "check", "check": "exercise"}[role]
    if expected != "exercise":
        raise _Fault(len(cells) - 1, f"exercise {current} has no {expected} cell; add it")
