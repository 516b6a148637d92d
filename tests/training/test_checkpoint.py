import contextlib
import copy
import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import (
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)

import labkit as lk
from labkit.training import checkpoint
from labkit.training.history import EarlyStopping

SCRIPT = """
import os, signal, sys
import torch
from torch import nn
import labkit as lk

path, out, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
lk.seed_everything(0)
images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8)
split = lk.ImageSplit(images, torch.arange(50) % 4, tuple("abcd"))
model = nn.Sequential(
    nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(144, 4)
)
seen = [0]
flip = lk.Augment(flip=True, shift=1, brightness=0.2)

def augment(batch):
    seen[0] += 1
    if seen[0] == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return flip(batch)

train = lk.BatchLoader(split, 16, shuffle=True, augment=augment)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=24)
history = lk.fit(
    model, train, train, 6, optimizer=optimizer, scheduler=scheduler, precision="fp32",
    device="cpu", checkpoint=path, progress=False,
)
torch.save((model.state_dict(), history.column("train_loss"), history.batch_losses), out)
"""


def start(*arguments):
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *map(str, arguments)])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert start(folder / "a.pt", folder / "out.pt", 0).wait() == 0
    return torch.load(folder / "out.pt")


def assert_same_training(one, other):
    assert one[1:] == other[1:]
    for name, value in one[0].items():
        assert torch.equal(value, other[0][name]), name


# an epoch is 4 training and 4 validation batches: 14 lies in the validation of the second one
@pytest.mark.parametrize("batch", [2, 14])
def test_a_killed_training_ends_with_the_same_weights(uninterrupted, tmp_path, batch):
    path, out = tmp_path / "a.pt", tmp_path / "out.pt"
    assert start(path, out, batch).wait() == -signal.SIGKILL
    assert path.exists() is (batch > 8)
    assert start(path, out, 0).wait() == 0
    assert_same_training(uninterrupted, torch.load(out))


def test_a_training_killed_at_no_chosen_point_ends_with_the_same_weights(uninterrupted, tmp_path):
    path, out = tmp_path / "a.pt", tmp_path / "out.pt"
    process = start(path, out, 0)
    while not path.exists() and process.poll() is None:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert start(path, out, 0).wait() == 0
    assert_same_training(uninterrupted, torch.load(out))


def make_model(width=6, layer=nn.ReLU):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, width), layer(), nn.Linear(width, 8))


class Other(nn.Sequential):
    def __init__(self):
        super().__init__(*make_model())


def frozen(model):
    model[1].requires_grad_(False)
    return model


def two_rates(model):
    groups = [{"params": layer.parameters()} for layer in (model[3], model[1])]
    return {"model": model, "optimizer": torch.optim.Adam(groups[:1], lr=1e-3)}


def powers(model, base):
    options = adam(model)
    options["scheduler"] = LambdaLR(options["optimizer"], lambda epoch: base**epoch)
    return options


def one_pixel(tiny):
    images = tiny.train.images.clone()
    images[3, 0, 0, 0] += 1
    return replace(tiny, train=replace(tiny.train, images=images))


class StopAfter:
    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, history):
        if len(history) == self.epochs:
            raise RuntimeError("stopped")


def fit(tiny, path, model=None, epochs=2, val=True, loader=None, **options):
    train, held, _ = tiny.loaders(**{"batch_size": 16} | (loader or {}))
    options = {"precision": "fp32", "device": "cpu", "progress": False} | options
    model, held = model or make_model(), held if val else None
    return lk.fit(model, train, held, epochs, checkpoint=path, **options)


def test_a_finished_training_returns_at_once_with_model_and_history(tiny, tmp_path, monkeypatch):
    first, second = make_model(), make_model(6)
    history = fit(tiny, tmp_path / "a.pt", first)
    monkeypatch.setattr("labkit.training.run.Run.train_pass", None)  # no batch may be computed
    again = fit(tiny, tmp_path / "a.pt", second)
    assert list(again) == list(history) and again.batch_losses == history.batch_losses
    pairs = zip(again.confusion_matrices, history.confusion_matrices, strict=True)
    assert all((one == other).all() for one, other in pairs)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_the_best_weights_survive_a_restart(tiny, tmp_path):
    rule = EarlyStopping("train_loss", patience=2, min_delta=100)
    first, second = make_model(), make_model()
    assert len(fit(tiny, tmp_path / "a.pt", first, 9, early_stopping=rule)) == 3
    assert len(fit(tiny, tmp_path / "a.pt", second, 9, early_stopping=rule)) == 3
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def other_labels(tiny):
    return replace(tiny, train=replace(tiny.train, labels=tiny.train.labels.flip(0)))


