"""What the source of a lab must keep. This list is the specification; a function below for each.

A fault stops `labkit build` and is named with file, cell, line and remedy. What CI asks of a lab
beyond its source stands in `complete`.

1. Headers. A cell begins with `# %%` or `# %% [markdown]`, followed by nothing or `tags=[…]`.
2. Markers. The text of a code cell says what it is: a stub contains one line `# Exercise N.M`,
   its solution begins with `# Solution N.M`, its check with `with lk.check("N.M", …):`. So two
   tags are enough: "solution" for the text of a solution, and "nbval-check-output" for a cell
   that prints the same in fast and full mode on any data. Other tags must agree with the text.
3. Texts. The text of a solution stands inside `<details>`. Among the cells of an exercise or below
   them it belongs to it; elsewhere its first line may say so: `<!-- Solution N.M -->`.
4. Set-up. The first code cell is the set-up cell; it says `import labkit as lk`.
5. Order. An exercise is a text with a hint in `<details>`, then a stub, then solution and check in
   either order: the notebook has the check directly below the stub. Numbers rise and begin with
   the lab's: in `02_mlp.py` they are 2.1, 2.2, …
6. Code. Stubs, solutions and checks are valid Python, and the top level of a stub raises nothing.
   Tests that only graders run stand at the end of a check, between `### BEGIN HIDDEN TESTS` and
   `### END HIDDEN TESTS`; without them the check is valid, too.
7. Names. What `lk.check("N.M", "name", …)` names is assigned by the stub or the solution.
"""

import ast
import re
from collections.abc import Callable, Iterator

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from labkit.authoring.cells import ROLES, marker, tags, without_hidden_tests
from labkit.notebook import markers
from labkit.notebook.answers import assigned_names

Cells = list[NotebookNode]
Faults = Iterator[tuple[int, str]]  # the number of a cell, what is wrong and what to do
TAGS = {*ROLES, "nbval-check-output"}
_FORMS = {
    "exercise": "contain one line `# Exercise N.M` and no other marker",
    "solution": "begin with the line `# Solution N.M`",
    "check": 'begin with `with lk.check("N.M", …):`',
}
_AFTER_STUB = ("check", "solution")
_SWALLOWED = re.compile(r"^(?:#\s*)?%{1,3}\s*\[[^\]\n]*\]", re.M)
_CHECK = re.compile(r"^with lk\.check\(", re.M)


def first_fault(cells: Cells, lab: str) -> tuple[int, str] | None:
    """The first broken rule: the place of the cell, and what is wrong; None where all is well.

    The cells are what jupytext read; the lab is the number that begins its exercises, "2".
    """
    return next((fault for rule in RULES for fault in rule(cells, lab)), None)


def text_solutions(cells: Cells) -> Iterator[tuple[int, str, str]]:
    """Each text solution: its place, the exercise that it names and the one it stands in."""
    current, seen = "", set()
    for place, cell in enumerate(cells):
        role, number = marker(cell)
        if role == "exercise":
            current, seen = number, {role}
        elif role:
            seen.add(role)
        elif _is_solution_text(cell):
            yield place, markers.text_role(cell.source)[1], current
        elif len(seen) == 3:
            current = ""


def _is_solution_text(cell: NotebookNode) -> bool:
    named = markers.text_role(cell.source)[0] or "solution" in tags(cell)
    return cell.cell_type == "markdown" and bool(named)


def _headers(cells: Cells, lab: str) -> Faults:
    right = "write `# %%` for code or `# %% [markdown]` for text, then nothing or tags=[…]"
    for place, cell in enumerate(cells):
        for key in ("title", "incorrectly_encoded_metadata"):
            if key in cell.metadata:
                yield place, f"its header says {cell.metadata[key]!r}; {right}"
        if wrong := [key for key in cell.metadata if re.fullmatch("(?i)tags?", key)]:
            if wrong != ["tags"]:
                yield place, f"its header says `{wrong[0]}=`; write `tags=[…]`"
        if match := _SWALLOWED.search(cell.source):
            yield place, f"it contains the line {match[0]!r}, which begins no cell; {right}"


def _markers(cells: Cells, lab: str) -> Faults:
    for place, cell in enumerate(cells):
        if unknown := sorted(set(tags(cell)) - TAGS):
            known = ", ".join(sorted(TAGS))
            yield place, f"unknown tag {unknown[0]!r}; the tags are {known}"
        if cell.cell_type != "code":
            if wrong := sorted({"setup", "exercise", "check"} & set(tags(cell))):
                yield place, f"a cell tagged {wrong[0]!r} must be a code cell"
            continue
        (role, number), lines = marker(cell), markers.lines(cell.source)
        marked = {name for name, _ in lines} | ({"check"} if _CHECK.search(cell.source) else set())
        tagged = set(tags(cell)) & set(_FORMS)
        for name in sorted(tagged | marked):
            if name != role or [name for name, _ in lines].count("exercise") > 1:
                how = "tagged" if name in tagged else "with the marker of"
                yield place, f"a cell {how} {name!r} must {_FORMS[name]}; change tag or text"
        if number and not re.fullmatch(r"\d+\.\d+", number):
            yield place, f"its marker says {number}; number it N.M, such as {lab}.1"


