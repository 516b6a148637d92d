"""The randomisation test: a map that survives random weights does not explain the network."""

import copy
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import nn


def randomise_layers(
    model: nn.Module, explain: Callable[[nn.Module], np.ndarray], seed: int = 0
) -> pd.DataFrame:
    """Randomise the weights from the top down, layer by layer, and compare the maps.

    The network itself stays as it is: a copy is randomised. Batch normalisation goes together
    with the convolution before it.

    Args:
        model: the network.
        explain: from a network to maps (N, H, W); it must look at the network it is given.
        seed: of the random weights.

    Returns:
        A row a step: ``layer``, the one randomised last (all above it are random too);
        ``rank_correlation``, Spearman's, with the maps of the trained network, its mean over
        images; ``ssim``, the structural similarity of the maps scaled to [0, 1]; ``correlations``,
        Spearman's for each image (N,). A constant map counts as correlation 0.

    Raises:
        ValueError: for a network with weights that this test could not randomise.

    Source: Adebayo et al. (2018), *Sanity Checks for Saliency Maps*, NeurIPS.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> table = randomise_layers(net, lambda net: net[1].weight.detach().numpy()[None])
        >>> table.layer.tolist()
        ['as trained', '1']
    """
    original = np.asarray(explain(model))
    net = copy.deepcopy(model)
    _refuse_fixed(net)
    rows = [_compare("as trained", original, original)]
    pending = []
    with torch.random.fork_rng():
        torch.manual_seed(90_001 + seed)  # not a seed that the network itself may come from
        for name, module in reversed(list(net.named_modules())):
            if not list(module.parameters(recurse=False)):
                continue
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                pending.append(module)
                continue
            for layer in (module, *pending):
                layer.reset_parameters()
            pending.clear()
            rows.append(_compare(name, original, np.asarray(explain(net))))
    return pd.DataFrame(rows)


def _refuse_fixed(net: nn.Module) -> None:
    """Raise where weights would stay as trained: the maps would then survive for that reason."""
    owners = {n: m for n, m in net.named_modules() if list(m.parameters(recurse=False))}
    fixed = [name for name, m in owners.items() if not hasattr(m, "reset_parameters")]
    if fixed:
        raise ValueError(
            f"These layers have weights but no reset_parameters: {', '.join(fixed)}. "
            "Give them one, or test a network without them."
        )
    first = next(iter(owners.values()), None)
    if isinstance(first, nn.modules.batchnorm._BatchNorm):
        raise ValueError("The network begins with batch normalisation, before any other weights.")


def _compare(name: str, original: np.ndarray, maps: np.ndarray) -> dict[str, object]:
    from skimage.metrics import structural_similarity

    correlations = np.array([_spearman(a, b) for a, b in zip(original, maps, strict=True)])
    window = min(7, *(side - (side + 1) % 2 for side in original.shape[1:]))
    similar = [
        structural_similarity(_unit(a), _unit(b), data_range=1.0, win_size=window)
        if window >= 3
        else np.nan
        for a, b in zip(original, maps, strict=True)
    ]
    return {
        "layer": name,
        "rank_correlation": float(correlations.mean()),
        "ssim": float(np.mean(similar)),
        "correlations": correlations,
    }


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    a, b = (rankdata(v.ravel()) for v in (a, b))
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / size) if size > 0 else 0.0


def _unit(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
