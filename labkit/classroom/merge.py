"""A student's notebook and a newer one of the same lab, brought together: nothing written is lost.

The order is that of the newer lab. An answer takes the place of its exercise's stub; every other
cell that is not the kit's own text stays behind the cell that it stood behind. What has no place
any more comes last. A cell is the kit's where its text is in the newer lab or in the copy that the
student was given, or where a hash in the notebook says so; in doubt it is the student's.
"""

import copy
import re
from dataclasses import dataclass, field

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from labkit.authoring import toggle
from labkit.authoring.cells import START, facts, is_kits_own, marker, tags
from labkit.authoring.steps import text_id
from labkit.notebook import markers
from labkit.notebook.answers import stub_hash

_STUB = re.compile(r'(\d+(?:\.\d+)+)(?:": "|:)([0-9a-f]{6,12})')  # as `start_lab` has them
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
STATEMENT = "statement"  # the cell with name and declaration: students fill it in like a stub
LAST = "## From your earlier notebook\n\nThese cells have no place in the newer lab."


@dataclass
class Merged:
    """What became of a student's notebook."""

    nb: NotebookNode
    answers: list[str] = field(default_factory=list)  # exercises that the student answered
    changed: list[str] = field(default_factory=list)  # of these, those that ask something else now
    own: int = 0  # other cells that the student wrote
    last: int = 0  # of these, those without a place


def merge(old: NotebookNode, new: NotebookNode, given: NotebookNode | None = None) -> Merged:
    """Bring a student's notebook and a newer one of the same lab together.

    Args:
        old: the student's notebook.
        new: the newer lab, untouched, with solutions as the student's has them.
        given: the copy that the student was given, if it is known.

    Returns:
        The merged notebook and what was done; the arguments stay as they are.
    """
    old, new = copy.deepcopy(old), copy.deepcopy(new)
    kit, known = _Kit(old, new, given), Merged(new)
    after: dict[int, list[NotebookNode]] = {}
    last: list[NotebookNode] = []
    answers: dict[str, NotebookNode] = {}
    at, met = -1, set()  # the cell of the newer lab behind which we stand; those that were met
    for position, cell in enumerate(old.cells):
        number, place = kit.exercise(cell), kit.place(cell)
        if kit.wrote(cell) and place in met:  # a copy takes nothing along, wherever it stands
            continue
        at = kit.before_next(old.cells[position:], at) if place is None else place
        met.add(at if place is not None else None)
        if kit.wrote(cell):
            _keep_outputs(cell, new.cells[at] if place is not None else None)
        elif number and number in kit.stubs and number not in answers:
            answers[number] = cell
        elif number and number not in kit.stubs:
            last.append(_own(cell))
            last[-1].metadata["labkit"] = NotebookNode(exercise=number)  # last again next time
        else:
            after.setdefault(at, []).append(_own(cell))
    known.answers, known.last = sorted({*answers} - {STATEMENT}, key=markers.rank), len(last)
    known.own = sum(map(len, after.values())) + len(last)
    cells = list(after.get(-1, []))
    for index, cell in enumerate(new.cells):
        number = kit.exercise(cell)
        if number in answers:
            cells += _answer(answers[number], cell, kit, known)
        # an answer without its marker line follows the text above: a stub would overwrite it
        elif not (number in kit.unmarked and _holds_code(after.get(index - 1, []))):
            cells.append(cell)
        cells += after.get(index, [])
    cells += ([new_markdown_cell(LAST)] if last else []) + last
    new.cells = _with_ids(cells, [*new.cells, *answers.values()])
    new.metadata = NotebookNode({**old.metadata, **new.metadata})
    return known


