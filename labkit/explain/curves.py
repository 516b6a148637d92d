"""Deletion and insertion: change the picture where the map says it matters; watch the answer."""

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from labkit.arrays import to_numpy
from labkit.explain.faithfulness import ranks
from labkit.explain.targets import Targets, check_count, class_numbers, like_images
from labkit.inference import outputs_of


def deletion_curve(
    model: nn.Module,
    images: Tensor,
    maps: np.ndarray,
    targets: Targets = None,
    baseline: Tensor | float | None = None,
    steps: int = 14,
) -> tuple[np.ndarray, np.ndarray]:
    """Blur the most important pixels first and record the probability of the class.

    Args:
        model: the network.
        images: float (N, C, H, W), prepared as the network wants them.
        maps: (N, H, W), large where it matters.
        targets: the class, one for all or one an image; None for the predicted.
        baseline: what deleted pixels become (N, C, H, W), one image for all, or a number; None for
            the blurred image.
        steps: into how many equal parts the pixels are divided.

    Returns:
        The shares of pixels deleted (steps + 1,), and the probabilities (N, steps + 1). A good map
        makes the curve fall early: a small area under it.

    Source: Petsiuk et al. (2018), *RISE*, BMVC.

    Example:
        >>> images, maps = torch.rand(2, 1, 3, 3), np.ones((2, 3, 3))
        >>> shares, curves = deletion_curve(nn.Flatten(), images, maps)
        >>> curves.shape
        (2, 15)
    """
    check_count("steps", steps)
    classes = class_numbers(targets, outputs_of(model, images))
    other = blurred(images) if baseline is None else like_images(baseline, images)
    count, _, height, width = images.shape
    if np.shape(maps) != (count, height, width):
        raise ValueError(f"maps are {np.shape(maps)}; they must be {(count, height, width)}.")
    rank = torch.from_numpy(ranks(to_numpy(maps).reshape(count, -1)))
    rank = rank.view(count, 1, height, width).to(images.device)
    shares = np.linspace(0, 1, steps + 1)
    curves = []
    for share in shares:
        mixed = torch.where(rank < round(share * height * width), other, images)
        logits = outputs_of(model, mixed)
        curves.append(logits.softmax(1).numpy(force=True)[np.arange(count), classes])
    return shares, np.stack(curves, axis=1)


def insertion_curve(
    model: nn.Module,
    images: Tensor,
    maps: np.ndarray,
    targets: Targets = None,
    baseline: Tensor | float | None = None,
    steps: int = 14,
) -> tuple[np.ndarray, np.ndarray]:
    """Start from the baseline and bring the most important pixels back first.

    It is ``deletion_curve`` with image and baseline swapped: a good map makes it rise early.
    """
    other = blurred(images) if baseline is None else like_images(baseline, images)
    classes = class_numbers(targets, outputs_of(model, images))
    return deletion_curve(model, other, maps, classes, images, steps)


def area_under(shares: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """The area under each curve (N,), by trapezoids; shares from 0 to 1.

    Example:
        >>> area_under(np.array([0.0, 1.0]), np.array([[1.0, 0.0]]))
        array([0.5])
    """
    return np.trapezoid(curves, shares, axis=1)


def blurred(images: Tensor) -> Tensor:
    """Images so blurred that shape and texture are gone and the mean colour remains.

    Example:
        >>> blurred(torch.rand(1, 3, 28, 28)).shape
        torch.Size([1, 3, 28, 28])
    """
    side = min(images.shape[2:])
    kernel = max(1, side // 2 * 2 - 1)
    return gaussian_blur(images, [kernel, kernel], [max(side / 5, 0.1)] * 2)
