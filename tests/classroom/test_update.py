"""`labkit update`: a student's folder gets newer labs, and the old files stay beside them."""

import contextlib
import runpy
import shutil
import socket
import subprocess
import time
from pathlib import Path

import jupytext
import pytest
from nbformat.v4 import new_code_cell

from labkit.authoring import toggle
from labkit.authoring.build import build
from labkit.authoring.cells import hidden_number, marker
from labkit.authoring.files import read_notebook, write_notebook
from labkit.authoring.handout import hand_out
from labkit.classroom.update import update, update_lab


@pytest.fixture
def work(course):
    build()
    list(update(course / "work"))
    return course / "work"


def answer(path, text):
    nb = read_notebook(path)
    next(c for c in nb.cells if marker(c) == ("exercise", "2.1")).source = text
    write_notebook(nb, path)


def change_lab(course):
    source = course / "solutions" / "02_mini.py"
    source.write_text(source.read_text().replace("# ## Add\n", "# ## Add two\n#\n# A new text.\n"))
    build()


def test_a_new_folder_gets_copies_and_a_second_call_changes_nothing(course, work):
    path = work / "02_mini.ipynb"
    before = path.read_bytes()
    assert before == (course / "notebooks" / "02_mini.ipynb").read_bytes()
    assert list(update(work)) == [(True, f"{path}: up to date")]
    assert path.read_bytes() == before


def test_a_changed_lab_keeps_the_answer_and_the_old_file(course, work):
    path = work / "02_mini.ipynb"
    answer(path, "# Exercise 2.1\nadd = 1")
    old = path.read_bytes()
    change_lab(course)
    ((fine, line),) = update(work)
    assert fine and "answers kept: 2.1" in line
    texts = [cell.source for cell in read_notebook(path).cells]
    assert "# Exercise 2.1\nadd = 1" in texts and any("A new text." in text for text in texts)
    assert (work / "02_mini.before-update-1.ipynb").read_bytes() == old


def test_a_damaged_notebook_is_left_alone_and_does_not_stop_the_others(course, work):
    (work / "00_damaged.ipynb").write_text("<<<<<<< HEAD")
    answer(work / "02_mini.ipynb", "# Exercise 2.1\nadd = 1")
    change_lab(course)
    found = list(update(work))
    assert [fine for fine, _ in found] == [False, True]
    assert (work / "00_damaged.ipynb").read_text() == "<<<<<<< HEAD"


def test_what_a_student_was_given_is_remembered_where_an_update_fails(course, work):
    lab, given = work / "02_mini.ipynb", work / ".labkit" / "02_mini.ipynb"
    whole, before = lab.read_text(), given.read_text()
    change_lab(course)
    lab.write_text(whole[:100])
    assert [fine for fine, _ in update(work)] == [False]
    assert given.read_text() == before
    lab.write_text(whole)
    assert [fine for fine, _ in update(work)] == [True]
    assert given.read_text() != before


def test_the_courses_own_folder_is_refused(course, work):
    with pytest.raises(ValueError, match="give another folder"):
        list(update(course / "notebooks"))


def test_a_notebook_updates_itself_and_says_what_to_do(course, work, monkeypatch, capsys):
    path = work / "02_mini.ipynb"
    answer(path, "# Exercise 2.1\nadd = 1")
    change_lab(course)
    monkeypatch.chdir(work)
    monkeypatch.setenv("JPY_SESSION_NAME", "/elsewhere/02_mini.ipynb")
    update_lab()
    said = capsys.readouterr().out
    assert "02_mini.ipynb: updated; answers kept: 2.1" in said and "Reload Notebook" in said
    assert any("A new text." in cell.source for cell in read_notebook(path).cells)
    update_lab()
    assert capsys.readouterr().out == "02_mini.ipynb: up to date\n"
    update_lab("gone.ipynb")
    assert capsys.readouterr().out.startswith("gone.ipynb: there is no such file")


def test_a_course_of_some_labs_hands_out_these_alone(course):
    mini = (course / "solutions" / "02_mini.py").read_text()
    for name, number in (("03_three", "3."), ("05_five", "5.")):
        source = course / "solutions" / f"{name}.py"
        source.write_text(mini.replace("2.1", f"{number}1").replace("2.2", f"{number}2"))
    build()
    (course / "pyproject.toml").write_text('[tool.labkit]\nlabs = ["02", "05"]\n')
    list(update(course / "work"))
    assert sorted(path.stem for path in (course / "work").glob("*.ipynb")) == ["02_mini", "05_five"]


