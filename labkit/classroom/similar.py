"""Answers that are the same but for their names, side by side: a hint, never a verdict."""

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SHORTEST = 30  # nodes of a syntax tree; shorter answers are alike because there is one way
_LONGEST = 20_000  # characters that are compared


@dataclass(frozen=True)
class Fingerprint:
    """What is left of an answer without its names, comments, docstrings and layout."""

    digest: str  # "" for what is no Python
    nodes: int


def fingerprint(source: str) -> Fingerprint:
    r"""Reduce an answer to its form; equal forms have equal digests.

    Args:
        source: an answer, without magics.

    Example:
        >>> fingerprint("a = b + 1  # one") == fingerprint("x = y + 1")
        True
        >>> fingerprint("a = b + 1") == fingerprint("a = b + b")
        False
    """
    try:
        tree = ast.parse(source[:_LONGEST])
        names: dict[str, str] = {}
        nodes = list(ast.walk(tree))
        for node in nodes:
            _rename(node, names)
        text = ast.dump(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Fingerprint("", 0)
    return Fingerprint(hashlib.sha256(text.encode()).hexdigest()[:12], len(nodes))


def _rename(node: ast.AST, names: dict[str, str]) -> None:
    """Give each name the number of its first appearance, and drop docstrings."""
    for field in ("id", "arg", "name", "asname"):
        value = getattr(node, field, None)
        if isinstance(value, str):
            setattr(node, field, names.setdefault(value, f"n{len(names)}"))
    body = getattr(node, "body", None)
    if isinstance(body, list):
        texts = [part for part in body if _is_text(part)]
        node.body = [part for part in body if part not in texts]


def _is_text(node: Any) -> bool:
    value = getattr(node, "value", None) if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def groups(answers: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Answers of at least two people that have one form.

    Args:
        answers: each with ``submission``, ``lab``, ``exercise``, ``source``, ``digest``, ``nodes``;
            the reference is one of them, as submission "".

    Returns:
        The groups, the largest first; a reference comes first in its group.
    """
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for answer in answers:
        if answer["digest"] and answer["nodes"] >= SHORTEST:
            key = (answer["lab"], answer["exercise"], answer["digest"])
            found.setdefault(key, []).append(answer)
    same = [group for group in found.values() if len({a["submission"] for a in group}) > 1]
    ordered = [sorted(group, key=lambda a: a["submission"]) for group in same]
    return sorted(ordered, key=lambda group: (-len(group), group[0]["lab"], group[0]["exercise"]))
