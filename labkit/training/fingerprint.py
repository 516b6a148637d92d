"""What tells one training from another, so that a checkpoint is continued by its own only."""

import hashlib
import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from labkit.training.batches import origin_of
from labkit.training.run import Run

MOST_BYTES = 64_000_000  # of a tensor that are looked at; larger ones are sampled


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
        "the network": f"{_text(model)} {shapes}",
        "frozen parameters": str([n for n, p in model.named_parameters() if not p.requires_grad]),
        "optimizer": type(optimizer).__name__,
        "scheduler": type(run.scheduler).__name__,
        "learning rate": str([group["lr"] for group in groups]),
        "optimizer settings": str(groups),
        "optimizer's parameters": str(held),
        "loss": _loss(run.criterion),
        "scheduler settings": _schedule(run.scheduler, history.planned_epochs),
        "epochs": str(history.planned_epochs),
        "stopping rule": f"{run.early_stopping}, keep_best={run.keep_best}",
        "precision": run.engine.precision,
        "seed": str(torch.initial_seed()),
    }
    for name, loader in zip(("training data", "validation data"), run.loaders, strict=False):
        marks |= {f"{name}{what}": value for what, value in _identity(loader).items()}
    return marks


def check_same(theirs: dict[str, str], ours: dict[str, str], path: object, remedy: str) -> None:
    """Raise OtherTrainingError at the first difference of two fingerprints."""
    for name in theirs | ours:
        there, here = theirs.get(name), ours.get(name)
        if there != here:
            raise OtherTrainingError(
                f"The checkpoint {path} belongs to another training: {name} is "
                f"{_around(there, here)} there and {_around(here, there)} here. To go on with "
                f"it, ask for the same; else {remedy}."
            )


def _around(text: str | None, other: str | None) -> str:
    """The text, or where it is long, the part of it that differs from the other one."""
    if text is None or len(text) <= 80:
        return "not stated" if text is None else text
    pairs = enumerate(zip(text, other or "", strict=False))
    start = max(0, next((place for place, (a, b) in pairs if a != b), len(other or "")) - 30)
    return f"{'…' if start else ''}{text[start : start + 77]}…"


def _text(thing: object) -> str:
    """Its `repr` in one line, without addresses, which differ from run to run."""
    return " ".join(re.sub(r" (object )?at 0x[0-9a-f]+", "", repr(thing)).split())


def _loss(criterion: nn.Module) -> str:
    """A loss does not print its settings, such as label smoothing."""
    own = type(criterion).__module__.startswith("torch.")
    settings = {n: v for n, v in vars(criterion).items() if n[0] != "_"} if own else {}
    tensors = {name: value.tolist() for name, value in criterion.state_dict().items()}
    return f"{_text(criterion)} {_plain(settings)} {tensors}"


def _schedule(scheduler: LRScheduler | None, epochs: int) -> str:
    """The settings of a scheduler; of functions, which it does not state, the first values."""
    if scheduler is None:
        return "{}"
    parts = [scheduler, *getattr(scheduler, "_schedulers", [])]
    functions = [f for part in parts for f in getattr(part, "lr_lambdas", [])]
    values = [[f(epoch) for epoch in range(epochs)] for f in functions]
    return f"{_plain(scheduler.state_dict())} {values or ''}".strip()


def _identity(loader: Iterable) -> dict[str, str]:
    """What tells the batches of one loader from those of another, without going through them."""
    data = getattr(loader, "dataset", None)
    names = ("batch_size", "sampler", "transform", "drop_last")
    parts = [f"{name}={_text(getattr(loader, name))}" for name in names if hasattr(loader, name)]
    tensors = [getattr(data, "images", None), getattr(data, "labels", None)]
    tensors += [getattr(loader, "indices", None), *getattr(data, "tensors", ())]
    digest = hashlib.sha256()
    for tensor in (t for t in tensors if isinstance(t, Tensor) and len(t)):
        step = max(1, tensor.nbytes // MOST_BYTES)
        digest.update(tensor[::step].cpu().contiguous().numpy().tobytes())
    return {
        "": str(origin_of(loader)),  # a plain text: the file may hold no class of ours
        "'s batches": " ".join([_text(loader), *parts]),
        "'s size": str(len(data) if hasattr(data, "__len__") else "unknown"),
        "'s content": digest.hexdigest()[:12],
    }


def _plain(state: object) -> object:
    """A state without what differs from run to run: functions have an address in their text."""
    if isinstance(state, dict):
        return {name: _plain(value) for name, value in state.items() if not callable(value)}
    if isinstance(state, list | tuple):
        return [_plain(value) for value in state if not callable(value)]
    return state
