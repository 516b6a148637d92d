"""What every loop over a trained network needs: eval mode and back, its device, its outputs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

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


def frozen_norms(model: nn.Module) -> list[nn.Module]:
    """Batch normalisation that was frozen: it is in ``eval``, and its parameters do not learn.

    What has no parameters counts if the network around it is in training mode.
    """
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm)
        and not module.training
        and (model.training or any(True for _ in module.parameters()))
        and not any(parameter.requires_grad for parameter in module.parameters())
    ]


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
    if not isinstance(images, Tensor):
        kind = type(images).__name__
        raise TypeError(f"images is of type {kind}; give a tensor (N, …): torch.as_tensor(images).")
    device, parts = device_of(model), images.split(batch_size)
    with evaluating(model), torch.no_grad():
        batches = (part.to(device) for part in (track(parts, what) if what else parts))
        return torch.cat([output_of(model, prepare(b) if prepare else b) for b in batches])


def output_of(model: nn.Module, images: Tensor) -> Tensor:
    """What a network gives for one batch; where that fails or is no tensor, says why."""
    try:
        output = model(images)
    except (RuntimeError, ValueError) as error:
        explain_failure(error, model, images)
        raise
    check_output(output)
    return output


def check_output(output: object) -> None:
    """Raise TypeError unless a network gave one tensor."""
    if not isinstance(output, Tensor):
        kind = "nothing" if output is None else f"a {type(output).__name__}"
        raise TypeError(
            f"The model gives {kind}; its forward must return one tensor, the logits "
            "(batch, classes)."
        )


def one_image(which: str) -> str:
    """What is said of a batch of one image, which batch normalisation cannot learn from."""
    return (
        f"{which} has a single image, and batch normalisation has no spread to work with: choose "
        "another batch_size (or drop_last=True in a DataLoader)."
    )


def dtype_name(tensor: Tensor) -> str:
    """The type of a tensor's numbers: "float32"."""
    return str(tensor.dtype).removeprefix("torch.")


def explain_failure(error: Exception, model: nn.Module, images: Tensor) -> None:
    """Raise what is behind an error of a network's forward pass, or add a note to it."""
    weights = next((p for p in model.parameters() if p.is_floating_point()), images)
    if not images.is_floating_point():
        raise ValueError(
            f"The images are {dtype_name(images)}, and the network computes with "
            f"{dtype_name(weights)}: divide them by 255 (images.float() / 255), or normalise them."
        ) from error
    if images.dtype != weights.dtype:
        raise ValueError(
            f"The images are {dtype_name(images)}, and the network's weights "
            f"{dtype_name(weights)}: turn them with images.to(torch.{dtype_name(weights)})."
        ) from error
    if images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        raise ValueError(
            f"A batch has the shape {tuple(images.shape)}, with the colours last; PyTorch wants "
            "(batch, channels, height, width): images.permute(0, 3, 1, 2)."
        ) from error
    flat = any(isinstance(module, nn.Conv2d | nn.BatchNorm2d) for module in model.modules())
    if images.ndim == 3 and flat:
        raise ValueError(
            f"A batch has the shape {tuple(images.shape)}; PyTorch wants (batch, channels, height, "
            "width): images[None] of a single image, images[:, None] of grey ones."
        ) from error
    normalises = any(isinstance(module, _BatchNorm) for module in model.modules())
    if normalises and len(images) == 1 and model.training:
        raise ValueError(one_image("A batch")) from error
    error.add_note(f"The batch has the shape {tuple(images.shape)}, {dtype_name(images)}.")
