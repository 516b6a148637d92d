import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from labkit.metrics import Predictions

CLASSES = ("basophil", "eosinophil", "monocyte", "platelet")


def random_predictions(seed=0, count=300, indices=None, skill=1.0) -> Predictions:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count)
    logits = random.normal(size=(count, 4)) * 2
    logits[np.arange(count), labels] += skill
    return Predictions(logits, labels, CLASSES, origin="random", indices=indices)


@pytest.fixture
def result() -> Predictions:
    return random_predictions()


def one_hot(predicted, labels, classes=CLASSES) -> Predictions:
    return Predictions(np.eye(len(classes))[predicted] * 5, labels, classes)


def test_accuracy_and_f1_are_those_of_scikit_learn(result):
    predicted = result.logits.argmax(1)
    assert result.accuracy == pytest.approx(sk.accuracy_score(result.labels, predicted))
    expected = sk.f1_score(result.labels, predicted, average="macro")
    assert result.macro_f1 == pytest.approx(expected)


def test_loss_is_the_log_loss_of_scikit_learn(result):
    assert result.loss == pytest.approx(sk.log_loss(result.labels, result.probabilities))


def test_huge_logits_give_finite_probabilities_and_loss():
    result = Predictions([[1000.0, 0.0], [0.0, -1000.0]], [0, 1], ("a", "b"))
    assert result.probabilities.sum(1) == pytest.approx([1, 1])
    assert result.loss == pytest.approx(500)


@given(hnp.arrays(int, st.tuples(st.integers(1, 40), st.just(2)), elements=st.integers(0, 3)))
def test_confusion_matrix_counts_each_image_once(pairs):
    truth, predicted = pairs.T
    matrix = one_hot(predicted, truth).confusion_matrix()
    expected = [[int(((truth == t) & (predicted == p)).sum()) for p in range(4)] for t in range(4)]
    assert matrix.tolist() == expected


@given(hnp.arrays(int, st.tuples(st.integers(1, 40), st.just(2)), elements=st.integers(0, 3)))
def test_row_shares_add_up_to_one_or_to_zero_without_images(pairs):
    truth, predicted = pairs.T
    shares = one_hot(predicted, truth).confusion_matrix("true")
    there = np.isin(range(4), truth)
    np.testing.assert_allclose(shares.sum(1), there.astype(float))


def test_report_is_that_of_scikit_learn(result):
    expected = sk.classification_report(
        result.labels, result.predicted, target_names=CLASSES, output_dict=True
    )
    report = result.report()
    assert list(report.index) == [*CLASSES, "macro avg", "weighted avg"]
    assert list(report.columns) == ["precision", "recall", "f1", "support"]
    for row in report.index:
        values = [expected[row][name] for name in ("precision", "recall", "f1-score", "support")]
        assert report.loc[row].tolist() == pytest.approx(values)


def test_report_has_a_row_for_a_class_that_is_not_there():
    report = one_hot([0, 1], [0, 1]).report()
    assert report.loc["platelet", "support"] == 0
    assert list(report.index[-2:]) == ["macro avg", "weighted avg"]


@pytest.mark.parametrize(("right", "count"), [(0, 7), (7, 7), (5, 9), (970, 1000)])
def test_the_interval_is_wilsons(right, count):
    result = one_hot([0] * count, [0] * right + [1] * (count - right))
    share, z = right / count, 1.959963984540054
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) * z / (1 + z**2 / count)
    low, high = result.accuracy_interval()
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-9)


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_calibration_error_is_that_of_a_plain_loop(result, bins):
    total = 0.0
    for low in np.arange(bins) / bins:
        inside = (result.confidence > low) & (result.confidence <= low + 1 / bins)
        if inside.any():
            gap = abs(result.correct[inside].mean() - result.confidence[inside].mean())
            total += inside.mean() * gap
    assert result.calibration_error(bins) == pytest.approx(total)


def test_calibration_bins_hold_every_image_also_at_confidence_one():
    table = Predictions([[100.0, 0.0], [0.0, 0.1]], [0, 0], ("a", "b")).calibration_bins(10)
    assert table["n"].sum() == 2
    assert table["high"].iloc[-1] == 1
    assert ((table["low"] < table["confidence"]) & (table["confidence"] <= table["high"])).all()


def test_most_confused_lists_the_largest_mistakes_first():
    result = one_hot([1, 1, 1, 2, 2, 0], [0, 0, 0, 3, 3, 0])
    expected = [("basophil", "eosinophil", 3), ("platelet", "monocyte", 2)]
    assert result.most_confused(2) == expected
    assert result.most_confused(1) == expected[:1]


def test_a_right_answer_is_no_mistake():
    right = Predictions([[2.0, 0.0], [0.0, 1.0]], [0, 1], ("a", "b"))
    assert right.most_confused(3) == [("a", "b", 0), ("b", "a", 0)]


