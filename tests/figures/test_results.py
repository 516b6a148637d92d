"""Figures of several results: none is left out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from labkit.figures import (
    decision_tree,
    projections,
    reliability_diagram,
    roc_curves,
    search_results,
    variance_curve,
)
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


def test_many_classes_keep_a_look_of_their_own():
    names = [f"c{k}" for k in range(20)]
    labels = np.arange(60) % 20
    figure = projections({"PCA": np.random.rand(60, 2)}, labels, names)
    looks = {
        (tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes())
        for c in figure.axes[0].collections
    }
    assert len(looks) == 20
    with pytest.raises(ValueError, match="labels must be numbers from 0 to 19"):
        projections({"PCA": np.zeros((2, 2))}, ["c0", "c1"], names)
    result = Predictions(np.random.rand(60, 20) * 9, labels, names)
    lines = roc_curves(result).axes[0].lines[:20]  # then the micro-average
    assert len({(x.get_color(), x.get_linestyle()) for x in lines}) == 20


def test_a_tree_names_the_classes_that_it_was_fitted_on():
    features = np.linspace(0, 1, 90)[:, None]
    numbers = np.repeat([0, 2, 3], 30)  # class 1 has no image
    for labels in (numbers, np.array(["zebra", "", "ant", "mole"])[numbers]):
        tree = DecisionTreeClassifier(max_depth=2).fit(features, labels)
        boxes = decision_tree(tree, ("zebra", "B", "ant", "mole")).axes[0].texts
        leaves = {text.get_text().split("\n")[-1] for text in boxes if "\n" in text.get_text()}
        assert leaves == {"zebra", "ant", "mole"}


def test_a_variance_that_no_mark_is_reached_of_is_drawn():
    figure = variance_curve({"two of many": np.array([0.5, 0.1])})
    assert len(figure.axes[0].lines[1].get_xdata()) == 0
