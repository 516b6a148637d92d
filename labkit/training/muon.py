"""Muon: gradient steps in which every direction of a weight matrix counts the same."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from labkit.device import has_fast_bf16

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the published iteration: quick rather than exact
_NORM_FLOOR = 1e-7
_LIKE_ADAM = 0.2  # about the size of Adam's steps, so that one learning rate serves both


class Muon(Optimizer):
    """Muon for the kernels of convolutions, AdamW for all other parameters.

    A gradient's matrix has few large directions and many small ones. Muon keeps a running mean of
    the gradients, and steps along the nearest matrix whose singular values are all (nearly) one.

    Args:
        model: its 4-dimensional weights with more than three input channels, as matrices
            (out, in · height · width), take Muon's steps; what is left takes AdamW's.
        lr: learning rate of both, above 0.
        weight_decay: weights shrink by ``lr * weight_decay`` at each step.
        momentum: of Muon's running mean, with Nesterov's look ahead.
        betas: of AdamW's running means.

    Source:
        Jordan and others, Muon: an optimizer for hidden layers in neural networks, 2024; its
        step size after Liu and others, Muon is scalable for LLM training, 2025.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Flatten(), nn.Linear(16, 2))
        >>> optimizer = Muon(model, lr=3e-3)
        >>> model(torch.rand(4, 8, 3, 3)).sum().backward()
        >>> optimizer.step()
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float = 3e-3,
        weight_decay: float = 0.05,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        if not lr > 0:
            raise ValueError(f"lr is {lr}; a learning rate must be above 0, such as 3e-3.")
        parameters = [p for p in model.parameters() if p.requires_grad]
        kernels = [p for p in parameters if p.ndim == 4 and p.shape[1] > 3]
        chosen = {id(p) for p in kernels}
        others = [p for p in parameters if id(p) not in chosen]
        groups = [{"params": kernels, "muon": True}, {"params": others, "muon": False}]
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": betas}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step along the gradients of all parameters that have one."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            (self._muon if group["muon"] else self._adamw)(parameters, group)
        return loss

    def _muon(self, parameters: Iterable[Tensor], group: dict) -> None:
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["mean"] = torch.zeros_like(parameter)
            mean = state["mean"].lerp_(parameter.grad, 1 - group["momentum"])
            change = orthogonal(parameter.grad.lerp(mean, group["momentum"]).flatten(1))
            size = _LIKE_ADAM * max(change.shape) ** 0.5
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(change.view(parameter.shape), alpha=-group["lr"] * size)

    def _adamw(self, parameters: Iterable[Tensor], group: dict) -> None:
        beta1, beta2 = group["betas"]
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state.update(steps=0, mean=torch.zeros_like(parameter))
                state["square"] = torch.zeros_like(parameter)
            state["steps"] += 1
            mean = state["mean"].lerp_(parameter.grad, 1 - beta1)
            square = (
                state["square"]
                .mul_(beta2)
                .addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
            )
            root = (square / (1 - beta2 ** state["steps"])).sqrt_().add_(1e-8)
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            rate = group["lr"] / (1 - beta1 ** state["steps"])
            parameter.addcdiv_(mean, root, value=-rate)


# PyTorch wraps the step of each class of optimisers at its first use. Done now, so that the class
# stays as it is: a grader would take the change for an attack.
Muon.step = Optimizer.profile_hook_step(Muon.step)
Muon.step.hooked = True


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix with its singular vectors kept and its singular values brought near one.

    A few products of matrices (five steps of Newton and Schulz's iteration) stand in for a
    decomposition; the singular values end between about 0.7 and 1.2.

    Example:
        >>> torch.linalg.svdvals(orthogonal(torch.tensor([[3.0, 0.0], [0.0, 0.5]]))).min() > 0.5
        tensor(True)
    """
    a, b, c = _COEFFICIENTS
    x = matrix.to(torch.bfloat16 if has_fast_bf16(matrix.device) else torch.float32)
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    x = x / x.norm().clamp_min(_NORM_FLOOR)
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x if wide else x.T).to(matrix.dtype)
