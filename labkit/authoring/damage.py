"""What is wrong with the text of a notebook file, in words for whoever has to mend it."""

import json
from typing import Any


class Fault(ValueError):
    """What keeps a text from being a notebook, where there is more to say than "no JSON"."""


def parse(text: str) -> Any:
    """What a JSON text holds.

    Raises:
        Fault: for NaN or Infinity, which Jupyter cannot open, and for conflict markers of git.
        ValueError: for any other text that is no JSON.

    Example:
        >>> parse('{"cells": []}')
        {'cells': []}
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError:
        if any(line.startswith("<<<<<<< ") for line in text.splitlines()):
            raise Fault("git left conflict markers in it, <<<<<<<") from None
        raise


def _refuse(name: str) -> None:
    raise Fault(f"it holds {name}")


def damage(content: dict[str, Any]) -> str:
    """What keeps a notebook from being read safely, "" where nothing does."""
    if type(content.get("nbformat_minor", 0)) is not int:
        return f"nbformat_minor is {content['nbformat_minor']!r}, no number"
    for number, node in enumerate([content, *content["cells"]]):
        name = f"cell {number}" if number else "the notebook"
        if not isinstance(node, dict) or not isinstance(node.get("metadata"), dict):
            return f"{name} has no metadata"
        if not isinstance(node["metadata"].get("labkit", {}), dict):
            return f"the labkit metadata of {name} are no object"
        if any(not isinstance(value, str) for value in node["metadata"].get("labkit", {}).values()):
            return f"the labkit metadata of {name} are no text"
        if not number:
            continue
        tags = node["metadata"].get("tags", [])
        if isinstance(tags, list) and any(not isinstance(tag, str) for tag in tags):
            return f"cell {number} has tags {tags!r}, which are no text"
        if node.get("cell_type") not in ("code", "markdown", "raw"):
            return f"{name} is of type {node.get('cell_type')!r}"
        source = node.get("source")
        if not isinstance(source, str | list) or any(not isinstance(s, str) for s in source):
            return f"{name} has no source"
        if node["cell_type"] == "code" and not isinstance(node.get("outputs"), list):
            return f"{name} has no list of outputs"
    return ""
