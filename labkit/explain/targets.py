"""The class to explain, and hooks that must not stay."""

from collections.abc import Sequence

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
        ValueError: for classes that do not exist, or not one an image.

    Example:
        >>> class_numbers(None, torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
        array([1, 0])
    """
    count, classes = logits.shape
    if targets is None:
        return logits.argmax(1).cpu().numpy()
    chosen = np.asarray(torch.as_tensor(targets).cpu())
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
