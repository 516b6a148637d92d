"""Grad-CAM through the ``grad-cam`` library."""

from collections.abc import Callable

import numpy as np
from torch import Tensor, nn

from labkit.explain.targets import Targets, class_numbers
from labkit.inference import device_of, outputs_of, undisturbed


def grad_cam(
    model: nn.Module,
    layer: nn.Module,
    images: Tensor,
    targets: Targets = None,
    reshape_transform: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """Compute Grad-CAM maps with the ``grad-cam`` library and leave no trace in the network.

    The library sets ``eval()``, fills the weights' gradients and keeps its hooks; here all of it is
    undone. It works for frozen networks too.

    Args:
        model: the network.
        layer: the module of it whose output is looked at, usually the last ReLU of ``features``.
        images: float (N, C, H, W), prepared as the network wants them.
        targets: the class to explain, one for all or one an image; None for the predicted.
        reshape_transform: turns a layer's output into (B, channels, h, w), for transformers.
        batch_size: images at a time.

    Returns:
        float32 (N, H, W) in [0, 1]; a map of zeros where nothing speaks for the class.

    Raises:
        ValueError: when the layer is not part of the network, is used more than once or gives one
            place only, or for a class that does not exist.

    Source: Selvaraju et al. (2017), *Grad-CAM*, ICCV.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
        >>> grad_cam(net, net[1], torch.rand(5, 3, 8, 8)).shape
        (5, 8, 8)
    """
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    if not any(module is layer for module in model.modules()):
        raise ValueError("The layer is not part of this network; take it from the same model.")
    chosen = class_numbers(targets, _watched_outputs(model, layer, images, reshape_transform))
    maps = []
    with undisturbed(model):
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            wanted = [ClassifierOutputTarget(int(k)) for k in chosen[rows]]
            # frozen weights: the gradient must come from the images, or there is none
            batch = images[rows].detach().to(device_of(model)).requires_grad_()
            failure = None
            with GradCAM(model, [layer], reshape_transform) as cam:
                # what comes behind it may be in place, and would change what the library has kept
                apart = layer.register_forward_hook(lambda _, __, output: output.clone())
                try:
                    maps.append(cam(batch, wanted))
                except IndexError as error:  # the library prints these and goes on
                    failure = error
                finally:
                    apart.remove()
            if failure is not None:
                raise ValueError(f"This layer cannot be explained: {failure}") from failure
    return np.concatenate(maps).astype(np.float32)


def _watched_outputs(
    model: nn.Module, layer: nn.Module, images: Tensor, reshape: Callable | None
) -> Tensor:
    """The logits, after a look whether the layer's output can be made a map."""
    passes, shapes = [], []
    hooks = [
        model.register_forward_hook(lambda *_: passes.append(True)),
        layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape))),
    ]
    try:
        logits = outputs_of(model, images)
    finally:
        for hook in hooks:
            hook.remove()
    if not shapes:
        raise ValueError("The layer is part of this network, but its forward does not use it.")
    if len(shapes) > len(passes):
        raise ValueError(
            f"The forward uses this layer {len(shapes) // len(passes)} times, so it has no single "
            "output: take a module that is used once, such as the block around it."
        )
    if reshape is None and np.prod(shapes[0][2:]) == 1:
        raise ValueError(
            f"The layer gives one place only, {shapes[0]}, which is no map: take one before "
            "the pooling."
        )
    return logits
