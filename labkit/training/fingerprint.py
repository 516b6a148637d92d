"""What tells one training from another, so that a checkpoint is continued by its own only."""

import random
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Dataset, TensorDataset

from labkit.data.image_split import ImageSplit
from labkit.data.loaders import BatchLoader
from labkit.training.batches import origin_of
from labkit.training.identity import PASSING, is_own, mark, without_addresses, words
from labkit.training.randomness import random_state, set_random_state
from labkit.training.run import Run

# parts of a loader that decide which images come, and how they are changed
RULES = ("augment", "normalize", "sampler", "batch_sampler", "collate_fn", "worker_init_fn")


class OtherTrainingError(ValueError):
    """A checkpoint belongs to another training; the message names the difference."""


def fingerprint(run: Run) -> dict[str, str]:
    """What a training must have in common with a checkpoint to go on from it, by name.

    To be taken before the first step: later the scheduler has changed the learning rate.
    """
    model, optimizer, history = run.engine.model, run.optimizer, run.history
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]
    held = [[names.get(id(p), "?") for p in group["params"]] for group in optimizer.param_groups]
    marks = {
        "model": type(model).__name__,
        "the network": f"{without_addresses(model)} {shapes}",
        "the network's code and settings": words(model, numbers=False),
        "frozen parameters": str([n for n, p in model.named_parameters() if not p.requires_grad]),
        "optimizer": type(optimizer).__name__,
        "scheduler": type(run.scheduler).__name__,
        "learning rate": str([group["lr"] for group in groups]),
        "optimizer settings": str(groups),
        "optimizer's code": _own_parts(optimizer),
        "optimizer's parameters": str(held),
        "loss": words(run.criterion),
        "scheduler settings": _schedule(run.scheduler, history.planned_epochs),
        "scheduler's code": _own_parts(run.scheduler),
        "epochs": str(history.planned_epochs),
        "stopping rule": f"{run.early_stopping}, keep_best={run.keep_best}",
        "precision": run.engine.precision,
        "seed": str(torch.initial_seed()),
    }
    for name, loader in zip(("training data", "validation data"), run.loaders, strict=False):
        marks |= {f"{name}{what}": value for what, value in _identity(loader).items()}
    return marks


def check_same(
    theirs: dict[str, str], ours: dict[str, str], path: object, same: str, remedy: str
) -> None:
    """Raise OtherTrainingError at the first difference of two fingerprints."""
    for name in theirs | ours:
        there, here = theirs.get(name), ours.get(name)
        if there != here:
            named = "the seed of `lk.seed_everything`" if name == "seed" else name
            raise OtherTrainingError(
                f"The checkpoint {path} belongs to another training: {named} is "
                f"{_around(there, here)} there and {_around(here, there)} here. To go on with "
                f"it, {same}; else {remedy}."
            )


def _around(text: str | None, other: str | None) -> str:
    """The text, or where it is long, the part of it that differs from the other one."""
    if text is None or len(text) <= 80:
        return "not stated" if text is None else text
    pairs = enumerate(zip(text, other or "", strict=False))
    start = max(0, next((place for place, (a, b) in pairs if a != b), len(other or "")) - 30)
    return f"{'…' if start else ''}{text[start : start + 77]}…"


def _own_parts(thing: Optimizer | LRScheduler | None) -> str:
    """What the user wrote of an optimiser or scheduler; torch's own state what they are set to."""
    if not is_own(type(thing)):
        return "torch's"
    settings = {n: v for n, v in vars(thing).items() if n[0] != "_" and n not in PASSING}
    settings = {n: v for n, v in settings.items() if not isinstance(v, Optimizer | LRScheduler)}
    return f"{words(type(thing))} {words(settings)}"


def _schedule(scheduler: LRScheduler | None, epochs: int) -> str:
    """The settings of a scheduler; of functions, which it does not state, the first values."""
    if scheduler is None:
        return "{}"
    values = [[f(epoch) for epoch in range(epochs + 1)] for f in _functions(scheduler)]
    return f"{_plain(scheduler.state_dict())} {values or ''}".strip()


def _functions(scheduler: LRScheduler) -> list[Callable]:
    """The functions that a scheduler was given, and those of the schedulers within it."""
    own = [*getattr(scheduler, "lr_lambdas", []), getattr(scheduler, "_scale_fn_custom", None)]
    inner = [f for part in getattr(scheduler, "_schedulers", []) for f in _functions(part)]
    return [f for f in own if f is not None] + inner


def _identity(loader: Iterable) -> dict[str, str]:
    """What tells the batches of one loader from those of another, without going through them."""
    known = isinstance(loader, BatchLoader | DataLoader)  # others are looked at as a whole
    data = loader.dataset if known else loader
    names = ("batch_size", "sampler", "transform", "drop_last")
    parts = [
        f"{name}={without_addresses(getattr(loader, name))}"
        for name in names
        if hasattr(loader, name)
    ]
    looks = without_addresses(loader) if known else type(loader).__name__
    rules = {name: getattr(loader, name, None) for name in RULES}
    rules = {name: rule for name, rule in rules.items() if rule is not None}
    generator = getattr(loader, "generator", None)
    own = [type(loader), rules, *([generator] if generator else [])] if known else []
    content = [data, getattr(loader, "indices", None)] if known else data
    return {
        "": str(origin_of(loader)),  # a plain text: the file may hold no class of ours
        "'s batches": " ".join([looks, *parts]),
        "'s size": str(len(data) if hasattr(data, "__len__") else "unknown"),
        "'s content": words(content),
        "'s images": _images(data),
        "'s rules": words(own),
    }


def _images(data: object) -> str:
    """A mark of three items of a data set that reads or computes them when they are asked for.

    What it draws at random is drawn from a fixed seed; items that differ nevertheless say nothing.
    """
    known = type(data) in (ImageSplit, TensorDataset)
    if known or not isinstance(data, Dataset) or not hasattr(data, "__len__") or not len(data):
        return "all compared"
    before = random_state([])
    try:
        once, again = _three_items(data), _three_items(data)
    except Exception:  # training will meet it, and say so
        return "cannot be read"
    finally:
        set_random_state(before, [])
    return once if once == again else "drawn at random"


def _three_items(data: Dataset) -> str:
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    return mark(words([data[row] for row in sorted({0, len(data) // 2, len(data) - 1})]))


def _plain(state: object) -> object:
    """A state without what differs from run to run: functions have an address in their text."""
    if isinstance(state, dict):
        return {name: _plain(value) for name, value in state.items() if not callable(value)}
    if isinstance(state, list | tuple):
        return [_plain(value) for value in state if not callable(value)]
    return state
