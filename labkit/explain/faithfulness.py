"""Measure a map against known truth: the pointing game and the overlap with a mask."""

import numpy as np
import pandas as pd

from labkit.arrays import to_numpy


def pointing_game(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Ask of each map whether its largest value lies inside the mask.

    Where several pixels share the largest value, the answer is the share of them inside: a
    constant map gets the mask's share of the picture, as pointing at random would on average.

    Args:
        maps: (N, H, W).
        masks: bool (N, H, W).

    Returns:
        float (N,): 1 for a hit, 0 for a miss, between for ties.

    Raises:
        ValueError: when the shapes differ.

    Source: Zhang et al. (2016), *Top-down Neural Attention by Excitation Backprop*, ECCV.

    Example:
        >>> pointing_game(np.array([[[0.1, 0.9]]]), np.array([[[False, True]]]))
        array([1.])
    """
    maps, masks = _flat(maps, masks)
    largest = maps == maps.max(1, keepdims=True)
    return (largest & masks).sum(1) / largest.sum(1)


def mask_overlap(maps: np.ndarray, masks: np.ndarray) -> pd.DataFrame:
    """How much of the positive attribution lies inside the mask.

    Args:
        maps: (N, H, W); negative values count as zero for the share.
        masks: bool (N, H, W), none of them empty.

    Returns:
        A row an image: ``inside``, the share of the positive attribution inside the mask (the
        mask's share of the picture for a map without any); ``iou``, intersection over union of
        the mask with the pixels of highest attribution, as many as the mask has; ``area``, the
        mask's share of the picture, which a constant map gets as ``inside``.

    Raises:
        ValueError: when the shapes differ or a mask is empty.

    Example:
        >>> mask_overlap(np.array([[[1.0, 3.0]]]), np.array([[[False, True]]])).inside[0]
        np.float64(0.75)
    """
    maps, masks = _flat(maps, masks)
    if not masks.any(1).all():
        raise ValueError("A mask is empty: leave images without a mask out.")
    positive = np.maximum(maps, 0)
    total, area = positive.sum(1), masks.mean(1)
    inside = (positive * masks).sum(1) / np.where(total > 0, total, 1)
    chosen = ranks(maps) < masks.sum(1, keepdims=True)
    iou = (chosen & masks).sum(1) / (chosen | masks).sum(1)
    return pd.DataFrame({"inside": np.where(total > 0, inside, area), "iou": iou, "area": area})


def ranks(maps: np.ndarray) -> np.ndarray:
    """The rank of each pixel in its map (N, pixels), the largest value first.

    Ties are broken at random, not from the upper left to the lower right.

    Example:
        >>> ranks(np.array([[0.1, 0.9, 0.5]]))
        array([[2, 0, 1]])
    """
    refuse_nan(maps)
    count, pixels = maps.shape
    order = np.random.default_rng(0).permutation(pixels)
    places = order[np.argsort(-maps[:, order], axis=1, kind="stable")]
    found = np.empty((count, pixels), int)
    found[np.arange(count)[:, None], places] = np.arange(pixels)
    return found


def refuse_nan(maps: np.ndarray) -> None:
    """Raise ValueError where a map holds NaN, which would count as the least important pixel."""
    if lost := int(np.isnan(maps).any(tuple(range(1, maps.ndim))).sum()):
        raise ValueError(
            f"{lost} of {len(maps)} maps hold NaN, so they rank no pixels: look at the network's "
            "logits, and at what made the maps."
        )


def _flat(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    maps, masks = to_numpy(maps).astype(float), to_numpy(masks).astype(bool)
    if maps.ndim != 3 or maps.shape != masks.shape:
        raise ValueError(f"maps are {maps.shape} and masks {masks.shape}; both must be (N, H, W).")
    refuse_nan(maps)
    return maps.reshape(len(maps), -1), masks.reshape(len(masks), -1)