def test_the_report_has_a_row_for_each_class_whatever_its_name():
    names = ("accuracy", "micro avg", "a", "a")
    table = Predictions(np.eye(4), range(4), names).report()
    assert [*table.index] == [*names, "macro avg", "weighted avg"]


def test_lowest_recall_class_has_images():
    assert one_hot([0, 0, 1, 0], [0, 0, 1, 1]).lowest_recall_class == "eosinophil"


def test_misclassified_gives_rows_of_the_predictions_the_surest_mistake_first():
    indices = np.random.default_rng(1).permutation(1000)[:300]
    result = random_predictions(indices=indices)
    found = result.misclassified()
    assert sorted(found) == np.flatnonzero(~result.correct).tolist()
    assert (np.diff(result.confidence[found]) <= 0).all()
    of_class = result.misclassified("monocyte")
    assert of_class.tolist() == [row for row in found if result.labels[row] == 2]
    assert result.misclassified("monocyte", n=3).tolist() == of_class[:3].tolist()


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1))
def test_quadrants_are_disjoint_and_leave_out_only_the_middle(seed, one, other):
    low, high = sorted((one, other))
    indices = np.arange(40)[::-1] + 100
    result = random_predictions(seed, 40, indices)
    quadrants = result.confidence_quadrants(high, low)
    for name, rows in quadrants.items():
        level, outcome = name.split()
        sure = result.confidence >= high if level == "confident" else result.confidence < low
        right = result.correct if outcome == "correct" else ~result.correct
        assert set(rows) == set(np.flatnonzero(sure & right))
    found = np.concatenate(list(quadrants.values()))
    middle = (result.confidence >= low) & (result.confidence < high)
    assert len(set(found)) == len(found) == 40 - middle.sum()


def test_repr_states_accuracy_interval_and_origin(result):
    low, high = result.accuracy_interval()
    assert f"accuracy {100 * result.accuracy:.2f} %" in repr(result)
    assert f"{100 * low:.1f}–{100 * high:.1f} %, n = 300" in repr(result)
    assert repr(result).endswith("data: random")
    assert "not stated" in repr(one_hot([0], [0]))


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([[1, 0]], [0, 1], r"shape \(1, 2\); with 2 labels and 2 classes it must be \(2, 2\)"),
        ([[1, 0, 0]], [0], r"it must be \(1, 2\)"),
        (np.zeros((0, 2)), [], "not be empty"),
        ([[1, 0], [1, 0]], [[0], [1]], r"labels have the shape \(2, 1\)"),
        ([[1, 0]], [2], ", 2 … 2;"),
        ([[1, 0]], [-1], ", -1 … -1;"),
        ([[1, 0]], [0.9], "labels are no whole numbers"),
        ([[1, 0]], [float("nan")], "labels are no whole numbers"),
        ([[1, 0]], ["a"], "labels are no whole numbers"),
        ([[1, 0]], [None], "labels are no whole numbers"),
    ],
)
def test_what_does_not_fit_together_is_named(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        Predictions(logits, labels, ("a", "b"))


def test_bad_questions_are_answered_with_what_is_possible(result):
    with pytest.raises(ValueError, match=r"no class 'mono'; .*basophil.*monocyte"):
        result.misclassified("mono")
    with pytest.raises(ValueError, match='choose None or "true"'):
        result.confusion_matrix("all")
    with pytest.raises(ValueError, match="0 ≤ low ≤ high ≤ 1"):
        result.confidence_quadrants(high=0.5, low=0.6)
    with pytest.raises(ValueError, match="bins is 0"):
        result.calibration_error(0)
    with pytest.raises(ValueError, match=r"bins is 2\.5; it must be a whole number"):
        result.calibration_bins(2.5)
    with pytest.raises(ValueError, match="300 labels but 2 indices"):
        random_predictions(indices=[1, 2])


def test_names_without_an_order_are_refused():
    with pytest.raises(ValueError, match="which has no order; give a list"):
        Predictions([[1, 0]], [0], {"a", "b"})


def test_probabilities_for_logits_are_told_and_their_logarithms_serve(recwarn, result):
    share = result.probabilities
    right = Predictions(np.log(share), result.labels, CLASSES)
    assert right.confidence == pytest.approx(result.confidence) and not recwarn
    Predictions(np.eye(2)[[0, 1, 1]], [0, 1, 1], ("a", "b"))  # answers that are 0 or 1
    Predictions(np.ones((3, 1)), [0, 0, 0], ("a",))
    assert not recwarn
    with pytest.warns(UserWarning, match="look like probabilities") as told:
        Predictions(share, result.labels, CLASSES)
    assert told[0].filename == __file__


def test_tensors_that_learn_or_are_bfloat16_are_taken():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]], requires_grad=True)
    for some in (logits, logits.bfloat16()):
        assert Predictions(some, torch.tensor([0, 1]), ("a", "b")).accuracy == 1
