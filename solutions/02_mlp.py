# %% [markdown]
# # Lab 02 · A first network, and an honest look at its errors
#
# **You will learn** the few parts of PyTorch that every training needs; to build a multilayer
# perceptron; to write a training loop that measures what it claims to measure; and to find out
# where a network is wrong and how sure it is of it.
#
# **You should know** Python and NumPy, what a derivative is, and lab 01 (the data). You need not
# have seen PyTorch.
#
# **Time:** about two and a half hours. All cells together compute for two to three minutes on two
# cores.

# %%
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display
from torch import nn

import labkit as lk

EPOCHS = 2 if lk.settings.fast() else 30  # fast mode: a quick test run of the whole lab

# %% [markdown]
# ## PyTorch in fifteen minutes
#
# Five ideas, a cell or two each: tensor, gradient, network, loss, optimiser. At the end they make
# one training loop. (You know PyTorch? Go on at [The data](#The-data).)
#
# ### 1. A tensor is a table of numbers
#
# It is NumPy's array under another name, with a shape and a type. Arithmetic goes number by
# number, `@` is the matrix product.

# %% tags=["nbval-check-output"]
table = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
print(tuple(table.shape), table.dtype)
print(2 * table[0])
print(table @ torch.tensor([10.0, 1.0]))

# %% [markdown]
# Our first data are points in a plane: one row a point, two numbers a row. Each point has a colour:
# its class, 0, 1 or 2. A network shall learn to say the colour of a place.

# %%
lk.seed_everything(0)  # the same "chance" in every run
targets = torch.arange(3).repeat_interleave(100)
radius = torch.linspace(0.05, 1, 100).repeat(3)
angle = 4 * radius + 2.1 * targets + 0.15 * torch.randn(300)
points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
print("points:", tuple(points.shape), points.dtype)
print("targets:", tuple(targets.shape), targets.dtype)


# %%
def draw_points(ax, title=""):
    colours = np.array(lk.figures.PALETTE)[[0, 1, 3]]
    ax.scatter(*points.T, c=colours[targets], s=9, edgecolors="white", linewidths=0.3)
    ax.set(title=title, xlabel="first number", ylabel="second number", aspect="equal")


figure, axes = lk.figures.new_figure(height=3.6, origin="300 drawn points")
draw_points(axes[0, 0], "Three classes that straight lines cannot part")
figure

# %% [markdown]
# ### 2. PyTorch computes gradients
#
# A gradient says how a result changes when you change a number a little. With
# `requires_grad=True` PyTorch watches what is computed from a number. `backward()` then goes back
# through the calculation and leaves the derivative in `.grad`.
#
# **Predict first:** for $f(w) = (w - 1)^2$, what is the derivative at $w = 3$? Write your number in
# place of `None`, then run the cell.

# %%
guess = None  # your number


def compare(guess, measured):
    said = "no guess yet" if guess is None else f"your guess: {guess}"
    print(f"{said}; it is {measured:.4g}")


w = torch.tensor(3.0, requires_grad=True)
loss = (w - 1) ** 2
loss.backward()
compare(guess, w.grad)

# %% [markdown]
# **A trap:** gradients **add up**. What will `w.grad` be after a second `backward()`?

# %%
guess = None  # your number

loss = (w - 1) ** 2
loss.backward()
compare(guess, w.grad)

# %% [markdown]
# The old gradient was still there, and the new one was added. So every training loop clears the
# gradients before it computes new ones. You will meet that line again: `zero_grad()`.
#
# **Downhill.** The gradient points uphill, so a small step against it makes the loss smaller. How
# far to go is the **learning rate**: new $w$ = old $w$ − learning rate · gradient.
#
# Move the slider. From which learning rate on does $w$ no longer come nearer to 1?


# %%
def descent(learning_rate):
    figure, axes = lk.figures.new_figure(height=3.0, origin="computed: f(w) = (w − 1)², 8 steps")
    path = [3.0]
    for _ in range(8):
        path.append(path[-1] - learning_rate * 2 * (path[-1] - 1))
    path, line = np.array(path), np.linspace(-3, 5, 200)
    axes[0, 0].plot(line, (line - 1) ** 2, color="0.6")
    axes[0, 0].plot(path, (path - 1) ** 2, "o-", color=lk.figures.PALETTE[0])
    axes[0, 0].plot(path[0], (path[0] - 1) ** 2, "o", color=lk.figures.PALETTE[5])
    axes[0, 0].set(xlabel="w", ylabel="loss", xlim=(-3, 5), ylim=(-0.5, 16))
    axes[0, 0].set_title(f"learning rate {learning_rate}: w goes from 3 to {path[-1]:.2f}")
    return figure


lk.explore(descent, learning_rate=[0.02, 0.1, 0.3, 0.5, 0.8, 0.95, 1.0, 1.1])

# %% [markdown]
# <details><summary>Answer</summary>
#
# From 1.0 on. There each step jumps to the same height on the other side; beyond 1.0 it climbs.
# (Each step multiplies the distance to 1 by 1 − 2 · learning rate.) Far below, it arrives, but
# slowly. A good rate is as large as it can be without shaking: you find it by trying.
# </details>
#
# ### 3. A network is an `nn.Module`
#
# `nn.Linear(2, 32)` takes rows of 2 numbers and gives rows of 32: each one a weighted sum of the
# two, plus a **bias** (a number of its own). It brings its weights along, drawn at random, with
# `requires_grad=True`. `nn.ReLU()` sets negative numbers to zero. Without it two linear layers in
# a row would be just one linear layer.
#
# A network of your own is a class with two methods:
#
# - `__init__` makes the layers. `super().__init__()` comes first: it lets PyTorch keep a list of
#   them.
# - `forward` says how an input goes through them.
#
# Make the layers in an `nn.Sequential`, which calls one after the other. (In a plain Python list
# PyTorch would not find them, and their weights would never be trained.)


# %%
class PlaneNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, points):
        return self.layers(points)


lk.seed_everything(0)
net = PlaneNet()
net

# %% [markdown]
# You write `forward`, but you **call** the network: `net(points)`. PyTorch then calls `forward` for
# you. Out come three numbers for each point, one for each class. They are called **logits**: any
# number is allowed, and the largest one is the network's answer.
#
# **Predict first:** how many weights and biases does `PlaneNet` have? Together they are its
# **parameters**: `net.parameters()` gives them tensor by tensor, `numel()` says how many numbers
# one tensor holds.

# %%
guess = None  # your number

logits = net(points)
print("logits of the first point:", logits[0].tolist())
compare(guess, sum(p.numel() for p in net.parameters()))

# %% [markdown]
# <details><summary>Why?</summary>
#
# The first layer has 2 · 32 weights and 32 biases, the second 32 · 3 weights and 3 biases:
# 96 + 99 = 195.
# </details>
#
# ### 4. A loss says how wrong the network is
#
# The **softmax** turns logits into probabilities: positive, with the sum 1. The **cross-entropy**
# looks at the probability $p$ that the network gives to the *true* class, and takes $-\log p$.
# Sure and right costs nearly nothing. Sure and wrong costs much. The loss of many points is the
# mean.

# %%
figure, axes = lk.figures.new_figure(height=2.7, origin="computed: −log p")
p = np.linspace(0.005, 1, 200)
axes[0, 0].plot(p, -np.log(p), color=lk.figures.PALETTE[0])
axes[0, 0].set(xlabel="probability p of the true class", ylabel="loss", title="Cross-entropy")
axes[0, 0].grid(alpha=0.3)
figure

# %% [markdown]
# `nn.CrossEntropyLoss` contains the softmax: it wants the **logits as they are**, then the true
# classes as whole numbers. By hand and by PyTorch, the same number:

# %%
criterion = nn.CrossEntropyLoss()
probabilities = logits.softmax(dim=1)
of_true_class = probabilities[torch.arange(300), targets]
print(f"by hand {-of_true_class.log().mean():.4f}, by PyTorch {criterion(logits, targets):.4f}")

# %% [markdown]
# **Predict first:** what is the loss of a network that gives each of three classes the same
# probability? Think of a formula, and put its value in. An untrained network should be close.

# %%
guess = None  # your number, such as np.log(2)

undecided = torch.zeros(300, 3)  # the same logit for each class
compare(guess, criterion(undecided, targets))

# %% [markdown]
# <details><summary>Why?</summary>
#
# Each class gets 1/3, so the loss is $-\log(1/3) = \log 3 = 1.0986$, whatever the true class is.
# </details>
#
# ### 5. An optimiser changes the weights
#
# It holds the weights and takes the step downhill for all of them. `torch.optim.SGD` does exactly
# new = old − learning rate · gradient. `torch.optim.Adam` gives each weight a step length of its
# own, from the size of the gradients it has seen lately (lab 00 takes it apart). With Adam a
# learning rate of 0.001 is a common start; our plane is small and bears more.
#
# ### The loop, once
#
# Everything together. Each round does five things, and nearly every training loop you will read has
# these five lines.

# %%
lk.seed_everything(0)
net = PlaneNet()
optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
losses, kept = [], {}

for step in range(301):
    if step in (0, 30, 300):  # for the picture below: a copy of the weights
        kept[step] = {name: value.clone() for name, value in net.state_dict().items()}
    logits = net(points)  # 1. forward: what does the network say?
    loss = criterion(logits, targets)  # 2. how wrong is it?
    optimizer.zero_grad()  # 3. clear the old gradients
    loss.backward()  # 4. compute the new ones
    optimizer.step()  # 5. change the weights
    losses.append(loss.item())  # .item(): the number without the tensor around it

print(f"loss at first {losses[0]:.2f}, at last {losses[-1]:.2f}")

# %% [markdown]
# What the network would answer at each place of the plane: before the training, on the way, after.
# (`dim` is NumPy's `axis`; a `state_dict` holds all weights by name; `torch.no_grad()` switches the
# watching for gradients off, because we only look.)

# %%
figure, axes = lk.figures.new_figure(1, 3, 3.5, "300 drawn points", sharey=True)
grid = torch.linspace(-1.25, 1.25, 150)
places = torch.stack(torch.meshgrid(grid, grid, indexing="xy"), dim=2)
for ax, (step, weights) in zip(axes[0], kept.items(), strict=True):
    net.load_state_dict(weights)
    with torch.no_grad():  # we only look: no gradients needed
        answer = net(places).argmax(dim=2)
        accuracy = (net(points).argmax(dim=1) == targets).float().mean()
    colours = [lk.figures.PALETTE[i] for i in (0, 1, 3)]
    ax.contourf(grid, grid, answer, levels=[-0.5, 0.5, 1.5, 2.5], colors=colours, alpha=0.3)
    draw_points(ax, f"after {step} steps: {100 * accuracy:.0f} % right")
    ax.label_outer()
figure

# %% [markdown]
# The same as a **learning curve**: the loss against the step. Plain Matplotlib; you will draw one
# yourself in exercise 2.9.

