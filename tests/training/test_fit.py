import contextlib
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, RandomSampler

import labkit as lk
from labkit.training.history import EarlyStopping


def make_model(outputs=8, dropout=0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, outputs)
    )


def fit(model, train, val=None, epochs=2, **options):
    options = {"precision": "fp32", "device": "cpu", "progress": False} | options
    return lk.fit(model, train, val, epochs, **options)


def train_by_hand(model, loader, epochs):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    losses = []
    for _ in range(epochs):
        total, count = 0.0, 0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            total, count = total + loss.item() * len(labels), count + len(labels)
        losses.append(total / count)
    return losses


def assert_same_weights(one, other):
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


class Recorder:
    def __init__(self, error=None, at=1):
        self.calls, self.error, self.at = [], error, at

    def on_fit_begin(self, history):
        self.calls.append("begin")

    def on_epoch_end(self, history):
        self.calls.append(len(history))
        if self.error and len(history) == self.at:
            raise self.error

    def on_fit_end(self, history):
        self.calls.append("end")


def test_the_set_up_names_the_rate_that_was_given_also_below_one_cycle(tiny):
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)
    scheduler = OneCycleLR(optimizer, max_lr=0.003, total_steps=100)
    train = tiny.loaders(batch_size=16)[0]
    history = fit(model, train, epochs=1, optimizer=optimizer, scheduler=scheduler)
    assert history.setup["learning rate"] == 0.003


@pytest.mark.parametrize("plain", [False, True], ids=["BatchLoader", "DataLoader"])
def test_fit_is_the_loop_written_by_hand_with_an_uneven_last_batch(tiny, plain, monkeypatch):
    monkeypatch.setenv("LABKIT_DEVICE", "cpu")  # the loop by hand moves nothing
    train = tiny.loaders(batch_size=16)[0]
    if plain:
        train = DataLoader(tiny.train, batch_size=16, shuffle=True)
    assert len(tiny.train) % 16
    ours, by_hand = make_model(dropout=0.5), make_model(dropout=0.5)
    lk.seed_everything(3)
    expected = train_by_hand(by_hand, train, 3)
    lk.seed_everything(3)
    history = fit(ours, train, epochs=3)
    assert_same_weights(ours, by_hand)
    assert history.column("train_loss") == pytest.approx(expected, abs=1e-6)


def test_an_epoch_records_losses_metrics_and_matrices(tiny):
    train, val, _ = tiny.loaders(batch_size=16)
    model = make_model()
    history = fit(model, train, val)
    metrics = ("loss", "accuracy", "precision", "recall", "f1")
    names = ["epoch", *(f"{part}_{name}" for part in ("train", "val") for name in metrics)]
    assert list(history[-1]) == [*names, "learning_rate", "seconds"]
    result = lk.evaluate(model, val)
    assert history[-1]["val_accuracy"] == pytest.approx(result.accuracy)
    assert history[-1]["val_f1"] == pytest.approx(result.macro_f1)
    assert history[-1]["val_loss"] == pytest.approx(result.loss, abs=1e-6)
    assert (history.confusion_matrices[-1] == result.confusion_matrix()).all()
    assert [len(losses) for losses in history.batch_losses] == [3, 3]
    assert (history.classes, history.origin, history.planned_epochs) == (tiny.classes, "random", 2)


def test_without_validation_the_matrices_are_of_the_training_images(tiny):
    history = fit(make_model(), tiny.loaders()[0])
    assert not any(name.startswith("val_") for name in history[-1])
    assert history.confusion_matrices[-1].sum() == len(tiny.train)


def test_early_stopping_ends_and_restores_the_best_weights(tiny):
    train, val, _ = tiny.loaders(batch_size=16)
    model, seen = make_model(), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)

    class Keep:
        def on_epoch_end(self, history):
            seen.append({name: value.clone() for name, value in model.state_dict().items()})

    rule = EarlyStopping("val_loss", patience=3)
    history = fit(
        model, train, val, 60, optimizer=optimizer, early_stopping=rule, callbacks=[Keep()]
    )
    best = int(np.argmin(history.column("val_loss")))
    assert len(history) == best + 1 + 3 < 60
    for name, value in model.state_dict().items():
        assert torch.equal(value, seen[best][name])
        assert not torch.equal(value, seen[-1][name])


