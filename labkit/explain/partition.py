"""Owen values of picture parts, by the ``shap`` library: hide and ask."""

import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from labkit.display import track
from labkit.explain.targets import Targets, class_numbers
from labkit.inference import outputs_of


def partition_shap(
    model: nn.Module,
    images: Tensor | np.ndarray,
    prepare: Callable[[Tensor], Tensor],
    targets: Targets = None,
    max_evals: int = 500,
    batch_size: int = 64,
) -> np.ndarray:
    """Owen values of picture parts by ``shap.PartitionExplainer``; hidden parts are inpainted.

    Owen values are Shapley values of parts that join only in a fixed hierarchy.

    It needs no gradients, only answers: parts of the picture are hidden by inpainting from their
    surroundings, coarse parts first. ``batch_size`` such pictures go through the network at once.

    Args:
        model: the network.
        images: uint8 (N, C, H, W).
        prepare: from float images in [0, 1] to what the network wants.
        targets: None for all classes, from the same answers; else the class, one for all or one an
            image. The parts that are divided are those that matter to the classes asked for.
        max_evals: pictures an image; more give finer parts.
        batch_size: pictures at a time.

    Returns:
        float32 (N, classes, C, H, W), or (N, C, H, W) where ``targets`` is given.

    Raises:
        ValueError: for images that are not uint8, or no batch.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        >>> images = torch.randint(0, 255, (1, 3, 8, 8), dtype=torch.uint8)
        >>> partition_shap(net, images, lambda x: x, max_evals=20).shape
        (1, 2, 3, 8, 8)
    """
    import shap

    images = torch.as_tensor(images)
    if images.dtype != torch.uint8 or images.ndim != 4:
        name = str(images.dtype).removeprefix("torch.")
        raise ValueError(
            f"images are {name} {tuple(images.shape)}; give those of a split as they are, uint8 "
            "(N, C, H, W): prepare makes of them what the network takes."
        )
    pictures = images.permute(0, 2, 3, 1).numpy().astype(np.float32)

    def logits(rows: np.ndarray) -> Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(rows)).permute(0, 3, 1, 2) / 255
        return outputs_of(model, prepare(batch), batch_size)

    masker = shap.maskers.Image("inpaint_telea", pictures.shape[1:])
    asked = itertools.repeat(None)
    if targets is not None:
        asked = class_numbers(targets, logits(pictures))[:, None]
    values = []
    for picture, classes in track(
        list(zip(pictures, asked, strict=False)), "hiding parts of photographs"
    ):
        explainer = shap.PartitionExplainer(lambda rows: logits(rows).numpy(force=True), masker)
        found = explainer(
            picture[None],
            outputs=classes,
            max_evals=max_evals,
            batch_size=batch_size,
            silent=True,
        )
        values.append(found.values[0].transpose(3, 2, 0, 1))
    values = np.stack(values).astype(np.float32)
    return values if targets is None else values[:, 0]
