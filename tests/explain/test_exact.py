import itertools

import numpy as np
import pytest
import torch
from torch import nn

from labkit.explain import (
    coalition_worths,
    deep_shap,
    shapley_values,
    squares,
    super_pixels,
)


def by_all_orders(worth):
    """The definition, word by word."""
    values, orders = np.zeros(worth.ndim), list(itertools.permutations(range(worth.ndim)))
    for order in orders:
        there = [0] * worth.ndim
        for player in order:
            before = worth[tuple(there)]
            there[player] = 1
            values[player] += worth[tuple(there)] - before
    return values / len(orders)


@pytest.mark.parametrize("players", [1, 2, 3, 5])
def test_the_values_are_the_mean_gains_over_all_orders(players):
    worth = np.random.default_rng(players).normal(size=(2,) * players)
    np.testing.assert_allclose(shapley_values(worth), by_all_orders(worth), atol=1e-12)


def test_three_players_by_hand():
    worth = np.zeros((2, 2, 2))
    for there, earned in {"100": 6, "010": 3, "001": 0, "110": 15, "101": 6, "011": 3}.items():
        worth[tuple(map(int, there))] = earned
    worth[1, 1, 1] = 12
    np.testing.assert_allclose(shapley_values(worth), [8, 5, -1])
    with pytest.raises(ValueError, match=r"one axis a player"):
        shapley_values(np.zeros((2, 3)))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(6 * 3 * 4, 10), nn.ReLU(), nn.Linear(10, 3)),
    ).eval()


def exact_shap(net, background, images, targets):
    worths = coalition_worths(net, background, images, targets)
    return np.stack([shapley_values(worth) for worth in worths]).reshape(-1, 3, 3)


def images(count, seed):
    return torch.randn(count, 3, 9, 10, generator=torch.Generator().manual_seed(seed))


def test_nine_super_pixels_agree_with_shaps_exact_explainer(net):
    import shap

    background, shown, classes = 0.7 * images(5, 1), images(2, 2), [1, 2]
    got = exact_shap(net, background, shown, classes)
    for image, k, values in zip(shown, classes, got, strict=True):

        def mean_logit(masks, image=image, k=k):
            rows = torch.as_tensor(np.asarray(masks), dtype=torch.bool)
            with torch.no_grad():
                mixed = [torch.where(row[squares(3, 9, 10)], image, background) for row in rows]
                return np.array([net(x)[:, k].mean().item() for x in mixed])

        masker = shap.maskers.Independent(np.zeros((1, 9)))
        theirs = shap.explainers.ExactExplainer(mean_logit, masker)(np.ones((1, 9))).values
        np.testing.assert_allclose(values.ravel(), theirs[0], atol=1e-5)


def test_exact_values_and_deep_shap_both_add_up_and_are_not_the_same(net):
    background, shown = 0.7 * images(5, 1), images(2, 2)
    exact = exact_shap(net, background, shown, 1)
    deep = super_pixels(deep_shap(net, background, shown, 1))
    with torch.no_grad():
        difference = (net(shown) - net(background).mean(0))[:, 1]
    for values in (exact, deep):
        np.testing.assert_allclose(values.sum((1, 2)), difference, atol=1e-4)
    assert (np.abs(deep - exact).sum((1, 2)) > 0.05 * np.abs(exact).sum((1, 2))).all()


def test_of_a_linear_network_deep_shap_is_exact():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(270, 2)).eval()
    background, shown = images(4, 1), images(2, 2)
    deep = super_pixels(deep_shap(net, background, shown, 1))
    np.testing.assert_allclose(exact_shap(net, background, shown, 1), deep, atol=1e-4)


def test_the_predicted_class_is_taken_and_too_many_players_are_refused(net):
    background, shown = images(2, 1), images(3, 2)
    with torch.no_grad():
        said = net(shown).argmax(1)
    some = coalition_worths(net, background, shown, grid=2)
    assert some.shape == (3, 2, 2, 2, 2)
    np.testing.assert_array_equal(some, coalition_worths(net, background, shown, said, grid=2))
    with pytest.raises(ValueError, match=r"grid is 4: 16 players .*give grid=3 at most"):
        coalition_worths(net, background, shown, grid=4)


def test_a_background_of_another_size_and_a_grid_of_none_are_named(net):
    images = torch.rand(2, 3, 8, 8)
    with pytest.raises(ValueError, match="all but the first number must be the same"):
        coalition_worths(net, torch.rand(2, 3, 9, 9), images)
    for grid in (0, 2.0):
        with pytest.raises(ValueError, match=r"grid is .*; it must be a whole number"):
            coalition_worths(net, images, images, grid=grid)
