"""What every loop over a trained network needs: eval mode and back, its device, its outputs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from labkit.display import track

__all__ = ["device_of", "evaluating", "outputs_of"]


def __dir__() -> list[str]:  # what Tab shows after the module's name
    return __all__


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put a network into ``eval`` mode; afterwards each of its modules has its own mode back."""
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for module, state in training:
            module.training = state


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[nn.Module]:
    """Put a network into ``eval`` mode with gradients on, and afterwards restore all of it.

    In-place ReLUs work out of place meanwhile: they would overwrite what hooks have kept. On the
    way out, also after an exception, each module has its mode back and each parameter the gradient
    it had.

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


def device_of(model: nn.Module) -> torch.device:
    """Where a network's weights are; the CPU for one without weights."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def outputs_of(
    model: nn.Module,
    images: Tensor,
    batch_size: int = 256,
    prepare: Callable[[Tensor], Tensor] | None = None,
    what: str = "",
) -> Tensor:
    """A network's outputs in eval mode, without gradients, in batches, on the network's device.

    Args:
        model: the network.
        images: (N, …).
        batch_size: images at a time.
        prepare: turns a batch of images, on the device, into what the network takes.
        what: what is computed, for a line that shows progress; "" for none.

    Returns:
        (N, …), on the network's device.

    Example:
        >>> outputs_of(nn.Flatten(), torch.zeros(3, 1, 1, 2)).shape
        torch.Size([3, 2])
    """
    device, parts = device_of(model), images.split(batch_size)
    with evaluating(model), torch.no_grad():
        batches = (part.to(device) for part in (track(parts, what) if what else parts))
        return torch.cat([model(prepare(batch) if prepare else batch) for batch in batches])
