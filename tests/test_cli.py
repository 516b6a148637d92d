"""The commands: exit codes, and one line for every error."""

import hashlib
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


@pytest.mark.parametrize("command", [(), *((name,) for name in main.commands)])
def test_help_has_an_example(command):
    done = call(*command, "--help")
    assert done.exit_code == 0
    assert "Example: labkit" in done.stdout


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["frob"], 2, "No such command 'frob'"),
        (["--frob"], 2, "No such option"),
        (["run"], 2, "Missing argument 'LAB'"),
        (["solutions", "peel", "a.ipynb"], 2, "'peel' is not one of"),
        (["build", "--check", "--execute"], 2, "give one of them"),
        (["build", "--check"], 1, "solutions/02_mini.ipynb is missing: run `labkit build 02_mini`"),
        (["build", "07"], 1, "'07' is no lab; the labs are: 02_mini"),
        (["run", "07"], 1, "'07' is no lab; the labs are: 02_mini"),
        (["solutions", "show", "a.ipynb"], 1, "a.ipynb: there is no such file"),
        (["solutions", "show", "pyproject.toml"], 1, "not a notebook"),
        (["download", "bloodtype"], 1, "There is no data set 'bloodtype'"),
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


def test_build_toggle_and_check(course):
    assert "notebooks/02_mini.ipynb: built\n" in call("build").stdout
    assert call("build", "--check").stdout == "1 labs are up to date\n"
    path = "notebooks/02_mini.ipynb"
    assert call("solutions", "show", path).stdout == f"{path}: solutions shown\n"
    assert call("solutions", "show", path).stdout == f"{path}: unchanged, already shown\n"
    assert call("build", "--check").exit_code == 1
    assert call("solutions", "hide", path).exit_code == 0
    assert call("build", "--check").exit_code == 0
    assert call("solutions", "strip", path).exit_code == 0
    done = call("solutions", "show", path)
    assert done.exit_code == 1
    assert "its solutions were stripped" in done.stderr


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