def test_early_stopping_may_keep_the_last_weights(tiny):
    train, val, _ = tiny.loaders(batch_size=16)
    one, other = make_model(), make_model()
    lk.seed_everything(1)
    rule = EarlyStopping("train_loss", patience=1, min_delta=100, restore_best=False)
    assert len(fit(one, train, val, 5, early_stopping=rule)) == 2
    lk.seed_everything(1)
    fit(other, train, val, 2)
    assert_same_weights(one, other)


def test_early_stopping_on_validation_needs_validation(tiny):
    with pytest.raises(ValueError, match="'val_loss': give val as well"):
        fit(make_model(), tiny.loaders()[0], early_stopping=EarlyStopping())


def test_an_unknown_column_to_watch_is_named(tiny):
    with pytest.raises(ValueError, match=r"monitor is 'val_auc'; choose one of train_loss"):
        train, val, _ = tiny.loaders()
        fit(make_model(), train, val, early_stopping=EarlyStopping("val_auc"))


def test_one_cycle_steps_after_each_batch(tiny):
    train, model = tiny.loaders(batch_size=16)[0], make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = OneCycleLR(optimizer, max_lr=0.1, total_steps=6)
    fit(model, train, epochs=2, optimizer=optimizer, scheduler=scheduler)
    assert scheduler.last_epoch == 6


def test_other_schedulers_step_after_each_epoch(tiny):
    train, model = tiny.loaders(batch_size=16)[0], make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = fit(
        model, train, epochs=3, optimizer=optimizer, scheduler=StepLR(optimizer, 1, gamma=0.5)
    )
    assert history.column("learning_rate") == pytest.approx([0.1, 0.05, 0.025])


def test_the_plateau_scheduler_sees_the_validation_loss(tiny):
    train, val, _ = tiny.loaders(batch_size=16)
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = ReduceLROnPlateau(
        optimizer, patience=0, threshold=9, threshold_mode="abs", factor=0.5
    )
    history = fit(model, train, val, 3, optimizer=optimizer, scheduler=scheduler)
    assert scheduler.best == history[0]["val_loss"]
    assert history.column("learning_rate") == pytest.approx([0.1, 0.1, 0.05])


def test_nan_names_epoch_and_batch_and_saves_nothing(tiny, tmp_path):
    train, model = tiny.loaders(batch_size=16)[0], make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e30)
    recorder = Recorder()
    with pytest.raises(FloatingPointError, match=r"training loss .* epoch 1, batch [23] of 3"):
        options = {"optimizer": optimizer, "checkpoint": tmp_path / "a.pt"}
        fit(model, train, callbacks=[recorder], **options)
    assert list(tmp_path.iterdir()) == []
    assert recorder.calls == ["begin", "end"]


def test_nan_in_a_later_epoch_keeps_the_checkpoint_of_the_one_before(tiny, tmp_path):
    train, model = tiny.loaders(batch_size=16)[0], make_model()

    class Spoil:
        def on_epoch_end(self, history):
            with torch.no_grad():
                model[1].weight.fill_(torch.nan)

    with pytest.raises(FloatingPointError, match="epoch 2, batch 1 of 3") as error:
        fit(model, train, checkpoint=tmp_path / "a.pt", callbacks=[Spoil()])
    assert len(error.value.history) == 1
    assert "1 of 2 epochs are kept: history = sys.last_value.history" in error.value.__notes__
    assert all(value.isfinite().all() for value in model.state_dict().values())
    again = make_model()
    history = fit(again, train, checkpoint=tmp_path / "a.pt")
    assert len(history) == 2 and np.isfinite(history.column("train_loss")).all()


def test_class_weights_may_come_from_numpy(tiny):
    train, losses = tiny.loaders(batch_size=16)[0], []
    for weights in (torch.arange(1.0, 9.0), torch.from_numpy(np.arange(1.0, 9.0))):
        criterion = nn.CrossEntropyLoss(weight=weights)
        losses.append(fit(make_model(), train, epochs=1, criterion=criterion).column("train_loss"))
    assert losses[0] == losses[1]