def test_a_course_published_without_solutions_is_updated(course, monkeypatch):
    (course / "pyproject.toml").write_text('[tool.labkit.hand_in]\ntext = "Send it to us."\n')
    hand_out([], "stripped", course / "public" / "notebooks")
    change_lab(course)
    hand_out([], "stripped", course / "newer")
    public = course / "public"
    shutil.move(course / "pyproject.toml", public)
    shutil.rmtree(course / "solutions")
    monkeypatch.chdir(public)
    path = public / "work" / "02_mini.ipynb"
    assert list(update(public / "work")) == [(True, f"{path}: new")]
    answer(path, "# Exercise 2.1\nadd = 1")
    shutil.copy(course / "newer" / "02_mini.ipynb", public / "notebooks")
    ((fine, line),) = update(public / "work")
    texts = [cell.source for cell in read_notebook(path).cells]
    assert fine and "answers kept: 2.1" in line and texts[-1] == "Send it to us."
    assert any("A new text." in text for text in texts)


def test_what_a_student_deleted_or_opened_in_an_unchanged_lab_stays_so(course, work):
    path = work / "02_mini.ipynb"
    nb = toggle.show(read_notebook(path))
    nb.cells = [cell for cell in nb.cells if marker(cell) != ("solution", "2.2")]
    write_notebook(nb, path)
    before = path.read_bytes()
    assert list(update(work)) == [(True, f"{path}: up to date")]
    assert path.read_bytes() == before
    change_lab(course)
    assert "updated" in next(update(work))[1]
    path.write_bytes(before)  # the older file again, though the newer one was given
    source = course / "solutions" / "02_mini.py"
    source.write_text(source.read_text().replace("import math\n", "import math\nimport re\n", 1))
    build()
    assert "updated" in next(update(work))[1]


def test_solutions_stay_shown_or_hidden_whatever_the_flag_says(course, work):
    path = work / "02_mini.ipynb"
    for state, flag in ((toggle.show, "hidden"), (toggle.hide, "shown")):
        nb = state(read_notebook(path))
        nb.metadata.labkit.state = flag
        write_notebook(nb, path)
        source = course / "solutions" / "02_mini.py"
        source.write_text(source.read_text().replace("# ## Add", "# ## Add more"))
        build()
        assert "updated" in next(update(work))[1]
        hidden = [cell for cell in read_notebook(path).cells if hidden_number(cell)]
        assert len(hidden) == (2 if state is toggle.hide else 0)


def git(folder, *arguments):
    name = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    command = ["git", "-C", str(folder), *name, *arguments]
    subprocess.run(command, check=True, capture_output=True)


def publish(course):
    build()
    git(course, "add", "-A")
    git(course, "commit", "-qm", "a release")
    git(course, "push", "-q", str(course / "server" / "course.git"), "HEAD:main")


@pytest.fixture
def git_server(course):
    """The address of a git server that holds the course."""
    if not Path(shutil.which("git") or "/").resolve().exists() or not _has_daemon():
        pytest.skip("git has no daemon here")
    git(course, "init", "-q", ".")
    (course / "server").mkdir()
    git(course, "init", "-q", "--bare", "server/course.git")
    (course / ".gitignore").write_text("server/\nwork/\n")
    shutil.copy(Path(__file__).parents[2] / ".gitattributes", course)
    publish(course)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--reuseaddr", "--export-all", "--listen=127.0.0.1", f"--port={port}"]
    daemon = subprocess.Popen(["git", "daemon", *options, f"--base-path={course / 'server'}"])
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.1)
    yield f"git://127.0.0.1:{port}/course.git"
    daemon.terminate()
    daemon.wait()


def _has_daemon():
    where = subprocess.run(["git", "--exec-path"], capture_output=True, text=True).stdout.strip()
    return (Path(where) / "git-daemon").exists()


@pytest.mark.parametrize("place", ["work", "notebooks"])
def test_answers_survive_a_pull_with_the_real_nbgitpuller(
    course, git_server, monkeypatch, tmp_path_factory, place
):
    nbgitpuller = pytest.importorskip("nbgitpuller", reason="nbgitpuller is not installed")
    home = tmp_path_factory.mktemp("hub") / "course"

    def click_the_link():
        list(nbgitpuller.GitPuller(git_server, str(home), branch="main").pull())

    click_the_link()
    monkeypatch.chdir(home)
    if place == "work":
        list(update(home / "work"))
    path = home / place / "02_mini.ipynb"
    answer(path, "# Exercise 2.1\nadd = 1")
    monkeypatch.chdir(course)
    change_lab(course)
    publish(course)
    monkeypatch.chdir(home)
    click_the_link()
    assert "# Exercise 2.1\nadd = 1" in [cell.source for cell in read_notebook(path).cells]
    assert not any("<<<<<<<" in file.read_text() for file in home.rglob("*.ipynb"))
    update_lab(path)
    texts = [cell.source for cell in read_notebook(path).cells]
    assert "# Exercise 2.1\nadd = 1" in texts and any("A new text." in text for text in texts)
    click_the_link()  # and again
    assert [cell.source for cell in read_notebook(path).cells] == texts


