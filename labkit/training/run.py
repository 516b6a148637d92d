"""``Run``: one training, the loop that lab 02 writes out, epoch by epoch."""

import copy
import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from labkit.inference import evaluating, frozen_norms
from labkit.training.bar import TrainingBar
from labkit.training.batches import NO_BATCH, begins_again, explaining_memory
from labkit.training.engine import Engine, NotFiniteLossError, PassResult, PassTotals
from labkit.training.history import EarlyStopping, History
from labkit.training.losses import loss_of, weight_of, why_not_finite
from labkit.training.randomness import random_state, set_random_state


@dataclass
class Run:
    """Everything that changes while a training goes on, and so goes into a checkpoint.

    Its parts are what ``fit`` was given, see there.
    """

    engine: Engine
    train: Iterable
    val: Iterable | None
    optimizer: Optimizer
    criterion: nn.Module
    scheduler: LRScheduler | None
    early_stopping: EarlyStopping | None
    keep_best: str | None
    history: History

    def __post_init__(self) -> None:
        self.model = self.engine.model
        self.scaler = torch.amp.GradScaler(
            self.engine.device.type, enabled=self.engine.precision == "fp16"
        )
        self.steps_each_batch = steps_each_batch(self.scheduler)
        self.best_weights: dict[str, Tensor] | None = None
        self.frozen = frozen_norms(self.model)
        self.note_good_state()

    def note_good_state(self) -> None:
        """Copy what a good epoch has reached, to go back to it from one that is destroyed."""
        self.good_weights = copy_of_weights(self.model)
        self.good_steps = copy.deepcopy(self.optimizer.state_dict()["state"])

    @property
    def loaders(self) -> list[Iterable]:
        """The training loader, and the validation loader where there is one."""
        return [self.train] if self.val is None else [self.train, self.val]

    @property
    def learning_rate(self) -> float:
        """The learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def finished(self) -> bool:
        """Whether all epochs are done, or early stopping says that it is enough."""
        history, rule = self.history, self.early_stopping
        enough = bool(rule and history and rule.should_stop(history))
        return len(history) >= history.planned_epochs or enough

    def look_at_validation(self) -> None:
        """Show the network one validation batch, so that a slip in it is named before it learns.

        Nothing changes by it, random numbers neither. Left out are a training that goes on, what
        might not begin again, and a loader with worker processes, which takes long to start.
        """
        if self.history or not begins_again(self.val):
            return
        before, totals = random_state(self.loaders), PassTotals(self.val)
        try:
            with evaluating(self.model), torch.no_grad(), explaining_memory(self.val):
                for images, labels in self.engine.batches(self.val):
                    totals.check(self.engine.logits(images), labels)
                    return
            raise ValueError(NO_BATCH)
        except Exception as error:
            error.add_note("This is about the validation data, val.")
            raise
        finally:
            set_random_state(before, self.loaders)

    def one_epoch(self, bar: TrainingBar) -> None:
        """Train for one epoch, validate, and add the record to the history."""
        start, learning_rate = time.perf_counter(), self.learning_rate
        trained = self._finish_pass("training", self.train_pass(bar))
        validated = None
        if self.val is not None:
            validated = self._finish_pass("validation", self.validation_pass())
        judged = validated or trained
        if self.scheduler and not self.steps_each_batch:
            plateau = isinstance(self.scheduler, ReduceLROnPlateau)
            self.scheduler.step(*([judged.loss] if plateau else []))
        self.history.append(
            {"epoch": len(self.history) + 1}
            | _named("train", trained)
            | (_named("val", validated) if validated else {})
            | {"learning_rate": learning_rate, "seconds": time.perf_counter() - start}
        )
        self.history.confusion_matrices.append(judged.matrix)
        self.history.batch_losses.append(trained.batch_losses)
        self._keep_weights()
        bar.end_epoch(judged.loss)

    def train_pass(self, bar: TrainingBar) -> PassTotals:
        """Show the network every training batch once, and learn from each."""
        totals = PassTotals(self.train)
        self.model.train()
        for norm in self.frozen:
            norm.eval()  # train() is for all modules, and would let the running means drift
        for images, labels in self.engine.batches(self.train):
            logits = self.engine.logits(images)
            totals.check(logits, labels)
            if self.history or bar.batch:
                loss = self.criterion(logits, labels)
            else:
                loss = self._first_loss(images, logits, labels)
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.steps_each_batch:
                self.scheduler.step()
            totals.add(loss, logits, labels, weight_of(self.criterion, labels))
            bar.update()
        return totals

    def _first_loss(self, images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        loss = loss_of(self.criterion, logits, labels)
        if not loss.isfinite():
            self.model.load_state_dict(self.good_weights)  # running means have seen the batch
            raise FloatingPointError(
                f"The training loss is {loss.item():g} in epoch 1, batch 1, before a step was "
                f"taken. {why_not_finite(images, logits)}"
            )
        return loss

    def validation_pass(self) -> PassTotals:
        """Show the network every validation batch once, and learn nothing."""
        totals = PassTotals(self.val)
        self.model.eval()
        with torch.no_grad():
            for images, labels in self.engine.batches(self.val):
                logits = self.engine.logits(images)
                totals.check(logits, labels)
                loss = self.criterion(logits, labels)
                totals.add(loss, logits, labels, weight_of(self.criterion, labels))
        return totals

    def _finish_pass(self, name: str, totals: PassTotals) -> PassResult:
        try:
            result = totals.result()
        except NotFiniteLossError as error:
            raise self._destroyed(f"The {name} loss", f", {error}") from None
        if not are_sound(self.model, self.model.state_dict()):  # the last step shows in no loss
            raise self._destroyed("A weight of the network", "")
        return result

    def _destroyed(self, what: str, where: str) -> FloatingPointError:
        """Take the network back to the last good epoch; the error that says so."""
        self.model.load_state_dict(self.good_weights)
        # its running means too: in the first step they would destroy the weights again
        now = self.optimizer.state_dict()
        self.optimizer.load_state_dict(now | {"state": self.good_steps})
        return FloatingPointError(
            f"{what} became NaN or infinite in epoch {len(self.history) + 1}{where}. Nothing of "
            "this epoch was saved, and the network has its weights from before it. Try a smaller "
            f"learning rate (now {self.learning_rate:g}), and look whether the images are "
            "normalised."
        )

    def _keep_weights(self) -> None:
        """Copy the weights; if this epoch is the best one, they may be wanted back at the end."""
        self.note_good_state()
        history, rule = self.history, self.early_stopping
        if self.keep_best:
            best = history.best(self.keep_best)["epoch"]
        elif rule and rule.restore_best:
            best = history[rule.best_index(history)]["epoch"]
        else:
            return
        if best == history[-1]["epoch"]:
            history.kept_epoch, self.best_weights = best, self.good_weights

    def give_back_best_weights(self) -> None:
        """End with the weights of the best epoch, where those were asked for."""
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def summary(self) -> str:
        """What the training came to, in one line."""
        history = self.history
        seconds = sum(epoch["seconds"] for epoch in history)
        epochs = "1 epoch" if len(history) == 1 else f"{len(history)} epochs"
        line = f"{epochs} in {seconds:.1f} s ({history.setup['device']})"
        if not history:
            return line
        column = "train_accuracy" if self.val is None else "val_accuracy"
        best = history.best(column)
        return f"{line}; best {column} {100 * best[column]:.2f} % in epoch {best['epoch']}"


def parts_of(scheduler: LRScheduler | None) -> list[LRScheduler | None]:
    """The schedulers that one is made of; itself alone where it is not."""
    return getattr(scheduler, "_schedulers", [scheduler])


def steps_each_batch(scheduler: LRScheduler | None) -> bool:
    """Whether a scheduler, or one that it is made of, counts batches and not epochs."""
    return any(isinstance(part, OneCycleLR | CyclicLR) for part in parts_of(scheduler))


def copy_of_weights(model: nn.Module) -> dict[str, Tensor]:
    """A network's weights as they are now."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def are_sound(model: nn.Module, weights: dict[str, Tensor]) -> bool:
    """Whether no weight is NaN, and no parameter infinite; a mask among the buffers may be."""
    learnt = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    numbers = {n: v for n, v in weights.items() if torch.is_tensor(v) and v.is_floating_point()}
    sound = [v.isfinite().all() if n in learnt else ~v.isnan().any() for n, v in numbers.items()]
    return not sound or bool(torch.stack(sound).all())  # one wait for the device, not one a weight


def _named(part: str, result: PassResult) -> dict[str, float]:
    return {f"{part}_{name}": value for name, value in result.metrics().items()}
