"""What is known of one cell, whatever an editor made of its metadata."""

from typing import Any

from nbformat import NotebookNode

from labkit.notebook import markers

ROLES = ("setup", "exercise", "solution", "check")


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell, [] where its metadata have none."""
    found = cell.metadata.get("tags", [])
    return list(found) if isinstance(found, list) else []


def facts(node: NotebookNode) -> dict[str, Any]:
    """What labkit keeps in the metadata of a cell or notebook, {} where that is nothing."""
    found = node.metadata.get("labkit", {})
    return found if isinstance(found, dict) else {}


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
