"""Save a training so that it can be killed at any point and go on as if nothing had happened."""

import copy
import random
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from labkit.files import atomic
from labkit.training.fingerprint import check_same, fingerprint
from labkit.training.run import Run, copy_of_weights


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
        theirs = dict(state["fingerprint"])
    except Exception as error:  # torch.load fails in many ways; each means the same to the reader
        raise ValueError(f"The checkpoint {path} cannot be read: {remedy}.") from error
    check_same(theirs, marks, path, remedy)
    model, optimizer = run.model, run.optimizer
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict(), random_state(run.loaders)))
    try:
        _restore(run, state)
    except BaseException as error:  # also Ctrl-C
        model.load_state_dict(before[0])
        optimizer.load_state_dict(before[1])
        set_random_state(before[2], run.loaders)
        if not isinstance(error, Exception):
            raise
        raise ValueError(f"The checkpoint {path} is damaged: {remedy}.") from error


def _restore(run: Run, state: dict) -> None:
    """Take over a state; what is not used at once is used here, so that damage shows now."""
    history, matrices = run.history, [np.array(matrix) for matrix in state["confusion_matrices"]]
    if not len(state["history"]) == len(matrices) == len(state["batch_losses"]):
        raise ValueError("the parts of the record are of different lengths")
    if state["best_weights"] is not None:
        run.model.load_state_dict(state["best_weights"])
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    if run.scheduler:
        run.scheduler.load_state_dict(state["scheduler"])
    run.scaler.load_state_dict(state["scaler"])
    run.best_weights = state["best_weights"]
    history.extend(state["history"])
    history.confusion_matrices, history.batch_losses = matrices, state["batch_losses"]
    history.kept_epoch = state["kept_epoch"]
    run.good_weights = copy_of_weights(run.model)
    run.summary()
    run.finished()
    set_random_state(state["random"], run.loaders)


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
