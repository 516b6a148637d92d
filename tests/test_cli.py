"""The commands: exit codes, and one line for every error."""

import hashlib
import importlib.metadata
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from labkit import doctor
from labkit.cli import main

MINI = Path(__file__).parent / "authoring" / "mini_lab.txt"


@pytest.fixture
def course(tmp_path, monkeypatch):
    (tmp_path / "solutions").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    shutil.copy(MINI, tmp_path / "solutions" / "02_mini.py")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*args):
    return CliRunner().invoke(main, args)


@pytest.mark.parametrize(
    "command", [(), *((name,) for name in main.commands), ("new", "lab"), ("new", "exercise")]
)
def test_help_has_an_example(command):
    done = call(*command, "--help")
    assert done.exit_code == 0
    assert "Example: labkit" in done.stdout


def test_the_version_is_that_of_the_distribution(monkeypatch):
    known = {"bloodlabs-labkit": "0.1.0"}  # PyPI's `labkit` is another project
    monkeypatch.setattr(importlib.metadata, "version", known.__getitem__)
    assert call("--version").stdout.endswith(", version 0.1.0\n")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["frob"], 2, "No such command 'frob'"),
        (["--frob"], 2, "No such option"),
        (["run"], 2, "Missing argument 'LAB'"),
        (["solutions", "peel", "a.ipynb"], 2, "'peel' is not one of"),
        (["build", "--check", "--execute"], 2, "give one of them"),
        (["build", "--check", "--out", "x"], 2, "give one of them"),
        (["build", "--solutions", "shown"], 2, "say where with --out"),
        (["build", "--labs", " ,"], 2, "--labs ' ,' names no lab: write --labs 02,05."),
        (["build", "--out", "x", "--labs", "02,07"], 1, "'07' is no lab; the labs are: 02_mini"),
        (["build", "--solutions", "open", "--out", "x"], 2, "'open' is not one of"),
        (["new", "lab", "lab"], 1, "name a lab like 09_my_lab"),
        (["new", "exercise", "2.1"], 1, "take 2.3"),
        (["new", "peel"], 2, "No such command 'peel'"),
        (["results", "07"], 1, "'07' is no lab"),
        (["results", "--seeds", "many"], 2, "'many' is not a valid integer"),
        (["build", "--check"], 1, "solutions/02_mini.ipynb is missing: run `labkit build 02_mini`"),
        (["build", "07"], 1, "'07' is no lab; the labs are: 02_mini"),
        (["run", "07"], 1, "'07' is no lab; the labs are: 02_mini"),
        (["solutions", "show", "a.ipynb"], 1, "a.ipynb: there is no such file"),
        (["solutions", "show", "pyproject.toml"], 1, "not a notebook"),
        (["download", "bloodtype"], 1, "There is no data set or network 'bloodtype'"),
        (["download", "bloodmnist", "--size", "29"], 1, "29"),
    ],
)
def test_errors_are_one_line(course, args, code, message):
    done = call(*args)
    assert done.exit_code == code
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_a_bug_is_one_line_too(monkeypatch):
    @click.command()
    def broken():
        raise KeyError("two\nlines")

    monkeypatch.setitem(main.commands, "broken", broken)
    done = call("broken")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("Error: KeyError: ")


def test_the_commands_alone_show_their_help():
    for args in ((), ("new",)):
        done = call(*args)
        assert "Example: labkit" in done.output
        assert "Error" not in done.output


def test_an_interrupt_is_one_line_and_no_traceback(monkeypatch):
    @click.command()
    def waiting():
        raise KeyboardInterrupt

    monkeypatch.setitem(main.commands, "waiting", waiting)
    done = call("waiting")
    assert done.exit_code == 1
    assert done.stderr.strip() == "Error: Abort"


