"""The randomisation test: does a map change when the network forgets what it learnt?"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from labkit.arrays import to_numpy
from labkit.display import track
from labkit.explain.faithfulness import refuse_nan

Explain = Callable[[nn.Module], Mapping[str, np.ndarray]]


def randomise_layers(
    model: nn.Module, explain: Explain, draws: Sequence[int] = (0,)
) -> pd.DataFrame:
    """Randomise the weights from the top down, layer by layer, and compare the maps.

    The network itself stays as it is: a copy is randomised. Batch normalisation goes together
    with the convolution before it.

    Args:
        model: the network.
        explain: from a network to maps (N, H, W) by the name of the method; it must look at the
            network it is given.
        draws: seeds of the random weights. One draw says little: draws differ more than images.

    Returns:
        A row a draw, layer and method: ``draw``; ``layer``, the one randomised last (all above it
        are random too); ``method``; ``rank_correlation``, see ``rank_correlation``, with the maps
        of the trained network.

    Raises:
        ValueError: for a network with weights that this test could not randomise.

    Source: Adebayo et al. (2018), *Sanity Checks for Saliency Maps*, NeurIPS.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> table = randomise_layers(net, lambda net: {"weights": net[1].weight.detach()[None]})
        >>> table.layer.tolist()
        ['as trained', '1']
    """
    _refuse_fixed(model)
    original, rows = explain(model), []
    layers = sum(not isinstance(module, _BatchNorm) for module in _with_weights(model).values())
    for draw, layer, net in track(_draws(model, draws), "randomising", len(draws) * (1 + layers)):
        for name, maps in (explain(net) if net else original).items():
            rows.append((draw, layer, name, rank_correlation(original[name], maps)))
    return pd.DataFrame(rows, columns=["draw", "layer", "method", "rank_correlation"])


def rank_correlation(some: np.ndarray, others: np.ndarray) -> float:
    """How alike two methods order the pixels of each picture, the mean over pictures.

    Args:
        some: maps (N, H, W).
        others: maps (N, H, W).

    Returns:
        Spearman's rank correlation: 1 for the same order, 0 for none. A constant map counts 0.

    Raises:
        ValueError: for maps of different shapes, or with NaN.

    Example:
        >>> rank_correlation(np.array([[[1.0, 2.0, 3.0]]]), np.array([[[0.1, 0.2, 9.0]]]))
        1.0
    """
    some, others = to_numpy(some), to_numpy(others)
    if some.ndim != 3 or some.shape != others.shape:
        raise ValueError(f"The maps are {some.shape} and {others.shape}; both must be (N, H, W).")
    for maps in (some, others):
        refuse_nan(maps)
    return float(np.mean([_spearman(a, b) for a, b in zip(some, others, strict=True)]))


def _draws(model: nn.Module, draws: Sequence[int]) -> Iterator[tuple[int, str, nn.Module | None]]:
    """Each draw and layer with the network that has forgotten it; None for the trained one."""
    for draw in draws:
        yield draw, "as trained", None
        for layer, net in _forgetting(copy.deepcopy(model), draw):
            yield draw, layer, net


def _forgetting(net: nn.Module, seed: int) -> Iterator[tuple[str, nn.Module]]:
    """Give one layer after the other new weights, from the last to the first."""
    pending, made = [], torch.Generator().manual_seed(90_001 + seed)
    for name, module in reversed(_with_weights(net).items()):
        if isinstance(module, _BatchNorm):
            pending.append(module)
            continue
        with torch.random.fork_rng():
            # not a seed that the network itself may come from; explain() may draw in between
            torch.manual_seed(int(torch.randint(2**31, (), generator=made)))
            for layer in (module, *pending):
                layer.reset_parameters()
        pending.clear()
        yield name, net


def _with_weights(net: nn.Module) -> dict[str, nn.Module]:
    return {n: m for n, m in net.named_modules() if list(m.parameters(recurse=False))}


def _refuse_fixed(net: nn.Module) -> None:
    """Raise where weights would stay as trained: the maps would then survive for that reason."""
    owners = _with_weights(net)
    fixed = [name for name, m in owners.items() if not hasattr(m, "reset_parameters")]
    if fixed:
        raise ValueError(
            f"These layers have weights but no reset_parameters: {', '.join(fixed)}. "
            "Give them one, or test a network without them."
        )
    name, first = next(iter(owners.items()), ("", None))
    if isinstance(first, _BatchNorm):
        raise ValueError(
            f"The network begins with batch normalisation ({name}), before any other weights: "
            "there is no layer with which it could be randomised. Test a network without it."
        )


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    constant = np.ptp(a) == 0 or np.ptp(b) == 0
    return 0.0 if constant else float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
