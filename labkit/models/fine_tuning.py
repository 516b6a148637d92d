"""The fine-tuned network of lab 06, which lab 07 questions."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.data import DataLoader, TensorDataset

from labkit import settings
from labkit.backbones import Backbone, load_backbone
from labkit.device import get_device
from labkit.files import atomic
from labkit.training import fit
from labkit.transfer import freeze, new_head, parameter_groups

EPOCHS, LAST = 6, 15  # epochs of training; parameter tensors of the body that learn


def fine_tuned(images: Tensor, labels: Tensor, name: str = "squeezenet1_0") -> nn.Sequential:
    """A borrowed network that lab 06 taught these photographs.

    Where lab 06 has not run here, it is trained now as that lab does it, and kept.

    Args:
        images: uint8 (N, 3, S, S), the training photographs of lab 06's first fold.
        labels: int64 (N,).
        name: the backbone, see ``load_backbone``.

    Returns:
        ``nn.Sequential(backbone, head)`` in ``eval`` mode, on the CPU. ``network[0].transform``
        prepares photographs for it.

    Example:
        >>> network = fine_tuned(middle[train], labels[train])  # doctest: +SKIP
        >>> logits = network(network[0].transform(middle[test]))  # doctest: +SKIP
    """
    backbone = freeze(load_backbone(name), LAST)
    file = _file(backbone, images, labels)
    if not file.exists():
        print(f"Lab 06 has not kept its fine-tuned {backbone.name} here: training it, 1–2 minutes.")
        with torch.random.fork_rng():  # the caller's random numbers do not depend on what was kept
            torch.manual_seed(settings.seed_offset())
            network = _fine_tune(backbone, images, labels)
        save_fine_tuned(network, images, labels)
    state = torch.load(file, map_location="cpu", weights_only=True)
    (hidden, features), (classes, _) = state["1.0.weight"].shape, state["1.3.weight"].shape
    network = nn.Sequential(backbone, new_head(features, classes, hidden))
    network.load_state_dict(state)
    return network.cpu().eval()


def save_fine_tuned(network: nn.Sequential, images: Tensor, labels: Tensor) -> Path:
    """Keep a fine-tuned network in the data folder, where ``fine_tuned`` finds it.

    Args:
        network: ``nn.Sequential(backbone, head)``, the head made by ``new_head``.
        images: what it was trained on, uint8 (N, 3, S, S).
        labels: int64 (N,).

    Raises:
        ValueError: for a head without a hidden layer.

    Returns:
        The file; other photographs, labels or backbones have files of their own.

    Example:
        >>> save_fine_tuned(network, middle[train], labels[train])  # doctest: +SKIP
    """
    if "1.3.weight" not in network.state_dict():
        raise ValueError("The head must have a hidden layer, as new_head(features) makes it.")
    file = _file(network[0], images, labels)
    with atomic(file) as temporary:
        torch.save(network.state_dict(), temporary)
    return file


def _fine_tune(backbone: Backbone, images: Tensor, labels: Tensor) -> nn.Sequential:
    device = get_device()
    lower, upper = backbone.to(device).eval().split()
    maps = []
    with torch.inference_mode():
        for batch in images.split(32):
            maps.append(lower(backbone.transform(batch.to(device))).half().cpu())
        features = upper(maps[0][:1].float().to(device)).shape[1]

    def batch_of(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        inputs, targets = zip(*items, strict=True)
        return torch.stack(inputs).float(), torch.stack(targets)

    data = TensorDataset(torch.cat(maps).clone(), labels)
    batches = DataLoader(data, 32, shuffle=True, collate_fn=batch_of)
    head = new_head(features, int(labels.max()) + 1)
    optimizer = AdamW(parameter_groups(upper, head))
    fit(nn.Sequential(upper, head), batches, epochs=EPOCHS, optimizer=optimizer)
    return nn.Sequential(backbone, head)


def _file(backbone: Backbone, images: Tensor, labels: Tensor) -> Path:
    digest = hashlib.sha256(images.contiguous().numpy().tobytes())
    digest.update(labels.numpy().tobytes())
    parts = ["fine-tuned", backbone.name, digest.hexdigest()[:12]]
    parts += [f"seed{settings.seed_offset()}"] if settings.seed_offset() else []
    parts += ["fast"] if settings.fast() else []
    return settings.data_dir() / "trained" / f"{'-'.join(parts)}.pt"