def test_a_damaged_lab_in_gits_last_fetch_is_one_sentence(course, git_server, capsys):
    build()
    path = course / "notebooks" / "02_mini.ipynb"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    git(course, "commit", "-qam", "cut off")
    git(course, "branch", "-q", "fetched")
    git(course, "branch", "-q", "--set-upstream-to=fetched")
    path.write_bytes(whole)
    answer(path, "# Exercise 2.1\nadd = 1")
    kept = path.read_bytes()
    update_lab(path)
    assert "damaged" in capsys.readouterr().out
    assert path.read_bytes() == kept


LAB = Path(__file__).parents[2] / "solutions" / "02_mlp.py"
needs_lab_02 = pytest.mark.skipif(not LAB.exists(), reason="the course leaves lab 02 out")


def revised(text):
    """Lab 02 as it may look in mid-term: a cell more, exercise 2.3 changed, 2.5 gone."""
    nb = jupytext.reads(text, fmt="py:percent")
    numbers = [marker(cell)[1] for cell in nb.cells]
    first, last = numbers.index("2.5"), len(numbers) - 1 - numbers[::-1].index("2.5")
    while nb.cells[first - 1].cell_type == "markdown" and "2.5" not in nb.cells[first].source[:40]:
        first -= 1
    if nb.cells[last + 1].source.startswith(("<details", "<!-- Solution")):
        last += 1
    gone = nb.cells[first - 1 : last + 1]
    assert "2.5" in gone[0].source and len(gone) >= 4
    del nb.cells[first - 1 : last + 1]
    stub = next(cell for cell in nb.cells if marker(cell) == ("exercise", "2.3"))
    stub.source = stub.source.replace("\n", "\n# The loader may be empty.\n", 1)
    place = next(n for n, cell in enumerate(nb.cells) if marker(cell) == ("exercise", "2.2"))
    nb.cells.insert(place - 1, new_code_cell("inserted_in_mid_term = True"))
    return jupytext.writes(nb, fmt="py:percent")


@needs_lab_02
def test_an_update_of_lab_02_loses_no_answer(course):
    bank_file = LAB.parents[1] / "tests" / "exercises" / "bank_02_mlp.py"
    bank = runpy.run_path(str(bank_file))["RIGHT"]
    (course / "solutions" / "02_mini.py").unlink()
    source = course / "solutions" / LAB.name
    source.write_text(LAB.read_text())
    build()
    work, path = course / "work", course / "work" / "02_mlp.ipynb"
    list(update(work))
    nb, mine = read_notebook(path), []
    for cell in list(nb.cells):
        role, number = marker(cell)
        if role == "exercise":
            cell.source = bank[number][0]
            note = new_code_cell(f"my_note = 'below {number}'")
            nb.cells.insert(nb.cells.index(cell) + 1, note)
            mine += [cell.source, note.source]
    write_notebook(nb, path)
    old = path.read_bytes()
    source.write_text(revised(LAB.read_text()))
    build()
    ((fine, line),) = update(work)
    assert fine and "look again at 2.3, which changed" in line and "1 of them" in line, line
    texts = [cell.source for cell in read_notebook(path).cells]
    assert [text for text in mine if texts.count(text) != 1] == []
    assert "inserted_in_mid_term = True" in texts
    assert texts[-1] == bank["2.5"][0]
    assert (work / "02_mlp.before-update-1.ipynb").read_bytes() == old
    numbers = [marker(cell) for cell in read_notebook(path).cells]
    assert numbers.index(("exercise", "2.2")) < numbers.index(("check", "2.2"))
    assert list(update(work)) == [(True, f"{path}: up to date")]


def test_a_student_without_solutions_gets_none_by_an_update(course, work):
    path = work / "02_mini.ipynb"
    stripped = toggle.strip(read_notebook(path))
    assert stripped.cells.pop().source.startswith("## Handing in")  # the student deleted it
    write_notebook(stripped, path)
    for _ in range(2):
        change_lab(course)
        assert all(fine for fine, _ in update(work))
        for file in (path, work / ".labkit" / path.name):
            text = file.read_text()
            assert "%%solution" not in text and "return a + b" not in text


def test_a_damaged_copy_of_what_was_given_stops_no_update(course, work):
    (work / ".labkit" / "02_mini.ipynb").write_text("{")
    answer(work / "02_mini.ipynb", "# Exercise 2.1\nadd = 1")
    change_lab(course)
    ((fine, line),) = update(work)
    assert fine and "answers kept: 2.1" in line


def test_a_read_only_notebook_is_named_and_leaves_no_backup(course, work, monkeypatch):
    path = work / "02_mini.ipynb"
    answer(path, "# Exercise 2.1\nadd = 1")
    change_lab(course)
    monkeypatch.setattr("os.access", lambda file, mode: False)  # the tests may run as root
    assert list(update(work)) == [
        (False, f"{path}: is read-only: allow writing (chmod u+w) and update again")
    ]
    assert not list(work.glob("*.before-update-*"))
