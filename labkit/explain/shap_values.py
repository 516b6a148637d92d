"""Shapley values through the ``shap`` library: Deep, Gradient and Partition."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from labkit.display import track
from labkit.explain.targets import Targets, class_numbers
from labkit.inference import device_of, outputs_of, undisturbed

ADDITIVITY = 0.01  # of the largest output difference of an image


def deep_shap(
    model: nn.Module, background: Tensor, images: Tensor, targets: Targets = None
) -> np.ndarray:
    """Shapley values by ``shap.DeepExplainer``, checked: they add up to the output difference.

    The explainer's rules need one ReLU object for each use. It works on a copy of the network
    whose in-place ReLUs are out of place; a reused ReLU is refused, and a sum that is more than
    1 % off too (for instance where the network calls ``torch.relu`` itself).

    Args:
        model: the network.
        background: float (B, C, H, W), 20 to 25 images to compare with.
        images: float (N, C, H, W).
        targets: None for all classes; else the class, one for all or one an image.

    Returns:
        float32 (N, classes, C, H, W), or (N, C, H, W) where ``targets`` is given.

    Raises:
        ValueError: for a network this method cannot explain; take ``gradient_shap``.

    Source: Lundberg and Lee (2017), NeurIPS; Shrikumar et al. (2017), *DeepLIFT*, ICML.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> deep_shap(net, torch.zeros(2, 1, 2, 2), torch.rand(3, 1, 2, 2)).shape
        (3, 2, 1, 2, 2)
    """
    import shap

    _refuse_reused(model, images[:1])

    def explain(net: nn.Module, rows: Tensor) -> np.ndarray:
        explainer = shap.DeepExplainer(net, background.to(device_of(net)))
        return explainer.shap_values(rows, check_additivity=False)

    values = _explain(model, images, targets, explain)
    gap = additivity_gap(model, background, images, values, targets).max()
    if not gap <= ADDITIVITY:
        raise ValueError(
            f"The attributions miss the output difference by {100 * gap:.1f} %: the network has a "
            "step that DeepExplainer does not see, such as torch.relu; take gradient_shap."
        )
    return values


def gradient_shap(
    model: nn.Module,
    background: Tensor,
    images: Tensor,
    targets: Targets = None,
    samples: int = 200,
    seed: int = 0,
) -> np.ndarray:
    """Shapley values by ``shap.GradientExplainer`` (expected gradients), for any network.

    It averages gradients at random points between image and background, so its sums are near the
    output difference, not equal; ``additivity_gap`` says how near.

    Args:
        model: the network.
        background: float (B, C, H, W).
        images: float (N, C, H, W).
        targets: None for all classes; else the class, one for all or one an image.
        samples: random points an image and class.
        seed: of the random points.

    Returns:
        float32 (N, classes, C, H, W), or (N, C, H, W) where ``targets`` is given.

    Source: Erion et al. (2021), *Expected gradients*, Nature Machine Intelligence 3.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> gradient_shap(net, torch.zeros(2, 1, 2, 2), torch.rand(3, 1, 2, 2), targets=1).shape
        (3, 1, 2, 2)
    """
    import shap

    def explain(net: nn.Module, rows: Tensor) -> np.ndarray:
        explainer = shap.GradientExplainer(net, background.to(device_of(net)))
        state = np.random.get_state()  # the library seeds NumPy's global generator
        try:
            return explainer.shap_values(rows, nsamples=samples, rseed=seed)
        finally:
            np.random.set_state(state)

    return _explain(model, images, targets, explain)


def partition_shap(
    model: nn.Module,
    images: Tensor | np.ndarray,
    prepare: Callable[[Tensor], Tensor],
    targets: Targets = None,
    max_evals: int = 500,
    batch_size: int = 64,
) -> np.ndarray:
    """Shapley values of picture parts by ``shap.PartitionExplainer``; hidden parts are inpainted.

    It needs no gradients, only answers: parts of the picture are hidden by inpainting from their
    surroundings, coarse parts first. ``batch_size`` such pictures go through the network at once.

    Args:
        model: the network.
        images: uint8 (N, C, H, W).
        prepare: from float images in [0, 1] to what the network wants.
        targets: the class, one for all or one an image; None for the predicted.
        max_evals: pictures an image; more give finer parts.
        batch_size: pictures at a time.

    Returns:
        float32 (N, C, H, W).

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        >>> images = torch.randint(0, 255, (1, 3, 8, 8), dtype=torch.uint8)
        >>> partition_shap(net, images, lambda x: x, max_evals=20).shape
        (1, 3, 8, 8)
    """
    import shap

    pictures = torch.as_tensor(images).permute(0, 2, 3, 1).numpy().astype(np.float32)

    def logits(rows: np.ndarray) -> Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(rows)).permute(0, 3, 1, 2) / 255
        return outputs_of(model, prepare(batch), batch_size)

    chosen = class_numbers(targets, logits(pictures))
    masker = shap.maskers.Image("inpaint_telea", pictures.shape[1:])
    values = []
    pairs = zip(pictures, chosen, strict=True)
    for picture, k in track(pairs, "hiding parts of photographs", len(pictures)):
        explainer = shap.PartitionExplainer(
            lambda rows, k=k: logits(rows)[:, k].numpy(force=True), masker
        )
        found = explainer(picture[None], max_evals=max_evals, batch_size=batch_size, silent=True)
        values.append(found.values.reshape(picture.shape))
    return np.stack(values).transpose(0, 3, 1, 2).astype(np.float32)


def additivity_gap(
    model: nn.Module,
    background: Tensor,
    images: Tensor,
    values: np.ndarray,
    targets: Targets = None,
) -> np.ndarray:
    """How far the sums of attributions are from the output differences, as a share.

    Args:
        model: the network.
        background: the images compared with.
        images: the images explained.
        values: what ``deep_shap`` or ``gradient_shap`` returned, with the same ``targets``.
        targets: as given there.

    Returns:
        (N,): the largest gap of an image, over its largest output difference among all classes.

    Example:
        >>> net = nn.Flatten()
        >>> zero, one = torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2)
        >>> additivity_gap(net, zero, one, np.array([[[[0.9, 0.0]]]]), targets=0).round(3)
        array([0.1])
    """
    reference = outputs_of(model, background).mean(0)
    difference = (outputs_of(model, images) - reference).double().numpy(force=True)
    largest = np.abs(difference).max(1)
    if targets is not None:
        rows = np.arange(len(images))
        difference = difference[rows, class_numbers(targets, torch.from_numpy(difference))][:, None]
        values = values[:, None]
    sums = values.astype(np.float64).sum((2, 3, 4))
    return np.abs(sums - difference).max(1) / np.maximum(largest, 1e-6)


class _OneClass(nn.Module):
    """The logit of one class, as (B, 1)."""

    def __init__(self, model: nn.Module, number: int) -> None:
        super().__init__()
        self.model, self.number = model, number

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)[:, self.number : self.number + 1]


def _explain(
    model: nn.Module,
    images: Tensor,
    targets: Targets,
    explain: Callable[[nn.Module, Tensor], np.ndarray],
) -> np.ndarray:
    # the library leaves hooks and parameters behind when it fails: give it a copy
    net = copy.deepcopy(model)
    images = images.detach().to(device_of(model))
    with undisturbed(net):
        if targets is None:
            return np.moveaxis(explain(net, images), -1, 1).astype(np.float32)
        chosen = class_numbers(targets, outputs_of(model, images))
        values = np.empty(images.shape, np.float32)
        for k in np.unique(chosen):
            rows = np.flatnonzero(chosen == k)
            found = explain(_OneClass(net, int(k)), images[torch.from_numpy(rows)])
            values[rows] = np.asarray(found).reshape(len(rows), *images.shape[1:])
    return values


def _refuse_reused(model: nn.Module, image: Tensor) -> None:
    """Raise where one activation or pooling object is used more than once."""
    used: dict[nn.Module, int] = {}
    handles = []
    try:
        for module in model.modules():
            if not list(module.children()) and not list(module.parameters()):
                handles.append(
                    module.register_forward_hook(
                        lambda own, *_: used.__setitem__(own, used.get(own, 0) + 1)
                    )
                )
        outputs_of(model, image)
    finally:
        for handle in handles:
            handle.remove()
    if twice := sorted({type(module).__name__ for module, n in used.items() if n > 1}):
        raise ValueError(
            f"One {', '.join(twice)} object is used more than once: DeepExplainer would lie. "
            "Give each use an object of its own, or take gradient_shap."
        )
