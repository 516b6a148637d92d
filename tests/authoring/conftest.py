from pathlib import Path

import pytest

MINI = (Path(__file__).parent / "mini_lab.txt").read_text()


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with one lab, and the working folder in it."""
    (tmp_path / "solutions").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "solutions" / "02_mini.py").write_text(MINI)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def edit(course):
    """Replace a text in the source of the lab; it must be there."""

    def replace(old, new, count=1):
        path = course / "solutions" / "02_mini.py"
        text = path.read_text()
        assert text.count(old) >= count, f"{old!r} is not in the source"
        path.write_text(text.replace(old, new, count))
        return path

    return replace