# %%
figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
ax.plot(losses, color=lk.figures.PALETTE[0], label="training")
ax.axhline(np.log(3), color="0.5", linestyle=":", label="undecided: log 3")
ax.set(xlabel="step", ylabel="cross-entropy", title="Learning curve of PlaneNet")
ax.legend()
plt.show()

# %% [markdown]
# ### Words for later
#
# **Overfitting**: a network with many weights can learn its training data by heart, noise included.
# It then does well on them and worse on new data. One sees it only on data that were held back:
# the **validation** data.
#
# **Dropout** is a layer against it. In training it sets a random share of its inputs to zero, so
# that no unit (one output number of a layer) can rely on one other unit alone. (What stays is made
# larger, so that the sum stays the same on average.) When you measure, it must do nothing. So a
# network has two modes, `train()` and `eval()`:

# %%
dropout = nn.Dropout(0.5)
dropout.train()
print("training: ", dropout(torch.ones(8)).tolist())
dropout.eval()
print("measuring:", dropout(torch.ones(8)).tolist())

# %% [markdown]
# **Device**: where the numbers lie, in the computer's memory (`"cpu"`) or on a graphics card.
# Network and data must lie on the same one. `lk.get_device()` chooses, `net.to(device)` moves. The
# kit's loaders give batches that lie there already, and `lk.fit` moves the network itself.
#
# **Precision**: a number in PyTorch usually has 32 bits, `"fp32"` (NumPy takes 64). Some processors
# are faster with 16 (`"bf16"`), with only two to three right digits. We say `precision="fp32"`
# where numbers are compared exactly.
#
# And the **seed**, which you have seen already: `lk.seed_everything(42)` starts chance anew. The
# same seed gives the same first weights and the same order of the data.

# %% [markdown]
# ## The data
#
# Blood cells, 28 x 28 pixels, in eight classes. Read the card: it says where the images come from.

# %%
blood = lk.load_dataset("bloodmnist", size=28)
blood

# %% [markdown]
# Eight training images, chosen by chance.

# %%
chance = np.random.default_rng(2)
rows = chance.choice(len(blood.train.labels), 8, replace=False)
lk.figures.image_grid(
    blood.train.images[rows],
    [blood.classes[label] for label in blood.train.labels[rows]],
    origin=blood.origin,
)

# %% [markdown]
# `loaders` gives the images in **batches**: 64 at a time, a tensor of shape (64, 3, 28, 28), with
# their 64 labels. In shapes, B stands for the number of images in a batch. With `normalize="half"`
# each pixel value $x$ in $[0, 1]$ becomes $(x - 0.5)/0.5$, which lies in $[-1, 1]$.

# %% tags=["nbval-check-output"]
train, val, test = blood.loaders(batch_size=64, normalize="half")
images, labels = next(iter(train))
print("a batch of images:", tuple(images.shape), images.dtype)
print("a batch of labels:", tuple(labels.shape), labels.dtype)

# %% [markdown]
# ## The network
#
# A multilayer perceptron (MLP) sees an image as one long row of numbers: 28 · 28 · 3 = 2,352.
# It is `PlaneNet` with more inputs, more units and one more layer:
#
# $$2352 \;\to\; 256 \;\to\; 128 \;\to\; 8$$
#
# Between two layers stands a ReLU. The last layer gives eight logits, one a class. There is no ReLU
# and no softmax behind it: the loss function wants the logits as they are.

# %% [markdown]
# ### Exercise 2.1: build the network
#
# Write the class `BloodMLP`. And work out, before you run anything, how many parameters (weights
# and biases) it has: `expected_parameters`.
#
# <details><summary>Hint: the idea</summary>
#
# Look at `PlaneNet`. An image comes as (3, 28, 28) and must first become one row of 2,352 numbers.
# For the parameters: how many weights does *one* output of a layer have, and what else?
# </details>
# <details><summary>Hint: the names</summary>
#
# `nn.Flatten()` turns (B, 3, 28, 28) into (B, 2352). `nn.Linear(inputs, outputs)`, `nn.ReLU()`, all
# in an `nn.Sequential` made in `__init__` and called in `forward`.
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
# Each output has a weight for every input and one bias: $(inputs + 1) \cdot outputs$ a layer. The
# first layer holds 602,368 of the 636,296 parameters, 95 %: an MLP has a weight of its own for each
# pixel and each unit. The convolutional networks of lab 05 look at small neighbourhoods and use the
# same weights everywhere.
# </details>