def adam(model, **options):
    return {"model": model, "optimizer": torch.optim.Adam(model.parameters(), **options)}


def one_cycle(model, steps):
    options = adam(model)
    options["scheduler"] = OneCycleLR(options["optimizer"], 0.1, total_steps=steps)
    return options


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (lambda: {"model": Other()}, "model is Sequential there and Other here"),
        (lambda: {"model": make_model(7)}, "the network is …(.*)=6, (.*)=7, "),
        (lambda: {"model": make_model(layer=nn.Tanh)}, r"the network .*ReLU\(\).*Tanh\(\)"),
        (lambda: {"model": frozen(make_model())}, r"frozen parameters is \[\] there and \['1.wei"),
        (lambda: two_rates(make_model()), "optimizer's parameters"),
        (lambda: powers(make_model(), 0.5), "scheduler is NoneType there and LambdaLR here"),
        (lambda: {"criterion": nn.CrossEntropyLoss(label_smoothing=0.1)}, "loss is .*: 0.0.*: 0.1"),
        (lambda: {"data": one_pixel}, "training data's content"),
        (lambda: adam(make_model(), lr=0.5), r"learning rate is \[0.001\] there and \[0.5\] here"),
        (lambda: adam(make_model(), weight_decay=0.1), "optimizer settings"),
        (lambda: {"optimizer": torch.optim.SGD}, "optimizer is Adam there and SGD here"),
        (lambda: one_cycle(make_model(), 6), "scheduler is NoneType there and OneCycleLR here"),
        (lambda: {"criterion": nn.CrossEntropyLoss(torch.rand(8))}, "loss is"),
        (lambda: {"epochs": 3}, "epochs is 2 there and 3 here"),
        (lambda: {"val": False}, "validation data is random there and not stated here"),
        (lambda: {"data": other_labels}, "training data's content"),
        (lambda: {"loader": {"batch_size": 8}}, "training data's batches is BatchLoader"),
        (lambda: {"loader": {"normalize": "none"}}, "training data's batches"),
        (lambda: {"loader": {"augment": lk.Augment(flip=True)}}, "training data's batches"),
        (lambda: {"seed": 1}, "the seed of `lk.seed_everything` is 0 there and 1 here"),
        (lambda: {"keep_best": "val_loss"}, "stopping rule"),
        (lambda: {"precision": "bf16"}, "precision is fp32 there and bf16 here"),
    ],
)
def test_the_checkpoint_of_another_training_is_refused_and_nothing_changed(
    tiny, tmp_path, other, named
):
    path = tmp_path / "a.pt"
    fit(tiny, path)
    options = other()
    model = options.setdefault("model", make_model())
    if isinstance(options.get("optimizer"), type):
        options["optimizer"] = options["optimizer"](model.parameters(), lr=1e-3)
    data = options.pop("data", lambda tiny: tiny)(tiny)
    torch.manual_seed(options.pop("seed", 0))
    before = copy.deepcopy(model.state_dict())
    file = path.read_bytes()
    with pytest.raises(ValueError, match=f"belongs to another training: {named}") as error:
        fit(data, path, **options)
    assert "give another path, or delete the file" in str(error.value)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert path.read_bytes() == file


def test_what_does_not_change_the_result_is_no_difference(tiny, tmp_path):
    path = tmp_path / "a.pt"
    history = fit(tiny, path, loader={"augment": lambda images: images})
    torch.rand(3)  # other random numbers were drawn meanwhile
    again = fit(
        tiny,
        path,
        loader={"augment": lambda images: images},
        callbacks=[SimpleNamespace(on_fit_end=len)],
    )
    assert list(again) == list(history)


def test_a_scheduler_of_the_same_plan_goes_on(tiny, tmp_path):
    path = tmp_path / "a.pt"
    fit(tiny, path, **one_cycle(make_model(), 6))
    assert len(fit(tiny, path, **one_cycle(make_model(), 6))) == 2
    with pytest.raises(ValueError, match="scheduler settings"):
        fit(tiny, path, **one_cycle(make_model(), 60))


def test_a_schedule_of_functions_is_told_by_its_values(tiny, tmp_path):
    path = tmp_path / "a.pt"
    fit(tiny, path, **powers(make_model(), 0.5))
    assert len(fit(tiny, path, **powers(make_model(), 0.5))) == 2
    with pytest.raises(ValueError, match=r"scheduler settings.*1.0, 0.5.*1.0, 0.6"):
        fit(tiny, path, **powers(make_model(), 0.6))