class _Kit:
    """Which cells are the kit's own, and where they stand in the newer lab."""

    def __init__(self, old: NotebookNode, new: NotebookNode, given: NotebookNode | None) -> None:
        self.marked: set[str] = set()  # exercises with an answer that says so itself
        labs = [new, *([given] if given else [])]
        self.texts = {_text(cell) for lab in labs for cell in lab.cells} | {("markdown", LAST)}
        self.references = frozenset().union(*map(toggle.references, (old, *labs)))
        code = [cell.source for cell in (*old.cells, *(given.cells if given else ()))]
        self.before = dict(
            pair for text in code if START.search(text) for pair in _STUB.findall(text)
        )
        self.unmarked = set(self.before) - {self.exercise(cell) for cell in old.cells}
        noted = {str(facts(cell).get("stub") or None) for cell in old.cells}
        self.stubs = {n: stub_hash(cell.source) for cell in new.cells if (n := self.exercise(cell))}
        self.hashes = tuple(noted | {*self.before.values(), *self.stubs.values()})
        self.marked = {marker(c)[1] for c in old.cells if self.exercise(c) and not self.wrote(c)}
        self.ids = {cell.get("id") for cell in (given.cells if given else ())}
        self._by_id = {cell.id: index for index, cell in enumerate(new.cells)}
        self._by_text = {_text(cell): index for index, cell in enumerate(new.cells)}

    def exercise(self, cell: NotebookNode) -> str:
        """The exercise whose stub or answer this is; an editor may have taken the marker away."""
        if cell.cell_type == "markdown" and STATEMENT in tags(cell):
            return STATEMENT
        role, number = marker(cell)
        if cell.cell_type != "code" or role in ("solution", "check") or START.search(cell.source):
            return ""
        noted = facts(cell).get("exercise")
        # a copy of an answer carries its metadata, whatever it was made into
        return number or (noted if isinstance(noted, str) and noted not in self.marked else "")

    def wrote(self, cell: NotebookNode) -> bool:
        """Whether the kit wrote the cell, and nobody changed it."""
        if _text(cell) in self.texts or is_kits_own(cell, self.references):
            return True
        if self.exercise(cell):
            return stub_hash(cell.source).startswith(self.hashes)
        return cell.get("id") == text_id(cell.source)

    def place(self, cell: NotebookNode) -> int | None:
        """Where the cell stands in the newer lab, None where it does not."""
        number = self.exercise(cell)
        if number in self.stubs:
            return self._by_id.get(f"exercise-{number.replace('.', '-')}")
        return self._by_text.get(_text(cell), self._by_id.get(cell.get("id")))

    def before_next(self, rest: list[NotebookNode], at: int) -> int:
        """Where we stand after the first of these cells, which has no place in the newer lab.

        One that the course has changed stood before the next cell that has a place.
        """
        cell, *others = rest
        if not (self.wrote(cell) or (cell.get("id") and cell["id"] in self.ids)):
            return at
        places = (place for place in map(self.place, others) if place is not None)
        return max(at, next(places, at + 1) - 1)


def _text(cell: NotebookNode) -> tuple[str, str]:
    return cell.cell_type, cell.source.strip()


def _holds_code(cells: list[NotebookNode]) -> bool:
    return any(cell.cell_type == "code" for cell in cells)


def _keep_outputs(cell: NotebookNode, twin: NotebookNode | None) -> None:
    if twin and cell.cell_type == "code" and _text(twin) == _text(cell):
        twin.outputs, twin.execution_count = cell.outputs, cell.get("execution_count")


def _own(cell: NotebookNode) -> NotebookNode:
    """A student's cell; what would undo the newer lab (an old set-up, a check) becomes text."""
    if cell.cell_type == "code":
        cell.source = markers.without_magic(cell.source)
        if START.search(cell.source) or marker(cell)[0] == "check":
            cell.cell_type = "raw"
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
    noted = {"labkit", "jupyter", "cellView", "tags"}
    cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k not in noted})
    return cell


def _answer(cell: NotebookNode, stub: NotebookNode, kit: _Kit, known: Merged) -> list[NotebookNode]:
    number = kit.exercise(stub)
    was = kit.before.get(number) or facts(cell).get("stub")
    cell.metadata, cell["id"] = stub.metadata, stub.id
    if was is None or kit.stubs[number].startswith(str(was)):
        return [cell]
    known.changed.append(number)
    note = f"**Exercise {number} has changed since your answer.** It begins so now:"
    return [new_markdown_cell(f"{note}\n\n```python\n{stub.source}\n```"), cell]


def _with_ids(cells: list[NotebookNode], kit: list[NotebookNode]) -> list[NotebookNode]:
    """Every cell with an id of its own; those of the kit, and of answers in its place, stay."""
    taken, ours = {cell.id for cell in kit}, {id(cell) for cell in kit}
    for number, cell in enumerate(cells):
        name = str(cell.get("id", ""))
        if id(cell) in ours:
            continue
        if not _ID.fullmatch(name) or name in taken:
            name = f"own-{number}"
            while name in taken:
                name += "-"
        cell["id"] = name
        taken.add(name)
    return cells
