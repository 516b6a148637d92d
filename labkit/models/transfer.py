"""Fine-tuning: freeze the layers of a borrowed network, give it a head, train with two rates."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.data import DataLoader, TensorDataset

from labkit import settings
from labkit.device import get_device
from labkit.inference import outputs_of
from labkit.models.backbones import Backbone, load_backbone
from labkit.models.weights import kept_or_new, save_weights, weights_file
from labkit.training.fit import fit

EPOCHS, LAST = 10, 1  # epochs of training; blocks of the body that learn


class FrozenBatchNorm(nn.BatchNorm2d):
    """Batch normalisation that keeps its running mean and variance, also after ``train()``."""

    def train(self, mode: bool = True) -> "FrozenBatchNorm":
        """Stay in ``eval`` mode."""
        return super().train(False)


def freeze(model: nn.Module, last: int = LAST) -> nn.Module:
    """Freeze all but the last blocks; frozen batch normalisation stays in ``eval``.

    Args:
        model: a backbone without its head, whose blocks are its stages; else a network whose
            blocks are its children. Those without parameters do not count.
        last: how many blocks go on learning; 0 for none.

    Returns:
        The same network, changed in place.

    Raises:
        ValueError: when there are not that many.

    Example:
        >>> model = freeze(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU()), last=1)
        >>> [p.requires_grad for p in model.parameters()]
        [False, False, True, True]
    """
    stages = model.stages if isinstance(model, Backbone) else model
    blocks = [block for block in stages.children() if any(True for _ in block.parameters())]
    if not 0 <= last <= len(blocks):
        raise ValueError(f"last is {last}; the network has {len(blocks)} blocks with parameters.")
    model.requires_grad_(False)
    for block in blocks[len(blocks) - last :]:
        block.requires_grad_(True)
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


def fine_tuned(images: Tensor, labels: Tensor, name: str = "squeezenet1_0") -> nn.Sequential:
    """A borrowed network that lab 06 taught these photographs.

    Where lab 06 has not run here, it is trained now as that lab does it, and kept.

    Args:
        images: uint8 (N, 3, S, S), the training photographs of lab 06's first fold.
        labels: int64 (N,).
        name: the backbone, see ``load_backbone``.

    Returns:
        ``nn.Sequential(backbone, head)`` in ``eval`` mode, on the CPU; ``network.transform``
        prepares photographs for it.

    Example:
        >>> network = fine_tuned(middle[train], labels[train])  # doctest: +SKIP
        >>> logits = network(network.transform(middle[test]))  # doctest: +SKIP
    """
    backbone = freeze(load_backbone(name), LAST)

    def train_now() -> nn.Module:
        torch.manual_seed(settings.seed_offset())
        return _fine_tune(backbone, images, labels)

    def with_head(weights: dict[str, Tensor]) -> nn.Module:
        (hidden, features), (classes, _) = weights["1.0.weight"].shape, weights["1.3.weight"].shape
        return nn.Sequential(backbone, new_head(features, classes, hidden))

    file, what = _file(backbone, images, labels), f"The fine-tuned {backbone.name} of lab 06"
    state = kept_or_new(file, what, "1 to 2 minutes", train_now, with_head)
    network = with_head(state)
    network.load_state_dict(state)
    network.transform = backbone.transform
    return network.cpu().eval()


def save_fine_tuned(network: nn.Sequential, images: Tensor, labels: Tensor) -> Path:
    """Keep a fine-tuned network in the data folder, where ``fine_tuned`` finds it.

    Args:
        network: ``nn.Sequential(backbone, head)``, the head made by ``new_head``.
        images: what it was trained on, uint8 (N, 3, S, S).
        labels: int64 (N,).

    Returns:
        The file; other photographs, labels or backbones have files of their own.

    Raises:
        ValueError: for a head without a hidden layer.

    Example:
        >>> save_fine_tuned(network, middle[train], labels[train])  # doctest: +SKIP
    """
    if "1.3.weight" not in network.state_dict():
        raise ValueError("The head must have a hidden layer, as new_head(features) makes it.")
    return save_weights(network, _file(network[0], images, labels))


def _fine_tune(backbone: Backbone, images: Tensor, labels: Tensor) -> nn.Sequential:
    device = get_device()
    lower, upper = backbone.to(device).eval().split()
    # what the frozen part gives never changes: it is computed once, and kept at half the size
    parts = (outputs_of(lower, part, 32, backbone.transform) for part in images.split(256))
    maps = torch.cat([part.half().cpu() for part in parts])
    features = outputs_of(upper, maps[:1].float()).shape[1]

    def batch_of(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        inputs, targets = zip(*items, strict=True)
        return torch.stack(inputs).float(), torch.stack(targets)

    batches = DataLoader(TensorDataset(maps, labels), 32, shuffle=True, collate_fn=batch_of)
    head = new_head(features, int(labels.max()) + 1)
    optimizer = AdamW(parameter_groups(upper, head))
    fit(nn.Sequential(upper, head), batches, epochs=EPOCHS, optimizer=optimizer)
    return nn.Sequential(backbone, head)


def _file(backbone: Backbone, images: Tensor, labels: Tensor) -> Path:
    digest = hashlib.sha256(images.contiguous().numpy().tobytes())
    digest.update(labels.numpy().tobytes())
    return weights_file(
        "fine-tuned", backbone.name, f"last{LAST}-{EPOCHS}epochs", digest.hexdigest()[:12]
    )