def test_a_learning_rate_of_numpys_comes_back(tiny, tmp_path):
    def options():
        model = make_model()
        rates = {"lr": np.float64(1e-3), "betas": (np.float64(0.8), 0.99)}
        return {"model": model, "optimizer": torch.optim.Adam(model.parameters(), **rates)}

    with pytest.raises(RuntimeError, match="stopped"):
        fit(tiny, tmp_path / "a.pt", **options(), callbacks=[StopAfter(1)])
    assert (tmp_path / "a.pt").exists()
    assert len(fit(tiny, tmp_path / "a.pt", **options())) == 2


def test_a_chain_of_schedulers_goes_on_before_its_milestone(tiny, tmp_path):
    def options():
        model = make_model()
        optimizer = torch.optim.Adam(model.parameters())
        parts = [LinearLR(optimizer, total_iters=2), MultiStepLR(optimizer, [2])]
        scheduler = SequentialLR(optimizer, parts, [2])
        return {"model": model, "optimizer": optimizer, "scheduler": scheduler, "epochs": 5}

    whole = fit(tiny, None, **options()).column("learning_rate")
    with pytest.raises(RuntimeError, match="stopped"):
        fit(tiny, tmp_path / "a.pt", **options(), callbacks=[StopAfter(1)])
    assert fit(tiny, tmp_path / "a.pt", **options()).column("learning_rate") == whole


@pytest.mark.parametrize("kept", [lambda: 0, object()], ids=["no pickle", "not read back"])
def test_a_checkpoint_that_could_not_be_read_is_said_at_once(tiny, tmp_path, kept):
    class Own(torch.optim.lr_scheduler.ConstantLR):
        def state_dict(self):
            return {**super().state_dict(), "kept": kept}

    model = make_model()
    optimizer = torch.optim.Adam(model.parameters())
    plan = {"optimizer": optimizer, "scheduler": Own(optimizer)}
    with pytest.warns(UserWarning, match=r"a\.pt could not be written \(something in it cannot"):
        history = fit(tiny, tmp_path / "a.pt", model, **plan)
    assert len(history) == 2
    assert not list(tmp_path.iterdir())


def test_a_loader_with_its_own_generator_goes_on_where_it_was(tiny, tmp_path):
    def loader():
        generator = torch.Generator().manual_seed(5)
        return torch.utils.data.DataLoader(tiny.train, 16, shuffle=True, generator=generator)

    options = {"precision": "fp32", "device": "cpu", "progress": False}
    whole, parts = make_model(), make_model()
    lk.fit(whole, loader(), epochs=3, **options)
    stop = StopAfter(1)
    with pytest.raises(RuntimeError):
        lk.fit(parts, loader(), epochs=3, checkpoint=tmp_path / "a.pt", callbacks=[stop], **options)
    lk.fit(parts, loader(), epochs=3, checkpoint=tmp_path / "a.pt", **options)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name])


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"text"])
def test_a_damaged_checkpoint_is_one_clear_error(tiny, tmp_path, damage):
    path = tmp_path / "a.pt"
    fit(tiny, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"a\.pt cannot be read: give another path"):
        fit(tiny, path)


@pytest.mark.parametrize("key", ["fingerprint", "model", "optimizer", "random", "best_weights"])
def test_a_checkpoint_that_lacks_a_part_is_one_clear_error_and_nothing_changed(tiny, tmp_path, key):
    path, model = tmp_path / "a.pt", make_model()
    fit(tiny, path)
    state = torch.load(path, weights_only=True)
    del state[key]
    torch.save(state, path)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"a\.pt (is damaged|cannot be read): give another path"):
        fit(tiny, path, model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("history", [{"epoch": 1}]),
        ("batch_losses", []),
        ("confusion_matrices", []),
        ("best_weights", {"a": torch.ones(1)}),
        ("random", {}),
        ("fingerprint", 3),
    ],
)
def test_a_part_that_is_none_is_found_before_the_first_epoch_and_nothing_changed(
    tiny, tmp_path, key, value
):
    path, model = tmp_path / "a.pt", make_model()
    fit(tiny, path, keep_best="val_loss")
    torch.save(torch.load(path, weights_only=True) | {key: value}, path)
    before, drawn = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    with pytest.raises(ValueError, match=r"a\.pt (is damaged|cannot be read): give another path"):
        fit(tiny, path, model, keep_best="val_loss")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)


def drop_a_key(state):
    del state["optimizer"]["state"][0]["exp_avg"]


def another_shape(state):
    state["optimizer"]["state"][0]["exp_avg"] = torch.zeros(2)


def drop_a_parameter(state):
    del state["optimizer"]["state"][1]


