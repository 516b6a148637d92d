# %% [markdown]
# # Lab 02 · A first network, and an honest look at its errors
#
# **You will learn** to build a multilayer perceptron, to write a training loop that measures what
# it claims to measure, and to find out where a network is wrong and how sure it is of it.
#
# **You should know** Python and NumPy, and lab 01 (the data).
#
# **Time:** about two hours. All cells together compute for about two minutes on a laptop.

# %%
import numpy as np
import torch
from torch import nn

import labkit as lk

EPOCHS = 2 if lk.settings.fast() else 30  # fast mode: a quick test run of the whole lab
lk.seed_everything(42)

# %% [markdown]
# ## The data
#
# Blood cells, 28 x 28 pixels, in eight classes. Read the card: it says where the images come from.

# %%
blood = lk.load_dataset("bloodmnist", size=28)
blood

# %%
lk.figures.image_grid(
    blood.train.images[:8],
    [blood.classes[label] for label in blood.train.labels[:8]],
    origin=blood.origin,
)

# %% [markdown]
# `loaders` gives the images in batches of 64. With `normalize="half"` each pixel value $x$ in
# $[0, 1]$ becomes $(x - 0.5)/0.5$, which lies in $[-1, 1]$.

# %% tags=["nbval-check-output"]
train, val, test = blood.loaders(batch_size=64, normalize="half")
images, labels = next(iter(train))
print("a batch of images:", tuple(images.shape), images.dtype)
print("a batch of labels:", tuple(labels.shape), labels.dtype)

# %% [markdown]
# ## The network
#
# A multilayer perceptron (MLP) sees an image as one long row of numbers: 28 · 28 · 3 = 2,352.
# Each layer mixes all numbers of the one before, then ReLU sets the negative ones to zero.
#
# $$2352 \;\to\; 256 \;\to\; 128 \;\to\; 8$$
#
# The last layer gives eight **logits**, one a class. The largest one is the prediction. There is
# no ReLU and no softmax behind it: the loss function wants the logits as they are.

# %% [markdown]
# ### Exercise 2.1: build the network
#
# Write `BloodMLP`. Before you run it, work out how many parameters it has: each linear layer has
# `inputs · outputs` weights and `outputs` biases.
#
# <details><summary>Hint</summary>
#
# `nn.Sequential(nn.Flatten(), nn.Linear(2352, 256), nn.ReLU(), …)`, made in `__init__` and called
# in `forward`. `nn.Flatten()` turns (B, 3, 28, 28) into (B, 2352).
# </details>


# %%
# Exercise 2.1 - the network
class BloodMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = ...

    def forward(self, images):
        raise NotImplementedError("2.1: send the images through the layers")


expected_parameters = ...  # your own calculation, a whole number


# %%
# Solution 2.1
class BloodMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(3 * 28 * 28, 256),
            nn.ReLU(),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Linear(128, 8),
        )

    def forward(self, images):
        return self.layers(images)


expected_parameters = (2352 * 256 + 256) + (256 * 128 + 128) + (128 * 8 + 8)

# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# The first layer holds 602,368 of the 636,296 parameters, 95 %: an MLP spends almost everything on
# looking at single pixels. That is why the convolutional networks of lab 05 do better with less.
# </details>

# %%
with lk.check("2.1", "BloodMLP", "expected_parameters"):
    _net = BloodMLP()
    _out = _net(torch.zeros(4, 3, 28, 28))
    assert isinstance(_out, torch.Tensor), "forward must return the logits; is `return` missing?"
    assert _out.shape == (4, 8), f"4 images must give logits (4, 8), not {tuple(_out.shape)}"
    _linear = [m for m in _net.modules() if isinstance(m, nn.Linear)]
    _sizes = [(m.in_features, m.out_features) for m in _linear]
    assert _sizes == [(2352, 256), (256, 128), (128, 8)], f"the linear layers are {_sizes}"
    _noise = torch.randn(256, 3, 28, 28)
    assert (_net(_noise) < 0).any(), "no logit is negative: is there a ReLU on the last layer?"
    assert not torch.allclose(_net(_noise).sum(1), torch.ones(256)), (
        "each row adds up to 1: leave the softmax out, the loss function contains it"
    )
    _middle = (_net(_noise) + _net(-_noise)) / 2 - _net(0 * _noise)
    assert _middle.abs().max() > 1e-3, "the network is linear: put a ReLU between the layers"
    _count = sum(p.numel() for p in _net.parameters())
    assert expected_parameters == _count, f"the network has {_count:,} parameters: recount"

