"""Watch a network's layers through hooks that are always removed again.

``Probe`` keeps only running sums, never the activations, so a whole split can be watched.
"""

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Self

import pandas as pd
import torch
from torch import Tensor, nn

from labkit.inference import evaluating

__all__ = ["Probe", "attention_weights", "hooks_left"]


def __dir__() -> list[str]:  # what Tab shows after the module's name
    return __all__


ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid)
_RECTIFIERS = (nn.ReLU, nn.ReLU6)
_RANGES = {nn.Tanh: (-1.0, 1.0), nn.Sigmoid: (0.0, 1.0), nn.ReLU6: (0.0, 6.0)}


@dataclass
class _Sums:
    """What is kept of one layer: counts and sums."""

    layer: nn.Module
    count: int = 0
    mean: float = math.nan
    squares: float = 0.0  # sum of squared differences from the mean
    saturated: int = 0
    alive: Tensor | None = None  # bool (units,)
    gradient: list[float] = field(default_factory=list)  # a squared norm for each backward pass
    weight_gradient: list[float] = field(default_factory=list)

    def add(self, output: Tensor, saturation: float) -> None:
        """Take in one output of the layer, (B, …)."""
        values = output.detach().cpu().double()  # 1e-30 squared is 0 in float32
        count, mean = values.numel(), values.mean().item()
        shift = mean - self.mean if self.count else 0.0
        before, self.count = self.count, self.count + count
        self.mean = self.mean + shift * count / self.count if before else mean
        # sums of two parts: Chan, Golub and LeVeque (1983)
        self.squares += (values - mean).square().sum().item()
        self.squares += shift**2 * before * count / self.count
        if span := _RANGES.get(type(self.layer)):
            middle, half = (span[1] + span[0]) / 2, (span[1] - span[0]) / 2
            self.saturated += int(((values - middle).abs() > saturation * half).sum())
        if isinstance(self.layer, _RECTIFIERS):
            alive = (values > 0).transpose(0, min(1, values.ndim - 1)).flatten(1).any(1)
            self.alive = alive if self.alive is None else self.alive | alive

    def row(self) -> dict[str, object]:
        """The statistics, as one row of the table."""
        squashes = type(self.layer) in _RANGES and self.count
        return {
            "kind": type(self.layer).__name__,
            "mean": self.mean,
            "std": math.sqrt(self.squares / self.count) if self.count else math.nan,
            "saturated": self.saturated / self.count if squashes else math.nan,
            "dead": math.nan if self.alive is None else 1 - self.alive.float().mean().item(),
            "gradient_norm": _norm(self.gradient),
            "weight_gradient_norm": _norm(self.weight_gradient),
        }


def _norm(squares: list[float]) -> float:
    return math.sqrt(sum(squares) / len(squares)) if squares else math.nan


