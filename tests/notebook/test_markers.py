"""The grammar of markers; that the kernel finds an exercise by it is in `test_exercise`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.notebook import markers


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("# Exercise 2.1", ("exercise", "2.1")),
        ("%%time\nx = 1\n  ## exercise 2.10 - a thing", ("exercise", "2.10")),
        ("\n# Solution 2.1\nx = 1", ("solution", "2.1")),
        ("x = 1\n# Solution 2.1", ("", "")),
        ("# Exercise 2.1\n# Solution 2.1", ("exercise", "2.1")),
        ("%%solution 2.1\nx = 1", ("solution", "2.1")),
        ("\n%%solution  2.1  ", ("solution", "2.1")),
        ("%%solution", ("", "")),
        ("%%solution 2.1 mine", ("", "")),
        ("%%solutions 2.1", ("", "")),
        ('with lk.check("2.1", "x"):', ("check", "2.1")),
        ("with lk.check(\n    '2.1', 'x'\n):", ("check", "2.1")),
        ('x = 1\nwith lk.check("2.1"):', ("", "")),
        ("# Exercise 2", ("", "")),
        ("# Exercise 2.1x", ("", "")),
        ("# see Exercise 2.1", ("", "")),
        ("# Exercise 2.1 was hard\n# Exercise 2.2 - mine", ("exercise", "2.2")),
        ("# Exercise 2.1 in my way", ("exercise", "2.1")),
        ("def f():\n    # Exercise 2.1 is used here\n    pass", ("", "")),
        ("if True:\n    # Exercise 2.1: indented", ("exercise", "2.1")),
        ("", ("", "")),
    ],
)
def test_the_role_of_a_code_cell(source, found):
    assert markers.role(source) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<!-- Solution 2.1 -->\n<details>", ("solution", "2.1")),
        ("<!--Solution-->", ("solution", "")),
        ("Text.\n<!-- Solution 2.1 -->", ("", "")),
        ("<!-- Solution of mine -->", ("", "")),
        ("# Solution 2.1", ("", "")),
    ],
)
def test_the_role_of_a_text(source, found):
    assert markers.text_role(source) == found


@given(st.text(alphabet="ab \n%#.12", max_size=30), st.sampled_from(["2.1", "10.12"]))
def test_magic_goes_and_nothing_else(body, number):
    assert markers.without_magic(f"%%solution {number}\n{body}") == body
    assert markers.hidden(f"%%solution {number}\n{body}") == number


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("%%solution 2.1 x = 5\ny", "# x = 5\ny"),
        ("%%solution mine\ny", "# mine\ny"),
        ("%%solution\ny", "y"),
        ("%%solution 2.1\r\ny", "y"),
        ("%%solution 2.1", ""),
        ("%%time\ny", "%%time\ny"),
    ],
)
def test_other_words_in_the_magic_line_become_a_comment(source, plain):
    assert markers.without_magic(source) == plain
