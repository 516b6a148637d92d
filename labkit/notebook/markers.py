"""The one grammar of what marks a cell, for the kernel, `labkit build` and the toggles alike.

    exercise   a line `# Exercise 2.1`, anywhere in the cell; one that goes on, as in
               `# Exercise 2.1 was hard`, only where no other line is one, and not indented
    solution   the first line `# Solution 2.1`; where it is hidden, `%%solution 2.1` above it;
               of a text, the first line `<!-- Solution 2.1 -->` or, of no exercise, without number
    check      the first line `with lk.check("2.1", …`

So the text of a cell says what it is, also where an editor has dropped all metadata.
"""

import re

_NUMBER = r"(\d+(?:\.\d+)+)\b"
_LINE = re.compile(rf"^([ \t]*)#+[ \t]*(Exercise|Solution)[ \t]+{_NUMBER}(.*)$", re.I | re.M)
_ENDS = re.compile(r"\s*($|[^\w\s])")  # nothing, or a title behind a dash or a colon
_FIRST = {
    "solution": re.compile(rf"\A\s*#+[ \t]*Solution[ \t]+{_NUMBER}", re.I),
    "check": re.compile(rf"""\A\s*with lk\.check\(\s*["']{_NUMBER}"""),
}
_TEXT = re.compile(rf"\A\s*<!--[ \t]*Solution(?:[ \t]+{_NUMBER})?[ \t]*-->", re.I)
_MAGIC = re.compile(rf"\A\s*%%solution\b[ \t]*(?:{_NUMBER})?[ \t\r]*([^\r\n]*)\r?\n?")


def lines(source: str) -> list[tuple[str, str]]:
    """Every `# Exercise 2.1` and `# Solution 2.1` in a code cell, as role and number, in order."""
    found = _LINE.findall(source)
    plain = [(word.lower(), number) for _, word, number, rest in found if _ENDS.match(rest)]
    return plain or [(word.lower(), number) for indent, word, number, _ in found if not indent]


def role(source: str) -> tuple[str, str]:
    """What a code cell is, and of which exercise; ("", "") where no marker says so.

    Example:
        >>> role("# Exercise 2.1 - the network"), role("x = 1")
        (('exercise', '2.1'), ('', ''))
    """
    if number := hidden(source):
        return "solution", number
    for name, pattern in _FIRST.items():
        if match := pattern.match(source):
            return name, match[1]
    return next((found for found in lines(source) if found[0] == "exercise"), ("", ""))


def rank(number: str) -> tuple[int, ...]:
    """A number by which exercises can be sorted.

    Example:
        >>> sorted(["2.10", "2.9"], key=rank)
        ['2.9', '2.10']
    """
    return tuple(map(int, number.split(".")))


def text_role(source: str) -> tuple[str, str]:
    """The same for a markdown cell; the number is "" for a solution of no exercise."""
    match = _TEXT.match(source)
    return ("solution", match[1] or "") if match else ("", "")


def hidden(source: str) -> str:
    """The number of a cell that begins with ``%%solution 2.1``, else ""."""
    match = _MAGIC.match(source)
    return match[1] or "" if match and not match[2] else ""


def without_magic(source: str) -> str:
    r"""The cell without its line ``%%solution 2.1``; what else that line says stays as a comment.

    Example:
        >>> without_magic("%%solution 2.1\nx = 1")
        'x = 1'
    """
    match = _MAGIC.match(source)
    if not match:
        return source
    note = f"# {match[2]}\n" if match[2] else ""
    return note + source[match.end() :]


def is_magic(source: str) -> bool:
    """Whether a cell begins with ``%%solution``, rightly written or not."""
    return bool(_MAGIC.match(source))