# %%
with lk.check("2.1", "BloodMLP", "expected_parameters"):
    assert not isinstance(BloodMLP, nn.Module), (
        "BloodMLP is a network: write a class that makes one"
    )
    try:
        _net = BloodMLP()
    except AttributeError as _error:
        _early = "Module.__init__() call" in str(_error)
        assert not _early, "super().__init__() must come first in __init__"
        raise
    assert not any(nn.parameter.is_lazy(p) for p in _net.parameters()), (
        "a lazy layer knows its size after the first batch, and the optimizer needs it before: "
        "write both numbers, as in nn.Linear(2352, 256)"
    )
    assert list(_net.parameters()), (
        "PyTorch finds no layers: make them in __init__ (two underscores on either side), as "
        "self.layers = nn.Sequential(…); it does not look into a plain Python list"
    )
    _shared = {id(p) for p in _net.parameters()} & {id(p) for p in BloodMLP().parameters()}
    assert not _shared, "two networks share their layers: make them in __init__, for each its own"
    _calls = []  # of each linear layer: the layer, what went in, what came out
    for _layer in _net.modules():
        if isinstance(_layer, nn.Linear):
            _layer.register_forward_hook(
                lambda layer, inputs, output: _calls.append(
                    (layer, inputs[0].clone(), output.clone())
                )
            )
    _images = 2 * torch.rand(5, 3, 28, 28) - 1
    try:
        _out = _net(_images.clone())
    except RuntimeError as _error:
        assert 'required "forward"' not in str(_error), "the class has no method named forward"
        assert "cannot be multiplied" not in str(_error), (
            "the shapes do not fit: flatten each image to 2,352 numbers, and give each layer as "
            "many inputs as the one before has outputs"
        )
        assert "is invalid for input" not in str(_error), (
            "5 images do not fit: a batch may hold any number, so do not write it down; "
            "nn.Flatten() or images.flatten(1) leaves it open"
        )
        raise
    assert isinstance(_out, torch.Tensor), "forward must return the logits; is `return` missing?"
    assert _out.shape == (5, 8), f"5 images must give logits (5, 8), not {tuple(_out.shape)}"
    _sums, _exp_sums = _out.sum(1), _out.exp().sum(1)
    assert not (_out.min() >= 0 and torch.allclose(_sums, torch.ones(5), atol=1e-4)), (
        "each row adds up to 1: leave the softmax out, the loss function contains it"
    )
    assert not torch.allclose(_exp_sums, torch.ones(5), atol=1e-4), (
        "this is a log-softmax: return the logits as they are, the loss function does the rest"
    )
    _many = _net(2 * torch.rand(200, 3, 28, 28) - 1)
    assert _many.min() < 0, "no logit is negative: is there a ReLU on the last layer, or a sigmoid?"
    # those of the five images, each layer once
    _calls = list({id(call[0]): call for call in _calls[: len(_calls) // 2]}.values())
    _sizes = [(layer.in_features, layer.out_features) for layer, _, _ in _calls]
    _wanted = [(2352, 256), (256, 128), (128, 8)]
    assert _sizes == [size for size in _wanted if size in _sizes], (
        f"the layers are called as {_sizes}: see the arrows above, and make all of them in __init__"
    )
    _count = sum(p.numel() for p in _net.parameters())
    assert _sizes == _wanted or _count == 636_296, (
        f"the linear layers are {_sizes}, and the network has {_count:,} parameters: see the arrows"
    )
    if _sizes == _wanted:
        _first = _calls[0][1]
        assert _first.min() < 0, "the negative pixels are lost: no ReLU before the first layer"
        assert torch.allclose(_first.sort(1)[0], _images.flatten(1).sort(1)[0], atol=1e-5), (
            "the first layer must get the pixels of one image as they are, unchanged"
        )
        for _n in range(2):
            _from, _into = _calls[_n][2], _calls[_n + 1][1]
            assert not torch.equal(_from, _into), (
                f"no ReLU between layer {_n + 1} and layer {_n + 2}: without it two linear layers "
                "are one"
            )
            assert torch.allclose(_into, torch.relu(_from), atol=1e-5), (
                f"layer {_n + 2} does not get the ReLU of layer {_n + 1}: another function, or "
                "something else between them?"
            )
        assert torch.allclose(_out, _calls[-1][2], atol=1e-5), (
            "the logits are changed behind the last layer: return them as they are"
        )
        assert all(layer.bias is not None for layer, _, _ in _calls), "the layers need their biases"
    _shape = tuple(_net(_images[:1].clone()).shape)
    assert _shape == (1, 8), f"one image must give logits (1, 8), not {_shape}: no squeeze()"
    assert _out.requires_grad, (
        "no gradient reaches the weights: no torch.no_grad() and no .detach() in forward"
    )
    _out.sum().backward()
    _idle = [name for name, p in _net.named_parameters() if p.grad is None]
    assert not _idle, (
        f"no gradient reaches {', '.join(_idle)}: a layer that is not used, or a .detach() on the "
        "way?"
    )
    _middle = (_net(_images) + _net(-_images)) / 2 - _net(0 * _images)
    assert _middle.abs().max() > 1e-4, "the network is linear: put a ReLU between the layers"
    if _sizes != _wanted:  # straight between the kinks of its ReLUs? Other functions always bend
        _fine, _at = BloodMLP().double(), _images.double()
        _way = torch.randn(_at.shape).double() * 1e-5
        with torch.no_grad():
            _bend = _fine(_at + _way) + _fine(_at - _way) - 2 * _fine(_at)
        assert (_bend.abs() / 1e-10).median() < 1e-2, (
            "another function than ReLU between the layers"
        )
    with torch.no_grad():
        _calm = _net.eval()(_images)
        _net.train()
    assert torch.allclose(_calm, _out, atol=1e-4), (
        "after eval() the same images get other logits: no softmax there either, and no dropout"
    )
    _weights = sum(p.numel() for p in _net.parameters() if p.ndim > 1)
    assert not isinstance(expected_parameters, str), "expected_parameters is a text; write a number"
    _said = lk.judge.read_array(expected_parameters, (1,), "expected_parameters").item()
    assert _said != _weights, "these are the weights only: each output has a bias as well"
    assert _said == _count, (
        "expected_parameters is not what your network has: count (inputs + 1) · outputs for each "
        "layer, and add up all of them"
    )

# %% [markdown]
# ## The training loop
#
# One **epoch** shows every training image once. You know the five lines; what is new are the
# batches. `for images, labels in loader` gives 64 images at a time, and the weights take one step
# for each batch.
#
# **A trap:** the loss of an epoch is the mean over *images*. `criterion` gives the mean of one
# batch, and the last batch is often smaller.
#
# **Think first:** batches of 4, 4 and 2 images have the mean losses 1, 1 and 4. What is the mean
# over the ten images?
#
# <details><summary>Answer</summary>
#
# (4 · 1 + 4 · 1 + 2 · 4)/10 = 1.6. The mean of the three means would be 2: it counts the two images
# of the last batch double.
# </details>

# %% [markdown]
# ### Exercise 2.2: train for one epoch
#
# Write `train_one_epoch`: put the network into training mode, make one step for each batch, and
# return the mean loss over all images, as a plain number. Take each batch's loss as it was before
# the step.
#
# <details><summary>Hint: the idea</summary>
#
# The five lines of the loop above, inside `for images, labels in loader:`. Beside them you need two
# sums: one of the losses of *images*, one of how many images you have seen.
# </details>
# <details><summary>Hint: the names</summary>
#
# `model.train()` first. `criterion(logits, labels)`, in this order. `loss.item()` is the batch's
# mean as a number, `len(labels)` its size.
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
# a number; summing the tensors themselves would keep every batch's calculation in memory.
# `zero_grad()` may stand anywhere but between `backward()` and `step()`.
# </details>


# %%
with lk.check("2.2", "train_one_epoch"):
    torch.manual_seed(0)
    _x, _y = torch.randn(10, 3, 28, 28), torch.arange(10) % 8
    _loader = torch.utils.data.DataLoader(  # ten images in batches of 4, 4 and 2
        torch.utils.data.TensorDataset(_x, _y), batch_size=4
    )
    _start = nn.Sequential(nn.Flatten(), nn.Linear(2352, 8)).state_dict()
    _start = {name: value.clone() for name, value in _start.items()}
    _smooth = nn.CrossEntropyLoss(label_smoothing=0.3)  # so that it is not any other loss
    _events, _modes = [], []

    class _Toy(nn.Sequential):
        def forward(self, images):
            _modes.append(all(module.training for module in self.modules()))
            assert torch.is_tensor(images), (
                "your network gets no images: `for images, labels in loader`, without enumerate"
            )
            assert len(images) <= 4, "loop over the `loader` that your function gets"
            return super().forward(images)

    def _toy():
        net = _Toy(nn.Flatten(), nn.Linear(2352, 8))
        net.load_state_dict(_start)
        return net

    class _Criterion(nn.Module):
        def forward(self, input, target):
            _events.append("loss")
            _swapped = input.ndim == 1 and target.ndim == 2 and target.is_floating_point()
            assert not _swapped, "the arguments are swapped: criterion(logits, labels)"
            assert input.shape == (len(target), 8), (
                "criterion wants the logits, eight numbers an image, not images or predictions"
            )
            _softmax = input.min() >= 0 and torch.allclose(input.sum(1), torch.ones(len(input)))
            assert not _softmax, "criterion wants the logits as they are: leave the softmax out"
            return _smooth(input, target)

    class _Steps(torch.optim.SGD):
        def step(self, closure=None):
            with torch.enable_grad():
                loss = closure() if closure else None
            grads = [p.grad for group in self.param_groups for p in group["params"]]
            _events.append("step" if any(g is not None and g.any() for g in grads) else "empty")
            super().step()
            return loss

    def _reference(clear):
        """Losses before and after each step, and the weights at the end."""
        net, before, after = _toy(), [], []
        optimizer = torch.optim.SGD(net.parameters(), lr=0.02)
        for x, y in zip(_x.split(4), _y.split(4), strict=True):
            if clear:
                optimizer.zero_grad()
            loss = _smooth(net(x), y)
            loss.backward()
            optimizer.step()
            before.append(loss.item())
            after.append(_smooth(net(x), y).item())
        return np.array(before), np.array(after), net[1].weight.detach()

    _net = _toy().eval()
    _modes.clear()
    _net[1].weight.register_hook(lambda gradient: _events.append("backward"))
    try:
        _got = train_one_epoch(_net, _loader, _Criterion(), _Steps(_net.parameters(), lr=0.02))
    except RuntimeError as _error:
        assert _modes or "cannot be multiplied" not in str(_error), (
            "your function calls another network than the `model` that it gets: model(images)"
        )
        assert "does not require grad" not in str(_error), (
            "there are no gradients: training needs them, so no torch.no_grad() and no .detach()"
        )
        raise
    assert _modes, "the model that your function gets is never called: model(images)"
    assert all(_modes), (
        "the network, with all its layers, was not in training mode: call model.train() first"
    )
    assert "loss" in _events, "use the `criterion` that your function gets"
    assert "backward" in _events, (
        "no gradients are computed: loss.backward() is missing (or its parentheses are)"
    )
    assert {"step", "empty"} & set(_events), (
        "the weights do not change: the optimizer that your function gets makes no step() "
        "(a call has parentheses)"
    )
    assert "empty" not in _events, (
        "a step found no gradients: zero_grad() must not stand between backward() and step(), and "
        "step() comes after backward()"
    )
    _steps = _events.count("step")
    assert _steps == 3, (
        f"three batches must give three steps, not {_steps}: what stands inside the loop?"
    )
    _before, _after, _weights = _reference(clear=True)
    _is = _net[1].weight.detach()
    assert not torch.allclose(_is, _reference(clear=False)[2], atol=1e-6), (
        "the gradients of earlier batches are still in there: zero_grad() before each backward()"
    )
    assert torch.allclose(_is, _weights, atol=1e-6), (
        "the weights differ from those of one step a batch: forward, loss of this batch, "
        "zero_grad, backward, step, once each"
    )
    assert _got is not None, "nothing is returned: return the mean loss"
    assert not isinstance(_got, tuple | list | dict | str), "return one number, the mean loss"
    assert not (torch.is_tensor(_got) and _got.requires_grad), (
        "what you return still holds the calculation of every batch: add up loss.item(), a number"
    )
    _n = np.array([4, 4, 2])
    _true = np.average(_before, weights=_n)
    for _wrong, _message in (
        (_before.mean(), "this is the mean of the batch means: weight each batch by its size"),
        (_before.sum(), "this is the sum of the batch losses, not the mean over images"),
        ((_n * _before).sum(), "this is the sum over images: divide by their number"),
        ((_n * _before).sum() / 3, "divide by the number of images, not of batches"),
        (_before.sum() / 10, "a batch's loss is a mean: multiply it by len(labels) before adding"),
        (4 * _before.sum() / 10, "the last batch is smaller: weight by len(labels)"),
        (4 * _before.sum() / 12, "the last batch is smaller: weight by len(labels)"),
        (64 * _before.sum() / 10, "not every batch holds 64 images: weight by len(labels)"),
        (3 * _before.sum() / 10, "len(loader) counts the batches: weight by len(labels)"),
        (_before[-1], "this is the loss of the last batch: add up all of them"),
        (np.average(_after, weights=_n), "this is the loss after the steps: take it before"),
    ):
        assert abs(float(_got) - _wrong) > 1e-5, _message
    assert abs(float(_got) - _true) < 1e-4, (
        f"here the mean loss over images is {_true:.4f}, not {float(_got):.4f}"
    )

# %% [markdown]
# ### Exercise 2.3: validate
#
# Write `validate`. It returns two numbers, the mean loss and the accuracy (a share from 0 to 1),
# and changes no weight (the network may stay in evaluation mode). Two switches are needed: one for
# layers that behave differently in training, one against gradients.
#
# <details><summary>Hint: the idea</summary>
#
# The loop of 2.2 without the three lines that learn. Both switches were in the quarter of an hour
# above. The prediction is the class with the largest logit. Count the right ones, and divide once,
# at the end.
# </details>
# <details><summary>Hint: the names</summary>
#
# `model.eval()`; `with torch.no_grad():` around the loop; `logits.argmax(1)`.
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
# `eval()` switches dropout off (and makes batch normalisation, lab 03, use its stored statistics).
# `no_grad()` saves the memory and time for gradients nobody needs. They are independent: each is
# needed.
# </details>

# %%
with lk.check("2.3", "validate"):
    torch.manual_seed(3)  # one place in the whole batch then gives another share
    _net = nn.Sequential(nn.Flatten(), nn.Linear(2352, 8), nn.Dropout(0.5))
    _x = torch.randn(10, 3, 28, 28)
    _logits = _net[:2](_x).detach()
    _y = _logits.argmax(1)
    _y[[1, 2, 5]] = (_y[[1, 2, 5]] + 1) % 8  # 7 of 10 are right: 2 of 4, 3 of 4, 2 of 2
    _loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(_x, _y), batch_size=4)
    _smooth, _seen = nn.CrossEntropyLoss(label_smoothing=0.3), []

    class _Toy(nn.Sequential):
        def forward(self, images):
            _seen.append((self.training, torch.is_grad_enabled()))
            assert torch.is_tensor(images), (
                "your network gets no images: `for images, labels in loader`, without enumerate"
            )
            assert len(images) <= 4, "loop over the `loader` that your function gets"
            return super().forward(images)

    _net = _Toy(*_net)

    class _Criterion(nn.Module):
        def forward(self, input, target):
            _swapped = input.ndim == 1 and target.ndim == 2 and target.is_floating_point()
            assert not _swapped, "the arguments are swapped: criterion(logits, labels)"
            assert input.shape == (len(target), 8), (
                "criterion wants the logits, eight numbers an image, not images or predictions"
            )
            _softmax = input.min() >= 0 and torch.allclose(input.sum(1), torch.ones(len(input)))
            assert not _softmax, "criterion wants the logits as they are: leave the softmax out"
            return _smooth(input, target)

    _before = _net[1].weight.detach().clone()
    _net.train()
    try:
        _answer = validate(_net, _loader, _Criterion())
    except RuntimeError as _error:
        assert _seen or "cannot be multiplied" not in str(_error), (
            "your function calls another network than the `model` that it gets: model(images)"
        )
        assert "does not require grad" not in str(_error), (
            "validation only looks: no backward() and no step()"
        )
        assert "must match the size" not in str(_error), (
            "shapes that do not fit: a prediction an image is argmax(1), and .sum() counts how "
            "many of a batch are right"
        )
        raise
    finally:
        _on = torch.is_grad_enabled()
        torch.set_grad_enabled(True)
    assert _seen, "the model that your function gets is never called: model(images)"
    assert not any(training for training, _ in _seen), (
        "the network was training: model.eval() first"
    )
    assert not any(grad for _, grad in _seen), "gradients are on: use torch.no_grad()"
    assert _on, (
        "gradients are still off after your function, for all that follows: `with "
        "torch.no_grad():` around the loop switches them on again at its end"
    )
    assert torch.equal(_before, _net[1].weight), "the weights have changed: only look"
    assert all(p.requires_grad for p in _net.parameters()), (
        "your function freezes the weights, and no training would change them any more: leave "
        "requires_grad as it is, torch.no_grad() is enough"
    )
    assert _answer is not None, "nothing is returned: return loss and accuracy"
    _two = isinstance(_answer, tuple | list | np.ndarray | torch.Tensor) and len(_answer) == 2
    assert _two, "return loss and accuracy: two numbers"
    _loss, _accuracy = lk.judge.read_array(_answer, (2,), "validate")
    _each = np.array(
        [_smooth(z, y).item() for z, y in zip(_logits.split(4), _y.split(4), strict=True)]
    )
    _n = np.array([4, 4, 2])
    _true = np.average(_each, weights=_n)
    assert not (abs(_loss - 0.7) < 1e-4 and abs(_accuracy - _true) < 1e-4), (
        "loss and accuracy are swapped: return the loss first"
    )
    for _wrong, _message in (
        (_each.mean(), "the loss is the mean of the batch means: weight each batch by its size"),
        (_each.sum(), "the loss is a sum of batch means: return the mean over images"),
        ((_n * _each).sum(), "the loss is a sum over images: divide by their number"),
        (_each.sum() / 10, "a batch's loss is a mean: multiply it by len(labels) before adding"),
        ((_n * _each).sum() / 3, "divide the loss by the number of images, not of batches"),
        (_each[-1], "this is the loss of the last batch: add up all of them"),
        (
            _each[0],
            "this is the loss of the first batch alone: perhaps `return` stands inside the loop",
        ),
    ):
        assert abs(_loss - _wrong) > 1e-5, _message
    assert abs(_loss - _true) < 1e-4, f"here the mean loss is {_true:.4f}, not {_loss:.4f}"
    _parts = zip(_logits.split(4), _y.split(4), strict=True)
    _flat = sum((z.argmax() == y).sum().item() for z, y in _parts) / 10
    for _wrong, _message in (
        (70, "the accuracy is in per cent: return a share from 0 to 1"),
        (7, "the accuracy is a count: divide by the number of images"),
        (0.75, "the accuracy is the mean of the batches' shares: count, and divide at the end"),
        (7 / 3, "divide the right answers by the number of images, not of batches"),
        (0.3, "this is the share of wrong answers"),
        (1, "this is the accuracy of the last batch: count in all of them"),
        (
            0.225,
            "these are the batches' shares, divided by the number of images: add up how many are "
            "right, (…).sum().item()",
        ),
        (0.2, "only the last batch is counted: correct += …, not correct = …"),
        (0, "the accuracy is 0: are argmax(1) and labels compared, and is it / and not //?"),
        (_flat, "argmax() looks for one place in the whole batch: argmax(dim=1)"),
    ):
        assert abs(_accuracy - _wrong) > 1e-5 or abs(_wrong - 0.7) < 1e-5, _message
    assert abs(_accuracy - 0.7) < 1e-4, (
        f"7 of 10 answers are right, and your accuracy is {_accuracy:.3f}: count right answers, "
        "divide by the number of images"
    )

# %% [markdown]
# ## Before the long training: two quick tests
#
# They take a second and find most faults. **First:** what loss should the untrained network have,
# with eight classes? You know the answer from the plane.

# %%
guess = None  # your number

loop_train, loop_val, _ = blood.loaders(batch_size=64)  # normalize="half" is the default
criterion = nn.CrossEntropyLoss()

lk.seed_everything(1)
by_hand = BloodMLP().to(lk.get_device())
first_loss, first_accuracy = validate(by_hand, loop_val, criterion)
compare(guess, first_loss)
print(f"accuracy: {100 * first_accuracy:.1f} %")

# %% [markdown]
# <details><summary>Answer</summary>
#
# About $\log 8 = 2.08$: the untrained network cannot tell the classes apart. A loss far above would
# mean that it starts out sure, and wrong. The accuracy need not be 1/8: an untrained
# network often names one or two classes for nearly all images, and is right as often as these occur.
# </details>
#
# **Second:** a network with 636,296 parameters must be able to learn **16 images** by heart. If it
# cannot, there is a fault in the loop, and no long training will mend it. It is overfitting on
# purpose. Your function gets a loader with a single batch, 31 times.

# %%
lk.seed_everything(1)
small = BloodMLP().to(lk.get_device())
optimizer = torch.optim.Adam(small.parameters(), lr=1e-3)
images, labels = next(iter(loop_train))
sixteen = torch.utils.data.TensorDataset(images[:16], labels[:16])
one_batch = torch.utils.data.DataLoader(sixteen, batch_size=16)

for epoch in range(31):
    loss = train_one_epoch(small, one_batch, criterion, optimizer)
    if epoch % 6 == 0:
        _, share = validate(small, one_batch, criterion)
        print(f"after {epoch + 1:2} steps: loss {loss:.3f}, {100 * share:.0f} % of the 16 right")

# %% [markdown]
# <details><summary><b>It does not learn.</b> From symptom to cause, for this lab and all others
# </summary>
#
# First of all: overfit 16 images, as above. That parts "the loop is wrong" from "the task is hard".
#
# | What you see | Likely cause | What to do |
# |---|---|---|
# | The loss does not move at all | no `step()`; the optimiser holds another network's weights; layers in a plain list | make the optimiser from `model.parameters()` of *this* network; count the parameters |
# | It stays near log(number of classes) | learning rate far too small or too large; ReLU or softmax on the logits; images and labels do not belong together | try rates 10 times smaller and larger; look at a batch with its labels |
# | It jumps, grows, or is NaN | learning rate too large; pixels from 0 to 255; a division by zero | a tenth of the rate; print minimum and maximum of a batch |
# | It falls, but shakily and late | `zero_grad()` is missing: old gradients add up | clear them before each `backward()` |
# | Training falls, validation rises | overfitting | stop earlier, more varied images (lab 05), dropout |
# | Training is good, validation at chance from the start | validation images prepared otherwise; no `eval()` | the same `normalize` for both; call `model.eval()` |
# | One class is always the answer | classes very unequal; rate so large that all ReLUs are dead | look at the confusion matrix; a smaller rate |
# | Each run gives another number | no seed; or that *is* the spread | set the seed, and run three of them |
# | An error about devices | network on one, images on the other | `.to(device)` for both |
#
# And what the most frequent errors mean:
#
# | The error says | It means |
# |---|---|
# | `mat1 and mat2 shapes cannot be multiplied` | a layer gets another number of inputs than it was made for; is `nn.Flatten()` missing? |
# | `not implemented for 'Long'` | the arguments are swapped: `criterion(logits, labels)` |
# | `does not require grad` | no gradient leads there: `no_grad()`, `.item()` or `.detach()` on the way |
# | `backward through the graph a second time` | compute the loss anew before each `backward()` |
# | `NameError` | a cell above has not been run since the last start of the kernel |
#
# The course's page for students has more: how to tell one cause from another, and the words of the
# course. It is the file `docs/students.md` in the course's folder, beside your folder `work`.
# </details>
#
# ## Your loop and `lk.fit`
#
# `lk.fit` is your loop with a progress bar, a record, saved states to go on from (checkpoints) and
# checks. Two epochs with the same seed show that it learns nothing else: with 32-bit numbers the
# weights must be **equal bit for bit**.

# %%
lk.seed_everything(1)
by_hand = BloodMLP().to(lk.get_device())
optimizer = torch.optim.Adam(by_hand.parameters(), lr=1e-3)
losses = [train_one_epoch(by_hand, loop_train, criterion, optimizer) for _ in range(2)]

lk.seed_everything(1)
with_fit = BloodMLP()
optimizer = torch.optim.Adam(with_fit.parameters(), lr=1e-3)
history = lk.fit(with_fit, loop_train, epochs=2, optimizer=optimizer, precision="fp32")

# %% tags=["nbval-check-output"]
pairs = zip(by_hand.parameters(), with_fit.parameters(), strict=True)
print("weights equal bit for bit:", all(torch.equal(a, b) for a, b in pairs))
differences = np.abs(np.array([float(loss) for loss in losses]) - history.column("train_loss"))
print("losses equal to 1e-6:", bool(differences.max() < 1e-6))

# %% [markdown]
# ## Train in earnest
#
# Adam with learning rate 1e-3, cross-entropy, batches of 64, 30 epochs: about half a minute. While it
# runs, think of an answer: **which of the two losses will be lower in the end, that of the training
# or that of the validation images? And will both keep falling?** (You may stop a training with the
# black square above the notebook: network, history and picture stay as they are then.) `LivePlot`
# draws after each epoch; `lk.fit` calls it back, hence `callbacks`. Where no `criterion` is given,
# it is cross-entropy, and where no optimiser, Adam with 1e-3.

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
# <details><summary>Answer</summary>
#
# The training loss: these are the images that the weights were fitted to. As long as both fall, the
# network learns something that holds for new cells too. Where the validation loss turns and rises
# while the training loss goes on falling, it learns its training images by heart: overfitting. Look
# for the epoch from which your validation loss no longer falls: a gap between the curves alone is not
# yet harm. (In fast mode there are only two epochs, too few to see it.)
# </details>
#
# How good is it on the validation images? (The interval covers the luck of which images these are.)
# These predictions are kept, for comparisons. And so are network and history, under second names:
# whatever you try below, these stay.

# %%
first_network, first_history = model, history
on_validation = lk.evaluate(first_network, val)
on_validation

# %% [markdown]
# ### Exercise 2.4: does the input range matter?
#
# Above, pixels lay in $[-1, 1]$. Train **the same network, from the same seed, just as long** with
# `lk.fit` on pixels in $[0, 1]$ (`normalize="none"`). Evaluate it on **validation** images prepared
# the same way: this is a choice between two methods, and the test images must not make it.
#
# Take **new names**, so that `model`, `train`, `val` and `test` stay what they are. Three of them
# are asked for: `model_unscaled`, `history_unscaled` (what `lk.fit` returns) and `result_unscaled`
# (what `lk.evaluate` returns).
#
# This trains for about half a minute. Say first which one you expect to be better:

# %%
guess = None  # "[-1, 1]", "[0, 1]" or "no difference"

# %% [markdown]
# <details><summary>Hint: the idea</summary>
#
# Three loaders of your own, then the seed, then a new network with an optimiser of its own, in the
# order of the training cell. A network must see at validation time what it saw in training.
# </details>
# <details><summary>Hint: the names</summary>
#
# `train_01, val_01, test_01 = blood.loaders(…)`; `lk.seed_everything(42)` directly before
# `BloodMLP()`; the optimiser from `model_unscaled.parameters()`; the same `epochs` and `precision`.
# </details>

# %%
# Exercise 2.4 - pixels in [0, 1]
model_unscaled = ...
history_unscaled = ...
result_unscaled = ...

# %%
# Solution 2.4
train_01, val_01, test_01 = blood.loaders(batch_size=64, normalize="none")
lk.seed_everything(42)
model_unscaled = BloodMLP()
optimizer_01 = torch.optim.Adam(model_unscaled.parameters(), lr=1e-3)
history_unscaled = lk.fit(
    model_unscaled, train_01, val_01, epochs=EPOCHS, optimizer=optimizer_01, precision="fp32"
)
result_unscaled = lk.evaluate(model_unscaled, val_01)

# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# With all inputs positive, the gradients of a first-layer unit's weights all have the same sign for
# one image: that image pulls them all up or all down, and the optimiser zigzags. In $[-1, 1]$
# this coupling is weaker. (Not gone: the background is bright, and most inputs are still positive.)
# But two things were changed at once, the shift and the scale, and one pair of runs cannot tell a
# small effect from luck. The last section takes them apart.
# </details>

# %%
with lk.check("2.4", "model_unscaled", "history_unscaled", "result_unscaled"):
    assert model is first_network, (
        "`model` and `first_network` are not one network any more: call yours model_unscaled "
        "(`model = first_network` brings the first one back)"
    )
    assert history is first_history, (
        "your cell has put another history into `history`: call it history_unscaled "
        "(`history = first_history` brings the first one back)"
    )
    assert isinstance(model_unscaled, nn.Module), "model_unscaled must be the network you trained"
    assert isinstance(result_unscaled, lk.Predictions), (
        "result_unscaled must be what lk.evaluate returns"
    )
    assert isinstance(history_unscaled, lk.History), "history_unscaled must be what lk.fit returns"
    assert model_unscaled is not first_network, (
        "model_unscaled is the first network: train a new one on pixels in [0, 1]"
    )
    _pairs = zip(model_unscaled.parameters(), first_network.parameters(), strict=False)
    assert not all(torch.equal(a.cpu(), b.cpu()) for a, b in _pairs), (
        "these are the weights of the first network, which learnt from pixels in [-1, 1]: give "
        "lk.fit the new training loader"
    )
    _half = blood.loaders(batch_size=64, normalize="half")[1]
    assert np.allclose(lk.evaluate(first_network, _half).logits, on_validation.logits, atol=1e-3), (
        "the first network is another one than before: it was trained further. Run the cells from "
        '"Train in earnest" on again, and give lk.fit a new BloodMLP()'
    )
    _kept = lk.evaluate(first_network, val)
    assert np.allclose(_kept.logits, on_validation.logits, atol=1e-3), (
        "your cell has overwritten `val`: give your loaders names of their own, and make the old "
        'ones again with train, val, test = blood.loaders(batch_size=64, normalize="half")'
    )
    _train, _val, _test = blood.loaders(batch_size=64, normalize="none")
    assert np.array_equal(result_unscaled.labels, on_validation.labels), (
        "these are not the validation images: evaluate on the validation loader"
    )
    _again = lk.evaluate(model_unscaled, _val)
    assert np.allclose(_again.logits, result_unscaled.logits, atol=1e-2), (
        "model_unscaled says something else of the validation images in [0, 1]: did lk.evaluate "
        'get this network, and a loader with normalize="none"?'
    )
    _setup, _first = history_unscaled.setup, first_history.setup
    for _what in ("optimizer", "learning rate", "weight decay", "scheduler", "loss"):
        _is, _was = _setup.get(_what, "none"), _first.get(_what, "none")
        assert _is == _was, f"one change at a time: the {_what} is {_is}, and was {_was}"
    assert _setup["device"] == _first["device"], (
        f'it ran on "{_setup["device"]}", the first on "{_first["device"]}": say precision="fp32"'
    )
    assert len(history_unscaled) == len(history), (
        f"just as long, please: the first network had {len(history)} epochs, this one "
        f"{len(history_unscaled)}"
    )

    def _first_loss(normalize, network):
        """The loss of the very first batch, from seed 42."""
        lk.seed_everything(42)
        net = network().to(lk.get_device())
        images, labels = next(iter(blood.loaders(batch_size=64, normalize=normalize)[0]))
        with torch.no_grad():
            return nn.functional.cross_entropy(net(images.to(lk.get_device())), labels).item()

    def _started(normalize):
        networks = (BloodMLP, lk.models.BloodMLP)
        return any(
            abs(_first_loss(normalize, n) - history_unscaled.batch_losses[0][0]) < 5e-5
            for n in networks
        )

    assert not _started("half"), (
        "it was trained on pixels in [-1, 1]: give lk.fit the new training loader"
    )
    assert _started("none"), (
        "the first batch's loss is not that of seed 42 and pixels in [0, 1]: "
        "lk.seed_everything(42) directly before BloodMLP(), the new training loader into lk.fit"
    )
    if "val_accuracy" in history_unscaled[0] and history_unscaled.kept_epoch is None:
        assert abs(history_unscaled[-1]["val_accuracy"] - _again.accuracy) < 0.02, (
            "the history's validation accuracy is not this network's on [0, 1]: give lk.fit the "
            "new validation loader, and let all three names come from one training"
        )

# %%
for name, predictions in {"[-1, 1]": on_validation, "[0, 1]": result_unscaled}.items():
    low, high = predictions.accuracy_interval()
    print(
        f"{name:8} validation accuracy {100 * predictions.accuracy:.2f} % "
        f"({100 * low:.1f}–{100 * high:.1f})"
    )
print("You expected:", guess or "nothing yet")

# %% [markdown]
# We go on with $[-1, 1]$, as planned before anything was measured. The last section asks with more
# seeds whether that was a good plan.
#
# Now, and only now, the **test set**. It has had no say in anything above. The interval says how
# far the accuracy could be off by the luck of which images are in the test set.

# %%
result = lk.evaluate(first_network, test)
result

# %% [markdown]
# One figure sums up the run: what was trained, how it went, and where it errs.

# %%
lk.figures.run_summary(first_history, result)

# %% [markdown]
# ## Where is it wrong?
#
# Rows are the true classes, columns the predictions. A row adds up to 100 %.

# %%
lk.figures.confusion_matrix(result)

# %% [markdown]
# ### Exercise 2.5: the two most confused pairs
#
# In the matrix of *counts*, `result.confusion_matrix()`, find the two largest numbers off the
# diagonal. Name them `confused_pairs`: a list of two tuples (name of the true class, name of the
# predicted class, how often), largest first.
#
# <details><summary>Hint: the idea</summary>
#
# The right answers are in the way: set the diagonal to zero, in a matrix with a name of its own.
# Find the largest number, note its row and column, set it to zero, and look again.
# </details>
# <details><summary>Hint: the names</summary>
#
# `np.fill_diagonal(mistakes, 0)`. `mistakes.argmax()` counts through all cells, row by row;
# `np.unravel_index(place, mistakes.shape)` turns that into row and column. `blood.classes` has the
# names.
# </details>

# %%
# Exercise 2.5 - the most confused pairs
confused_pairs = ...

# %%
# Solution 2.5
mistakes = result.confusion_matrix()
np.fill_diagonal(mistakes, 0)
confused_pairs = []
for place in np.argsort(-mistakes, axis=None, kind="stable")[:2]:
    row, column = np.unravel_index(place, mistakes.shape)
    confused_pairs.append((blood.classes[row], blood.classes[column], int(mistakes[row, column])))

# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Counts answer "which mistake happens most often in these data". Row shares answer "which class
# suffers most"; a rare class can have the worst row and still few mistakes. `result.most_confused()`
# does the same from now on.
# </details>

# %%
with lk.check("2.5", "confused_pairs"):
    _counts = result.confusion_matrix()
    _shares = result.confusion_matrix("true")
    for _matrix in (_counts, _shares):
        np.fill_diagonal(_matrix, 0)
    _top = np.sort(_counts, axis=None)[::-1][:2].tolist()
    assert isinstance(confused_pairs, tuple | list) or np.ndim(confused_pairs) != 0, (
        "confused_pairs must be a list of two tuples"
    )
    assert len(confused_pairs) == 2, "there must be two pairs, each (true, predicted, how often)"
    _places, _numbers = [], []
    for _pair in confused_pairs:
        assert isinstance(_pair, tuple | list | np.ndarray) and len(_pair) == 3, (
            "a pair has three parts: true class, predicted class, how often"
        )
        assert not isinstance(_pair[0], int | np.integer) or not isinstance(_pair[2], str), (
            "a pair begins with its two classes: (true class, predicted class, how often)"
        )
        assert not isinstance(_pair[2], str), "how often is a number, not a text"
        for _class in _pair[:2]:
            assert not isinstance(_class, str) or _class in blood.classes, (
                f"there is no class {_class!r}; the classes are {', '.join(blood.classes)}"
            )
            assert isinstance(_class, str), (
                f"{_class} is no name of a class: blood.classes[…] gives the name for a number"
            )
        _places.append(tuple(blood.classes.index(c) for c in _pair[:2]))
        _numbers.append(float(_pair[2]))
    assert all(t != p for t, p in _places), "this is on the diagonal: those are the right answers"
    assert _places[0] != _places[1], "the same pair twice"
    _found = [int(_counts[place]) for place in _places]
    _turned = [int(_counts[p, t]) for t, p in _places]
    _sums = np.triu(_counts + _counts.T)
    _both = sorted((int(_sums[tuple(sorted(place))]) for place in _places), reverse=True)
    assert _found == _top or _numbers in (_found, _turned) or _numbers != _both, (
        "you added both directions: a monocyte called platelet and a platelet called monocyte are "
        "two different mistakes"
    )
    assert _found == _top or _turned != _top, (
        "rows are true classes, columns predictions: yours are swapped"
    )
    assert _found == _top or _found[::-1] != _top or _numbers != _found, "the largest comes first"
    _worst = np.sort(_shares, axis=None)[::-1][:2]
    assert _found == _top or not np.allclose([_shares[p] for p in _places], _worst), (
        "these are the largest shares of a row: the counts are asked for"
    )
    assert _found == _top or _found[::-1] != _top, "the largest comes first"
    _others = [number for _, _, number in on_validation.most_confused(2)]
    assert _numbers == _top or _numbers != _others, (
        "these are mistakes on the validation images: use `result`"
    )
    assert _found == _top, "there are larger numbers off the diagonal of the counts"
    for _number, _n in zip(_numbers, _top, strict=True):
        assert _number == _n, f"the pair is right, its number is not: {_number:g}; count images"

# %%
confused_pairs

# %% [markdown]
# **Look:** in lab 01 you wrote down the two classes that *you* would confuse. Are they here?
#
# <details><summary>What to look for</summary>
#
# Immature granulocytes grow into neutrophils, eosinophils or basophils, and their nuclei resemble those
# of monocytes: at 28 pixels they are hard to tell apart. If your pair is not here, ask what the
# network can see that you did not, such as a slight but constant difference in colour.
# </details>

# %% [markdown]
# ## Precision and recall
#
# *Recall*: of all monocytes, how many were found? *Precision*: of all cells called monocyte, how
# many were one? In medicine these are two different costs.

# %% [markdown]
# ### Exercise 2.6: precision and recall of each class
#
# Compute both from the confusion matrix of counts, as arrays `precision` and `recall` of eight
# numbers from 0 to 1, in the order of the classes. A class that was never predicted has precision 0.
#
# <details><summary>Hint: the idea</summary>
#
# The right answers are on the diagonal of a *fresh* matrix (not the one whose diagonal you set to
# zero). One of the two divides them by the sums of the rows, the other by those of the columns:
# which is "all monocytes", which "all called monocyte"?
# </details>
# <details><summary>Hint: the names</summary>
#
# `np.diag`, `.sum(axis=…)`. `np.maximum(sums, 1)` avoids dividing by zero.
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

    def _numbers(values):
        values = values.values() if isinstance(values, dict) else values
        values = values.detach().flatten() if torch.is_tensor(values) else values
        assert values is not None, "precision or recall is None"
        one = isinstance(values, np.ndarray | np.generic | float | int)
        values = list(np.ravel(values) if one else values)
        assert not any(isinstance(v, str) for v in values), "write numbers, not texts"
        return np.array([float(v) for v in values])

    _p, _r = _numbers(precision), _numbers(recall)
    assert len(_p) == 8 and len(_r) == 8, "there must be eight numbers each, one a class"
    assert not (np.isnan(_p).any() or np.isnan(_r).any()), (
        "NaN comes from 0/0: a class that was never predicted has no column sum; divide by "
        "np.maximum(sums, 1)"
    )
    assert _p.any() or _r.any(), (
        "all zeros: was the diagonal of this matrix set to zero in 2.5? Take a fresh "
        "result.confusion_matrix(). Or did // cut off what follows the point?"
    )
    _fractions = _p.max() <= 1 + 1e-9 and _r.max() <= 1 + 1e-9
    assert _fractions or not np.allclose(_r / 100, _report["recall"], atol=6e-3), (
        "shares from 0 to 1, not per cent"
    )
    assert _fractions, "a share cannot be above 1: divide the right answers by sums of counts"
    _is_p, _is_r = _report["precision"].to_numpy(), _report["recall"].to_numpy()
    _right = np.allclose(_p, _is_p, atol=6e-3) and np.allclose(_r, _is_r, atol=6e-3)
    _swapped = np.allclose(_p, _is_r, atol=6e-3) and np.allclose(_r, _is_p, atol=6e-3)
    assert _right or not _swapped, "precision and recall are swapped: a row's sum belongs to recall"
    assert _right or not np.isin([_p, _r], (0, 1)).all(), (
        "nothing but 0 and 1: // cuts off what follows the point; write /"
    )
    _all = np.diag(result.confusion_matrix()) / len(result.labels)
    assert _right or not (np.allclose(_p, _all) or np.allclose(_r, _all)), (
        "this divides by the number of all images: take the sum of each row or column"
    )
    assert _right or not np.allclose(_r, on_validation.report()["recall"][:8]), (
        "these are the validation images: use `result`"
    )
    for _name, _found, _is in (("precision", _p, _is_p), ("recall", _r, _is_r)):
        assert np.allclose(_found, _is, atol=6e-3) or not np.allclose(
            np.sort(_found), np.sort(_is), atol=6e-3
        ), f"{_name}: the right numbers in another order; take that of blood.classes"
        assert np.allclose(_found, _is, atol=6e-3) or not np.allclose(1 - _found, _is, atol=6e-3), (
            f"{_name}: these are the shares of the wrong answers"
        )
    _part = result.confusion_matrix("true")
    assert _right or not np.allclose(_p, np.diag(_part) / np.maximum(_part.sum(0), 1), atol=6e-3), (
        "this is the matrix of shares: take the counts, result.confusion_matrix()"
    )
    assert np.allclose(_r, _is_r, atol=6e-3), (
        "recall: the right answers, divided by row sums, with at least two decimals"
    )
    assert np.allclose(_p, _is_p, atol=6e-3), (
        "precision: the right answers, divided by column sums, with at least two decimals"
    )

# %% [markdown]
# **A hypothesis first:** the diagonal of the confusion matrix names the class with the lowest recall.
# Why that one? Think of what you know of the cells from lab 01. Write it down. (The next table also
# has `f1`, which is high only where precision and recall both are, and `support`, the number of
# images. `macro avg` is the mean over the classes, `weighted avg` over the images.)

# %%
guess = None  # the name of a class, such as "platelet"

worst = result.lowest_recall_class
print(f"you: {guess}; lowest recall: {worst}")
result.report().round(3)

# %% [markdown]
# Five images of this class that the network got wrong, the most confident mistakes first. Would
# you have known? Does what you see fit your reason?

# %%
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
# <details><summary>What to look for</summary>
#
# Two reasons are usual. The class is *rare*: look at `support`. Then the network gains little by
# being right about it, and in doubt names a frequent class. Or it is *similar* to others: then its
# row of the matrix names them. One large number beside the diagonal is one double (look at the
# monocyte's row); several middling ones are a class that lies between others, as the young
# granulocytes do. Five images cannot decide between the reasons; `support` and the row can. (On the
# validation images another class may have been the lowest. With a few hundred images of a class its
# recall is known only to within a few points.)
# </details>

# %% [markdown]
# ## How sure is it?
#
# The softmax turns logits into probabilities. The largest one is the network's *confidence*. In use
# one sets a **threshold**: what the network is less sure of goes to a person.
#
# Move it. What do you gain, what does it cost, and does it ever reach "no mistakes"?


# %%
def sorted_by_threshold(threshold):
    figure, axes = lk.figures.new_figure(height=3.0, origin=result.origin)
    sure, right = result.confidence >= threshold, result.correct
    bins = np.linspace(0, 1, 41)
    for name, chosen, colour in (("right", right, 0), ("wrong", ~right, 5)):
        colour = lk.figures.PALETTE[colour]
        axes[0, 0].hist(
            result.confidence[chosen], bins, histtype="step", color=colour, linewidth=2, label=name
        )
    axes[0, 0].axvline(threshold, color="black")
    axes[0, 0].set(xlabel="confidence", ylabel="test images", yscale="symlog", xlim=(0, 1))
    axes[0, 0].legend(loc="upper left")
    axes[0, 0].set_title(
        f"at least {threshold}: {100 * sure.mean():.0f} % of the images, "
        f"{(sure & ~right).sum()} of {(~right).sum()} mistakes"
    )
    return figure


lk.explore(sorted_by_threshold, threshold=[0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999])

# %% [markdown]
# <details><summary>Answer</summary>
#
# A higher threshold leaves fewer mistakes to the machine, and more images to people. Look how many
# mistakes are left above 0.99: these are made with full confidence, and no reasonable threshold
# catches all of them. (In fast mode the network is hardly trained, and nothing is that sure.)
# </details>

# %% [markdown]
# ### Exercise 2.7: four quadrants
#
# Sort the test images: confident (at least 0.9) or unsure (below 0.6), right or wrong. From
# `result.confidence` (N,) and `result.correct` (N,) count the images in each quadrant, as a dict
# `quadrants` with the keys `"confident correct"`, `"confident wrong"`, `"unsure correct"` and
# `"unsure wrong"`. (What lies between 0.6 and 0.9 is in none of them.)
#
# <details><summary>Hint: the idea</summary>
#
# A comparison of an array gives an array of True and False, a *mask*. Two masks are joined number
# by number. True counts as 1.
# </details>
# <details><summary>Hint: the names</summary>
#
# `&` joins (not `and`), `~` turns a mask around, `.sum()` counts.
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
    _n, _true = {}, {name: len(rows) for name, rows in _rows.items()}
    for _name, _value in quadrants.items():
        _value = np.asarray(_value.detach() if torch.is_tensor(_value) else _value)
        assert _value.dtype != bool, f"{_name}: this is a mask; .sum() counts its True"
        assert _value.size == 1, f"{_name}: give how many images these are, not their rows"
        assert _value.dtype.kind in "iuf", f"{_name}: write a number, not a {type(_value.item())}"
        _n[_name] = float(_value.item())
    _all = len(result.labels)
    _is_share = any(0 < n < 1 for n in _n.values())
    assert not _is_share, "counts, not shares"
    assert _n == _true or not np.allclose(
        [_n[k] * _all / 100 for k in _true], [*_true.values()], atol=0.5
    ), "counts, not per cent"
    _every = {"correct": result.correct.sum(), "wrong": (~result.correct).sum()}
    assert any(_n[f"confident {k}"] or _n[f"unsure {k}"] != _every[k] for k in _every), (
        "nothing is confident and everything unsure: a confidence lies in [0, 1], not in per cent"
    )
    for _name in _n:
        assert _n[_name] == _true[_name] or _n[_name] != _all, (
            f"{_name}: {_all} is the length of the mask; .sum() counts its True"
        )
    _middle = result.confidence_quadrants(0.9, 0.9)
    for _name in ("unsure correct", "unsure wrong"):
        assert _n[_name] == _true[_name] or _n[_name] != len(_middle[_name]), (
            f'{_name}: "unsure" is below 0.6, not everything below 0.9'
        )
    _low = result.confidence_quadrants(0.6, 0.6)
    for _name in ("confident correct", "confident wrong"):
        assert _n[_name] == _true[_name] or _n[_name] != len(_low[_name]), (
            f'{_name}: "confident" is at least 0.9, not everything above 0.6'
        )
    for _level in ("confident", "unsure"):
        _right, _wrong = f"{_level} correct", f"{_level} wrong"
        _turned = (_n[_right], _n[_wrong]) == (_true[_wrong], _true[_right])
        assert not _turned or _true[_right] == _true[_wrong], (
            f"{_level}: correct and wrong are swapped"
        )
        for _name in (_right, _wrong):
            _sum = _true[_right] + _true[_wrong]
            assert _n[_name] == _true[_name] or _n[_name] != _sum, (
                f"{_name}: these are all that are {_level}; join with right or wrong"
            )
    _other = {k: len(v) for k, v in on_validation.confidence_quadrants(0.9, 0.6).items()}
    assert _n == _true or _n != _other, "these are the validation images: use `result`"
    assert _n == _true or sorted(_n.values()) != sorted(_true.values()), (
        "these are the right numbers under the wrong keys"
    )
    for _name in _true:
        assert _n[_name] == _true[_name], (
            f"{_name}: not {_n[_name]:g} images; join the two masks with & and count"
        )

# %%
quadrants

# %% [markdown]
# Two images of each quadrant (where it has two), chosen by chance, with the true class, the
# prediction and its probability.

# %%
chance = np.random.default_rng(0)
groups = result.confidence_quadrants().values()
examples = [row for rows in groups for row in chance.permutation(rows)[:2]]
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
# Now the confident mistakes of all classes. First the most frequent pairs (in both directions),
# then eight images, chosen by chance.

# %%
confident_mistakes = result.confidence_quadrants()["confident wrong"]
pairs = Counter(
    tuple(sorted((blood.classes[result.labels[row]], blood.classes[result.predicted[row]])))
    for row in confident_mistakes
)
print(f"{len(confident_mistakes)} confident mistakes")
for (one, other), count in pairs.most_common(5):
    print(f"{count:4} x {one} and {other}")

# %%
examples = chance.permutation(confident_mistakes)[:8]
if len(examples):
    captions = [
        f"{blood.classes[result.labels[row]]}; said {blood.classes[result.predicted[row]]}"
        for row in examples
    ]
    pictures = blood.test.images[result.indices[examples]]
    display(lk.figures.image_grid(pictures, captions, origin=blood.origin))

# %% [markdown]
# **Write it down** (three or four sentences): what do the confident mistakes have in common, and
# what sets them apart from the confident right answers? Why can a network be so sure and be wrong?
# (In fast mode there may be none; then answer the last question.)
#
# *Your answer:* …

# %% [markdown] tags=["solution"]
# <details><summary>Model answer</summary>
#
# They are no random pairs. In our runs there were about 200 on the test images, and well over half
# had to do with one class, the immature granulocyte. Most often it and the monocyte were taken for
# each other (a fifth to a quarter of all), then it and the basophil, it and the neutrophil. It is the
# young form of the granulocytes, to which basophils and neutrophils belong, so there is no sharp
# border, and at 28 pixels granules and the texture of the nucleus are hardly left. The confident
# right answers show what is typical of a class: a lobed nucleus, a pink cell, a small platelet
# alone.
#
# Why so sure? The cross-entropy goes on falling as the probabilities of the training images go to
# 1, so training pushes all logits apart, long after the answers are right. Nothing tells the network
# that it has seen few cells like this one: the softmax shares out 100 % among eight classes, and
# "I do not know" is none of them. And the images it learnt by heart taught it that it is always
# right.
# </details>

# %% [markdown]
# ## Beyond: can the confidence be trusted?
#
# Of the images predicted with 80 % confidence, 80 % should be right. That is **calibration**. The
# figure sorts the images by confidence into bins and shows how many of each bin are right; the
# *expected calibration error* is the mean distance from the diagonal, each bin weighted by how many
# images it holds.

# %%
lk.figures.reliability_diagram({"as trained": on_validation})

# %% [markdown]
# Below the diagonal the network is **too sure**. (After a training in fast mode it lies above.) What
# would you do first?
#
# **First remedy: stop in time.** Once the training images are right, the loss can only fall further
# by making the answers surer. So long training makes a network overconfident.
# `lk.EarlyStopping` ends the training when the validation loss has not fallen for five epochs, and
# gives the weights of the best epoch back. The same seed, so the same training up to there. While
# it runs (10 to 20 seconds): **will its accuracy be higher, lower or about the same? And its
# calibration error?**

# %%
lk.seed_everything(42)
stopped = BloodMLP()
optimizer = torch.optim.Adam(stopped.parameters(), lr=1e-3)
history_stopped = lk.fit(
    stopped,
    train,
    val,
    epochs=EPOCHS,
    optimizer=optimizer,
    precision="fp32",
    early_stopping=lk.EarlyStopping(monitor="val_loss", patience=5),
)
stopped_on_validation = lk.evaluate(stopped, val)
for name, found in {"all epochs": on_validation, "stopped": stopped_on_validation}.items():
    error = found.calibration_error()
    print(f"{name:10}: accuracy {100 * found.accuracy:.1f} %, calibration error {error:.3f}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Compare the two calibration errors: the stopped network's should be much the smaller (in four trainings
# we had 0.08 to 0.09 against 0.03 to 0.05, n = 1,712), because it ended before its answers had become
# so sure. The accuracies differ less, often within the interval: a network that memorises need not
# be wrong more often, it only becomes surer of its answers.
# (In fast mode nothing was stopped, and the two are the same.)
# </details>
#
# **Second remedy: temperature scaling.** It helps afterwards, with one number: divide all logits by
# a temperature $T$ (lab 00's $\tau$). Left: one confident mistake. Right: all validation images. Move $T$. Which one
# would you choose by eye? And does any prediction change?

# %%
example = np.argmax(on_validation.confidence * ~on_validation.correct)  # a confident mistake


def with_temperature(temperature):
    found = lk.Predictions(on_validation.logits / temperature, on_validation.labels, blood.classes)
    figure, axes = lk.figures.new_figure(1, 2, 3.2, on_validation.origin)
    left, right = axes[0]
    left.barh(blood.classes, found.probabilities[example], color=lk.figures.PALETTE[0])
    left.set(xlabel="probability", xlim=(0, 1))
    left.invert_yaxis()
    left.set_title(f"true class: {blood.classes[found.labels[example]]}", fontsize=10)
    table = found.calibration_bins(10)
    right.plot([0, 1], [0, 1], ":", color="0.5")
    right.plot(table["confidence"], table["accuracy"], "o-", color=lk.figures.PALETTE[0])
    right.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    error = found.calibration_error()
    right.set_title(f"T = {temperature}: calibration error {error:.3f}", fontsize=10)
    return figure


lk.explore(with_temperature, temperature=[1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 5.0])

# %% [markdown]
# <details><summary>Answer</summary>
#
# No prediction changes: dividing all logits by the same positive number keeps their order. A larger
# $T$ makes the network less sure of everything, right or wrong; a very large one makes it too
# modest, and the curve lies above the diagonal. A $T$ below 1 would sharpen.
# </details>
#
# The eye is a poor judge of bins with few images. The cross-entropy is a better one: it is smallest
# where the probabilities fit best. $T$ is chosen on **validation** data.

# %% [markdown]
# ### Exercise 2.8: fit the temperature
#
# Write `fit_temperature(logits, labels)` for NumPy arrays (N, C) and (N,). It returns the $T$ in
# $[0.3, 5]$ that makes the mean cross-entropy of `logits / T` smallest, as a number. A search over
# a fine grid (steps of 0.01 or 0.02) is good enough.
#
# <details><summary>Hint: the idea</summary>
#
# Try many values of $T$, compute the loss of each, keep the $T$ (not the loss) of the smallest.
# </details>
# <details><summary>Hint: the names</summary>
#
# `np.linspace(0.3, 5, 471)`; `nn.functional.cross_entropy` wants tensors, which `torch.as_tensor`
# makes of arrays; `np.argmin` gives the place of the smallest.
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
# so neither does the accuracy. That is why accuracy cannot choose $T$, and the loss can. Fitting $T$
# on the test set would make the calibration look better than it is. Source: Guo et al. (2017), *On
# Calibration of Modern Neural Networks*.
# </details>

# %%
with lk.check("2.8", "fit_temperature"):
    _random = np.random.default_rng(0)
    # six classes, one of them frequent; labels from the softmax, but some at random: not every
    # measure of good probabilities then chooses the same T as the cross-entropy
    _honest = 3 * _random.standard_normal((1500, 6)) + np.eye(6)[0] * 4.5
    _p = np.exp(_honest) / np.exp(_honest).sum(1, keepdims=True)
    _labels = (_p.cumsum(1) < _random.random((1500, 1))).sum(1).clip(0, 5)
    _labels[:90] = _random.integers(0, 6, 90)

    def _loss(scale, T):
        z = torch.as_tensor(_honest * scale / T)
        return nn.functional.cross_entropy(z, torch.as_tensor(_labels)).item()

    _grid = np.linspace(0.3, 5, 236)
    for _scale in (2.0, 0.5, 0.25, 0.1, 1.0, 12.0, 3.0):
        if _scale == 3.0:  # and once with eight classes
            _honest = np.hstack([_honest, _honest[:, 1:3] - 1])
        _losses = [_loss(_scale, T) for T in _grid]
        _best = _grid[np.argmin(_losses)]
        _given = _honest * _scale
        _said = fit_temperature(_given, _labels.copy())
        assert np.array_equal(_given, _honest * _scale), (
            "your function changes the logits it is given: write logits / T, not logits /= T"
        )
        assert _said is not None, "nothing is returned: return T"
        assert not isinstance(_said, tuple | list | dict | str), "return one number, T"
        _said = np.asarray(_said.detach() if torch.is_tensor(_said) else _said, dtype=float)
        assert _said.size == 1, f"return one number, not {_said.size}"
        _t, _near = _said.item(), max(0.06, 0.03 * _best)
        if abs(_t - _best) > _near:
            assert abs(_t - 1 / _best) > 0.05, "this is 1/T: divide the logits by T"
            assert abs(_t - min(_losses)) > 1e-3, "this is the smallest loss: return its T"
            assert _t == _t, "this is NaN: what is the loss of each T?"
            assert _t <= 5 or _t != round(_t) or _scale == 12, (
                f"{_t:g} is a place in the grid: return the T that stands there"
            )
            assert 0.29 < _t < 5.01, "T must stay in [0.3, 5], whatever the logits are"
            _ends = max(_losses[0], _losses[-1])
            assert _loss(_scale, max(_t, 0.3)) < _ends - 1e-3 or _scale == 12, (
                f"T = {_t:.2f} is at an end of the range, where the loss is largest or does not "
                "count: take the smallest (argmin) cross-entropy of logits / T, without another "
                "softmax; accuracy cannot choose, T does not change it"
            )
        assert abs(_t - _best) <= _near, (
            f"for drawn logits, times {_scale:g}, the mean cross-entropy is "
            f"smallest near T = {_best:.2f}, and you return {_t:.2f}"
        )

# %% [markdown]
# Now the two remedies on the **test** images, which have chosen neither of them. Does each keep what
# it promised on the validation images? And which points of the curves would you not rely on?

# %%
fitted = fit_temperature(on_validation.logits, on_validation.labels)
temperature = lk.judge.as_array(fitted).item()
scaled = lk.Predictions(
    result.logits / temperature, result.labels, blood.classes, result.origin, result.indices
)
print(f"temperature {temperature:.2f}, fitted on {len(on_validation.labels):,} validation images")
lk.figures.reliability_diagram(
    {
        "as trained": result,
        "stopped early": lk.evaluate(stopped, test),
        "as trained, with temperature": scaled,
    }
)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Compare the calibration errors in the legend: both remedies should lie well below the network as it
# was trained (in four trainings: 0.03 to 0.04 stopped and 0.01 to 0.03 with a temperature, against
# 0.07 to 0.08; n = 3,421). The points on the left hold few images (the size of a point shows how
# many), so they jump about; the error weights each bin by its images. And one need not choose: a
# network that was stopped in time can be given a temperature as well.
# </details>
#
# ## Beyond: is the difference real?
#
# Back to exercise 2.4: two networks, the same validation images. Only images that *one* of them gets
# right say anything about the difference; **McNemar's test** asks whether they could have fallen
# that way by chance. Its $p$ is how often chance alone would part them at least so unevenly: a small
# one (below 0.05, by custom) speaks for a real difference.

# %%
only_scaled, only_unscaled, p_value = lk.mcnemar(on_validation, result_unscaled)
print(f"only the [-1, 1] network is right: {only_scaled} images")
print(f"only the [0, 1] network is right:  {only_unscaled} images")
print(f"p = {p_value:.3g}")

# %% [markdown]
# This is about *these two trained networks*. There are two sources of chance:
#
# - **which images** are measured: the interval, McNemar's test;
# - **which seed** trained: another seed gives other networks. This can be as large or larger, as
#   below, and only more trainings show it.
#
# So: three seeds, six epochs each. And because $[0, 1] \to [-1, 1]$ changes two things at once, two
# **controls** that change one: *shift only* gives $[-0.5, 0.5]$, *scale only* gives $[0, 2]$.
#
# This trains twelve networks, in about a minute. **Predict while it runs:** which of the
# controls will be near $[-1, 1]$, which near $[0, 1]$?

# %%
guess = None  # "shift" or "scale": which of the two matters?

SEEDS, SHORT = (0, 1, 2), 2 if lk.settings.fast() else 6
scalings = {  # x becomes (x − first) / second
    "[0, 1]": (0.0, 1.0),
    "shift only, [-0.5, 0.5]": (0.5, 1.0),
    "scale only, [0, 2]": (0.0, 0.5),
    "both, [-1, 1]": (0.5, 0.5),
}
runs = {name: [] for name in scalings}
for name, seed in lk.track([(n, s) for n in scalings for s in SEEDS], "training twelve networks"):
    lk.seed_everything(seed)
    loaders = blood.loaders(batch_size=64, normalize=scalings[name])
    net = BloodMLP()
    runs[name].append(lk.fit(net, *loaders[:2], epochs=SHORT, precision="fp32", progress=False))

# %%
print(f"validation accuracy in % after {SHORT} epochs, seeds {SEEDS}; you said: {guess}")
for name, histories in runs.items():
    last = 100 * np.array([h[-1]["val_accuracy"] for h in histories])
    each = ", ".join(f"{a:.1f}" for a in last)
    print(f"{name:24} {each}   mean {last.mean():.1f}, from lowest to highest {np.ptp(last):.1f}")
low, high = on_validation.accuracy_interval()
print(f"chance of the images alone, for one network: ± {50 * (high - low):.1f}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# On the real images we measured, with these seeds: [0, 1] 74 to 79 %, shift only 79 to 83 %, scale
# only 72 to 78 %, both 81 to 84 %. So it is the **shift** that helps: by 4 to 11 points, with every
# seed. The larger scale changes little (−2 to +1). Look whether your rows say the same, seed by seed:
# in a column all four start from the same weights. The last line, ± for the images, is not enough: it
# says nothing about another training.
# </details>

# %% [markdown]
# ### Exercise 2.9: draw the learning curves
#
# `runs` holds, for each scaling, three histories; `history.column("val_accuracy")` is one curve.
# Make `mean_curves`: a dict from the names of the scalings to the **mean curve over the seeds**, one
# accuracy (from 0 to 1) for each epoch. Draw the four of them into one `figure` (Matplotlib), with
# names on both axes and a legend.
#
# <details><summary>Hint: the idea</summary>
#
# Three curves of the same length are a table: a row a seed, a column an epoch. Along which
# direction do you take the mean? For the drawing look at the learning curve of `PlaneNet`.
# </details>
# <details><summary>Hint: the names</summary>
#
# `np.mean(…, axis=…)`; `figure, ax = plt.subplots()`; `ax.plot(epochs, curve, label=name)`;
# `ax.set(xlabel=…, ylabel=…)`; `ax.legend()`.
# </details>

# %%
# Exercise 2.9 - learning curves
mean_curves = ...
figure = ...

# %%
# Solution 2.9
mean_curves = {
    name: np.mean([history.column("val_accuracy") for history in histories], axis=0)
    for name, histories in runs.items()
}
figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for (name, curve), colour in zip(mean_curves.items(), lk.figures.PALETTE, strict=False):
    ax.plot(np.arange(1, len(curve) + 1), curve, "o-", color=colour, label=name)
ax.set(
    xlabel="epoch",
    ylabel="validation accuracy",
    title=f"Four scalings of the pixels, mean of {len(SEEDS)} seeds",
    xticks=range(1, SHORT + 1),
)
ax.grid(alpha=0.3)
ax.legend()
plt.show()

# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# The mean over seeds is the better estimate of what a *method* does; one curve belongs to one
# training. A curve also says more than its last point: a method may only be slower, and catch up.
# Draw the single seeds as thin lines beside the mean, and you see the spread as well.
# </details>

# %%
with lk.check("2.9", "mean_curves", "figure"):
    assert isinstance(mean_curves, dict), "mean_curves must be a dict: scaling -> curve"
    assert set(mean_curves) == set(runs), f"the keys must be {', '.join(runs)}"
    _curves = {}
    for _name, _curve in mean_curves.items():
        _table = np.array([h.column("val_accuracy") for h in runs[_name]])
        try:
            _is = lk.judge.as_array(_curve)
        except (TypeError, ValueError):
            raise AssertionError(f"{_name}: give a list of numbers, one an epoch") from None
        _true = _table.mean(0)
        assert not np.allclose(_is, _table.mean()), (
            "this is the mean of everything: keep the epochs"
        )
        if len(SEEDS) != SHORT or not np.allclose(_true, _table.mean(1)):
            _over_epochs = _is.shape == (len(SEEDS),) and np.allclose(_is, _table.mean(1))
            assert not _over_epochs, "this is the mean over the epochs: take it over the seeds"
        assert _is.shape != _table.shape, "these are the curves of all seeds: take their mean"
        assert _is.shape == (SHORT,), f"a curve has {SHORT} numbers, one an epoch, not {_is.shape}"
        assert not np.allclose(_is, 100 * _true, atol=0.1), "shares from 0 to 1, not per cent"
        for _column in ("train_accuracy", "val_loss", "train_loss"):
            _other = np.mean([h.column(_column) for h in runs[_name]], axis=0)
            assert not np.allclose(_is, _other), f"this is {_column}: val_accuracy is asked for"
        _single = any(np.allclose(_is, row) for row in _table) and not np.allclose(_is, _true)
        assert not _single, "this is the curve of one seed: take the mean of the three"
        assert not np.allclose(_is, 3 * _true), "this is the sum over the seeds: take the mean"
        assert np.allclose(_is, _true, atol=2e-3), f"{_name}: this is not the mean over the seeds"
        _curves[_name] = _true
    _panels = getattr(figure, "axes", None)
    _panels = _panels if isinstance(_panels, list) else [figure]
    assert _panels, "the figure is empty: is it another one than that of your lines?"
    assert all(hasattr(_panel, "get_lines") for _panel in _panels), (
        "figure must be a Matplotlib figure: figure, ax = plt.subplots()"
    )
    _lines = [line for panel in _panels for line in panel.get_lines()]

    def _draws(line, curve):
        y = np.asarray(line.get_ydata(), float)
        return len(y) == len(curve) and (
            np.allclose(y, curve, atol=2e-3) or np.allclose(y, 100 * curve, atol=0.2)
        )

    for _name, _curve in _curves.items():
        assert any(_draws(line, _curve) for line in _lines), (
            f"the figure has no line with the mean curve of {_name}"
        )
    for _side in "xy":
        _whole = getattr(figure, f"get_sup{_side}label", str)()
        _texts = [_whole, *(getattr(p, f"get_{_side}label")() for p in _panels)]
        assert any(text.strip() for text in _texts), "say what the axes show: xlabel and ylabel"
    _turned = any(
        "accuracy" in panel.get_xlabel().lower() and "epoch" in panel.get_ylabel().lower()
        for panel in _panels
    )
    assert not _turned, "the labels of the axes are swapped: epochs go to the right"
    for _panel in _panels:
        _title = _panel.get_title()
        assert _title not in _curves or any(
            _draws(line, _curves[_title]) for line in _panel.get_lines()
        ), f"the panel with the title {_title} shows another curve"
    _legends = [p.get_legend() for p in _panels] + list(getattr(figure, "legends", []))
    _entries = {text.get_text() for legend in _legends if legend for text in legend.get_texts()}
    _titles = {panel.get_title() for panel in _panels if panel.get_title()}
    assert max(len(_entries), len(_titles)) >= 4, (
        "which line is which? Give each its own label=, and call legend()"
    )
    for _legend in filter(None, _legends):
        for _text, _key in zip(_legend.get_texts(), _legend.legend_handles, strict=True):
            _named = _text.get_text() in _curves and hasattr(_key, "get_ydata")
            assert not _named or any(
                _draws(line, _curves[_text.get_text()])
                and plt.matplotlib.colors.same_color(line.get_color(), _key.get_color())
                for line in _lines
            ), f"in the legend {_text.get_text()} stands for another line: give each its own label="

# %% [markdown]
# ## What to take away
#
# - Five lines make a training: forward, loss, `zero_grad`, `backward`, `step`.
# - Before a long training: is the first loss log(classes)? Can it learn 16 images by heart?
# - The loss of an epoch is a mean over images; `eval()` and `no_grad()` when you only look.
# - Validation data choose; test data report, once, with an interval.
# - One accuracy hides eight classes: look at the matrix, and at the images.
# - Confidence is not correctness. Stop in time; then mend the rest with validation data.
# - A difference between methods must come again with other seeds, best compared seed by seed.
#
# **Write down, in two or three sentences each:**
#
# 1. From which epoch on does your validation loss no longer fall, and what would you change because
#    of it?
# 2. Which of the confused pairs would matter most to a doctor, and why?
# 3. Your network gets 1 point more than your neighbour's. What would convince you it is better?

# %% [markdown] tags=["solution"]
# <details><summary>Model answers</summary>
#
# 1. Where the validation loss stops falling while the training loss goes on, the network memorises.
#    Stop there (early stopping), or train on more varied images (augmentation, lab 05), or use
#    dropout.
# 2. There is no single right answer; a good one names the consequence. Immature granulocytes in the
#    blood can be a sign of severe infection or leukaemia: taking them for mature cells hides it.
# 3. The same test images for both, a paired test, and several seeds of each: the difference must come
#    out the same way with nearly every seed, and be large against its own spread.
# </details>

# %% [markdown]
# ## The results of this lab
#
# The trained weights are kept: later labs explain this network's mistakes.

# %%
lk.models.save_trained("BloodMLP", first_network, blood)
lk.report_result("test accuracy", result)

# %%
lk.progress()
