"""What is known of one cell, whatever an editor made of its metadata."""

import re
from collections.abc import Set
from typing import Any

from nbformat import NotebookNode

from labkit.notebook import markers
from labkit.notebook.answers import stub_hash

_HIDDEN_TESTS = re.compile(
    r"^[ \t]*### BEGIN HIDDEN TESTS\b.*?^[ \t]*### END HIDDEN TESTS\b[^\n]*\n?", re.M | re.S
)
START = re.compile(r'lk\.start_lab\("(\w+)"')  # the call that ends a set-up cell
ROLES = ("setup", "exercise", "solution", "check")


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell, [] where its metadata have none."""
    found = cell.metadata.get("tags", [])
    return list(found) if isinstance(found, list) else []


def facts(node: NotebookNode) -> dict[str, Any]:
    """What labkit keeps in the metadata of a cell or notebook, {} where that is nothing."""
    found = node.metadata.get("labkit", {})
    return found if isinstance(found, dict) else {}


def lab_of(nb: NotebookNode) -> str:
    """The lab that a notebook is of, "" where it does not say."""
    sources = [cell.source for cell in nb.cells if cell.cell_type == "code"]
    said = next(filter(None, map(START.search, sources)), None)
    return said[1] if said else str(facts(nb).get("lab", ""))


def marker(cell: NotebookNode) -> tuple[str, str]:
    r"""The role of a code cell and the number of its exercise, ("", "") for any other cell.

    Example:
        >>> marker(nbformat.v4.new_code_cell("# Exercise 2.1\nx = ..."))
        ('exercise', '2.1')
    """
    return markers.role(cell.source) if cell.cell_type == "code" else ("", "")


def set_tags(cell: NotebookNode, wanted: list[str]) -> None:
    """Give a cell these tags; without any, the entry goes."""
    if wanted:
        cell.metadata["tags"] = wanted
    else:
        cell.metadata.pop("tags", None)


def marks(cell: NotebookNode) -> list[tuple[str, str]]:
    """Every marker in a cell as role and number, also below other text."""
    if cell.cell_type == "code":
        return markers.lines(cell.source)
    return [found for found in map(markers.text_role, cell.source.splitlines()) if found[0]]


def hidden_number(cell: NotebookNode) -> str:
    """The exercise of a hidden solution, "" for any other cell."""
    return markers.hidden(cell.source) if cell.cell_type == "code" else ""


def solution_number(cell: NotebookNode) -> str:
    """The exercise whose solution a cell says it is, "" where it says none."""
    named = facts(cell).get("solution", "") or hidden_number(cell)
    return named or next((number for role, number in marks(cell) if role == "solution"), "")


def claims_solution(cell: NotebookNode) -> bool:
    """Whether metadata or magic call it a solution; a student may head an own cell as one."""
    magic = cell.cell_type == "code" and markers.is_magic(cell.source)
    return magic or "solution" in tags(cell) or bool({"solution", "reference"} & set(facts(cell)))


def is_kits_own(cell: NotebookNode, known: Set[str]) -> bool:
    """Whether it is a solution whose text has one of these hashes, so that nobody changed it."""
    role, _ = marker(cell) if cell.cell_type == "code" else markers.text_role(cell.source)
    claims = claims_solution(cell) or role == "solution"
    return claims and stub_hash(markers.without_magic(cell.source)) in known


def without_hidden_tests(source: str) -> str:
    """A check without the tests that only graders run, in nbgrader's own notation."""
    return _HIDDEN_TESTS.sub("", source).rstrip("\n")
