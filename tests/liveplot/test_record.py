import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.liveplot.record import Record, drawable, thin


def follow(history, **options):
    record = Record(**options)
    record.histories[""] = history
    return record


def test_a_history_gives_training_and_validation_curves(make_history):
    record = follow(make_history(3))
    assert [(c.panel, c.name) for c in record.curves()] == [
        ("loss", "training"),
        ("loss", "validation"),
        ("accuracy", "training"),
        ("accuracy", "validation"),
    ]
    assert record.curves()[0].x == [1, 2, 3]
    assert record.curves()[0].y == [1, 1 / 2, 1 / 3]
    assert record.panels() == ["loss", "accuracy"]


def test_another_metric(make_history):
    assert follow(make_history(2), metric="f1").panels() == ["loss", "f1"]


def test_runs_by_name_have_a_colour_each(make_history):
    record = Record()
    record.histories = {"SGD": make_history(2), "Adam": make_history(3)}
    names = [(curve.name, curve.number) for curve in record.curves() if curve.panel == "loss"]
    assert names == [
        ("SGD training", 0),
        ("SGD validation", 0),
        ("Adam training", 1),
        ("Adam validation", 1),
    ]


def test_the_headline_says_where_training_is_and_its_best_epoch(make_history):
    record = follow(make_history(0))
    assert record.headline() == "waiting for the first epoch"
    record = follow(make_history(4, best=3))
    assert record.headline() == "epoch 4 of 10 · best validation accuracy 90.0 % (epoch 3)"


def test_values_that_a_loop_reports(make_history):
    record = Record()
    record.limit = 3
    assert record.headline() == "waiting for the first value"
    for step in range(1, 4):
        record.position = step
        record.add_value("Training loss", 1 / step)
        record.add_value("Development accuracy", 0.5)
    loss, accuracy = record.curves()
    assert (loss.panel, loss.part, loss.x) == ("loss", "training", [1, 2, 3])
    assert (accuracy.panel, accuracy.part, accuracy.y) == ("accuracy", "validation", [0.5] * 3)
    assert record.headline() == "step 3 of 3"


def test_without_ticks_each_value_is_a_step():
    record = Record()
    for _ in range(3):
        record.add_value("loss", 1.0)
    assert record.curves()[0].x == [1, 2, 3]


def test_the_description_names_last_values_and_the_weakest_class(make_history):
    text = follow(make_history(2)).description()
    assert "validation loss 0.6" in text
    assert "the lowest recall is 80 %, of basophil" in text
    assert "33 validation images" in text


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=900))
def test_thinning_keeps_ends_and_extremes_and_is_valid_json(values):
    x, y = thin(range(len(values)), values, limit=40)
    assert len(x) == len(y) <= 42
    assert x == sorted(set(x))
    assert (x[0], x[-1]) == (0, len(values) - 1)
    finite = [value for value in values if drawable(value)]
    kept = [value for value in y if value is not None]
    if len(finite) == len(values):
        assert max(kept) == pytest.approx(max(finite), rel=1e-4)
        assert min(kept) == pytest.approx(min(finite), rel=1e-4)


def test_without_validation_the_matrix_is_that_of_the_training(make_history):
    history = make_history(2)
    for epoch in history:
        for name in [name for name in epoch if name.startswith("val_")]:
            del epoch[name]
    record = follow(history)
    assert record.matrix_title() == "training images, % of a row, epoch 2"
    assert "training images" in record.description()
    assert follow(make_history(2)).matrix_title().startswith("validation images")


def test_a_class_without_images_is_not_the_weakest(make_history):
    history = make_history(1)
    matrix = history.confusion_matrices[-1].copy()
    matrix[0] = 0
    history.confusion_matrices[-1] = matrix
    recall = [row[k] / row.sum() for k, row in enumerate(matrix) if row.sum()]
    assert f"the lowest recall is {100 * min(recall):.0f} %" in follow(history).description()


def test_names_with_underscores_or_slashes_share_a_panel_and_none_is_lost_in_silence():
    record = Record()
    for name in ("train_loss", "val_loss", "acc/train", "acc/val"):
        record.add_value(name, 0.5)
    assert record.panels() == ["loss", "acc"]
    assert [c.part for c in record.curves()] == ["training", "validation"] * 2
    for name in ("precision", "recall", "f1"):
        record.add_value(name, 0.5)
    assert record.panels() == ["loss", "acc", "precision"]
    assert "no room for recall, f1" in record.headline()
    assert {curve.name for curve in record.legend()} == {
        c for c in ("train_loss", "val_loss", "acc/train", "acc/val", "precision")
    }
