"""Explanations that ask for gradients only: at one place, or along a way."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from labkit.display import track
from labkit.explain.targets import Targets, check_count, class_numbers, like_images
from labkit.inference import device_of, outputs_of, undisturbed


def gradient(
    model: nn.Module, images: Tensor, targets: Targets = None, batch_size: int = 64
) -> np.ndarray:
    """The gradient of a class's logit with respect to the image.

    Args:
        model: the network.
        images: float (N, C, H, W), prepared as the network wants them.
        targets: the class, one for all or one an image; None for the predicted.
        batch_size: images at a time.

    Returns:
        float32 (N, C, H, W), with its sign.

    Example:
        >>> gradient(nn.Flatten(), torch.rand(2, 1, 1, 3), targets=0)[0]
        array([[[1., 0., 0.]]], dtype=float32)
    """
    classes = torch.as_tensor(class_numbers(targets, outputs_of(model, images)))
    with undisturbed(model):
        return torch.cat(list(_gradients(model, images, classes, batch_size))).numpy()


def saliency(
    model: nn.Module, images: Tensor, targets: Targets = None, batch_size: int = 64
) -> np.ndarray:
    """The size of ``gradient`` at each pixel, summed over the colours: float32 (N, H, W).

    Source: Simonyan et al. (2014), *Deep Inside Convolutional Networks*, ICLR workshop.

    Example:
        >>> saliency(nn.Flatten(), torch.rand(2, 1, 1, 3), targets=0)[0]
        array([[1., 0., 0.]], dtype=float32)
    """
    return np.abs(gradient(model, images, targets, batch_size)).sum(1)


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    baseline: Tensor | float,
    targets: Targets = None,
    steps: int = 32,
    batch_size: int = 64,
) -> np.ndarray:
    """The mean gradient on the straight way from a baseline to the image, times the way.

    Args:
        model: the network.
        images: float (N, C, H, W), prepared as the network wants them.
        baseline: where the way begins, (N, C, H, W), one for all, (1, C, H, W), or a number.
        targets: the class, one for all or one an image; None for the predicted.
        steps: points on the way, each in the middle of its step.
        batch_size: images at a time.

    Returns:
        float32 (N, C, H, W). With many steps its sum is the logit of the image less that of the
        baseline.

    Source: Sundararajan et al. (2017), *Axiomatic Attribution for Deep Networks*, ICML.

    Example:
        >>> net, image = nn.Flatten(), torch.ones(1, 1, 1, 3)
        >>> integrated_gradients(net, image, torch.zeros(1, 1, 1, 3), targets=1).ravel()
        array([0., 1., 0.], dtype=float32)
    """
    check_count("steps", steps)
    classes = torch.as_tensor(class_numbers(targets, outputs_of(model, images)))
    baseline = like_images(baseline, images)
    way = images - baseline
    total = torch.zeros_like(images, device="cpu")
    with undisturbed(model):
        for step in track(range(steps), "integrated gradients, steps"):
            points = baseline + (step + 0.5) / steps * way
            total += torch.cat(list(_gradients(model, points, classes, batch_size)))
    return (total / steps * way.cpu()).numpy()


def _gradients(
    model: nn.Module, images: Tensor, classes: Tensor, batch_size: int
) -> Iterator[Tensor]:
    if not images.is_floating_point():
        raise ValueError(
            f"images are {images.dtype}, which has no gradients: give floats, prepared as for fit."
        )
    for part, some in zip(images.split(batch_size), classes.split(batch_size), strict=True):
        batch = part.detach().to(device_of(model)).requires_grad_()
        logits = model(batch)
        if not logits.requires_grad:
            raise ValueError(
                "The logits do not depend on the images by gradients: does the network cut them, "
                "with torch.no_grad or detach, or is torch.inference_mode on?"
            )
        picked = logits.gather(1, some[:, None].to(logits.device)).sum()
        yield torch.autograd.grad(picked, batch)[0].cpu()
