"""Fine-tuning: freeze the layers of a borrowed network, give it a head, set learning rates."""

from torch import nn


class FrozenBatchNorm(nn.BatchNorm2d):
    """Batch normalisation that keeps its running mean and variance, also after ``train()``."""

    def train(self, mode: bool = True) -> "FrozenBatchNorm":
        """Stay in ``eval`` mode."""
        return super().train(False)


def freeze(model: nn.Module, last: int = 15) -> nn.Module:
    """Freeze all but the last parameter tensors; frozen batch normalisation stays in ``eval``.

    Args:
        model: a network; a backbone without its head.
        last: how many tensors (a weight, a bias, …) go on learning; 0 for none.

    Returns:
        The same network, changed in place.

    Raises:
        ValueError: when there are not that many.

    Example:
        >>> model = freeze(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), last=2)
        >>> [p.requires_grad for p in model.parameters()]
        [False, False, True, True]
    """
    parameters = list(model.parameters())
    if not 0 <= last <= len(parameters):
        raise ValueError(f"last is {last}; the network has {len(parameters)} parameter tensors.")
    for position, parameter in enumerate(parameters):
        parameter.requires_grad_(position >= len(parameters) - last)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            frozen = not any(p.requires_grad for p in module.parameters())
            module.__class__ = FrozenBatchNorm if frozen else nn.BatchNorm2d
            module.train(module.training)
    return model


def new_head(
    features: int, classes: int = 8, hidden: int | None = 128, dropout: float = 0.2
) -> nn.Sequential:
    """A head for new classes: features → hidden → classes, ReLU and dropout between.

    Args:
        features: how many numbers the backbone gives.
        classes: how many logits.
        hidden: the size of the middle layer; None for one linear layer.
        dropout: the share of hidden numbers set to zero in training.

    Returns:
        The head, untrained.

    Example:
        >>> new_head(512)(torch.zeros(2, 512)).shape
        torch.Size([2, 8])
    """
    if hidden is None:
        return nn.Sequential(nn.Linear(features, classes))
    layers = (nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(hidden, classes))


def parameter_groups(
    body: nn.Module, head: nn.Module, body_lr: float = 3e-5, head_lr: float = 8e-4
) -> list[dict]:
    """What an optimiser needs to give body and head learning rates of their own.

    Args:
        body: the borrowed layers; frozen parameters are left out.
        head: the new layers.
        body_lr: the learning rate of the body: small, it knows something already.
        head_lr: that of the head, which knows nothing yet.

    Returns:
        Parameter groups for any optimiser of ``torch.optim``.

    Example:
        >>> groups = parameter_groups(nn.Linear(2, 2), nn.Linear(2, 2))
        >>> [group["lr"] for group in groups]
        [3e-05, 0.0008]
    """
    parts = ((body, body_lr), (head, head_lr))
    return [
        {"params": [p for p in part.parameters() if p.requires_grad], "lr": lr}
        for part, lr in parts
    ]
