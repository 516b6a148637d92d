"""The order in which the cells of a submission and of the kit run when an answer is graded."""

import ast
import re
from dataclasses import dataclass

from nbformat import NotebookNode

from labkit.authoring.cells import START, marker, tags
from labkit.authoring.rules import plain_python
from labkit.classroom.merge import merge
from labkit.notebook import markers


@dataclass
class Step:
    """A cell to run: "given" by the kit, the student's "own", a "check" or a "solution"."""

    kind: str
    unit: str  # the exercise, or a name of its own for a cell of none
    source: str

    def exercises(self) -> list[str]:
        """Those that a student's cell answers: its own, and where cells were merged, others."""
        marked = [number for role, number in markers.lines(self.source) if role == "exercise"]
        return list(dict.fromkeys([self.unit, *marked])) if self.kind == "own" else []


def plan(submission: NotebookNode, lab: NotebookNode) -> list[Step]:
    """The cells to run, in the lab's order: the set-up first, an answer's check after its cells."""
    merged = merge(submission, lab)
    kit = {cell.id: cell for cell in lab.cells}
    setup = next(cell.source for cell in lab.cells if "setup" in tags(cell))
    steps: list[Step] = []
    unit, waiting = "", []
    for position, cell in enumerate(merged.nb.cells):
        if cell.cell_type == "raw" and cell.id not in kit and START.search(cell.source):
            steps.append(Step("own", "set-up", _added(cell.source, setup)))
        if cell.cell_type != "code":
            continue
        role, number = marker(cell)
        own = cell.id not in kit or (number in merged.answers and role == "exercise")
        noted = "exercise" in cell.metadata.get("labkit", {})
        own = own or (noted and cell.source != kit[cell.id].source)
        if own:
            number = str(cell.metadata.get("labkit", {}).get("exercise", ""))
            again = unit in [found for _, found in markers.lines(cell.source)]
            if waiting and unit in merged.answers and not again:  # a try of one's own behind it
                steps += waiting
                unit, waiting = "", []
        if (number and number != unit) or (not own and role not in ("solution", "check")):
            steps += waiting
            unit, waiting = number, []
            if role in ("solution", "check"):  # no cell is left of the exercise but an own one
                _claim(steps, number)
        if own:
            steps.append(Step("own", unit or f"cell {position}", cell.source))
        elif role in ("solution", "check"):
            waiting = sorted([*waiting, Step(role, number, cell.source)], key=lambda s: s.kind)
        elif not any(role and number in step.exercises() for step in steps):
            # a stub without its marker: an answer in a cell of its own may follow it
            text = "\n".join(t for t in cell.source.splitlines() if not markers.lines(t))
            steps.append(Step("given", "", text if role else cell.source))
    first = next(s for s in steps if s.source == setup)
    return [first, *(s for s in [*steps, *waiting] if s is not first)]


def _added(source: str, setup: str) -> str:
    """What a student's set-up does beside the kit's, such as an import; "" if it is no Python."""
    source = re.sub(r"\A\s*%%(time|capture)\b.*\n", "", source)
    try:
        own, known = (ast.parse(plain_python(text)).body for text in (source, setup))
    except SyntaxError:
        return ""
    kits = {ast.dump(statement) for statement in known}
    texts = [ast.unparse(statement) for statement in own if ast.dump(statement) not in kits]
    return "\n".join(text for text in texts if "start_lab(" not in text)


def _claim(steps: list[Step], number: str) -> None:
    """Count the student's cells at the end as an answer to this exercise."""
    for step in reversed(steps):
        if step.kind != "own" or not step.unit.startswith("cell "):
            break
        step.unit = number


def answers(submission: NotebookNode, lab: NotebookNode) -> dict[str, str]:
    """What a student wrote for each exercise; exercises without an answer are left out."""
    found: dict[str, list[str]] = {}
    numbers = {marker(cell)[1] for cell in lab.cells}
    for step in plan(submission, lab):
        for number in filter(numbers.__contains__, step.exercises()):
            found.setdefault(number, []).append(step.source)
    return {number: "\n\n".join(texts) for number, texts in found.items()}
