"""The page that sets all approaches side by side: its numbers are those that were measured."""

import json
from pathlib import Path

import pytest

import labkit as lk
from labkit.authoring.comparison import APPROACHES, comparison_page
from labkit.authoring.files import all_sources
from labkit.models.recordings import file_of, read

ROOT = Path(__file__).parents[2]


def run(accuracy, note, label="test accuracy"):
    result = {"label": label, "note": note, "accuracy": accuracy, "low": 0.9, "high": 0.96}
    return {"results": [result | {"n": 3421, "origin": "BloodMNIST 28 px"}], "seconds": 700.0}


def row_of(page, name):
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {name}")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_the_page_in_the_repository_is_that_of_the_results():
    measured = json.loads((ROOT / "solutions" / "results.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    assert page == comparison_page(measured)


def test_a_row_holds_the_first_seed_its_interval_and_the_range_of_all():
    runs = [
        run(0.949, "DeeperCNN, 84 s"),
        run(0.946, "DeeperCNN, 1,116 s"),
        run(0.95, "DeeperCNN, 90 s"),
    ]
    page = comparison_page({"05_cnn_ladder": {"runs": runs}})
    cells = row_of(page, "CNN with batch")
    assert cells[2:5] == [
        "94.9 (90.0–96.0); 3 seeds 94.6–95.0",
        f"{lk.models.count_parameters(lk.models.DeeperCNN()):,}",
        "84",
    ]
    assert "## BloodMNIST 28 px, n = 3,421" in page


def test_without_seconds_of_its_own_the_time_is_that_of_the_lab():
    page = comparison_page({"02_mlp": {"runs": [run(0.87, "")]}})
    assert row_of(page, "MLP (")[4] == "lab 700"


def test_a_note_may_state_the_parameters():
    measured = {"04_numpy_framework": {"runs": [run(0.97, "NumPy network, 1,234 parameters")]}}
    assert row_of(comparison_page(measured), "MLP in NumPy")[3] == "1,234"


def test_a_recording_stands_in_where_the_lab_reports_no_result():
    page = comparison_page({"05_cnn_ladder": {"runs": [run(0.95, "DeeperCNN, 90 s")]}})
    recorded = read(file_of("VGG16"))
    cells = row_of(page, "VGG16")
    assert cells[2].startswith(f"{100 * recorded.test.accuracy:.1f} (")
    assert cells[3] == f"{recorded.parameters:,}" and recorded.made["processor"] in cells[4]
    assert "VGG16" not in comparison_page({}).partition("Not measured yet")[0]


def test_an_approach_without_a_result_is_named_not_left_out():
    page = comparison_page({})
    assert all(approach.name in page for approach in APPROACHES) and "|" not in page


def test_every_lab_of_an_approach_exists():
    there = {source.stem for source in all_sources(ROOT)}
    missing = {a.lab for a in APPROACHES} - there
    left_out = {lab for lab in missing if lab[:2] not in {name[:2] for name in there}}
    assert missing == left_out
    if left_out:
        pytest.skip(f"the course leaves out {', '.join(sorted(left_out))}")
