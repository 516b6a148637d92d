"""Every rule for a source, broken once: the message names file, cell, line and remedy."""

import re

import pytest

from labkit.authoring import AuthoringError
from labkit.authoring.cells import marker, tags
from labkit.authoring.source import read_source

HINT = "<details><summary>Hint</summary>The sign is a cross.</details>"


def test_a_good_source_is_read(course):
    nb = read_source(course / "solutions" / "02_mini.py")
    assert [marker(cell) for cell in nb.cells if marker(cell)[0]] == [
        (role, number) for number in ("2.1", "2.2") for role in ("exercise", "check", "solution")
    ]


def test_the_source_may_have_the_check_above_the_solution(course):
    path = course / "solutions" / "02_mini.py"
    before = [cell.source for cell in read_source(path).cells]
    head, *cells = re.split(r"(?m)^(?=# %%)", path.read_text())
    place = next(n for n, cell in enumerate(cells) if 'lk.check("2.1"' in cell)
    cells.insert(place - 1, cells.pop(place))
    path.write_text(head + "".join(cells))
    assert [cell.source for cell in read_source(path).cells] == before


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        ('["exercise"]', '["excercise"]', "cell 4, line 22", "unknown tag 'excercise'; the tags"),
        ("# Exercise 2.1", "# Task 2.1", "cell 4, line 22", "contain one line `# Exercise N.M`"),
        ("total = ...", "# Exercise 2.1", "cell 4, line 22", "contain one line `# Exercise N.M`"),
        ('["exercise"]', '["check"]', "cell 4, line 22", "tagged 'check' must begin with"),
        ("# Solution 2.1", "y = 1\n# Solution 2.1", "cell 5", "begin with the line `# Solution"),
        (
            "# Solution 2.1",
            "# Solution 2.2",
            "cell 5",
            "the solution of 2.2 where the check or solution of 2.1",
        ),
        ('check("2.1"', 'check("2.2"', "cell 6", "the check of 2.2 where the check of 2.1"),
        (
            'with lk.check("2.1"',
            'a = 1\nwith lk.check("2.1"',
            "cell 6",
            "begin with `with lk.check",
        ),
        ("2.2", "2.0", "cell 8", "comes twice or too late; renumber it"),
        ("2.2", "2.1", "cell 8", "comes twice or too late; renumber it"),
        ("2.2", "3.1", "cell 8", "exercise 3.1 in lab 2; number it 2.…"),
        ("total = ...", "total = = 3", "cell 4", "not valid Python (its line 6: invalid syntax)"),
        ("total = ...", "return 3", "cell 4", "'return' outside function"),
        ("total = ...", "raise NotImplementedError", "cell 4", "the stub raises when it runs"),
        ("total = ...", "class A:\n    raise E", "cell 4", "the stub raises when it runs"),
        (HINT, "No hint.", "cell 4", "give a hint in <details>"),
        (
            "# <details><summary>Why?</summary>Because it is.</details>",
            "# So.",
            "cell 10",
            "inside",
        ),
        ("# Solution 2.1", "# Solution 2.1\n# Exercise 2.1", "cell 5", "and no other marker"),
        ("# Exercise 2.1", "# Exercise 2.1.1", "cell 4", "number it N.M, such as 2.1"),
        ("a + b\n", "a + = b\n", "cell 5", "the solution is not valid Python (its line 3"),
        ("== 3\n", "= = 3\n", "cell 6", "the check is not valid Python (its line 3"),
        ('"add", "total"', '"ad", "total"', "cell 6", "'ad' is assigned by neither stub nor"),
        ("# # A small", "#\n# %% [markdwon]\n# # A small", "cell 1, line 11", "says '[markdwon]'"),
        ("# %% [markdown]", "x = 1\n# %%[markdown]", "cell 1", "line '# %%[markdown]', which"),
        ("# %% [markdown]", "# %% markdown", "cell 1, line 9", "its header says 'markdown'"),
        ("[markdown] tags", "[Markdown] tags", "cell 10, line 57", "says '[Markdown]'"),
        ("tags=[", "tag=[", "cell 2, line 12", "its header says `tag=`; write `tags=[…]`"),
        ('tags=["setup"]', 'tags=["setup"', "cell 2", "its header says 'tags=[\"setup\"'"),
        (
            "# <details><summary>W",
            "# <!-- Solution 2.1 --><details>W",
            "cell 10",
            "names solution 2.1",
        ),
        ('["nbval-check-output"]', '["setup"]', "cell 12", "and no other"),
        ("import labkit as lk", "import labkit", "cell 2", "must say `import labkit as lk`"),
        ('[markdown] tags=["solution"]', '[markdown] tags=["check"]', "cell 10", "be a code cell"),
    ],
)
def test_each_broken_rule_is_named(edit, old, new, where, message):
    path = edit(old, new, count=3 if old == "2.2" else 1)
    with pytest.raises(AuthoringError) as caught:
        read_source(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: {where}")
    assert message in text
    assert "\n" not in text


def test_tags_that_follow_from_the_text_are_not_needed(course):
    path = course / "solutions" / "02_mini.py"
    before = read_source(path)
    text = re.sub(r' tags=\["(setup|exercise|check)"\]', "", path.read_text())
    text = text.replace('# %% tags=["solution"]', "# %%")
    assert text.count("tags=") == 2
    path.write_text(text)
    after = read_source(path)
    assert [(c.source, tags(c)) for c in after.cells] == [(c.source, tags(c)) for c in before.cells]
    roles = ["setup", "exercise", "check", "solution"]
    assert [tags(cell)[0] for cell in after.cells if tags(cell)][:4] == roles


@pytest.mark.parametrize("tag", [' tags=["solution"]', ""])
@pytest.mark.parametrize("comment", ["", "# <!-- Solution -->\n", "# <!-- Solution 2.2 -->\n"])
def test_a_text_solution_is_known_by_tag_or_comment(edit, tag, comment):
    old = '# %% [markdown] tags=["solution"]\n'
    path = edit(old, f"# %% [markdown]{tag}\n{comment}")
    cell = read_source(path).cells[10]
    if tag or comment:
        assert tags(cell) == ["solution"]
        assert cell.source.startswith("<!-- Solution 2.2 -->\n<details>")
    else:
        assert tags(cell) == []
        assert cell.source.startswith("<details>")


def test_a_text_solution_of_no_exercise_has_no_number(edit):
    end = 'print("the end")'
    path = edit(end, end + '\n\n# %% [markdown] tags=["solution"]\n# <details>')
    assert read_source(path).cells[-1].source == "<!-- Solution -->\n<details>"


def test_an_exercise_without_check_is_named(edit):
    path = edit('with lk.check("2.2"', 'with open("2.2"')
    with pytest.raises(AuthoringError, match="begin with `with lk"):
        read_source(path)
    text = path.read_text()
    start = text.rindex('# %% tags=["check"]')
    path.write_text(text[:start])
    with pytest.raises(AuthoringError, match=r"exercise 2\.2 has no check; add it"):
        read_source(path)


def test_raising_inside_a_function_is_allowed(edit):
    path = edit("total = ...", "f = lambda: 1\n\n\nclass A:\n    def g(self):\n        raise E")
    assert read_source(path).cells


def test_a_broken_header_is_told_in_one_line(edit):
    path = edit("# jupyter:", "# jupyter:\n#   kernelspec:\n#     name: other")
    with pytest.raises(AuthoringError, match="jupytext cannot read it") as caught:
        read_source(path)
    assert "\n" not in str(caught.value)


def test_an_empty_source_is_named(course):
    path = course / "solutions" / "02_mini.py"
    path.write_bytes(b"")
    with pytest.raises(AuthoringError, match=r"02_mini\.py: cell 1:"):
        read_source(path)


@pytest.mark.parametrize("name", ["mini.py", "2_mini.py", "02-mini.py", "02_Mini.py"])
def test_file_names(course, name):
    path = (course / "solutions" / "02_mini.py").rename(course / "solutions" / name)
    with pytest.raises(AuthoringError, match=r"name the file like 02_mlp\.py"):
        read_source(path)


def test_unreadable_source(course):
    path = course / "solutions" / "02_mini.py"
    path.write_bytes(b"# %%\n\xff\xfe")
    with pytest.raises(AuthoringError, match="save it as UTF-8"):
        read_source(path)
