"""A Sphinx extension: in each lab, the first use of a term of the glossary leads there."""

import re
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

_TERM = re.compile(r"^(\S[^\n]*)\n: ", re.M)
_NOT_PROSE = (nodes.literal, nodes.literal_block, nodes.math, nodes.title, nodes.reference)


def read_terms(text: str) -> list[str]:
    r"""The terms of the glossary's source, the longest first.

    Example:
        >>> read_terms("epoch\n: All images, once.\n\nloss\n: A number.\n")
        ['epoch', 'loss']
    """
    return sorted(_TERM.findall(text), key=len, reverse=True)


def first_use(text: str, terms: list[str]) -> tuple[str, int, int] | None:
    """The first term in a text, also in the plural or with a capital: its name, start and end.

    Example:
        >>> first_use("Two epochs later", ["epoch"])
        ('epoch', 4, 10)
    """
    if not terms:
        return None
    choice = "|".join(map(re.escape, terms))
    match = re.search(rf"(?<![\w-])({choice})(?:s|es)?(?![\w-])", text, re.I)
    if not match:
        return None
    name = next(term for term in terms if term.lower() == match[1].lower())
    return name, match.start(), match.end()


class GlossaryLinks(SphinxTransform):
    """Link each term once a lab, where it stands in plain text that is not folded away."""

    default_priority = 500

    def apply(self) -> None:
        """Replace first uses by references."""
        if not self.env.docname.startswith("labs/"):
            return
        left, folds = read_terms((Path(self.env.srcdir) / "glossary.md").read_text()), 0
        for node in list(self.document.findall()):
            if isinstance(node, nodes.raw):
                folds += node.astext().count("<details") - node.astext().count("</details")
            elif isinstance(node, nodes.Text) and not folds and _is_prose(node):
                _link_all(node, left)


def _is_prose(node: nodes.Node) -> bool:
    while node := node.parent:
        if isinstance(node, _NOT_PROSE):
            return False
    return True


def _link_all(node: nodes.Text, left: list[str]) -> None:
    """Link every term of a text that is still left, and strike it off the list."""
    text, new = node.astext(), []
    while found := first_use(text, left):
        term, start, end = found
        word = nodes.inline("", text[start:end], classes=["xref", "std-term"])
        link = pending_xref("", word, refdomain="std", reftype="term", reftarget=term)
        new += [nodes.Text(text[:start]), link]
        text = text[end:]
        left.remove(term)
    if new:
        node.parent.replace(node, [*new, nodes.Text(text)])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform."""
    app.add_transform(GlossaryLinks)
    return {"parallel_read_safe": True}
