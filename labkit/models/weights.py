"""Networks that one lab trained and a later lab needs: kept in the data folder."""

import hashlib
from pathlib import Path

import torch
from torch import nn

from labkit import settings
from labkit.data.image_data import ImageData
from labkit.data.images import load_dataset
from labkit.files import atomic
from labkit.models.ladder import WideCNN
from labkit.models.recipes import RECIPES, train_recipe

SEED = 42  # of all labs
_NETWORKS = {name: recipe.network for name, recipe in RECIPES.items()} | {"WideCNN": WideCNN}


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
    file = _file(name, model, data)
    with atomic(file) as temporary:
        torch.save(model.state_dict(), temporary)
    return file


def trained(name: str, data: ImageData | None = None) -> nn.Module:
    """A network from an earlier lab, trained on blood cells of 28 pixels.

    Where its lab has not run here, it is trained now as that lab does it, and kept.

    Args:
        name: "BloodMLP", "SimpleCNN", "DeeperCNN" or "SmallResNet"; "WideCNN" once lab 05 has run.
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
    file = _file(name, model, data)
    if file.exists():
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        return model.eval()
    if name not in RECIPES:
        raise ValueError(f"{name} is not trained yet: run lab 05 first, which keeps it.")
    time = RECIPES[name].time
    print(f"{name} is not trained yet on this machine. Training takes {time} on two cores.")
    with torch.random.fork_rng():  # the caller's random numbers do not depend on what was kept
        torch.manual_seed(SEED + settings.seed_offset())
        model, _ = train_recipe(name, data)
    save_trained(name, model, data)
    return model.cpu().eval()


def _file(name: str, model: nn.Module, data: ImageData) -> Path:
    """Another plan of the network, other data and other seeds have other files."""
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    digest = hashlib.sha256(f"{shapes} {data.origin}".encode()).hexdigest()[:8]
    parts = [name, data.title, f"{data.train.images.shape[-1]}px", digest]
    parts += [f"seed{SEED + settings.seed_offset()}"] if settings.seed_offset() else []
    parts += ["stand-in"] if data.stand_in else []
    parts += ["fast"] if settings.fast() else []
    return settings.data_dir() / "trained" / f"{'-'.join(parts)}.pt"