def another_type(state):
    state["model"]["1.weight"] = state["model"]["1.weight"].double()


def not_a_number(state):
    state["model"]["1.weight"][0] = torch.nan


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        *((alter, "is damaged") for alter in (drop_a_key, another_shape, drop_a_parameter)),
        (another_type, "is damaged"),
        (not_a_number, "has weights that are NaN or infinite"),
    ],
)
def test_a_state_that_was_altered_is_refused_before_it_is_loaded(tiny, tmp_path, alter, said):
    path, model = tmp_path / "a.pt", make_model()
    with pytest.raises(RuntimeError, match="stopped"):
        fit(tiny, path, callbacks=[StopAfter(1)])
    state = torch.load(path, weights_only=True)
    alter(state)
    torch.save(state, path)
    before, optimizer = copy.deepcopy(model.state_dict()), torch.optim.Adam(model.parameters())
    with pytest.raises(ValueError, match=rf"a\.pt {said}: give another path") as error:
        fit(tiny, path, model, optimizer=optimizer)
    assert "\n" not in str(error.value) and not optimizer.state
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_sampler_with_its_own_generator_goes_on_where_it_was(tiny, tmp_path):
    def train(model, epochs_now, path=None):
        generator = torch.Generator().manual_seed(5)
        sampler = torch.utils.data.RandomSampler(tiny.train, generator=generator)
        batches = torch.utils.data.DataLoader(tiny.train, 16, sampler=sampler)
        options = {"precision": "fp32", "device": "cpu", "progress": False, "checkpoint": path}
        torch.manual_seed(0)
        with contextlib.suppress(RuntimeError):
            lk.fit(model, batches, epochs=3, callbacks=[StopAfter(epochs_now)], **options)

    whole, parts = make_model(), make_model()
    train(whole, 4)
    train(parts, 1, tmp_path / "a.pt")
    train(parts, 4, tmp_path / "a.pt")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name])


def test_stopped_by_hand_while_it_reads_a_checkpoint_nothing_has_changed(
    tiny, tmp_path, monkeypatch
):
    path, model = tmp_path / "a.pt", make_model()
    fit(tiny, path)

    def stop(_scaler, _state):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.amp.GradScaler, "load_state_dict", stop)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(KeyboardInterrupt):
        fit(tiny, path, model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_stopped_by_hand_while_it_writes_a_checkpoint_it_ends_with_the_same_weights(
    tiny, tmp_path, monkeypatch
):
    path, whole, parts, save = tmp_path / "a.pt", make_model(), make_model(), torch.save
    torch.manual_seed(0)
    fit(tiny, tmp_path / "b.pt", whole, epochs=3)

    def stop(state, file):
        file.write_bytes(b"half")
        if path.exists():
            raise KeyboardInterrupt
        save(state, file)

    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", stop)
        assert len(fit(tiny, path, parts, epochs=3)) == 2
    torch.manual_seed(0)
    assert len(fit(tiny, path, parts, epochs=3)) == 3
    assert all(torch.equal(value, parts.state_dict()[n]) for n, value in whole.state_dict().items())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.pt", "b.pt"]


@pytest.mark.parametrize("kind", ["the file system", "torch"])
def test_a_full_disk_ends_no_training_and_keeps_the_checkpoint_before_it(
    tiny, tmp_path, monkeypatch, kind
):
    path = tmp_path / "a.pt"
    with pytest.raises(RuntimeError, match="stopped"):
        fit(tiny, path, callbacks=[StopAfter(1)])
    before = path.read_bytes()

    def full_disk(state, file):
        file.write_bytes(b"half")
        if kind == "torch":
            raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full_disk)
    said = "No space left on device" if kind != "torch" else "is the disk full"
    with pytest.warns(UserWarning, match=rf"a\.pt could not be written \({said}"):
        history = fit(tiny, path)
    assert len(history) == 2
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class Learnt(nn.Module):
    """A loss with a number that is learnt and one that counts."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, logits, labels):
        self.seen += 1
        return nn.functional.cross_entropy(logits * self.scale, labels)


class Thaw:
    def __init__(self, layer):
        self.layer = layer

    def on_epoch_end(self, history):
        if len(history) == 1:
            self.layer.requires_grad_(True)


def test_what_a_loss_has_learnt_and_a_callback_has_thawed_goes_on(tiny, tmp_path):
    def train(path, callbacks=()):
        model, loss = frozen(make_model()), Learnt()
        optimizer = torch.optim.SGD([*model.parameters(), *loss.parameters()], lr=0.1)
        callbacks = [Thaw(model[1]), *callbacks]
        with contextlib.suppress(RuntimeError):
            fit(tiny, path, model, 4, criterion=loss, optimizer=optimizer, callbacks=callbacks)
        return [*model.state_dict().values(), *loss.state_dict().values()]

    whole = train(None)
    train(tmp_path / "a.pt", [StopAfter(2)])
    parts = train(tmp_path / "a.pt")
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))


def test_a_schedule_that_has_moved_on_is_to_be_made_anew(tiny, tmp_path):
    options = powers(make_model(), 0.5)
    with pytest.raises(RuntimeError, match="stopped"):
        fit(tiny, tmp_path / "a.pt", **options, callbacks=[StopAfter(1)])
    with pytest.raises(ValueError, match="make the optimizer and the scheduler anew"):
        fit(tiny, tmp_path / "a.pt", **options)
    assert len(fit(tiny, tmp_path / "a.pt", **powers(make_model(), 0.5))) == 2


class Diary(nn.Module):
    """A network that keeps what it computed of its last batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.kept, self.steps = make_model(), {}, []

    def forward(self, images):
        self.steps.append(images)
        self.kept["logits"] = self.body(images)
        return self.kept["logits"]


