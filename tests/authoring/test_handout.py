"""Toggling files and folders, and releases: nothing overwritten, nothing lost, each fault told."""

import shutil

import pytest
from nbformat.v4 import new_output

from labkit.authoring import AuthoringError
from labkit.authoring.build import build
from labkit.authoring.files import read_notebook, write_notebook
from labkit.authoring.handout import hand_out, toggle_paths

RELEASE = '[tool.labkit]\nrepository = "owner/name"\nrelease = "v1"\n'


@pytest.fixture
def built(course):
    build()
    return course / "notebooks" / "02_mini.ipynb"


def toggle(*paths, action="strip", out=None):
    return list(toggle_paths(paths, action, out))


def solutions_in(path):
    return [cell.id for cell in read_notebook(path).cells if "olution" in cell.source]


def change(path, edit):
    nb = read_notebook(path)
    edit({cell.id: cell for cell in nb.cells})
    write_notebook(nb, path)


def test_a_folder_is_searched_without_checkpoints_and_mirrored(course, built):
    folder = course / "submissions"
    for place in ("a.ipynb", "x y/b.ipynb", ".ipynb_checkpoints/a.ipynb", "x y/.hidden/c.ipynb"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(built, folder / place)
    before = {path: path.read_bytes() for path in folder.rglob("*.ipynb")}
    out = course / "out"
    assert toggle(folder, out=out) == [
        (True, f"{out}/a.ipynb: solutions stripped"),
        (True, f"{out}/x y/b.ipynb: solutions stripped"),
    ]
    assert {path: path.read_bytes() for path in folder.rglob("*.ipynb")} == before
    assert sorted(out.rglob("*.ipynb")) == [out / "a.ipynb", out / "x y" / "b.ipynb"]
    assert not any(map(solutions_in, out.rglob("*.ipynb")))
    assert [fine for fine, _ in toggle(folder, action="show")] == [True, True]
    assert (folder / ".ipynb_checkpoints/a.ipynb").read_bytes() == built.read_bytes()


def test_a_folder_without_notebooks_is_told(course):
    (course / "empty.ipynb").mkdir()
    ((fine, line),) = toggle(course / "empty.ipynb")
    assert not fine
    assert "this folder holds no notebooks" in line


def test_out_overwrites_nothing_and_is_no_source_itself(course, built):
    shutil.copytree(built.parent, course / "copies")
    assert toggle(course / "copies", out=course / "copies" / "out")[0][0]
    first = (course / "copies/out/02_mini.ipynb").read_bytes()
    ((fine, line),) = toggle(course / "copies", out=course / "copies" / "out", action="show")
    assert not fine
    assert "is there already: delete it, or give another --out" in line
    assert (course / "copies/out/02_mini.ipynb").read_bytes() == first
    ((fine, line),) = toggle(course / "copies/02_mini.ipynb", out=course / "copies", action="show")
    assert not fine


def test_one_bad_file_does_not_stop_the_others(course, built):
    folder = course / "many"
    folder.mkdir()
    for name in ("a", "c"):
        shutil.copy(built, folder / f"{name}.ipynb")
    (folder / "b.ipynb").write_text("{")
    (folder / "d.ipynb").mkdir()
    (folder / "e.ipynb").symlink_to("nowhere")
    said = toggle(folder, folder / "f.ipynb", action="show")
    assert [fine for fine, _ in said] == [True, False, True, False, False, False]
    for name, (fine, line) in zip("abcdef", said, strict=True):
        assert line.startswith(f"{folder / name}.ipynb: ")
        assert fine or "; " in line, "a fault names its remedy"
    assert not any(solutions_in(folder / f"{name}.ipynb") == [] for name in "ac")


@pytest.mark.parametrize("folder", ["notebooks", "solutions"])
def test_strip_refuses_the_courses_own_notebooks(course, built, folder):
    path = course / folder / "02_mini.ipynb"
    before = path.read_bytes()
    link = course / "link.ipynb"
    link.symlink_to(path)
    for given in (path, path.parent, link):
        ((fine, line),) = toggle(given)
        assert not fine
        assert "is the course's own: strip a copy of it, `labkit solutions strip" in line
        assert "--out handout`" in line
    assert path.read_bytes() == before
    assert toggle(path, out=course / "handout")[0][0]
    assert path.read_bytes() == before


def test_what_a_student_wrote_is_kept_and_named(course, built):
    path = course / "mine.ipynb"
    shutil.copy(built, path)
    change(path, lambda cells: cells["solution-2-2"].update(source="root = 'mine'"))
    ((fine, line),) = toggle(path)
    assert not fine  # it may be a solution that a formatter changed: no script hands it out
    assert line == (
        f"{path}: stripped, but not 2.2 (not the kit's own text): kept as plain cells, read them"
    )
    assert "solutions stripped" not in line
    cell = next(cell for cell in read_notebook(path).cells if cell.id == "solution-2-2")
    assert (cell.source, cell.metadata) == ("root = 'mine'", {})


@pytest.mark.parametrize("state", ["show", "hide"])
@pytest.mark.parametrize("notebook_too", [False, True])
def test_lost_metadata_are_made_up_for_by_the_kit(course, built, state, notebook_too, tmp_path):
    path = course / "mine.ipynb"
    shutil.copy(built, path)
    toggle(path, action=state)

    def forget(nb):
        for cell in nb.cells:
            cell.metadata.clear()
        if notebook_too:
            nb.metadata.clear()

    nb = read_notebook(path)
    forget(nb)
    write_notebook(nb, path)
    far = course / "far.ipynb"
    shutil.copy(path, far)
    toggle(far, action="hide")
    assert far.read_text().count("%%solution") == 2
    toggle(far, action="show")
    assert far.read_text().count("%%solution") == 0
    assert toggle(path) == [(True, f"{path}: solutions stripped")]
    assert solutions_in(path) == []


def test_without_metadata_and_without_the_kit_it_says_that_it_cannot_tell(
    course, built, tmp_path_factory, monkeypatch
):
    path = tmp_path_factory.mktemp("far") / "a.ipynb"
    nb = read_notebook(built)
    for cell in nb.cells:
        cell.metadata.clear()
    nb.metadata.labkit.lab = "77_of_nobody"
    nb.cells[1].source = nb.cells[1].source.replace("02_mini", "77_of_nobody")
    write_notebook(nb, path)
    monkeypatch.chdir(path.parent)
    before = solutions_in(path)
    ((fine, line),) = toggle(path)
    assert not fine
    assert "stripped, but not 2.1, 2.2 (there is no text of the kit to compare with)" in line
    assert solutions_in(path) == before


def test_a_release_has_the_chosen_labs_in_one_state(course, built):
    (course / "solutions/03_other.py").write_text(
        (course / "solutions/02_mini.py").read_text().replace("2.1", "3.1").replace("2.2", "3.2")
    )
    (course / "pyproject.toml").write_text(RELEASE)
    build()
    badge = "blob/v1/{}/03_other.ipynb)"
    for state, marks in (("hidden", 5), ("shown", 3), ("stripped", 0)):
        out = course / state
        assert hand_out(["03"], state, out) == [f"{out}/03_other.ipynb: solutions {state}"]
        assert [path.name for path in out.iterdir()] == ["03_other.ipynb"]
        text = (out / "03_other.ipynb").read_text()
        assert text.count("olution 3.") == marks
        assert text.count("blob/") == 1
        assert badge.format(state) in text
    assert toggle(course / "hidden", out=course / "by_hand")[0][0]
    by_hand = (course / "by_hand/03_other.ipynb").read_text()
    assert by_hand.replace("by_hand/", "stripped/") == text, "strip and build agree"
    with pytest.raises(AuthoringError, match="is there already"):
        hand_out([], "shown", course / "hidden")
    assert [path.name for path in (course / "hidden").iterdir()] == ["03_other.ipynb"]


def test_a_shown_release_has_the_instructors_outputs(course):
    build(execute=True)
    hand_out([], "shown", course / "after")
    last = read_notebook(course / "after" / "02_mini.ipynb").cells[-1]
    assert last.outputs[0].text == "the end\n"


HIDDEN = """    ### BEGIN HIDDEN TESTS
    assert add(-2, 2) == 0, "a hidden test: negative numbers"
    ### END HIDDEN TESTS
"""


def hide_a_test(course):
    source = course / "solutions" / "02_mini.py"
    source.write_text(
        source.read_text().replace("assert total == 3\n", f"assert total == 3\n{HIDDEN}")
    )


def test_hidden_tests_reach_no_student(course):
    hide_a_test(course)
    build()
    assert "hidden test" in (course / "solutions" / "02_mini.ipynb").read_text()
    assert "HIDDEN" not in (course / "notebooks" / "02_mini.ipynb").read_text()
    for state in ("hidden", "stripped", "shown"):
        hand_out(["02"], state, course / state)
        assert "HIDDEN" not in (course / state / "02_mini.ipynb").read_text()
    list(toggle_paths([course / "solutions" / "02_mini.ipynb"], "strip", course / "out"))
    assert "HIDDEN" not in (course / "out" / "02_mini.ipynb").read_text()
    nb = read_notebook(course / "hidden" / "02_mini.ipynb")
    assert next(c for c in nb.cells if c.id == "check-2-1").source.endswith("assert total == 3")


def test_hidden_tests_without_an_end_are_named(course):
    hide_a_test(course)
    source = course / "solutions" / "02_mini.py"
    source.write_text(source.read_text().replace("    ### END HIDDEN TESTS\n", ""))
    with pytest.raises(AuthoringError, match="write `### BEGIN HIDDEN TESTS` and"):
        build()


def test_a_course_says_what_is_filled_in_and_how_to_hand_in(course):
    (course / "pyproject.toml").write_text(
        '[tool.labkit.hand_in]\nfields = ["Name", "Number"]\n'
        'statement = "What others or a language model wrote is marked."\ntext = "Send it to us."\n'
    )
    for state in ("hidden", "stripped"):
        hand_out(["02"], state, course / state)
        texts = [cell.source for cell in read_notebook(course / state / "02_mini.ipynb").cells]
        assert "- **Name:** \n- **Number:** \n\nWhat others" in texts[1]
        assert (texts[-1] == "Send it to us.") == (state == "stripped")
    assert toggle(course / "hidden", out=course / "by_hand")[0][0]
    assert read_notebook(course / "by_hand" / "02_mini.ipynb").cells[-1].source == "Send it to us."
    (course / "pyproject.toml").write_text('[tool.labkit.hand_in]\nfields = "Name"\n')
    with pytest.raises(AuthoringError, match=r"hand_in\.fields is 'Name'; it takes"):
        build()


def test_what_hidden_folders_keep_is_named_where_a_folder_is_stripped(course, built):
    folder = course / "class"
    for place in ("a.ipynb", ".ipynb_checkpoints/a-checkpoint.ipynb", ".labkit/a.ipynb"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(built, folder / place)
    done, warned = toggle(folder)
    assert done == (True, f"{folder}/a.ipynb: solutions stripped")
    assert not warned[0] and "2 notebooks in hidden folders keep their solutions" in warned[1]
    shutil.rmtree(folder / ".labkit")
    shutil.rmtree(folder / ".ipynb_checkpoints")
    assert toggle(folder) == [(True, f"{folder}/a.ipynb: unchanged, already stripped")]


def test_the_instructors_outputs_are_in_no_stripped_copy(course, built):
    path = course / "solutions" / "02_mini.ipynb"
    nb = read_notebook(path)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [new_output("stream", text="the answer is 42")]
    write_notebook(nb, path)
    ((fine, _),) = toggle(path, out=course / "out")
    assert fine and "the answer is 42" not in (course / "out" / "02_mini.ipynb").read_text()
