"""What happens to the pixels of a batch: normalised, augmented, as whole tensors."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Normalize = str | tuple[Sequence[float] | float, Sequence[float] | float]


def normalizer(normalize: Normalize) -> Callable[[Tensor], Tensor]:
    """Make the function that normalises a batch of images in [0, 1].

    Args:
        normalize: ``"half"`` for (x − 0.5)/0.5, which gives [−1, 1]; ``"none"``; ``"imagenet"``;
            ``"per_image"`` for zero mean and unit variance in each image; or ``(mean, std)``,
            numbers or one value per channel.

    Returns:
        A function from float images (B, C, H, W) to float images (B, C, H, W).

    Raises:
        ValueError: for anything else.

    Example:
        >>> normalizer("half")(torch.ones(1, 3, 2, 2)).max()
        tensor(1.)
    """
    named = {"half": (0.5, 0.5), "imagenet": (IMAGENET_MEAN, IMAGENET_STD)}
    if normalize == "none":
        return lambda images: images
    if normalize == "per_image":
        return _standardize_each
    is_name = isinstance(normalize, str)
    is_pair = isinstance(normalize, tuple | list) and len(normalize) == 2
    if not (normalize in named if is_name else is_pair):
        allowed = '"half", "none", "per_image", "imagenet" or (mean, std)'
        raise ValueError(f"normalize is {normalize!r}; choose {allowed}.")
    mean, std = named[normalize] if is_name else normalize
    mean, std = (torch.as_tensor(v, dtype=torch.float32).reshape(-1, 1, 1) for v in (mean, std))
    if (std <= 0).any():
        raise ValueError(f"normalize has a standard deviation of {std.min():g}; it must be > 0.")
    if not (mean.isfinite().all() and std.isfinite().all()):
        raise ValueError(f"normalize is {normalize!r}; mean and standard deviation must be finite.")

    @cache  # a copy a batch would wait for the device
    def on(device: torch.device) -> tuple[Tensor, Tensor]:
        return mean.to(device), std.to(device)

    def normalise(images: Tensor) -> Tensor:
        shift, scale = on(images.device)
        channels = {len(shift), len(scale)} - {1}
        if channels - {images.shape[1]} and images.shape[1] != 1:
            raise ValueError(
                f"normalize has values for {max(channels)} channels, and the images have "
                f"{images.shape[1]}: give one a channel, or one number for all."
            )
        return images.sub(shift).div_(scale)

    return normalise


def pixel_transform(normalize: Normalize) -> Callable[[Tensor], Tensor]:
    """Make the function that turns stored images into what a network takes.

    Args:
        normalize: see ``normalizer``.

    Returns:
        A function from images (B, C, H, W), uint8 or float in [0, 1], to normalised float images.

    Example:
        >>> pixel_transform("half")(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)).max()
        tensor(1.)
    """
    normalise = normalizer(normalize)
    return lambda images: normalise(
        images if images.is_floating_point() else images.float().div_(255)
    )


def _standardize_each(images: Tensor) -> Tensor:
    std, mean = torch.std_mean(images, dim=(1, 2, 3), keepdim=True)
    return (images - mean) / std.clamp_min(1e-6)


@dataclass(frozen=True)
class Augment:
    """Random changes that leave the class of a cell as it is, drawn anew for each image.

    Args:
        flip: mirror left to right, and top to bottom, each with probability one half.
        turn: turn by 0, 90, 180 or 270 degrees (square images only).
        rotate: rotate by up to this many degrees either way.
        shift: shift by up to this many whole pixels in each direction; edges are repeated. (Parts
            of a pixel would blur each training image, and the sharp test images would look new.)
        brightness: multiply by a factor within 1 ± this.

    Example:
        >>> images = torch.rand(4, 3, 28, 28)
        >>> Augment(flip=True, turn=True, shift=2)(images).shape
        torch.Size([4, 3, 28, 28])
    """

    flip: bool = False
    turn: bool = False
    rotate: float = 0.0
    shift: int = 0
    brightness: float = 0.0

    def __post_init__(self) -> None:
        for name, allowed, fits in (
            ("flip", "True or False", self.flip in (True, False)),
            ("turn", "True or False", self.turn in (True, False)),
            ("rotate", "degrees, such as 20", _is_finite(self.rotate)),
            ("shift", "whole pixels from 0", isinstance(self.shift, Integral) and self.shift >= 0),
            ("brightness", "0 … 1", _is_finite(self.brightness) and 0 <= self.brightness <= 1),
        ):
            if not fits:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {allowed}.")

    def __call__(self, images: Tensor) -> Tensor:
        """Augment float images (B, C, H, W) in [0, 1]; the result is in [0, 1] too."""
        if self.flip:
            images = _where(_coin(images), images.flip(3), images)
            images = _where(_coin(images), images.flip(2), images)
        if self.turn:
            if images.shape[2] != images.shape[3]:
                raise ValueError(
                    f"turn needs square images, not {tuple(images.shape[2:])}: crop them, or "
                    "leave turn out."
                )
            images = _where(_coin(images), images.transpose(2, 3).flip(3), images)
            images = _where(_coin(images), images.flip((2, 3)), images)
        if self.rotate:
            images = self._rotate(images)
        if self.shift:
            images = self._shift(images)
        if self.brightness:
            factor = 1 + self.brightness * _uniform(images, 1)
            images = (images * factor[..., None, None]).clamp(0, 1)
        return images

    def _rotate(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        angle = torch.deg2rad(self.rotate * _uniform(images, 1))[:, 0]
        cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
        # affine_grid counts in half images, whatever their sides
        across = torch.stack([cos, -sin * height / width, zero], 1)
        down = torch.stack([sin * width / height, cos, zero], 1)
        grid = F.affine_grid(
            torch.stack([across, down], 1), list(images.shape), align_corners=False
        )
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _shift(self, images: Tensor) -> Tensor:
        (count, channels, height, width), device = images.shape, images.device
        down, across = torch.randint(-self.shift, self.shift + 1, (2, count, 1), device=device)
        rows = (torch.arange(height, device=device) + down).clamp(0, height - 1)
        columns = (torch.arange(width, device=device) + across).clamp(0, width - 1)
        image = torch.arange(count, device=device)[:, None, None, None]
        channel = torch.arange(channels, device=device)[:, None, None]
        return images[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _is_finite(value: float) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _coin(images: Tensor) -> Tensor:
    return torch.rand(len(images), device=images.device) < 0.5


def _uniform(images: Tensor, columns: int) -> Tensor:
    return 2 * torch.rand(len(images), columns, device=images.device) - 1


def _where(chosen: Tensor, changed: Tensor, images: Tensor) -> Tensor:
    return torch.where(chosen[:, None, None, None], changed, images)
