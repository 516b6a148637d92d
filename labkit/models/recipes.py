"""How labs 02 and 05 train the networks that later labs load, in one place for all who need it."""

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from labkit import settings
from labkit.data.image_data import ImageData
from labkit.data.loaders import Augment, BatchLoader
from labkit.history import EarlyStopping, History
from labkit.models.ladder import DeeperCNN, SimpleCNN
from labkit.models.mlp import BloodMLP
from labkit.models.residual import SmallResNet
from labkit.training import FAST_EPOCHS, fit

# name -> the network, how long its training takes on two cores (fast bf16 or not)
RECIPES = {
    "BloodMLP": (BloodMLP, "about 20 seconds"),
    "SimpleCNN": (SimpleCNN, "about one minute"),
    "DeeperCNN": (DeeperCNN, "one to two minutes"),
    "SmallResNet": (SmallResNet, "6 to 15 minutes"),
}


def train_recipe(name: str, data: ImageData, progress: bool = True) -> tuple[nn.Module, History]:
    """Train a network of lab 02 or 05 as that lab does.

    The multilayer perceptron keeps the weights of its last epoch, the others those of the epoch
    with the best validation accuracy.

    Args:
        name: "BloodMLP", "SimpleCNN", "DeeperCNN" or "SmallResNet".
        data: with a training and a validation split.
        progress: show a bar while training.

    Returns:
        The trained network and its history.

    Example:
        >>> model, history = train_recipe("DeeperCNN", blood)  # doctest: +SKIP
    """
    best = name == "SmallResNet"
    epochs = {"BloodMLP": 30, "SmallResNet": 40}.get(name, 20)
    epochs = min(epochs, FAST_EPOCHS) if settings.fast() else epochs
    augment = {
        "DeeperCNN": Augment(flip=True, rotate=15),
        "SmallResNet": Augment(flip=True, turn=True, shift=2, brightness=0.1),
    }.get(name)
    train, val, _ = data.loaders(batch_size=128 if best else 64, augment=augment)
    model = RECIPES[name][0](len(data.classes))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    if best:
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    history = fit(
        model,
        train,
        val,
        epochs,
        optimizer=optimizer,
        scheduler=_schedule(name, optimizer, epochs, train),
        criterion=_criterion(name, data),
        early_stopping=None if name == "BloodMLP" else EarlyStopping("val_accuracy", epochs),
        progress=progress,
    )
    return model, history


def _schedule(
    name: str, optimizer: torch.optim.Optimizer, epochs: int, train: BatchLoader
) -> LRScheduler | None:
    if name == "DeeperCNN":
        return CosineAnnealingLR(optimizer, T_max=epochs)
    if name == "SmallResNet":
        return OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * len(train))
    return None


def _criterion(name: str, data: ImageData) -> nn.Module:
    if name != "DeeperCNN":
        return nn.CrossEntropyLoss(label_smoothing=0.1 if name == "SmallResNet" else 0.0)
    counts = torch.bincount(data.train.labels, minlength=len(data.classes)).clamp_min(1)
    return nn.CrossEntropyLoss(len(data.train) / (len(counts) * counts))
