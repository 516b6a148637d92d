"""The class to explain, and hooks that must not stay."""

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, nn

Targets = int | Sequence[int] | np.ndarray | Tensor | None
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def count_hooks(model: nn.Module) -> int:
    """The number of hooks on all modules of a network.

    Example:
        >>> count_hooks(nn.Linear(1, 1))
        0
    """
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in _HOOKS)


def class_numbers(targets: Targets, logits: Tensor) -> np.ndarray:
    """The class to explain for each image (N,): given, or by the logits (N, classes).

    Raises:
        ValueError: for classes that do not exist, or not one an image; for logits that are none.

    Example:
        >>> class_numbers(None, torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
        array([1, 0])
    """
    if logits.ndim != 2 or not logits.amax(1).isfinite().all():
        fault = "NaN or infinite" if logits.ndim == 2 else f"of shape {tuple(logits.shape)}"
        raise ValueError(
            f"The network's outputs are {fault}; to explain a class it must give finite logits "
            "(images, classes)."
        )
    count, classes = logits.shape
    if targets is None:
        return logits.argmax(1).cpu().numpy()
    try:
        chosen = np.asarray(torch.as_tensor(targets).cpu())
    except (TypeError, ValueError, RuntimeError):  # names of classes, or None among them
        chosen = np.asarray(targets, object)
    chosen = np.full(count, chosen) if chosen.ndim == 0 else chosen
    if chosen.shape != (count,) or not np.issubdtype(chosen.dtype, np.integer):
        raise ValueError(
            f"targets is {targets!r:.60}; give a class number, or {count} of them, one an image."
        )
    if count and not 0 <= chosen.min() <= chosen.max() < classes:
        raise ValueError(
            f"targets go from {chosen.min()} to {chosen.max()}; the network has the classes "
            f"0 … {classes - 1}."
        )
    return chosen


def like_images(baseline: Tensor | float, images: Tensor) -> Tensor:
    """What images are compared with (N, C, H, W): given so, as one image for all, or as a number.

    Raises:
        ValueError: where it is of another shape.

    Example:
        >>> like_images(0.5, torch.zeros(2, 1, 1, 1)).ravel()
        tensor([0.5000, 0.5000])
    """
    found = torch.as_tensor(baseline, dtype=images.dtype, device=images.device)
    try:
        return found.expand_as(images)
    except RuntimeError:
        raise ValueError(
            f"baseline has the shape {tuple(found.shape)}, and the images {tuple(images.shape)}; "
            "give one of the same shape, or one image for all, (1, C, H, W)."
        ) from None


def check_background(background: Tensor, images: Tensor) -> None:
    """Raise unless images can be compared with this background, a batch of the same."""
    if not isinstance(background, Tensor):
        kind = type(background).__name__
        raise TypeError(f"background is of type {kind}; give torch.as_tensor(background).")
    if background.shape[1:] != images.shape[1:] or not len(background):
        raise ValueError(
            f"background has the shape {tuple(background.shape)}, and the images "
            f"{tuple(images.shape)}: all but the first number must be the same."
        )


def check_count(name: str, value: int) -> None:
    """Raise ValueError unless this argument is a whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} is {value!r}; it must be a whole number, at least 1.")
