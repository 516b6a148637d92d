import torch

import labkit as lk

RESULT = lk.Predictions([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]], [0, 1, 1], ("a", "b"), "three cells")


def test_each_rung_says_its_epochs_and_seconds():
    ladder = lk.Ladder()
    ladder.add("first", 12, RESULT, [{"seconds": 3.0}])
    table = ladder.add("second", 1234, RESULT, 2 * [{"seconds": 3.0}], " (elsewhere)")
    assert table["epochs"].tolist() == [1, 2]
    assert table["seconds"].tolist() == ["3", "6 (elsewhere)"]
    assert table.loc["second", "parameters"] == "1,234"
    assert table.loc["first", "test accuracy in %"] == "66.7"


def test_a_rung_that_is_added_again_replaces_itself():
    ladder = lk.Ladder()
    for epochs in (1, 3):
        ladder.add("first", 12, RESULT, epochs * [{"seconds": 1.0}])
    assert ladder.table()["epochs"].tolist() == [3]


def test_the_lessons_are_the_students_own():
    ladder = lk.Ladder()
    ladder.add("first", 12, RESULT, [{"seconds": 3.0}])
    assert "what it taught me" not in ladder.table()
    assert ladder.table({"first": "patience"})["what it taught me"].tolist() == ["patience"]
    assert ladder.table({})["what it taught me"].tolist() == ["…"]


def test_the_numbers_can_be_drawn():
    ladder = lk.Ladder()
    ladder.add("first", 12, RESULT, [{"seconds": 3.0}])
    assert ladder.frame().loc["first", ["parameters", "epochs"]].tolist() == [12, 1]
    assert len(lk.figures.ladder_chart(ladder.frame()).axes) == 2


def test_the_cost_is_that_of_this_machine(monkeypatch, capsys):
    for precision, seconds in (("bf16", "40 s"), ("fp32", "120 s")):
        monkeypatch.setenv("LABKIT_DEVICE", "cpu")
        monkeypatch.setenv("LABKIT_PRECISION", precision)
        lk.say_cost(40, 120)
        assert f"about {seconds} on two quiet cores in {precision}" in capsys.readouterr().out
    assert torch.device("cpu") == lk.get_device()
