"""Skeletons of a lab, or of an exercise with its bank of answers; they run as they are."""

import re
from itertools import pairwise
from pathlib import Path

from labkit.authoring import AuthoringError, files
from labkit.authoring.complete import exercises
from labkit.files import atomic
from labkit.notebook import markers

_LAB = """\
# %% [markdown]
# # Lab NN · TITLE
#
# **You will learn** what you write here.
#
# **You should know** which labs come before.
#
# **Time:** for people, and for the computer.

# %%
import numpy as np

import labkit as lk

lk.seed_everything(42)

# %%
blood = lk.load_dataset("bloodmnist", size=28)
blood

EXERCISE
# %% [markdown]
# ## The result
#
# *Replace this example:* a guesser that always says the most frequent class.

# %%
logits = np.tile(blood.train.counts(), (len(blood.test), 1))
guesser = lk.Predictions(logits, blood.test.labels, blood.classes, blood.origin)
lk.report_result("test accuracy", guesser)

# %%
lk.progress()
"""
_EXERCISE = """\
# %% [markdown]
# ### Exercise N.M: twice a number
#
# *Replace this example.* Write `double_N_M`: it returns twice the number that it is given.
#
# <details><summary>Hint: the idea</summary>
#
# Add the number to itself.
# </details>
# <details><summary>Hint: the names</summary>
#
# `x + x`, or `2 * x`.
# </details>


# %%
# Exercise N.M - twice a number
def double_N_M(x):
    raise NotImplementedError("N.M: return twice the number")


# %%
# Solution N.M
def double_N_M(x):
    return 2 * x


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Twice a number is the number added to itself.
# </details>

# %%
with lk.check("N.M", "double_N_M"):
    assert double_N_M(3) is not None, "nothing comes back: is `return` missing?"
    assert double_N_M(3) != 3, "the number comes back unchanged"
    assert double_N_M(3) == 6, f"twice 3 is 6, not {double_N_M(3)}"
    assert double_N_M(-3) == -6, "this is wrong for negative numbers"
"""
_BANK_HEAD = '''\
"""Lab NN: usual mistakes, each with a word of the message they must get, and other right ways."""

WRONG = {}
RIGHT = {}
'''
_BANK = """
WRONG["N.M"] = [
    ("# Exercise N.M\\ndef double_N_M(x): 2 * x", "is `return` missing"),
    ("# Exercise N.M\\ndef double_N_M(x): print(2 * x)", "is `return` missing"),
    ("# Exercise N.M\\ndef double_N_M(x): return x", "unchanged"),
    ("# Exercise N.M\\ndef double_N_M(x): return x**2", "not 9"),
    ("# Exercise N.M\\ndef double_N_M(x): return 2 * abs(x)", "negative numbers"),
]
RIGHT["N.M"] = [
    "# Exercise N.M\\ndef double_N_M(x): return x + x",
    "# Exercise N.M\\ndouble_N_M = lambda x: x * 2",
    "# Exercise N.M\\ndef double_N_M(x): return sum([x, x])",
]
"""


def new_lab(name: str) -> list[str]:
    """Write the source of a new lab with one exercise, and its bank; return a line a file.

    Raises:
        AuthoringError: for another form of name, or a number that is taken.

    Example:
        >>> new_lab("09_my_lab")[0]
        'solutions/09_my_lab.py: written; next `labkit build 09_my_lab`'
    """
    root = files.find_root()
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", name):
        raise AuthoringError(f"{name!r}: name a lab like 09_my_lab (number, then small letters)")
    if taken := [path.name for path in files.all_sources(root) if path.name[:2] == name[:2]]:
        raise AuthoringError(f"{name!r}: the number {name[:2]} is that of {taken[0]}; take another")
    number, title = f"{int(name[:2])}.1", name[3:].replace("_", " ")
    text = _LAB.replace("EXERCISE", _filled(_EXERCISE, number))
    _write(root / "solutions" / f"{name}.py", text.replace("NN", name[:2]).replace("TITLE", title))
    lines = [f"solutions/{name}.py: written; next `labkit build {name}`", _bank(root, name, number)]
    if name not in [path.stem for path in files.find_sources(root)]:
        lines.append(f'pyproject.toml: add "{name[:2]}" to labs, or the course leaves it out')
    return lines


def new_exercise(number: str) -> list[str]:
    """Insert an exercise behind the one before it, and its answers into the lab's bank.

    Raises:
        AuthoringError: for a number that is there already, or follows none.

    Example:
        >>> new_exercise("2.3")[0]
        'solutions/02_mini.py: exercise 2.3 after 2.2; next `labkit build 02_mini`'
    """
    root = files.find_root()
    if not re.fullmatch(r"(0|[1-9]\d*)\.[1-9]\d*", number):
        raise AuthoringError(f"{number!r}: number an exercise like 2.9 (lab, then place)")
    lab, place = map(int, number.split("."))
    (source,) = files.find_sources(root, [f"{lab:02d}"])
    there, before = exercises(source), f"{lab}.{place - 1}"
    last = max((int(found.split(".")[1]) for found in there), default=0)
    if number in there or (place > 1 and before not in there) or (place == 1 and there):
        raise AuthoringError(f"{number} does not fit into {source.name}; take {lab}.{last + 1}")
    text = source.read_text(encoding="utf-8")
    end = _end_of(text, before) if there else len(text)
    parts = [text[:end].rstrip(), _filled(_EXERCISE, number).rstrip(), text[end:].strip()]
    _write(source, "\n\n".join(filter(None, parts)) + "\n")
    name = source.stem
    where = f"exercise {number} after {before}" if there else f"exercise {number}"
    return [f"solutions/{name}.py: {where}; next `labkit build {name}`", _bank(root, name, number)]


def _end_of(text: str, exercise: str) -> int:
    """Where the check of an exercise ends, with the text solutions behind it."""
    starts = [match.start() for match in re.finditer(r"^#\s*%%.*\n", text, re.M)] + [len(text)]
    passed = False
    for start, end in pairwise(starts):
        header, _, body = text[start:end].partition("\n")
        if passed and "solution" not in header and "<!-- Solution" not in body:
            return start
        passed = passed or markers.role(body) == ("check", exercise)
    return len(text)


def _bank(root: Path, name: str, number: str) -> str:
    path = root / "tests" / "exercises" / f"bank_{name}.py"
    head = _BANK_HEAD.replace("NN", name[:2])
    text = path.read_text(encoding="utf-8") if path.exists() else head
    _write(path, text + _filled(_BANK, number))
    return f"tests/exercises/{path.name}: answers to {number}"


def _filled(skeleton: str, number: str) -> str:
    return skeleton.replace("N_M", number.replace(".", "_")).replace("N.M", number)


def _write(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