# %% [markdown]
# ## The training loop
#
# One epoch shows every training image once. For each batch:
#
# 1. forward: images → logits → loss;
# 2. backward: `loss.backward()` computes how the loss changes with each weight;
# 3. step: the optimiser changes the weights a little, downhill.
#
# **A trap:** the loss of an epoch is the mean over *images*. The last batch is often smaller, so
# the mean of the batch means is not the same. Weight each batch by its size.

# %% [markdown]
# ### Exercise 2.2: train for one epoch
#
# Write `train_one_epoch`; it returns the mean loss over all images, as a number.
#
# <details><summary>Hint</summary>
#
# Start with `model.train()`. Gradients add up, so set them to zero before each `backward()`.
# Sum `loss.item() * len(labels)` and divide by the number of images at the end.
# </details>


# %%
# Exercise 2.2 - the training loop
def train_one_epoch(model, loader, criterion, optimizer):
    raise NotImplementedError("2.2: loop over the batches and learn")


# %%
# Solution 2.2
def train_one_epoch(model, loader, criterion, optimizer):
    model.train()
    total, seen = 0.0, 0
    for images, labels in loader:
        loss = criterion(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
        seen += len(labels)
    return total / seen


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# `criterion` returns the mean over the batch, so `loss · len(labels)` is the batch's sum, and the
# sums divided by the number of images give the mean over images. `loss.item()` turns a tensor into
# a number; summing the tensors themselves would keep every batch's graph in memory.
# </details>


# %%
with lk.check("2.2", "train_one_epoch"):

    def _toy():
        """Ten images in batches of 4, 4 and 2, and a small network."""
        torch.manual_seed(0)
        x, y = torch.randn(10, 3, 28, 28), torch.arange(10) % 8
        net = nn.Sequential(nn.Flatten(), nn.Linear(2352, 8), nn.Dropout(0.5))
        return net, list(zip(x.split(4), y.split(4), strict=True))

    _net, _batches = _toy()
    _net.eval()
    _loss = nn.CrossEntropyLoss()
    _before = [p.detach().clone() for p in _net.parameters()]
    _got = train_one_epoch(_net, _batches, _loss, torch.optim.SGD(_net.parameters(), lr=0.0))
    assert isinstance(_got, int | float | torch.Tensor), "return the mean loss as a number"
    assert _net.training, "the network was left in eval(): call model.train() first"
    _net, _batches = _toy()
    _net[2] = nn.Identity()
    _optimizer = torch.optim.SGD(_net.parameters(), lr=0.0)
    _got = float(train_one_epoch(_net, _batches, _loss, _optimizer))
    _each = [_loss(_net(x), y).item() for x, y in _batches]
    _sizes = [len(y) for _, y in _batches]
    _true = float(np.average(_each, weights=_sizes))
    assert abs(_got - np.mean(_each)) > 1e-4 or abs(_got - _true) < 1e-6, (
        "this is the mean of the batch means: weight each batch by its size"
    )
    assert abs(_got - sum(_each)) > 1e-4, "this is the sum of the batch losses, not a mean"
    assert abs(_got - _true) < 1e-4, f"the mean loss over images is {_true:.4f}, not {_got:.4f}"
    _optimizer = torch.optim.SGD(_net.parameters(), lr=0.01)
    _reference, _ = _toy()
    _reference[2] = nn.Identity()
    _step = torch.optim.SGD(_reference.parameters(), lr=0.01)
    for _x, _y in _batches:
        _step.zero_grad()
        _loss(_reference(_x), _y).backward()
        _step.step()
    train_one_epoch(_net, _batches, _loss, _optimizer)
    _moved = any((p != q).any() for p, q in zip(_net.parameters(), _before, strict=True))
    assert _moved, "the weights did not change: are backward() and optimizer.step() both there?"
    assert all(
        torch.allclose(p, q, atol=1e-5)
        for p, q in zip(_net.parameters(), _reference.parameters(), strict=True)
    ), "the weights differ from one step a batch: is zero_grad() called before each backward()?"

# %% [markdown]
# ### Exercise 2.3: validate
#
# Write `validate`; it returns mean loss and accuracy (from 0 to 1) and changes nothing. Two
# switches are needed: one for layers that behave differently in training, one against gradients.
#
# <details><summary>Hint</summary>
#
# `model.eval()` and `with torch.no_grad():`. The prediction is `logits.argmax(1)`. Count the right
# ones and divide once at the end.
# </details>


# %%
# Exercise 2.3 - validation
def validate(model, loader, criterion):
    raise NotImplementedError("2.3: measure loss and accuracy without learning")


# %%
# Solution 2.3
def validate(model, loader, criterion):
    model.eval()
    total, correct, seen = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            logits = model(images)
            total += criterion(logits, labels).item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
            seen += len(labels)
    return total / seen, correct / seen


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# `eval()` switches dropout off and makes batch normalisation use its stored statistics. `no_grad()`
# saves the memory and time for gradients nobody needs. They are independent: each is needed.
# </details>

# %%
with lk.check("2.3", "validate"):
    _net, _batches = _toy()
    _net.train()
    _loss = nn.CrossEntropyLoss()
    _watch = []

    class _Watched(nn.Module):
        def forward(self, logits):
            _watch.append((self.training, torch.is_grad_enabled()))
            return logits

    _net.append(_Watched())
    _answer = validate(_net, _batches, _loss)
    assert isinstance(_answer, tuple | list) and len(_answer) == 2, "return loss and accuracy"
    assert not any(training for training, _ in _watch), "call model.eval() first"
    assert not any(grad for _, grad in _watch), "gradients are on: use torch.no_grad()"
    _net.eval()
    with torch.no_grad():
        _logits = torch.cat([_net(x) for x, _ in _batches])
    _y = torch.cat([y for _, y in _batches])
    _accuracy = float((_logits.argmax(1) == _y).float().mean())
    assert abs(float(_answer[0]) - float(_loss(_logits, _y))) < 1e-4, (
        "the loss is not the mean over images: weight each batch by its size"
    )
    assert abs(float(_answer[1]) - 100 * _accuracy) > 1e-4 or _accuracy == 0, (
        "the accuracy is in per cent: return a share from 0 to 1"
    )
    assert abs(float(_answer[1]) - _accuracy) < 1e-6, (
        f"the accuracy is {_accuracy:.3f}: count right answers, divide by the number of images"
    )

# %% [markdown]
# ## Your loop and `lk.fit`
#
# `lk.fit` is this loop with a progress bar, a record, checkpoints and checks. Two epochs with the
# same seed show that it does nothing else: the weights must be **equal bit for bit**.

# %%
cpu_train, cpu_val, _ = blood.loaders(batch_size=64)
criterion = nn.CrossEntropyLoss()

lk.seed_everything(1)
by_hand = BloodMLP().to(lk.get_device())
optimizer = torch.optim.Adam(by_hand.parameters(), lr=1e-3)
losses = [train_one_epoch(by_hand, cpu_train, criterion, optimizer) for _ in range(2)]

lk.seed_everything(1)
with_fit = BloodMLP()
optimizer = torch.optim.Adam(with_fit.parameters(), lr=1e-3)
history = lk.fit(with_fit, cpu_train, epochs=2, optimizer=optimizer, precision="fp32")

# %% tags=["nbval-check-output"]
pairs = zip(by_hand.parameters(), with_fit.parameters(), strict=True)
print("weights equal bit for bit:", all(torch.equal(a, b) for a, b in pairs))
differences = np.abs(np.array(losses) - history.column("train_loss"))
print("losses equal to 1e-6:", bool(differences.max() < 1e-6))

# %% [markdown]
# ## Train in earnest
#
# Adam with learning rate 1e-3, cross-entropy, batches of 64. This takes about 20 seconds on a
# laptop. Watch the two losses: while both fall, the network learns; where the validation loss
# rises again, it begins to learn the training images by heart.

# %%
lk.seed_everything(42)
model = BloodMLP()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
history = lk.fit(
    model,
    train,
    val,
    epochs=EPOCHS,
    optimizer=optimizer,
    precision="fp32",
    callbacks=[lk.LivePlot(blood.classes)],
)

# %% [markdown]
# Now, and only now, the **test set**. It has had no say in anything above. The interval says how
# far the accuracy could be off by the luck of which images are in the test set.

# %%
result = lk.evaluate(model, test)
result

# %% [markdown]
# One figure sums up the run: what was trained, how it went, and where it errs.

# %%
lk.figures.run_summary(history, result)

# %% [markdown]
# ### Exercise 2.4: does the input range matter?
#
# Above, pixels lay in $[-1, 1]$. Train **the same network, from the same seed, just as long** on
# pixels in $[0, 1]$ (`normalize="none"`) and evaluate it on test images prepared the same way.
# Name the predictions `result_unscaled`. First write down which one you expect to be better.
#
# <details><summary>Hint</summary>
#
# Make new loaders. Copy the training cell, with `lk.seed_everything(42)` first. The test loader
# must be the new one too: a network must see at test time what it saw in training.
# </details>

# %%
# Exercise 2.4 - pixels in [0, 1]
result_unscaled = ...

# %%
# Solution 2.4
train_01, val_01, test_01 = blood.loaders(batch_size=64, normalize="none")
lk.seed_everything(42)
model_unscaled = BloodMLP()
optimizer = torch.optim.Adam(model_unscaled.parameters(), lr=1e-3)
lk.fit(model_unscaled, train_01, val_01, epochs=EPOCHS, optimizer=optimizer, precision="fp32")
result_unscaled = lk.evaluate(model_unscaled, test_01)

# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# With all inputs positive, the gradients of a first-layer neuron's weights all have the same sign
# for one image: the weights can only move up or down together, and the optimiser zigzags. Inputs
# around zero remove that coupling. How much it costs depends on the data and on how long you train,
# and one pair of runs cannot tell a small effect from luck: see the last section.
# </details>

# %%
with lk.check("2.4", "result_unscaled"):
    assert isinstance(result_unscaled, lk.Predictions), (
        "result_unscaled must be what lk.evaluate returns"
    )
    assert len(result_unscaled.labels) == len(result.labels), (
        "evaluate on the test images, not on training or validation"
    )
    assert np.array_equal(result_unscaled.labels, result.labels), (
        "the images are not those of the test set"
    )
    assert not np.allclose(result_unscaled.logits, result.logits), (
        'these are the predictions of the first network: normalize="none" and train anew'
    )
    _majority = np.bincount(result.labels).max() / len(result.labels)
    assert result_unscaled.accuracy > 0.6 * _majority, (
        "hardly better than guessing: were the test images prepared like the training images?"
    )

# %%
for name, predictions in {"[-1, 1]": result, "[0, 1]": result_unscaled}.items():
    low, high = predictions.accuracy_interval()
    print(
        f"{name:8} accuracy {100 * predictions.accuracy:.2f} %  ({100 * low:.1f}–{100 * high:.1f})"
    )

# %% [markdown]
# ## Where is it wrong?
#
# Rows are the true classes, columns the predictions. A row adds up to 100 %.

# %%
lk.figures.confusion_matrix(result)

# %% [markdown]
# ### Exercise 2.5: the two most confused pairs
#
# Find the two largest numbers of the confusion matrix off its diagonal. Name them
# `confused_pairs`: a list of two tuples (true class, predicted class, how often), largest first.
#
# <details><summary>Hint</summary>
#
# `matrix = result.confusion_matrix()`, then `np.fill_diagonal(matrix, 0)`. `matrix.argmax()` counts
# through all cells; `np.unravel_index` turns that number into row and column.
# </details>

# %%
# Exercise 2.5 - the most confused pairs
confused_pairs = ...

# %%
# Solution 2.5
matrix = result.confusion_matrix()
np.fill_diagonal(matrix, 0)
confused_pairs = []
for position in np.argsort(-matrix, axis=None, kind="stable")[:2]:
    row, column = np.unravel_index(position, matrix.shape)
    confused_pairs.append((blood.classes[row], blood.classes[column], int(matrix[row, column])))

# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Counts answer "which mistake happens most often in these data". Row shares answer "which class
# suffers most"; a rare class can have the worst row and still few mistakes. `result.most_confused()`
# does the same from now on.
# </details>

# %%
with lk.check("2.5", "confused_pairs"):
    _true = result.confusion_matrix()
    np.fill_diagonal(_true, 0)
    _top = np.sort(_true, axis=None)[::-1][:2].tolist()
    assert len(confused_pairs) == 2, "there must be two pairs"
    for _pair, _n in zip(confused_pairs, _top, strict=True):
        assert len(_pair) == 3, "a pair has three parts: true class, predicted class, how often"
        _t, _p = (blood.classes.index(c) if isinstance(c, str) else int(c) for c in _pair[:2])
        assert _t != _p, "this is on the diagonal: those are the right answers"
        _swapped = _true[_p, _t] == _n != _true[_t, _p]
        assert not _swapped, "rows are true classes, columns predictions: swapped?"
        assert _true[_t, _p] == _n, "this is not among the largest: counts, largest first"
        assert int(_pair[2]) == _n, f"the count of this pair is {_n}, not {_pair[2]}"
    assert tuple(confused_pairs[0][:2]) != tuple(confused_pairs[1][:2]), "the same pair twice"

# %% [markdown]
# ## Precision and recall
#
# *Recall*: of all monocytes, how many were found? *Precision*: of all cells called monocyte, how
# many were one? In medicine these are two different costs.

# %% [markdown]
# ### Exercise 2.6: precision and recall of each class
#
# Compute both from the confusion matrix, as arrays `precision` and `recall` of eight numbers from
# 0 to 1, in the order of the classes. A class that was never predicted has precision 0.
#
# <details><summary>Hint</summary>
#
# The right answers are `np.diag(matrix)`. Divide by the sum of a row for the one, of a column for
# the other. `np.maximum(sums, 1)` avoids dividing by zero.
# </details>

# %%
# Exercise 2.6 - precision and recall
precision = ...
recall = ...

# %%
# Solution 2.6
matrix = result.confusion_matrix()
precision = np.diag(matrix) / np.maximum(matrix.sum(axis=0), 1)
recall = np.diag(matrix) / np.maximum(matrix.sum(axis=1), 1)

# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Rows are true classes, so a row's sum is the number of cells of that class: recall. A column's sum
# is how often the class was predicted: precision. F1 is their harmonic mean,
# $2 \cdot \frac{P \cdot R}{P + R}$, which is small as soon as one of them is.
# </details>

# %%
with lk.check("2.6", "precision", "recall"):
    _report = result.report().iloc[:8]
    _p, _r = (np.asarray(v, dtype=float).ravel() for v in (precision, recall))
    assert len(_p) == 8 and len(_r) == 8, "there must be eight numbers each, one a class"
    assert max(_p.max(), _r.max()) <= 1 + 1e-9, "shares from 0 to 1, not per cent"
    _swapped = np.allclose(_p, _report["recall"]) and not np.allclose(_p, _report["precision"])
    assert not _swapped, "precision and recall are swapped: a row's sum belongs to recall"
    assert np.allclose(_p, _report["precision"], atol=1e-3), "precision: divide by column sums"
    assert np.allclose(_r, _report["recall"], atol=1e-3), "recall: divide by row sums"

# %%
result.report().round(3)

# %% [markdown]
# Five images of the class with the lowest recall that the network got wrong, the most confident
# mistakes first. Would you have known?

# %%
worst = result.lowest_recall_class
rows = result.misclassified(worst, n=5)  # rows of the predictions
captions = [
    f"said {blood.classes[result.predicted[row]]}, {result.confidence[row]:.2f}" for row in rows
]
lk.figures.image_grid(
    blood.test.images[result.indices[rows]],  # their rows in the test split
    captions,
    columns=5,
    title=f"True class: {worst}",
    origin=blood.origin,
)

# %% [markdown]
# ## How sure is it?
#
# The softmax turns logits into probabilities. The largest one is the network's *confidence*. Sort
# the test images: confident (at least 0.9) or unsure (below 0.6), right or wrong.

# %% [markdown]
# ### Exercise 2.7: four quadrants
#
# From `result.confidence` (N,) and `result.correct` (N,), count the images in each quadrant, as a
# dict `quadrants` with the keys `"confident correct"`, `"confident wrong"`, `"unsure correct"` and
# `"unsure wrong"`.
#
# <details><summary>Hint</summary>
#
# `confident = result.confidence >= 0.9`; join two conditions with `&`; `.sum()` counts.
# </details>

# %%
# Exercise 2.7 - four quadrants
quadrants = ...

# %%
# Solution 2.7
confident, unsure = result.confidence >= 0.9, result.confidence < 0.6
quadrants = {
    "confident correct": (confident & result.correct).sum(),
    "confident wrong": (confident & ~result.correct).sum(),
    "unsure correct": (unsure & result.correct).sum(),
    "unsure wrong": (unsure & ~result.correct).sum(),
}

# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# The confident mistakes are the dangerous ones: nobody would look again. Lab 07 asks what the
# network saw in them. `result.confidence_quadrants()` gives the images of each quadrant.
# </details>

# %%
with lk.check("2.7", "quadrants"):
    _rows = result.confidence_quadrants(0.9, 0.6)
    assert isinstance(quadrants, dict), "quadrants must be a dict with the four keys"
    assert set(quadrants) == set(_rows), f"the keys must be {', '.join(_rows)}"
    for _name, _members in _rows.items():
        _value = quadrants[_name]
        _n = len(_value) if np.ndim(_value) else int(_value)
        _share = not np.ndim(_value) and 0 < float(_value) < 1
        assert not _share, "counts, not shares"
        assert _n == len(_members), f"{_name}: {len(_members)} images, not {_n}"

# %% [markdown]
# Two images of each quadrant (where it has two), with the true class, the prediction and its
# probability.

# %%
examples = [row for rows in result.confidence_quadrants().values() for row in rows[:2]]
captions = [
    f"{blood.classes[result.labels[row]]}; said {blood.classes[result.predicted[row]]}, "
    f"{result.confidence[row]:.2f}"
    for row in examples
]
lk.figures.image_grid(
    blood.test.images[result.indices[examples]],
    captions,
    columns=4,
    title="Confident and right, confident and wrong, unsure and right, unsure and wrong",
    origin=blood.origin,
)

# %% [markdown]
# ## Beyond: can the confidence be trusted?
#
# Of the images predicted with 80 % confidence, 80 % should be right. The *expected calibration
# error* is the mean distance from that. A network trained for long tends to be too sure.
#
# **Temperature scaling** mends it with one number: divide all logits by a temperature $T$. The
# predictions stay the same, only their confidence changes. $T$ is chosen on **validation** data.

# %% [markdown]
# ### Exercise 2.8: fit the temperature
#
# Write `fit_temperature(logits, labels)`: it returns the $T$ in $[0.3, 5]$ that makes the mean
# cross-entropy of `logits / T` smallest. A search over a fine grid is good enough.
#
# <details><summary>Hint</summary>
#
# `nn.functional.cross_entropy(torch.as_tensor(logits / T), torch.as_tensor(labels))` for each `T`
# in `np.linspace(0.3, 5, 471)`; keep the best.
# </details>


# %%
# Exercise 2.8 - temperature scaling
def fit_temperature(logits, labels):
    raise NotImplementedError("2.8: find the best T")


# %%
# Solution 2.8
def fit_temperature(logits, labels):
    temperatures = np.linspace(0.3, 5, 471)
    losses = [
        nn.functional.cross_entropy(torch.as_tensor(logits / T), torch.as_tensor(labels)).item()
        for T in temperatures
    ]
    return float(temperatures[np.argmin(losses)])


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# $T > 1$ flattens the probabilities, $T < 1$ sharpens them; the order of the logits never changes,
# so neither does the accuracy. Fitting $T$ on the test set would make the calibration look better
# than it is. Source: Guo et al. (2017), *On Calibration of Modern Neural Networks*.
# </details>

# %%
with lk.check("2.8", "fit_temperature"):
    _random = np.random.default_rng(0)
    _labels = _random.integers(0, 8, 4000)
    _honest = np.log(_random.dirichlet(np.full(8, 0.3), 4000) + 1e-9)
    _shares = np.exp(_honest) / np.exp(_honest).sum(1, keepdims=True)
    _labels = np.array([_random.choice(8, p=p) for p in _shares])
    for _factor in (1.0, 2.5, 0.5):
        _t = float(fit_temperature(_honest * _factor, _labels))
        assert abs(_t - 1 / _factor) > 0.1 or _factor == 1, "this is 1/T: divide the logits by T"
        assert abs(_t - _factor) < 0.15 * _factor, (
            f"logits {_factor} times too large need T near {_factor}, not {_t:.2f}"
        )

# %%
on_validation = lk.evaluate(model, val)
temperature = fit_temperature(on_validation.logits, on_validation.labels)
scaled = lk.Predictions(
    result.logits / temperature, result.labels, blood.classes, result.origin, result.indices
)
print(f"temperature {temperature:.2f}, fitted on {len(on_validation.labels):,} validation images")
lk.figures.reliability_diagram({"as trained": result, "with temperature": scaled})

# %% [markdown]
# ## Beyond: is the difference real?
#
# Two networks, the same test images. Only images that *one* of them gets right say anything about
# the difference; McNemar's test asks whether they could have fallen that way by chance.

# %%
only_scaled, only_unscaled, p_value = lk.mcnemar(result, result_unscaled)
print(f"only the [-1, 1] network is right: {only_scaled} images")
print(f"only the [0, 1] network is right:  {only_unscaled} images")
print(f"p = {p_value:.3g}")

# %% [markdown]
# This tests *these two trained networks*. Another seed gives other networks: train each kind with
# several seeds before you say that one **method** is better. With 3,421 test images differences
# below about one point drown in chance.

# %%
SEEDS = (0, 1) if lk.settings.fast() else (0, 1, 2)
SHORT = 1 if lk.settings.fast() else 8  # fewer epochs: this is about the spread
for normalize in ("half", "none"):
    accuracies = []
    for seed in SEEDS:
        lk.seed_everything(seed)
        parts = blood.loaders(normalize=normalize)
        net = BloodMLP()
        lk.fit(net, parts[0], epochs=SHORT, precision="fp32", progress=False)
        accuracies.append(100 * lk.evaluate(net, parts[1]).accuracy)
    spread = ", ".join(f"{a:.1f}" for a in accuracies)
    print(f"{normalize:5} {SHORT} epochs, validation accuracy of {len(SEEDS)} seeds: {spread} %")

# %% [markdown]
# ## What to take away
#
# - The loss of an epoch is a mean over images; `eval()` and `no_grad()` when you only look.
# - Validation data choose; test data report, once, with an interval.
# - One accuracy hides eight classes: look at the matrix, and at the images.
# - Confidence is not correctness. It can be measured, and mended with validation data.
#
# **Write down, in two or three sentences each:**
#
# 1. Where do your two losses part, and what would you change because of it?
# 2. Which of the confused pairs would matter most to a doctor, and why?
# 3. Your network gets 1 point more than your neighbour's. What would convince you it is better?

# %% [markdown] tags=["solution"]
# <details><summary>Model answers</summary>
#
# 1. Where the validation loss stops falling while the training loss goes on, the network memorises.
#    Stop there (early stopping), or train on more varied images (augmentation, lab 05).
# 2. There is no single right answer; a good one names the consequence. Immature granulocytes in the
#    blood can be a sign of severe infection or leukaemia: taking them for mature cells hides it.
# 3. The same test images for both, a paired test, and several seeds of each: the spread between
#    seeds must be clearly smaller than the difference.
# </details>

# %% [markdown]
# The trained weights are kept: later labs explain this network's mistakes.

# %%
lk.models.save_trained("BloodMLP", model, blood)
lk.report_result("test accuracy", result)
