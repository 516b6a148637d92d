"""Figures of several results: none is left out."""

import numpy as np
import pandas as pd

from labkit.figures import reliability_diagram, search_results, variance_curve
from labkit.metrics import Predictions

NAMES = [f"number {n}" for n in range(10)]  # more than the palette has colours


def test_a_reliability_diagram_shows_each_of_many_results():
    result = Predictions([[1, 0], [0, 1]], [0, 1], ("a", "b"))
    legend = reliability_diagram(dict.fromkeys(NAMES, result)).axes[0].get_legend()
    labels = [text.get_text() for text in legend.get_texts()]
    assert [label.partition(":")[0] for label in labels] == ["perfectly calibrated", *NAMES]


def test_a_variance_curve_shows_each_of_many_features():
    figure = variance_curve(dict.fromkeys(NAMES, np.array([0.9, 0.1])))
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [label.partition(":")[0] for label in labels] == NAMES


def test_a_search_shows_named_settings_and_no_trial_without_a_result_as_the_best():
    trials = pd.DataFrame({"optimizer": ["SGD", "Adam", "SGD"], "value": [np.nan, 85.0, 80.0]})
    first, against, _ = search_results(trials, ["optimizer"]).axes
    best = next(line for line in first.lines if line.get_label() == "best")
    assert (best.get_xdata().tolist(), best.get_ydata().tolist()) == ([2], [85.0])
    assert [label.get_text() for label in against.get_xticklabels()] == ["SGD", "Adam"]
