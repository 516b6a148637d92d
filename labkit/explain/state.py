"""Look into a network and leave it as it was."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from labkit.engine import evaluating

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[nn.Module]:
    """Put a network into ``eval()`` with gradients on, and afterwards restore all of it.

    In-place ReLUs work out of place meanwhile: they would overwrite what hooks have kept. On the
    way out, also after an exception, each module has its train/eval state back and each parameter
    the gradient it had.

    Args:
        model: the network.

    Yields:
        The same network.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
        >>> with undisturbed(net):
        ...     net.training
        False
        >>> net.training
        True
    """
    in_place = [module for module in model.modules() if getattr(module, "inplace", False)]
    gradients = [(p, p.grad) for p in model.parameters()]
    for parameter, _ in gradients:
        parameter.grad = None  # else a backward pass would add to the old one, in place
    for module in in_place:
        module.inplace = False
    try:
        with evaluating(model), torch.enable_grad():
            yield model
    finally:
        for module in in_place:
            module.inplace = True
        for parameter, gradient in gradients:
            parameter.grad = gradient


def count_hooks(model: nn.Module) -> int:
    """The number of hooks on all modules of a network.

    Example:
        >>> count_hooks(nn.Linear(1, 1))
        0
    """
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in _HOOKS)


def class_numbers(
    targets: int | Sequence[int] | np.ndarray | Tensor | None, logits: Tensor
) -> np.ndarray:
    """The class to explain for each image: given, or the predicted one.

    Args:
        targets: one class for all images, one for each, or None for the predicted.
        logits: (N, classes).

    Returns:
        int (N,).

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
        raise ValueError(f"targets must be a class number, or {count} of them, one an image.")
    if count and not 0 <= chosen.min() <= chosen.max() < classes:
        raise ValueError(
            f"targets go from {chosen.min()} to {chosen.max()}; the network has the classes "
            f"0 … {classes - 1}."
        )
    return chosen


def logits_of(model: nn.Module, images: Tensor, batch_size: int = 256) -> Tensor:
    """Logits (N, classes) in eval mode, without gradients, in batches, on the network's device.

    Example:
        >>> logits_of(nn.Flatten(), torch.zeros(3, 1, 1, 2)).shape
        torch.Size([3, 2])
    """
    with undisturbed(model), torch.no_grad():
        parts = [model(part.to(device_of(model, images))) for part in images.split(batch_size)]
    return torch.cat(parts)


def device_of(model: nn.Module, images: Tensor) -> torch.device:
    """Where the network's weights are (where the images are, for one without weights)."""
    return next((p.device for p in model.parameters()), images.device)