class LastStep(torch.optim.SGD):
    """Destroys the weights in the last step of an epoch, after every loss was computed."""

    steps = 0

    def step(self, closure=None):
        super().step(closure)
        self.steps += 1
        if self.steps == self.at:
            self.param_groups[0]["params"][0].data[0, 0] = self.value


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_last_step_that_destroys_the_weights_is_no_good_epoch(tiny, tmp_path, value):
    train, model, path = tiny.loaders(batch_size=16)[0], make_model(), tmp_path / "a.pt"
    optimizer = LastStep(model.parameters(), lr=0.01)
    optimizer.at, optimizer.value = 6, value
    with pytest.raises(FloatingPointError, match=r"A weight .* in epoch 2\. Nothing of") as error:
        fit(model, train, epochs=3, optimizer=optimizer, checkpoint=path)
    assert len(error.value.history) == 1
    kept = torch.load(path, weights_only=True)["model"]
    assert all(weight.isfinite().all() for weight in kept.values())
    assert all(torch.equal(weight, kept[name]) for name, weight in model.state_dict().items())


def test_a_mask_of_infinities_is_no_destroyed_weight(tiny):
    model = make_model()
    model.register_buffer("mask", torch.full((3,), -torch.inf))
    assert len(fit(model, tiny.loaders()[0])) == 2


@pytest.mark.parametrize("epochs", [1, 3])
def test_after_nan_the_network_has_the_weights_of_the_epoch_before(tiny, epochs):
    train, model, kept = tiny.loaders(batch_size=16)[0], make_model(), []

    class At:
        def on_fit_begin(self, history):
            kept.append({name: value.clone() for name, value in model.state_dict().items()})

        def on_epoch_end(self, history):
            self.on_fit_begin(history)
            if len(history) == epochs:
                optimizer.param_groups[0]["lr"] = 1e30

    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with pytest.raises(FloatingPointError, match="has its weights from before it"):
        fit(model, train, epochs=6, optimizer=optimizer, callbacks=[At()])
    assert len(kept) == epochs + 1
    for name, value in model.state_dict().items():
        assert torch.equal(value, kept[-1][name])


def test_the_optimizer_of_another_model_is_refused(tiny):
    optimizer = torch.optim.Adam(make_model().parameters())
    with pytest.raises(ValueError, match="none of this model's parameters"):
        fit(make_model(), tiny.loaders()[0], optimizer=optimizer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"precision": "half"}, "precision is 'half'; choose one of auto"),
        ({"precision": "fp16"}, "fp16 needs a CUDA device"),
        ({"device": "tpu"}, r"device 'tpu'.*Available: .*cpu"),
    ],
)
def test_bad_settings_are_named_before_training(tiny, options, message):
    with pytest.raises(ValueError, match=message):
        fit(make_model(), tiny.loaders()[0], **options)


def test_a_model_with_too_few_outputs_is_named(tiny):
    with pytest.raises(ValueError, match="give its last layer 8 outputs"):
        fit(make_model(outputs=5), tiny.loaders()[0])
    with pytest.raises(ValueError, match="give its last layer 8 outputs"):
        lk.evaluate(make_model(outputs=5), tiny.loaders()[2])


