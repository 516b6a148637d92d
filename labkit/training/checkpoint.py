"""Save a training so that it can be killed at any point and go on as if nothing had happened."""

import copy
import hashlib
import random
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from labkit.files import atomic
from labkit.training.batches import origin_of
from labkit.training.run import Run

SAMPLE = 256  # images that are looked at to tell one data set from another


class OtherTrainingError(ValueError):
    """A checkpoint belongs to another training; the message names the difference."""


def fingerprint(run: Run) -> dict[str, str]:
    """What a training must have in common with a checkpoint to go on from it, by name.

    To be taken before the first step: later the scheduler has changed the learning rate.
    """
    model, optimizer, history = run.engine.model, run.optimizer, run.history
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    groups = [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]
    criterion = {name: value.tolist() for name, value in run.criterion.state_dict().items()}
    marks = {
        "model": f"{type(model).__name__} {shapes}",
        "optimizer": type(optimizer).__name__,
        "scheduler": type(run.scheduler).__name__,
        "learning rate": str([group["lr"] for group in groups]),
        "optimizer settings": str(groups),
        "loss": f"{run.criterion} {criterion}",
        "scheduler settings": str(_plain(run.scheduler.state_dict() if run.scheduler else {})),
        "epochs": str(history.planned_epochs),
        "stopping rule": f"{run.early_stopping}, keep_best={run.keep_best}",
        "precision": run.engine.precision,
        "seed": str(torch.initial_seed()),
    }
    for name, loader in zip(("training data", "validation data"), run.loaders, strict=False):
        marks |= {f"{name}{what}": value for what, value in _identity(loader).items()}
    return marks


def _identity(loader: Iterable) -> dict[str, str]:
    """What tells the batches of one loader from those of another, without going through them."""
    data = getattr(loader, "dataset", None)
    names = ("batch_size", "sampler", "transform", "drop_last")
    parts = [f"{name}={getattr(loader, name)}" for name in names if hasattr(loader, name)]
    text = " ".join([repr(loader), *parts])
    tensors = [getattr(data, "images", None), getattr(data, "labels", None)]
    tensors += [getattr(loader, "indices", None), *getattr(data, "tensors", ())]
    digest = hashlib.sha256()
    for tensor in (t for t in tensors if isinstance(t, Tensor) and len(t)):
        step = max(1, len(tensor) // SAMPLE) if tensor.ndim > 1 else 1
        digest.update(tensor[::step].cpu().contiguous().numpy().tobytes())
    return {
        "": str(origin_of(loader)),  # a plain text: the file may hold no class of ours
        "'s batches": re.sub(r" (object )?at 0x[0-9a-f]+", "", text),
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


class Saver:
    """Keeps the checkpoint of one training: continues from it, then writes it after each epoch.

    Raises:
        OtherTrainingError: when the file belongs to another training; names the difference.
        ValueError: when the file is damaged.
    """

    def __init__(self, path: Path, run: Run) -> None:
        self.path, self.run, self.marks = path, run, fingerprint(run)
        if path.exists():
            resume(path, run, self.marks)

    def save(self) -> None:
        """Write the whole state, all or nothing; a disk that is full ends no training."""
        try:
            with atomic(self.path) as temporary:
                torch.save({"fingerprint": self.marks, **_state(self.run)}, temporary)
        except (OSError, RuntimeError) as error:  # torch.save has its own words for a full disk
            warnings.warn(
                f"The checkpoint {self.path} could not be written ({_reason(error)}). Training "
                "goes on; after a crash it would begin again from the last one that was written.",
                stacklevel=3,
            )


def _reason(error: Exception) -> str:
    while error.__context__ is not None and not isinstance(error, OSError):
        error = error.__context__
    return error.strerror or str(error) if isinstance(error, OSError) else "is the disk full?"


def _state(run: Run) -> dict:
    history = run.history
    return {
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scheduler": run.scheduler.state_dict() if run.scheduler else None,
        "scaler": run.scaler.state_dict(),
        "best_weights": run.best_weights,
        "history": list(history),
        "kept_epoch": history.kept_epoch,
        "confusion_matrices": [matrix.tolist() for matrix in history.confusion_matrices],
        "batch_losses": history.batch_losses,
        "random": random_state(run.loaders),
    }


def resume(path: Path, run: Run, marks: dict[str, str]) -> None:
    """Continue from a checkpoint; where that fails, nothing has changed."""
    remedy = "give another path, or delete the file to start anew"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        theirs = state["fingerprint"]
    except Exception as error:  # torch.load fails in many ways; each means the same to the reader
        raise ValueError(f"The checkpoint {path} cannot be read: {remedy}.") from error
    if differences := [name for name in marks | theirs if marks.get(name) != theirs.get(name)]:
        name = differences[0]
        raise OtherTrainingError(
            f"The checkpoint {path} belongs to another training: {name} is "
            f"{_short(theirs.get(name))} there and {_short(marks.get(name))} here. To go on with "
            f"it, ask for the same; else {remedy}."
        )
    before = copy.deepcopy((run.model.state_dict(), run.optimizer.state_dict()))
    try:
        _restore(run, state)
    except Exception as error:
        run.model.load_state_dict(before[0])
        run.optimizer.load_state_dict(before[1])
        raise ValueError(f"The checkpoint {path} is damaged: {remedy}.") from error


def _restore(run: Run, state: dict) -> None:
    matrices = [np.array(matrix) for matrix in state["confusion_matrices"]]
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    if run.scheduler:
        run.scheduler.load_state_dict(state["scheduler"])
    run.scaler.load_state_dict(state["scaler"])
    set_random_state(state["random"], run.loaders)
    run.best_weights = state["best_weights"]
    run.history.extend(state["history"])
    run.history.confusion_matrices, run.history.batch_losses = matrices, state["batch_losses"]
    run.history.kept_epoch = state["kept_epoch"]
    run.good_weights = {name: value.clone() for name, value in run.model.state_dict().items()}


def _short(text: str | None) -> str:
    return "not stated" if text is None else text if len(text) <= 80 else f"{text[:77]}…"


def random_state(loaders: Iterable) -> dict:
    """The state of every random generator that a training draws from."""
    kind, keys, *rest = np.random.get_state()
    generators = [getattr(loader, "generator", None) for loader in loaders]
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "loaders": [generator and generator.get_state() for generator in generators],
    }


def set_random_state(state: dict, loaders: Iterable) -> None:
    """Put back what ``random_state`` returned."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])
    for loader, saved in zip(loaders, state["loaders"], strict=True):
        if saved is not None:
            loader.generator.set_state(saved)
