import json
from dataclasses import asdict

from labkit.authoring.results import measure, table, write_results
from labkit.authoring.run import Report


def report(accuracy: float, seconds: float) -> Report:
    result = {"label": "test accuracy", "accuracy": accuracy, "low": 0.8, "high": 0.9, "n": 3421}
    return Report("02_mlp", [result | {"origin": "rebuilt", "note": "8 views"}], 8, 8, seconds)


def test_a_row_holds_mean_spread_interval_and_n():
    runs = [asdict(report(0.85, 60)), asdict(report(0.87, 62))]
    text = table({"02_mlp": {"machine": "Abacus, 2 threads", "runs": runs}})
    cells = [cell.strip() for cell in text.splitlines()[0].strip("|").split("|")]
    assert cells[:4] == ["02_mlp", "test accuracy", "86.00", "2"]
    assert cells[4:] == ["85.00–87.00", "80.0–90.0", "3,421", "rebuilt", "8 views"]
    assert "- 02_mlp: 8 of 8 exercises; 60 s, 62 s; Abacus, 2 threads" in text


def test_a_lab_is_run_with_each_seed_and_its_notebook_kept(course, monkeypatch):
    monkeypatch.setenv("LABKIT_SEED", "0")
    monkeypatch.chdir(course)
    out = course / "build" / "results" / "02_mini"
    reports = measure(course / "solutions" / "02_mini.py", 2, out)
    assert [r.passed for r in reports] == [2, 2]
    kept = course / "solutions" / "02_mini.ipynb"
    assert kept.read_bytes() == (out / "0" / "02_mini.ipynb").read_bytes()


def test_labs_that_are_not_named_keep_their_rows_and_those_that_are_gone_lose_them(
    course, monkeypatch
):
    monkeypatch.setenv("LABKIT_SEED", "0")
    monkeypatch.chdir(course)
    lab = course / "solutions" / "02_mini.py"
    (course / "solutions" / "03_other.py").write_text(lab.read_text())
    runs = [asdict(report(0.5, 1))]
    before = {name: {"machine": "Abacus", "runs": runs} for name in ("03_other", "09_gone")}
    (course / "solutions" / "results.json").write_text(json.dumps(before))
    write_results(["02"])
    text = (course / "RESULTS.md").read_text(encoding="utf-8")
    assert "- 02_mini: 2 of 2" in text
    assert "| 03_other | test accuracy | 50.00 |" in text
    assert "09_gone" not in text
