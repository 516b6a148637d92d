"""Exact Shapley values: every coalition of a few players is tried."""

from itertools import product
from math import comb, isqrt

import numpy as np
import torch
from torch import Tensor, nn

from labkit.explain.targets import Targets, check_background, check_count, class_numbers
from labkit.inference import outputs_of

PLAYERS = 12  # 4,096 coalitions; each further player doubles them


def shapley_values(worth: np.ndarray) -> np.ndarray:
    """The Shapley values of a game whose every coalition was tried.

    Args:
        worth: (2, …, 2), one axis a player: ``worth[1, 0, 1]`` is what the first and the third of
            three players earn together.

    Returns:
        One value a player; together they are what all earn more than nobody.

    Raises:
        ValueError: for an array of another shape.

    Source: Shapley (1953), *A value for n-person games*.

    Example:
        >>> shapley_values(np.array([[0.0, 0.0], [1.0, 2.0]]))  # of ReLU(a + b - 1), a = 2, b = 1
        array([1.5, 0.5])
    """
    worth = np.asarray(worth, float)
    if worth.ndim == 0 or set(worth.shape) != {2}:
        raise ValueError(f"worth must be (2, …, 2), one axis a player, not {worth.shape}.")
    players = worth.ndim
    others = np.indices((2,) * (players - 1)).sum(0) if players > 1 else np.array(0)
    # of all orders, the share in which just these others came before
    weights = 1 / (players * np.vectorize(comb)(players - 1, others))
    gains = [worth.take(1, axis=p) - worth.take(0, axis=p) for p in range(players)]
    return np.array([(weights * gain).sum() for gain in gains])


def coalition_worths(
    model: nn.Module,
    background: Tensor,
    images: Tensor,
    targets: Targets = None,
    grid: int = 3,
) -> np.ndarray:
    """A class's mean logit for every coalition of super-pixels.

    Each image is cut into ``grid`` x ``grid`` squares, as equal as can be. Those that have not
    joined show a background image; the logit is a mean over the background.

    Args:
        model: the network.
        background: float (B, C, H, W).
        images: float (N, C, H, W).
        targets: the class, one for all or one an image; None for the predicted.
        grid: squares a side; the players are numbered line by line.

    Returns:
        float (N, 2, …, 2), for ``shapley_values``.

    Raises:
        ValueError: for more than 12 players, or a background of another size.

    Example:
        >>> net = nn.Flatten()
        >>> coalition_worths(net, torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2), 0, grid=1)
        array([[0., 1.]], dtype=float32)
    """
    check_count("grid", grid)
    check_background(background, images)
    players = grid**2
    if players > PLAYERS:
        raise ValueError(
            f"grid is {grid}: {players} players have 2^{players} coalitions. At most {PLAYERS} "
            f"players can be tried, so give grid={isqrt(PLAYERS)} at most."
        )
    chosen = class_numbers(targets, outputs_of(model, images))
    coalitions = torch.tensor(list(product((False, True), repeat=players)), device=images.device)
    numbers = squares(grid, *images.shape[2:])
    worths = np.empty((len(images), len(coalitions)), np.float32)
    for row, (image, k) in enumerate(zip(images, chosen, strict=True)):
        for start in range(0, len(coalitions), 64):
            shown = coalitions[start : start + 64][:, numbers][:, None, None]  # (64, 1, 1, H, W)
            mixed = torch.where(shown, image, background[None].to(image.device))
            logits = outputs_of(model, mixed.flatten(0, 1))[:, k]
            means = logits.view(len(shown), -1).mean(1)
            worths[row, start : start + 64] = means.numpy(force=True)
    return worths.reshape(len(images), *(2,) * players)


def super_pixels(attributions: np.ndarray, grid: int = 3) -> np.ndarray:
    """The sum of an attribution in each super-pixel, over all colours.

    Args:
        attributions: (N, C, H, W).
        grid: squares a side, cut as ``coalition_worths`` does.

    Returns:
        (N, grid, grid).

    Example:
        >>> super_pixels(np.ones((1, 3, 6, 6)))[0, 0]
        array([12., 12., 12.])
    """
    numbers = squares(grid, *attributions.shape[2:]).numpy()
    maps = attributions.sum(1, dtype=float)
    sums = [maps[:, numbers == k].sum(1) for k in range(grid**2)]
    return np.stack(sums, axis=1).reshape(-1, grid, grid)


def squares(grid: int, height: int, width: int) -> Tensor:
    """The number of each pixel's square, int (H, W), line by line.

    Example:
        >>> squares(2, 2, 4).tolist()
        [[0, 0, 1, 1], [2, 2, 3, 3]]
    """
    down, across = (torch.arange(side) * grid // side for side in (height, width))
    return down[:, None] * grid + across