def test_build_toggle_and_check(course):
    assert "notebooks/02_mini.ipynb: built\n" in call("build").stdout
    assert call("build", "--check").stdout == "1 labs are up to date\n"
    path = "notebooks/02_mini.ipynb"
    assert call("solutions", "show", path).stdout == f"{path}: solutions shown\n"
    assert call("solutions", "show", path).stdout == f"{path}: unchanged, already shown\n"
    assert call("build", "--check").exit_code == 1
    assert call("solutions", "hide", path).exit_code == 0
    assert call("build", "--check").exit_code == 0
    done = call("solutions", "strip", path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"`labkit solutions strip {path} --out handout`" in done.stderr
    done = call("solutions", "strip", path, "--out", "handout")
    assert (done.exit_code, done.stdout) == (0, "handout/02_mini.ipynb: solutions stripped\n")
    assert call("build", "--check").exit_code == 0
    done = call("solutions", "show", "handout")
    assert done.exit_code == 1
    assert "its solutions were stripped" in done.stderr
    again = "handout/02_mini.ipynb: unchanged, already stripped\n"
    assert call("solutions", "strip", "handout").stdout == again


def test_one_bad_notebook_is_one_line_and_the_others_are_done(course):
    call("build")
    Path("notebooks/01_bad.ipynb").write_text("{")
    done = call("solutions", "show", "nowhere.ipynb", "notebooks")
    assert done.exit_code == 1
    assert done.stdout == "notebooks/02_mini.ipynb: solutions shown\n"
    first, second = done.stderr.splitlines()
    assert first.startswith("Error: nowhere.ipynb: there is no such file")
    assert second.startswith("Error: notebooks/01_bad.ipynb: not a notebook")


def test_a_release_of_chosen_labs(course):
    args = ("build", "--solutions", "stripped", "--out", "handout", "--labs", "02,02_mini")
    assert call(*args).stdout == "handout/02_mini.ipynb: solutions stripped\n"
    done = call(*args)
    assert done.exit_code == 1
    assert "handout/02_mini.ipynb is there already" in done.stderr
    assert call("build", "--out", "hidden").stdout == "hidden/02_mini.ipynb: solutions hidden\n"


def test_a_course_of_some_labs(course):
    text = MINI.read_text()
    other = text.replace("2.1", "3.1").replace("2.2", "3.2")
    (course / "solutions" / "03_other.py").write_text(other)
    assert call("build").stdout.count("built") == 4
    (course / "pyproject.toml").write_text('[tool.labkit]\nlabs = ["03"]\n')
    assert call("build").stdout.count("built") == 2
    assert call("build", "--check").stdout == "1 labs are up to date\n"
    assert "'02' is no lab; the labs are: 03_other" in call("build", "02").stderr
    (course / "pyproject.toml").write_text('[tool.labkit]\nlabs = ["04"]\n')
    assert "'04' is no lab; the labs are: 02_mini, 03_other" in call("build").stderr
    for odd in ('labs = "03"', "labs = [3]", "labs = "):
        (course / "pyproject.toml").write_text(f"[tool.labkit]\n{odd}\n")
        done = call("build")
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
        assert "pyproject.toml: " in done.stderr


def test_new_lab_and_new_exercise(course):
    assert "solutions/09_my_lab.py: written" in call("new", "lab", "09_my_lab").stdout
    assert "exercise 9.2 after 9.1" in call("new", "exercise", "9.2").stdout
    assert call("build", "09").exit_code == 0


def test_results_of_chosen_labs(course, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "labkit.authoring.results.write_results", lambda *a, **k: seen.append((a, k))
    )
    assert call("results", "02", "--seeds", "3", "--elsewhere").exit_code == 0
    options = {"jobs": 1, "scheduler": None, "elsewhere": True}
    assert seen == [((("02",), 3), options)]
    assert call("results", "--seeds", "0").exit_code == 2


def test_run_prints_its_report(course):
    done = call("run", "02", "--out", "out")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("02_mini: 2 of 2 exercises passed, ")
    assert (course / "out" / "02_mini.ipynb").exists()


def test_download_says_where_the_files_are(tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "cells.npz").write_bytes(b"cells")
    digest = hashlib.sha256(b"cells").hexdigest()
    (mirror / "mirror.toml").write_text(f'[bloodmnist]\nfile = "cells.npz"\nsha256 = "{digest}"\n')
    monkeypatch.setenv("LABKIT_MIRROR", str(mirror))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    done = call("download", "bloodmnist")
    path = tmp_path / "data" / "bloodmnist.npz"
    assert done.stdout == f"bloodmnist: {path}\n", done.stderr
    assert path.read_bytes() == b"cells"
    assert call("download", "synthetic").stdout == "synthetic: is drawn, nothing to download\n"


def test_download_fetches_pretrained_weights(tmp_path, monkeypatch):
    (tmp_path / "net.pth").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    lines = f'["weights/squeezenet1_0"]\nfile = "net.pth"\nsha256 = "{digest}"\n'
    (tmp_path / "mirror.toml").write_text(lines)
    monkeypatch.setenv("LABKIT_MIRROR", str(tmp_path))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    done = call("download", "squeezenet1_0")
    assert done.stdout.startswith("squeezenet1_0: "), done.stderr
    assert call("download", "resnet18").exit_code == 1


def test_doctor_is_content_here():
    done = call("doctor")
    assert done.exit_code == 0, done.stdout
    assert all(line.startswith("[ OK ] ") for line in done.stdout.splitlines())
    for what in ("Python 3", "packages are installed", "computes on", "data folder", "python3"):
        assert what in done.stdout


def test_doctor_survives_and_names_what_is_wrong(tmp_path, monkeypatch):
    def _broken_look():
        raise RuntimeError("two\nlines")
        yield

    monkeypatch.setattr(doctor, "MIN_PYTHON", (9, 0))
    monkeypatch.setattr(doctor, "MIN_FREE_GB", 1e9)
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["numpy>=999", "no-such-thing>1"])
    monkeypatch.setenv("LABKIT_MIRROR", str(tmp_path / "nowhere"))
    looks = [doctor._python, doctor._packages, doctor._data_folder, doctor._mirror, _broken_look]
    monkeypatch.setattr(doctor, "LOOKS", looks)
    done = call("doctor")
    assert done.exit_code == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("[FAIL] ")]
    assert len(failed) == 6
    assert all(" -> " in line for line in failed)
    assert any(line.endswith('pip install "numpy>=999"') for line in failed)
    assert any("no-such-thing is not installed" in line for line in failed)
    assert any("broken look: RuntimeError: two lines" in line for line in failed)
    assert done.stderr == "Error: 6 to mend, see [FAIL] above\n"


def test_doctor_sees_a_data_folder_that_is_a_file(tmp_path, monkeypatch):
    (tmp_path / "data").write_text("")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    assert [fine for fine, _, _ in doctor._data_folder()] == [False]


def test_results_can_record_trainings_instead(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "labkit.models.recordings.write_recordings", lambda *arguments: seen.append(arguments)
    )
    assert call("results", "--record", "VGG16", "--seeds", "2").exit_code == 0
    assert seen == [(("VGG16",), 2)]
