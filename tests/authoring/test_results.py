import json
from dataclasses import asdict

import pytest

from labkit.authoring import AuthoringError
from labkit.authoring.results import table, write_results
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


def seeds_of(course):
    """What each run of the mini lab printed of its seed."""
    runs = sorted((course / "build" / "results" / "02_mini").iterdir())
    texts = [(run / "02_mini.ipynb").read_text() for run in runs]
    return [next(n for n in range(9) if f"seed {n} here" in text) for text in texts]


@pytest.fixture
def seeded(course, monkeypatch):
    monkeypatch.chdir(course)
    lab = course / "solutions" / "02_mini.py"
    said = "# %%\nimport os\nprint(f\"seed {os.environ['LABKIT_SEED']} here\")\n"
    lab.write_text(lab.read_text() + f"\n{said}")
    return course


def test_labs_and_seeds_run_side_by_side_and_the_first_becomes_the_notebook(seeded):
    write_results(seeds=3, jobs=2)
    assert seeds_of(seeded) == [0, 1, 2]
    first = seeded / "build" / "results" / "02_mini" / "0" / "02_mini.ipynb"
    assert (seeded / "solutions" / "02_mini.ipynb").read_bytes() == first.read_bytes()
    text = (seeded / "RESULTS.md").read_text(encoding="utf-8")
    assert "- 02_mini: 2 of 2" in text and "2 runs at a time" in text


def test_seeds_run_on_a_cluster_that_loses_a_worker(seeded, cluster):
    write_results(seeds=3, scheduler=cluster.scheduler_address)
    assert seeds_of(seeded) == [0, 1, 2]


def test_a_lab_that_fails_does_not_stop_the_others(seeded):
    lab = seeded / "solutions" / "02_mini.py"
    (seeded / "solutions" / "01_fails.py").write_text(
        lab.read_text().replace("2.1", "1.1").replace("2.2", "1.2") + "\n# %%\n1 / 0\n"
    )
    with pytest.raises(AuthoringError, match=r"01_fails.py, seed 0: cell .* ZeroDivisionError"):
        write_results()
    assert "- 02_mini: 2 of 2" in (seeded / "RESULTS.md").read_text(encoding="utf-8")


def test_labs_that_are_not_named_keep_their_rows_and_those_that_are_gone_lose_them(
    course, monkeypatch
):
    monkeypatch.setenv("LABKIT_SEED", "0")
    monkeypatch.chdir(course)
    lab = course / "solutions" / "02_mini.py"
    (course / "solutions" / "03_other.py").write_text(lab.read_text())
    runs = [asdict(report(0.5, 1))]
    before = {name: {"machine": "Abacus", "runs": runs} for name in ("03_other", "09_gone")}
    before["02_mini"] = before["03_other"] | {"elsewhere": {"an old card": runs[0]}}
    (course / "solutions" / "results.json").write_text(json.dumps(before))
    write_results(["02"])
    text = (course / "RESULTS.md").read_text(encoding="utf-8")
    assert "- 02_mini: 8 of 8 exercises; 1 s; an old card; accuracies 50.0 %" in text
    assert "- 02_mini: 2 of 2" in text
    assert "| 03_other | test accuracy | 50.00 |" in text
    assert "09_gone" not in text
    notebook = (course / "solutions" / "02_mini.ipynb").read_bytes()
    monkeypatch.setattr("labkit.authoring.results.machine", lambda: "a card")
    write_results(["02"], elsewhere=True)
    again = (course / "RESULTS.md").read_text(encoding="utf-8")
    assert again.startswith(text)
    assert "; a card, commit" in again.removeprefix(text)
    assert (course / "solutions" / "02_mini.ipynb").read_bytes() == notebook
