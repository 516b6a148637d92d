"""Networks that one lab trained and a later lab needs: kept in the data folder."""

from pathlib import Path

import torch
from torch import nn

from labkit import settings
from labkit.data.image_data import ImageData
from labkit.data.images import load_dataset
from labkit.data.loaders import Augment
from labkit.files import atomic
from labkit.models.ladder import DeeperCNN, SimpleCNN, WideCNN
from labkit.models.mlp import BloodMLP
from labkit.models.residual import SmallResNet
from labkit.training import fit

_NETWORKS = {c.__name__: c for c in (BloodMLP, SimpleCNN, DeeperCNN, WideCNN, SmallResNet)}
# name -> epochs, what to say of the time (2 cores, fp32), augmentation, class weights
_RECIPES = {
    "BloodMLP": (30, "about a minute", None, False),
    "SimpleCNN": (20, "two minutes", None, False),
    "DeeperCNN": (20, "three minutes", Augment(flip=True, rotate=15), True),
}


def save_trained(name: str, model: nn.Module, data: ImageData) -> Path:
    """Keep a network's weights in the data folder, where later labs find them.

    Args:
        name: the network's class, such as "DeeperCNN".
        model: the trained network.
        data: what it was trained on.

    Returns:
        The file. Weights of a fast run, or of stand-in data, are kept apart from the others.

    Example:
        >>> save_trained("BloodMLP", model, blood)  # doctest: +SKIP
    """
    with atomic(_file(name, data)) as temporary:
        torch.save(model.state_dict(), temporary)
    return _file(name, data)


def trained(name: str, data: ImageData | None = None) -> nn.Module:
    """A network from an earlier lab, trained on blood cells of 28 pixels.

    Where its lab has not run here, it is trained now as that lab does it, and kept.

    Args:
        name: "BloodMLP", "SimpleCNN" or "DeeperCNN"; "WideCNN" and "SmallResNet" once lab 05
            has run.
        data: default ``load_dataset("bloodmnist")``.

    Returns:
        The network in ``eval`` mode, on the CPU.

    Raises:
        ValueError: for another name, or one whose lab must run first.

    Example:
        >>> network = trained("DeeperCNN")  # doctest: +SKIP
    """
    if name not in _NETWORKS:
        raise ValueError(f"There is no network {name!r} to load; choose {', '.join(_NETWORKS)}.")
    data = data or load_dataset("bloodmnist")
    model = _NETWORKS[name](len(data.classes))
    file = _file(name, data)
    if file.exists():
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        return model.eval()
    if name not in _RECIPES:
        raise ValueError(f"{name} is not trained yet: run lab 05 first, which keeps it.")
    epochs, time, augment, weighted = _RECIPES[name]
    print(f"{name} is not trained yet on this machine. Training takes {time} on two cores.")
    train, val, _ = data.loaders(batch_size=64, augment=augment)
    counts = torch.bincount(data.train.labels, minlength=len(data.classes)).clamp_min(1)
    criterion = nn.CrossEntropyLoss(len(data.train) / (len(counts) * counts)) if weighted else None
    fit(model, train, val, epochs=epochs, criterion=criterion)
    save_trained(name, model, data)
    return model.cpu().eval()


def _file(name: str, data: ImageData) -> Path:
    parts = [name, data.title, f"{data.train.images.shape[-1]}px"]
    parts += ["stand-in"] if data.stand_in else []
    parts += ["fast"] if settings.fast() else []
    return settings.data_dir() / "trained" / f"{'-'.join(parts)}.pt"
