"""Approximate Shapley values of single pixels, by the ``shap`` library: Deep and Gradient."""

import copy
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor, nn

from labkit.display import track
from labkit.explain.targets import Targets, check_background, check_count, class_numbers
from labkit.inference import device_of, outputs_of, undisturbed

ADDITIVITY = 0.01  # of the largest output difference of an image


def deep_shap(
    model: nn.Module, background: Tensor, images: Tensor, targets: Targets = None
) -> np.ndarray:
    """Approximate Shapley values by ``shap.DeepExplainer``; they add up to the output difference.

    Adding up is checked, and does not make them exact: ``coalition_worths`` leads to the exact
    ones. The explainer's rules need one ReLU object for each use. It works on a copy of the network
    whose in-place ReLUs are out of place; a reused ReLU is refused, and a sum that is more than
    1 % off too: overlapping max pooling, a layer without a rule, or ``torch.relu`` in ``forward``.

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

    check_background(background, images)
    _refuse_reused(model, images[:1])

    def explain(net: nn.Module, rows: Tensor) -> np.ndarray:
        explainer = shap.DeepExplainer(net, background.to(device_of(net)))
        with warnings.catch_warnings():
            # named below, if it matters
            warnings.filterwarnings("ignore", "unrecognized nn.Module")
            return explainer.shap_values(rows, check_additivity=False)

    values = _explain(model, images, targets, explain, "Deep SHAP")
    gap = additivity_gap(model, background, images, values, targets).max()
    if not gap <= ADDITIVITY:
        raise ValueError(
            f"The attributions miss the output difference by {100 * gap:.1f} %. "
            f"{_culprit(model)} Take gradient_shap, which has no such rules."
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
    """Approximate Shapley values by ``shap.GradientExplainer``, for any network.

    Expected gradients: it averages gradients at random points between image and background, so
    its sums are near the output difference, not equal; ``additivity_gap`` says how near.

    Args:
        model: the network.
        background: float (B, C, H, W).
        images: float (N, C, H, W).
        targets: None for all classes; else the class, one for all or one an image.
        samples: random points an image and class.
        seed: of the random points, which are the same for each image: what an image gets does not
            depend on which others come with it.

    Returns:
        float32 (N, classes, C, H, W), or (N, C, H, W) where ``targets`` is given.

    Source: Erion et al. (2021), *Expected gradients*, Nature Machine Intelligence 3.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> gradient_shap(net, torch.zeros(2, 1, 2, 2), torch.rand(3, 1, 2, 2), targets=1).shape
        (3, 1, 2, 2)
    """
    import shap

    check_count("samples", samples)
    check_background(background, images)

    def explain(net: nn.Module, rows: Tensor) -> np.ndarray:
        explainer = shap.GradientExplainer(net, background.to(device_of(net)))
        state = np.random.get_state()  # the library seeds NumPy's global generator
        try:
            parts = [explainer.shap_values(x, nsamples=samples, rseed=seed) for x in rows.split(1)]
            return np.concatenate(parts)
        finally:
            np.random.set_state(state)

    return _explain(model, images, targets, explain, "Gradient SHAP")


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
        background: (B, C, H, W), the images compared with.
        images: (N, C, H, W), the images explained.
        values: (N, classes, C, H, W), or (N, C, H, W) where ``targets`` is given: what
            ``deep_shap`` or ``gradient_shap`` returned.
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
    difference = (outputs_of(model, images) - reference).cpu().double().numpy(force=True)
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
    what: str,
) -> np.ndarray:
    # the library leaves hooks and parameters behind when it fails: give it a copy
    net = copy.deepcopy(model)
    images = images.detach().to(device_of(model))
    with undisturbed(net):
        if targets is None:
            parts = [explain(net, image) for image in track(images.split(1), f"{what}, images")]
            return np.moveaxis(np.concatenate(parts), -1, 1).astype(np.float32)
        chosen = class_numbers(targets, outputs_of(model, images))
        values = np.empty(images.shape, np.float32)
        for k in track(np.unique(chosen), f"{what}, classes"):
            rows = np.flatnonzero(chosen == k)
            found = explain(_OneClass(net, int(k)), images[torch.from_numpy(rows)])
            values[rows] = np.asarray(found).reshape(len(rows), *images.shape[1:])
    return values


def _refuse_reused(model: nn.Module, image: Tensor) -> None:
    """Raise where one activation or pooling object is used more than once."""
    used: Counter[nn.Module] = Counter()
    with ExitStack() as hooks:
        for module in model.modules():
            if not list(module.children()) and not list(module.parameters()):
                hook = module.register_forward_hook(lambda own, *_: used.update([own]))
                hooks.callback(hook.remove)
        outputs_of(model, image)
    for name, module in model.named_modules():
        if used[module] > 1:
            raise ValueError(
                f"The layer {name!r}, one {type(module).__name__} object, is used more than once: "
                "DeepExplainer would lie. Give each use an object of its own, or take "
                "gradient_shap."
            )


def _culprit(model: nn.Module) -> str:
    """What the rules of DeepExplainer do not fit, by the name of the layer."""
    from shap.explainers._deep.deep_pytorch import op_handler

    # what only reshapes needs no rule, and gets none from shap 0.46
    fitting = {*op_handler, "Flatten", "Unflatten", "Identity"}
    for name, module in model.named_modules():
        kind = type(module).__name__
        if kind.startswith("MaxPool") and _larger(module.kernel_size, module.stride):
            return (
                f"The layer {name!r} is the cause: {kind} with overlapping windows (size "
                f"{module.kernel_size}, stride {module.stride}), which the rule for pooling does "
                "not fit."
            )
        if not list(module.children()) and kind not in fitting:
            return f"DeepExplainer has no rule for the layer {name!r}, a {kind}."
    return (
        "It has a rule for each layer, so the network has a step outside its layers, such as "
        "torch.relu in forward(), which DeepExplainer does not see."
    )


def _larger(window: int | tuple[int, ...], stride: int | tuple[int, ...]) -> bool:
    pairs = np.broadcast_arrays(window, stride)
    return bool((pairs[0] > pairs[1]).any())