def compiled():
    torch.manual_seed(0)
    return torch.compile(make_model(), backend="eager")


@pytest.mark.parametrize("make", [Diary, compiled])
def test_a_network_that_is_compiled_or_keeps_activations_goes_on(tiny, tmp_path, make):
    whole = fit(tiny, tmp_path / "whole.pt", make(), epochs=3)
    model = make()
    with pytest.raises(RuntimeError, match="stopped"):
        fit(tiny, tmp_path / "a.pt", model, epochs=3, callbacks=[StopAfter(1)])
    for again in (make(), model):  # a new one, and the same one
        history = fit(tiny, tmp_path / "a.pt", again, epochs=3)
        assert [e["train_loss"] for e in history] == [e["train_loss"] for e in whole]


def test_a_network_that_was_trained_is_to_be_made_anew(tiny, tmp_path):
    model = make_model()
    optimizer = adam(model)["optimizer"]
    fit(tiny, tmp_path / "a.pt", model, optimizer=optimizer)
    optimizer.param_groups[0]["lr"] = 0.5
    with pytest.raises(ValueError, match="make the network and the optimizer anew"):
        fit(tiny, tmp_path / "a.pt", model, optimizer=optimizer)


@pytest.mark.parametrize("change", ["thaw", "rate", "draw", "column"])
def test_what_a_callback_did_after_the_last_whole_epoch_is_kept(tiny, tmp_path, change):
    """The training dies in the epoch after it, so that no later checkpoint helps."""

    def train(path, dies_in=99):
        torch.manual_seed(0)
        model, batches = make_model(), [0, dies_in]  # a list is no setting of the training
        model[1].requires_grad_(change != "thaw")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        class Change:
            def on_epoch_end(self, history):
                if len(history) == 2:
                    model[1].requires_grad_(True)
                    optimizer.param_groups[0]["lr"] = 0.01 if change == "rate" else 0.1
                if change == "draw":
                    torch.rand(1)
                if change == "column":
                    history[-1]["balanced"] = np.float64(len(history) / 2)

        def augment(images):
            batches[0] += 1
            if batches[0] == batches[1]:
                raise RuntimeError("stopped")
            return images

        loader = lk.BatchLoader(tiny.train, 16, shuffle=True, augment=augment)
        options = {"optimizer": optimizer, "callbacks": [Change()], "checkpoint": path}
        history = lk.fit(model, loader, epochs=4, precision="fp32", progress=False, **options)
        return [*model.state_dict().values()], history

    whole, history = train(None)
    with pytest.raises(RuntimeError, match="stopped"):
        train(tmp_path / "a.pt", dies_in=8)  # three batches an epoch
    parts, again = train(tmp_path / "a.pt")
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))
    for column in set(history[0]) - {"seconds"}:
        assert again.column(column) == history.column(column)


def test_what_a_callback_adds_that_cannot_be_read_back_costs_no_checkpoint(tiny, tmp_path):
    class Add:
        def on_epoch_end(self, history):
            if len(history) == 2:
                history[-1]["matrix"] = np.eye(2)

    loader, path = tiny.loaders(batch_size=16)[0], tmp_path / "a.pt"
    with pytest.warns(UserWarning, match="could not be written .something in it cannot be saved"):
        lk.fit(make_model(), loader, epochs=2, checkpoint=path, callbacks=[Add()], progress=False)
    assert len(torch.load(path, weights_only=True)["history"]) == 1
