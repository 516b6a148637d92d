import numpy as np
import pytest
from scipy.stats import binomtest

from labkit.metrics import Predictions
from labkit.statistics import bootstrap_interval, mcnemar, mean_interval, wilson_interval


def random_predictions(seed=0, skill=1.0, indices=None) -> Predictions:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, 300)
    logits = random.normal(size=(300, 4)) * 2
    logits[np.arange(300), labels] += skill
    return Predictions(logits, labels, tuple("abcd"), origin="random", indices=indices)


def test_intervals():
    low, high = wilson_interval(8, 10)[1:]
    assert (round(low, 2), round(high, 2)) == (0.49, 0.94)
    mean, low, high = bootstrap_interval(np.repeat([0.0, 1.0], 200))
    assert mean == 0.5 and 0.44 < low < 0.46 and 0.54 < high < 0.56


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wilson_interval(0, 0), "hits is 0 and n is 0; give n of 1 or more"),
        (lambda: wilson_interval(5, 3), "hits is 5 and n is 3"),
        (lambda: wilson_interval(-1, 3), "hits from 0 to n"),
        (lambda: bootstrap_interval([]), r"shape \(0,\); give \(N,\), at least one number"),
        (lambda: bootstrap_interval([[1.0, 2.0]]), r"shape \(1, 2\)"),
        (lambda: wilson_interval(3.4, 3), "hits is 3.4 and n is 3"),
        (lambda: wilson_interval(float("nan"), 3), "hits is nan"),
        (lambda: wilson_interval(3, 10.5), "n is 10.5"),
        (lambda: bootstrap_interval([1.0], draws=0), "draws is 0"),
        (lambda: mean_interval([1.0, 2.0], -0.25), "test_share is -0.25"),
    ],
)
def test_an_interval_of_nothing_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_corrected_interval_is_wider_than_the_plain_one():
    values = [0.8, 0.82, 0.81, 0.83, 0.79]
    mean, low, high = mean_interval(values, 0.25)
    _, plain_low, plain_high = mean_interval(values, 0.0)
    assert mean == pytest.approx(0.81)
    assert (high - low) / (plain_high - plain_low) == pytest.approx(np.sqrt(1 + 5 * 0.25))
    with pytest.raises(ValueError, match="two numbers"):
        mean_interval([0.8], 0.25)


def test_mcnemar_is_the_exact_binomial_test_and_symmetric():
    a, b = random_predictions(skill=1.0), random_predictions(skill=3.0)
    only_a, only_b, p = mcnemar(a, b)
    assert only_a == sum(x and not y for x, y in zip(a.correct, b.correct, strict=True))
    assert only_b == sum(y and not x for x, y in zip(a.correct, b.correct, strict=True))
    assert p == pytest.approx(binomtest(min(only_a, only_b), only_a + only_b).pvalue)
    assert 0 < p < 0.05
    assert mcnemar(b, a) == (only_b, only_a, pytest.approx(p))


def test_mcnemar_of_equal_networks_finds_nothing():
    assert mcnemar(random_predictions(), random_predictions()) == (0, 0, 1.0)


def test_mcnemar_refuses_other_images():
    with pytest.raises(ValueError, match="of 300 and 300 images, are not of the same images"):
        mcnemar(random_predictions(), random_predictions(seed=1))
    with pytest.raises(ValueError, match="not of the same images"):
        mcnemar(random_predictions(), random_predictions(indices=np.arange(1, 301)))


def test_two_accuracies_cannot_be_compared_by_mcnemar():
    with pytest.raises(TypeError, match=r"a is 0\.9; give what lk.evaluate returns"):
        mcnemar(0.9, 0.8)