@pytest.mark.parametrize("words", ["CUDA out of memory. Tried", "can't allocate memory: you"])
def test_memory_that_runs_out_names_the_batch_size_and_is_let_go(tiny, words):
    held = []

    class Large(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def forward(self, images):
            activations = images * 2
            held.append(weakref.ref(activations))
            raise RuntimeError(words)

    for ask in (fit, lk.evaluate):
        with pytest.raises(torch.OutOfMemoryError, match="batches of 16 images: choose a smaller"):
            ask(Large(), tiny.loaders(batch_size=16)[1])
    assert [reference() for reference in held] == [None, None]


def test_empty_loaders_are_named():
    with pytest.raises(ValueError, match="the split is empty"):
        fit(make_model(), [])
    with pytest.raises(ValueError, match="the split is empty"):
        lk.evaluate(make_model(), [])


def test_any_iterable_of_batches_will_do():
    batches = [(torch.rand(4, 3, 8, 8), torch.tensor([[0], [1], [2], [7]]))]
    history = fit(make_model(), batches, batches)
    assert history.classes == () and history.confusion_matrices[0].shape == (8, 8)
    result = lk.evaluate(make_model(), batches)
    assert result.classes[7] == "class 7" and result.labels.tolist() == [0, 1, 2, 7]


def test_bf16_trains_and_keeps_float32_weights(tiny):
    train, model = tiny.loaders(batch_size=16)[0], make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    history = fit(model, train, epochs=15, precision="bf16", optimizer=optimizer)
    assert history[-1]["train_loss"] < 0.8 * history[0]["train_loss"]
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert history.setup["device"] == "cpu, bf16"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_loss_is_computed_in_full_precision(tiny, precision):
    seen = []

    class Recording(nn.CrossEntropyLoss):
        def forward(self, logits, labels):
            probabilities = logits.softmax(1)
            seen.append((logits.dtype, probabilities.dtype))
            return super().forward(logits, labels)

    fit(make_model(), tiny.loaders()[0], epochs=1, precision=precision, criterion=Recording())
    assert set(seen) == {(torch.float32, torch.float32)}


def test_stopping_by_hand_returns_the_history_so_far(tiny, capsys):
    recorder = Recorder(KeyboardInterrupt(), at=2)
    history = fit(make_model(), tiny.loaders()[0], epochs=9, callbacks=[recorder])
    assert len(history) == 2
    assert recorder.calls == ["begin", 1, 2, "end"]
    assert "Stopped by hand" in capsys.readouterr().out


@pytest.mark.parametrize("moment", ["training", "validation", "callback", "never"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_however_a_training_ends_the_network_is_in_eval_mode(tiny, moment, error):
    class Stops(nn.CrossEntropyLoss):
        def forward(self, logits, labels):
            if moment == ("training" if logits.requires_grad else "validation"):
                raise error
            return super().forward(logits, labels)

    def stop(history):
        if moment == "callback":
            raise error

    model, (train, val, _) = make_model(dropout=0.5), tiny.loaders()
    options = {"criterion": Stops(), "callbacks": [SimpleNamespace(on_epoch_end=stop)]}
    for validation in (val, None):
        model.train()
        with contextlib.suppress(ValueError):
            fit(model, train, validation, epochs=1, **options)
        assert not any(module.training for module in model.modules())


def test_an_error_in_a_callback_still_ends_the_others(tiny):
    first, second = Recorder(), Recorder(RuntimeError("mine"))
    with pytest.raises(RuntimeError, match="mine"):
        fit(make_model(), tiny.loaders()[0], callbacks=[first, second])
    assert first.calls == ["begin", 1, "end"] and second.calls == ["begin", 1, "end"]


@pytest.mark.parametrize("moment", ["on_fit_begin", "on_epoch_end", "on_fit_end"])
@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_whatever_a_callback_raises_the_history_is_kept_and_the_others_end(tiny, moment, error):
    def fail(history):
        raise error

    recorder, epochs = Recorder(), {"on_fit_begin": 0, "on_epoch_end": 1, "on_fit_end": 2}[moment]
    callbacks = [SimpleNamespace(**{moment: fail}), recorder]
    try:
        history = fit(make_model(), tiny.loaders()[0], epochs=2, callbacks=callbacks)
    except ValueError as raised:
        history = raised.history
    assert len(history) == epochs and recorder.calls[-1] == "end"


def test_callbacks_need_only_the_methods_they_want(tiny):
    ended = SimpleNamespace(on_fit_end=len)
    assert len(fit(make_model(), tiny.loaders()[0], callbacks=[ended])) == 2


def test_fast_mode_runs_two_epochs_at_most(tiny, monkeypatch):
    monkeypatch.setenv("LABKIT_FAST", "1")
    assert len(fit(make_model(), tiny.loaders()[0], epochs=7)) == 2
    assert len(fit(make_model(), tiny.loaders()[0], epochs=1)) == 1


def test_one_line_at_the_end_names_the_best_epoch(tiny, capsys):
    train, val, _ = tiny.loaders()
    history = fit(make_model(), train, val, progress=True)
    best = history.best("val_accuracy")
    line = capsys.readouterr().out.strip()
    assert line.startswith("2 epochs in ") and line.endswith(f"in epoch {best['epoch']}")
    fit(make_model(), train, epochs=1, progress=True)
    assert capsys.readouterr().out.startswith("1 epoch in ")


@pytest.mark.parametrize("mode", [True, False])
def test_evaluate_leaves_mode_weights_and_generators_alone(tiny, mode):
    model = make_model(dropout=0.5).train(mode)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    results = [lk.evaluate(model, tiny.loaders()[2]) for _ in range(2)]
    assert model.training is mode
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert (results[0].logits == results[1].logits).all()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


def test_evaluate_puts_the_mode_back_after_an_error(tiny):
    model = nn.Sequential(nn.Linear(5, 5)).train()
    with pytest.raises(RuntimeError):
        lk.evaluate(model, tiny.loaders()[2])
    assert model.training


def test_evaluate_gives_the_models_own_logits_with_labels_and_origin(tiny):
    model = make_model().eval()
    result = lk.evaluate(model, tiny.loaders(batch_size=5, normalize="none")[2])
    with torch.no_grad():
        expected = model(tiny.test.images.float() / 255).numpy()
    np.testing.assert_allclose(result.logits, expected, atol=1e-6)
    assert (result.labels == tiny.test.labels.numpy()).all()
    assert (result.classes, result.origin) == (tiny.classes, "random")


def test_evaluate_knows_the_rows_of_the_split_also_for_a_part_of_it(tiny):
    rows = torch.tensor([7, 3, 11])
    result = lk.evaluate(make_model(), lk.BatchLoader(tiny.test, indices=rows))
    assert result.indices.tolist() == [7, 3, 11]
    assert set(result.misclassified()) <= {0, 1, 2}


def test_evaluate_reads_a_shuffling_loader_in_order(tiny):
    shuffled, model = lk.BatchLoader(tiny.val, 4, shuffle=True), make_model()
    result = lk.evaluate(model, shuffled)
    assert result.labels.tolist() == tiny.val.labels[result.indices].tolist()
    assert shuffled.shuffle
    with pytest.warns(UserWarning, match="shuffle=False"):
        lk.evaluate(model, torch.utils.data.DataLoader(tiny.val, 4, shuffle=True))


def test_evaluating_gives_each_module_its_own_mode_back():
    images, labels = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4)
    loader = lk.BatchLoader(lk.ImageSplit(images, labels, tuple("abcd")))
    frozen = nn.BatchNorm2d(3).eval()
    model = nn.Sequential(frozen, nn.Flatten(), nn.Linear(192, 4))
    lk.evaluate(model, loader)
    assert model.training
    assert not frozen.training


def test_frozen_batch_normalisation_stays_as_it_was_put(tiny):
    """As PyTorch's users freeze it: no gradients, and eval() before the training."""

    def means_after(frozen, mode):
        norm = nn.BatchNorm2d(3).requires_grad_(not frozen)
        model = nn.Sequential(norm, nn.Dropout(), nn.Flatten(), nn.Linear(3 * 8 * 8, 8))
        {"norm": norm, "network": model, "none": nn.Identity()}[mode].eval()
        norm_modes = []
        model.register_forward_hook(lambda *_: norm_modes.append(norm.training))
        fit(model, tiny.loaders(batch_size=16)[0], epochs=2)
        return bool(norm.running_mean.any()), norm_modes[-1]

    assert means_after(frozen=True, mode="norm") == (False, False)
    assert means_after(frozen=True, mode="network") == (False, False)  # as fit has left it
    # train() of all modules is for the rest: layers that learn, or were not put into eval
    for frozen, mode in ((False, "norm"), (False, "network"), (True, "none")):
        assert means_after(frozen, mode) == (True, True), (frozen, mode)


def test_after_nan_the_optimizer_has_its_running_means_of_the_epoch_before(tiny):
    train, model = tiny.loaders(batch_size=16)[0], make_model()
    optimizer, kept = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9), []

    def spoil(history):
        kept.append(optimizer.state[model[1].weight]["momentum_buffer"].clone())
        optimizer.param_groups[0]["lr"] = 1e38

    with pytest.raises(FloatingPointError):
        fit(model, train, optimizer=optimizer, callbacks=[SimpleNamespace(on_epoch_end=spoil)])
    assert torch.equal(optimizer.state[model[1].weight]["momentum_buffer"], kept[0])
    optimizer.param_groups[0]["lr"] = 0.01
    assert fit(model, train, optimizer=optimizer)[-1]["train_loss"] < 3


@pytest.mark.parametrize(
    "sampler",
    [
        {"sampler": torch.utils.data.SubsetRandomSampler(range(8))},
        {"sampler": torch.utils.data.WeightedRandomSampler([1.0] * 8, 8)},
        {"batch_sampler": torch.utils.data.BatchSampler(RandomSampler(range(8)), 4, False)},
    ],
    ids=["subset", "weighted", "batches"],
)
def test_evaluate_says_of_every_random_sampler_that_it_shuffles(tiny, sampler):
    with pytest.warns(UserWarning, match="This DataLoader shuffles"):
        lk.evaluate(make_model(), DataLoader(tiny.val, **sampler))
