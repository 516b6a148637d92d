"""Save a training so that it can be killed at any point and go on as if nothing had happened."""

import copy
import os
import warnings
from pathlib import Path

import numpy as np
import torch

from labkit.files import atomic
from labkit.settings import expanded
from labkit.training.fingerprint import check_same, fingerprint
from labkit.training.identity import mark
from labkit.training.randomness import random_state, set_random_state
from labkit.training.run import Run, are_sound


def file_of(checkpoint: object) -> Path:
    """The file that was asked for; raise TypeError or ValueError where it can be none."""
    example = 'give the path of a file, such as "training.pt"'
    if not isinstance(checkpoint, str | os.PathLike):
        raise TypeError(f"checkpoint is {checkpoint!r}; {example}.")
    path = expanded(os.fspath(checkpoint))
    if path.is_dir():
        raise ValueError(f"checkpoint is {os.fspath(checkpoint)!r}, which is a folder; {example}.")
    return path


class Saver:
    """Keeps the checkpoint of one training: continues from it, then writes it after each epoch.

    Raises:
        OtherTrainingError: when the file belongs to another training; names the difference.
        ValueError: when the file is damaged.
    """

    def __init__(self, path: Path, run: Run) -> None:
        self.path, self.run, self.marks = path, run, fingerprint(run)
        self._read_back = ""  # the plan of the last checkpoint that was found to be readable
        if path.exists():
            resume(path, run, self.marks)

    def save(self) -> None:
        """Write the whole state, all or nothing; a disk that is full ends no training."""
        try:
            state = _state(self.run)
            if not are_sound(self.run.model, state["model"]):  # a callback did that
                raise ValueError("weights are NaN or infinite")
            plan = _plan(state)
            with atomic(self.path) as temporary:
                torch.save({"fingerprint": self.marks, "plan": plan, **state}, temporary)
                if plan != self._read_back:  # what a scheduler of one's own keeps may not come back
                    torch.load(temporary, map_location="cpu", weights_only=True)
                    self._read_back = plan
        except Exception as error:  # also of pickle; torch.save has its own words for a full disk
            warnings.warn(
                f"The checkpoint {self.path} could not be written ({_reason(error)}). Training "
                "goes on; after a crash it would begin again from the last one that was written.",
                stacklevel=3,
            )


def _reason(error: Exception) -> str:
    if not isinstance(error, OSError | RuntimeError):
        text = str(error).partition("\n")[0]
        return f"something in it cannot be saved and read back, {type(error).__name__}: {text}"
    while error.__context__ is not None and not isinstance(error, OSError):
        error = error.__context__
    return error.strerror or str(error) if isinstance(error, OSError) else "is the disk full?"


def _state(run: Run) -> dict:
    history = run.history
    return {
        "model": run.model.state_dict(),
        "optimizer": _plain(run.optimizer.state_dict()),
        "scheduler": _plain(run.scheduler.state_dict()) if run.scheduler else None,
        "loss": run.criterion.state_dict(),  # one of your own may learn or count
        "trained": [n for n, p in run.model.named_parameters() if p.requires_grad],
        "scaler": run.scaler.state_dict(),
        "best_weights": run.best_weights,
        "history": [_plain(dict(epoch)) for epoch in history],  # a callback may add a column
        "kept_epoch": history.kept_epoch,
        "confusion_matrices": [matrix.tolist() for matrix in history.confusion_matrices],
        "batch_losses": history.batch_losses,
        "random": random_state(run.loaders),
    }


def _plain(value: object) -> object:
    """The same with Python's numbers for NumPy's, which are not read back (``lr`` of a grid)."""
    match value:
        case np.generic():
            return value.item()
        case dict() if type(value) is dict:
            return {key: _plain(one) for key, one in value.items()}
        case list() | tuple() if type(value) in (list, tuple):
            return type(value)(map(_plain, value))
    return value


def resume(path: Path, run: Run, marks: dict[str, str]) -> None:
    """Continue from a checkpoint; where that fails, nothing has changed."""
    remedy = "give another path, or delete the file to start anew"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        theirs = dict(state["fingerprint"])
    except Exception as error:  # torch.load fails in many ways; each means the same to the reader
        raise ValueError(f"The checkpoint {path} cannot be read: {remedy}.") from error
    same = "ask for the same"
    if getattr(run.scheduler, "last_epoch", 0) > 0:
        same += " (make the optimizer and the scheduler anew: these have taken steps already)"
    elif run.optimizer.state:
        same += " (make the network and the optimizer anew: these have taken steps already)"
    check_same(theirs, marks, path, same, remedy)
    try:
        sound = _is_whole(run, state)
    except Exception as error:  # whatever part is missing or none
        raise ValueError(f"The checkpoint {path} is damaged: {remedy}.") from error
    if not sound:
        raise ValueError(f"The checkpoint {path} has weights that are NaN or infinite: {remedy}.")
    parts = (run.model, run.optimizer, run.criterion, run.scheduler)
    holders = [part for part in parts if part is not None]
    before = copy.deepcopy([part.state_dict() for part in holders]), random_state(run.loaders)
    try:
        _restore(run, state)
    except BaseException as error:  # also Ctrl-C
        for part, old in zip(holders, before[0], strict=True):
            part.load_state_dict(old)
        set_random_state(before[1], run.loaders)
        if not isinstance(error, Exception):
            raise
        raise ValueError(f"The checkpoint {path} is damaged: {remedy}.") from error


def _is_whole(run: Run, state: dict) -> bool:
    """Whether no weight is NaN; raises where keys or shapes are not those that were written.

    An optimiser takes any state, and fails in its first step.
    """
    if _plan(state) != state["plan"]:
        raise ValueError("keys or shapes are not those that were written")
    return all(are_sound(run.model, state[part] or {}) for part in ("model", "best_weights"))


def _plan(state: dict) -> str:
    """A mark of the keys, shapes and types of everything that is loaded."""

    def of(part: object) -> object:
        if isinstance(part, dict):
            return {key: of(value) for key, value in part.items()}
        if isinstance(part, list | tuple):
            return [of(value) for value in part]
        shaped = isinstance(part, torch.Tensor)
        return f"{part.dtype}{tuple(part.shape)}" if shaped else type(part).__name__

    parts = ("model", "optimizer", "scheduler", "loss", "scaler", "best_weights")
    return mark(str([of(state[part]) for part in parts] + [of(state["history"][-1:])]))


def _restore(run: Run, state: dict) -> None:
    """Take over a state; what is not used at once is used here, so that damage shows now."""
    history, matrices = run.history, [np.array(matrix) for matrix in state["confusion_matrices"]]
    if not len(state["history"]) == len(matrices) == len(state["batch_losses"]):
        raise ValueError("the parts of the record are of different lengths")
    trained = set(state["trained"])  # a callback may have thawed or frozen a layer
    if state["best_weights"] is not None:
        run.model.load_state_dict(state["best_weights"])
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.criterion.load_state_dict(state["loss"])
    if run.scheduler:
        run.scheduler.load_state_dict(state["scheduler"])
    run.scaler.load_state_dict(state["scaler"])
    run.best_weights = state["best_weights"]
    history.extend(state["history"])
    history.confusion_matrices, history.batch_losses = matrices, state["batch_losses"]
    history.kept_epoch = state["kept_epoch"]
    run.note_good_state()
    run.summary()
    run.finished()
    set_random_state(state["random"], run.loaders)
    for name, parameter in run.model.named_parameters():
        parameter.requires_grad_(name in trained)
