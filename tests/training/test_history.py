import pytest

from labkit.training.history import EarlyStopping, History, higher_is_better


def losses(*values) -> History:
    return History([{"epoch": i + 1, "val_loss": value} for i, value in enumerate(values)])


@pytest.mark.parametrize(
    ("column", "higher"),
    [("val_loss", False), ("seconds", False), ("calibration_error", False)]
    + [("val_accuracy", True), ("train_f1", True)],
)
def test_the_direction_follows_from_the_name(column, higher):
    assert higher_is_better(column) is higher


def test_best_is_the_smallest_loss_and_the_largest_accuracy():
    history = History([{"epoch": i, "loss": x, "accuracy": x} for i, x in enumerate((2, 1, 3))])
    assert history.best("loss")["epoch"] == 1
    assert history.best("accuracy")["epoch"] == 2


def test_a_history_is_a_list_and_a_table():
    history = losses(0.9, 0.7)
    assert history.column("val_loss") == [0.9, 0.7]
    assert history.to_frame()["val_loss"].tolist() == [0.9, 0.7]
    assert history[-1]["epoch"] == 2


def test_unknown_columns_and_empty_histories_are_named():
    with pytest.raises(ValueError, match=r"no column 'f1'; there are epoch, val_loss"):
        losses(1.0).best("f1")
    with pytest.raises(ValueError, match="No epoch has ended"):
        History().best("val_loss")


@pytest.mark.parametrize(
    ("values", "stops"),
    [((3, 2, 1), False), ((3, 2, 2, 2), True), ((3, 2, 2), False), ((1, 2, 3), True)],
)
def test_it_stops_after_so_many_epochs_without_improvement(values, stops):
    assert EarlyStopping(patience=2).should_stop(losses(*values)) is stops


def test_an_improvement_below_min_delta_does_not_count():
    history = losses(1.0, 0.95, 0.91, 0.5)
    assert EarlyStopping(min_delta=0.1).best_index(history) == 3
    assert EarlyStopping(min_delta=0.1).best_index(losses(1.0, 0.95, 0.91)) == 0
    assert EarlyStopping().best_index(losses(1.0, 0.95, 0.91)) == 2


def test_small_steps_add_up_to_an_improvement():
    assert EarlyStopping(min_delta=0.1).best_index(losses(1.0, 0.95, 0.85)) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        *({"patience": value} for value in (0, 2.5, "3", True)),
        *({"min_delta": value} for value in (-0.1, float("nan"), "0.1")),
    ],
)
def test_bad_rules_are_refused(wrong):
    with pytest.raises(ValueError, match="a whole number from 1, and at least 0"):
        EarlyStopping(**wrong)


def test_a_cell_shows_a_small_table():
    row = {"train_loss": 0.123456, "train_f1": 0.5, "val_accuracy": 0.9, "seconds": 1.0}
    history = History([{"epoch": epoch, **row} for epoch in range(1, 41)])
    assert len(repr(history)) < 1_000
    assert repr(history).startswith("History of 40 epochs")
    assert "0.1235" in repr(history) and "f1" not in repr(history)
    shown = [line.split()[0] for line in repr(history).splitlines()[3:]]
    assert shown == ["1", "2", "3", "34", "35", "36", "37", "38", "39", "40"]
    assert "<table" in history._repr_html_()
    assert repr(History()) == "History: no epoch has ended"
    assert "0.9" in repr(losses(0.9))
