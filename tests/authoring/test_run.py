"""`labkit run`: what it reports, and what it leaves in its folder."""

import base64
import os

import pytest

from labkit.authoring import AuthoringError
from labkit.authoring.files import read_notebook
from labkit.authoring.run import run, trained_since

pytestmark = pytest.mark.usefixtures("forked_kernels")

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n, the rest does not matter").decode()
CELL = f"""
import base64, os
from pathlib import Path
from types import SimpleNamespace

from IPython.display import Image, display

pixels = base64.b64decode("{PNG}")
display(Image(data=pixels, format="png"))
display({{"image/jpeg": "{PNG}"}}, raw=True)
folder = Path(os.environ["LABKIT_DATA"]) / "trained"
(folder / "new.pt").write_text("weights")
result = SimpleNamespace(
    accuracy=0.5, accuracy_interval=lambda: (0.25, 0.75), labels=range(1000), origin="official"
)
lk.report_result("test accuracy", result)
"""
LINE = "02_mini · test accuracy 50.0 % (95 % interval 25.0–75.0 %, n = 1,000) · official"


@pytest.fixture
def data(tmp_path, monkeypatch):
    trained = tmp_path / "data" / "trained"
    trained.mkdir(parents=True)
    (trained / "old.pt").write_text("old")
    os.utime(trained / "old.pt", (1, 1))
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    return trained


def test_run_reports_and_keeps(course, edit, data):
    edit('print("the end")', CELL)
    out = course / "out"
    (out / "figures").mkdir(parents=True)
    (out / "figures" / "09.png").write_text("of an earlier run")
    report = run("02", out=out)
    assert (report.passed, report.exercises) == (2, 2)
    assert [found["accuracy"] for found in report.results] == [0.5]
    assert str(report).splitlines()[0] == f"{LINE} · fast mode, not a result"
    assert str(report).splitlines()[1].startswith("02_mini: 2 of 2 exercises passed, ")
    assert (out / "results.txt").read_text(encoding="utf-8") == f"{report}\n"
    assert sorted(path.name for path in out.iterdir()) == [
        "02_mini.ipynb",
        "figures",
        "new.pt",
        "results.txt",
    ]
    assert [path.name for path in sorted((out / "figures").iterdir())] == ["01.png", "02.jpg"]
    assert (out / "figures" / "01.png").read_bytes().startswith(b"\x89PNG")
    assert not (course / "solutions/02_mini.ipynb").exists()


def test_full_mode_is_no_fast_mode(edit, data):
    edit('print("the end")', CELL)
    assert str(run("02_mini.ipynb", full=True)).startswith(f"{LINE}\n")


def test_a_failing_run_names_the_cell_and_keeps_the_notebook(course, edit):
    edit('print("the end")', "1 / 0")
    with pytest.raises(AuthoringError) as caught:
        run("02", out=course / "out")
    assert str(caught.value) == (
        "solutions/02_mini.py: cell 12, `1 / 0`, failed: ZeroDivisionError: division by zero"
    )
    nb = read_notebook(course / "out" / "02_mini.ipynb")
    assert nb.cells[-1].outputs[0].ename == "ZeroDivisionError"


def test_only_new_weights_count(data):
    assert trained_since(2) == []
    assert [path.name for path in trained_since(0)] == ["old.pt"]