def _texts(cells: Cells, lab: str) -> Faults:
    for place, named, current in text_solutions(cells):
        if named and current and named != current:
            yield place, f"it names solution {named}, but stands in exercise {current}; move it"
        if "<details" not in cells[place].source:
            yield place, "put the text of a solution inside <details> … </details>"


def _setup(cells: Cells, lab: str) -> Faults:
    first = next((n for n, cell in enumerate(cells) if cell.cell_type == "code"), None)
    if first is None:
        yield 0, "there is no code: the first code cell must say `import labkit as lk`"
        return
    if "import labkit as lk" not in cells[first].source:
        yield first, "the first code cell is the set-up cell: it must say `import labkit as lk`"
    for place, cell in enumerate(cells):
        if "setup" in tags(cell) and place != first:
            yield place, "tagged 'setup', but that is the first code cell, and no other"


def _order(cells: Cells, lab: str) -> Faults:
    missing, current, last, text = set(), "", (0,), ""
    for place, cell in enumerate(cells):
        role, number = marker(cell)
        if cell.cell_type == "markdown" and not _is_solution_text(cell):
            text += cell.source
        if not role:
            continue
        wanted = missing or {"exercise"}
        if role not in wanted or (role != "exercise" and number != current):
            awaited = " or ".join(sorted(wanted)) + (f" of {current}" if missing else "")
            fault = f"the {role} of {number} where the {awaited} should be"
            yield place, f"{fault}; an exercise is stub, then check and solution"
            return  # what follows would only repeat it
        if role == "exercise":
            current, rank, missing = number, markers.rank(number), set(_AFTER_STUB)
            if number.split(".")[0] != lab:
                yield place, f"exercise {number} in lab {lab}; number it {lab}.…"
            if rank <= last:
                yield place, f"exercise {number} comes twice or too late; renumber it"
            if not ("<details" in text and "</details>" in text):
                yield place, "give a hint in <details> … </details> in the text before it"
            last, text = rank, ""
        missing.discard(role)
    if missing:
        yield (
            len(cells) - 1,
            f"exercise {current} has no {' and no '.join(sorted(missing))}; add it",
        )


def plain_python(source: str) -> str:
    """A cell without its magics, as IPython would run it."""
    return TransformerManager().transform_cell(source)


def _code(cells: Cells, lab: str) -> Faults:
    for place, cell in enumerate(cells):
        role, _ = marker(cell)
        if not role:
            continue
        name = "stub" if role == "exercise" else role
        shown = without_hidden_tests(cell.source)
        if "HIDDEN TESTS" in shown:
            yield place, "write `### BEGIN HIDDEN TESTS` and `### END HIDDEN TESTS` around tests"
        try:
            for text in dict.fromkeys((shown, cell.source)):
                code = plain_python(text)
                compile(code, f"<{name}>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as error:
            fault = f"the {name} is not valid Python (its line {error.lineno}: {error.msg})"
            yield place, f"{fault}; {'write `...` into the holes' if name == 'stub' else 'mend it'}"
            continue
        if name == "stub" and any(isinstance(node, ast.Raise) for node in _top(ast.parse(code))):
            yield place, "the stub raises when it runs; use `...`, or raise in functions"


def _top(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs when the cell runs: not the inside of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _top(child)


def _names(cells: Cells, lab: str) -> Faults:
    assigned: dict[str, set[str]] = {}
    for place, cell in enumerate(cells):
        role, number = marker(cell)
        if role in ("exercise", "solution"):
            assigned.setdefault(number, set()).update(assigned_names(plain_python(cell.source)))
        if role != "check":
            continue
        call = next(n for n in ast.walk(ast.parse(plain_python(cell.source))) if _is_check(n))
        asked = [arg.value for arg in call.args[1:] if isinstance(arg, ast.Constant)]
        if missing := [name for name in asked if name not in assigned.get(number, ())]:
            known = ", ".join(sorted(assigned.get(number, ())))
            yield place, f"{missing[0]!r} is assigned by neither stub nor solution (they: {known})"


def _is_check(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "lk.check"


RULES: tuple[Callable[[Cells, str], Faults], ...] = (
    *(_headers, _markers, _texts, _setup, _order, _code, _names),
)