class Probe:
    """Gather statistics of a network's layers while it runs: a context manager.

    Every forward and backward pass inside the ``with`` block counts. When the block ends, also
    by an exception, all hooks are gone and the network is as it was. Layers that are functions
    (``torch.relu``) rather than modules cannot be seen.

    Args:
        model: the network.
        layers: which kinds of layers; by default the activation functions. ``nn.Module`` means
            all layers that contain no others.
        saturation: an output counts as saturated when it is farther from the middle of its range
            than this share of half the range; for tanh, when its absolute value is above this.

    Raises:
        ValueError: when the network has no such layer.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> with Probe(model) as probe:
        ...     loss = model(torch.ones(5, 3)).sum()
        ...     loss.backward()
        >>> list(probe.to_frame().index)
        ['1']
    """

    def __init__(
        self,
        model: nn.Module,
        layers: type[nn.Module] | tuple[type[nn.Module], ...] = ACTIVATIONS,
        saturation: float = 0.97,
    ) -> None:
        if not 0 < saturation < 1:
            raise ValueError(f"saturation is {saturation}; it must lie between 0 and 1.")
        leaves = {
            name: module
            for name, module in model.named_modules()
            if not any(True for _ in module.children())
        }
        self._sums = {n: _Sums(m) for n, m in leaves.items() if isinstance(m, layers)}
        if not self._sums:
            there = ", ".join(sorted({type(module).__name__ for module in leaves.values()}))
            kinds = layers if isinstance(layers, tuple) else (layers,)
            wanted = ", ".join(kind.__name__ for kind in kinds)
            raise ValueError(
                f"No layer of the network is one of layers= ({wanted}); it has: {there}. "
                "Give layers= a kind that it has, such as layers=nn.Linear."
            )
        self.saturation, self._hooks = saturation, ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as hooks:  # removes those made so far, should one fail
            for sums in self._sums.values():
                watch = self._watcher(sums)
                hooks.callback(sums.layer.register_forward_hook(watch).remove)
                weight = getattr(sums.layer, "weight", None)
                if isinstance(weight, Tensor) and weight.requires_grad:
                    hooks.callback(weight.register_hook(_recorder(sums.weight_gradient)).remove)
            self._hooks = hooks.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._hooks.close()

    def _watcher(self, sums: _Sums) -> Callable[[nn.Module, tuple, object], None]:
        def watch(layer: nn.Module, inputs: tuple, output: object) -> None:
            if not isinstance(output, Tensor) or not output.numel():
                return
            sums.add(output, self.saturation)
            if output.requires_grad:
                # a hook on the tensor, not on the layer: it also bears in-place layers
                handle = output.register_hook(_recorder(sums.gradient))
                self._hooks.callback(handle.remove)

        return watch

    def to_frame(self) -> pd.DataFrame:
        """The statistics so far: one row a layer, from the input to the output.

        Returns:
            A table with the layers' names as index and these columns; NaN where one makes no
            sense for a layer, or was not seen.

            - ``kind``: the layer's class.
            - ``mean``, ``std``: of all its outputs.
            - ``saturated``: share of outputs near an end of the range (tanh, sigmoid, ReLU6).
            - ``dead``: share of units (dimension 1) that were 0 for every input (ReLU, ReLU6).
            - ``gradient_norm``: length of the gradient of the loss with respect to the layer's
              output for a whole batch; over several batches the root of the mean square.
            - ``weight_gradient_norm``: the same for its weight (where the layer has one).

        Example:
            >>> probe.to_frame()["std"]  # doctest: +SKIP
        """
        table = pd.DataFrame({name: sums.row() for name, sums in self._sums.items()}).T
        table.index.name = "layer"
        return table.astype({name: float for name in table.columns if name != "kind"})


def attention_weights(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Whom each token of a Transformer attends to, in every attention layer that runs.

    Args:
        model: a network with ``nn.MultiheadAttention`` layers, such as torchvision's ViT.
        images: what it takes, (B, …).

    Returns:
        For each layer, in the order of the calls, (B, heads, N, N); each row adds up to 1.

    Raises:
        ValueError: when no such layer runs.

    Source:
        Vaswani et al., Attention is all you need, NeurIPS 2017.

    Example:
        >>> layer = nn.TransformerEncoderLayer(8, nhead=2, batch_first=True, dropout=0)
        >>> attention_weights(layer, torch.zeros(1, 5, 8))[0].shape
        torch.Size([1, 2, 5, 5])
    """
    found: list[Tensor] = []

    def ask(layer: nn.Module, inputs: tuple, options: dict) -> tuple:
        return inputs, options | {"need_weights": True, "average_attn_weights": False}

    def keep(layer: nn.Module, inputs: tuple, output: tuple) -> None:
        found.append(output[1])

    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as undo, evaluating(model), torch.no_grad():
        undo.callback(torch.backends.mha.set_fastpath_enabled, fast_path)
        torch.backends.mha.set_fastpath_enabled(False)  # it would pass the hooks by
        for layer in model.modules():
            if isinstance(layer, nn.MultiheadAttention):
                undo.callback(layer.register_forward_pre_hook(ask, with_kwargs=True).remove)
                undo.callback(layer.register_forward_hook(keep).remove)
        model(images)
    if not found:
        raise ValueError(
            f"No nn.MultiheadAttention layer ran in this {type(model).__name__}: give a "
            "Transformer that has them, such as torchvision's ViT."
        )
    return found


def _recorder(squares: list[float]) -> Callable[[Tensor], None]:
    def record(gradient: Tensor) -> None:
        squares.append(gradient.detach().cpu().double().square().sum().item())

    return record


def hooks_left(network: nn.Module) -> int:
    """How many hooks somebody left on a network, or on all networks; the latter are removed.

    A layer whose ``forward`` was replaced counts as one, too.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> handle = layer.register_forward_hook(lambda *_: None)
        >>> hooks_left(nn.Sequential(layer))
        1
    """
    kinds = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
    left = sum(len(getattr(layer, f"_{kind}")) for layer in network.modules() for kind in kinds)
    left += sum("forward" in vars(layer) for layer in network.modules())
    for everywhere in (getattr(nn.modules.module, f"_global_{kind}") for kind in kinds):
        left += len(everywhere)
        everywhere.clear()
    return left
