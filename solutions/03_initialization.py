# %% [markdown]
# # Lab 03 · Why the first weights matter
#
# **You will learn** to choose the weights a network starts from, to look inside it with *hooks*
# before it has learnt anything, and to read from a few numbers whether it can learn at all.
#
# **You should know** labs 00 and 02: gradients, and a training loop.
#
# **Time:** about two and a half hours. The trainings take two minutes together.

# %%
import numpy as np
import pandas as pd
import torch
from torch import nn

import labkit as lk

EPOCHS = 1 if lk.settings.fast() else 10  # fast mode: a quick test run of the whole lab
COLOURS = lk.figures.PALETTE
lk.seed_everything(42)

# %% [markdown]
# ## The data and the network
#
# MNIST again: 28x28 grey digits, ten classes. The pixels are made to have mean 0 and standard
# deviation 1 over the training images. (The pair below is measured on them, not guessed.)

# %%
mnist = lk.load_dataset("mnist")
pixels = mnist.train.images.float().div(255)
mean, std = float(pixels.mean()), float(pixels.std())
train, val, test = mnist.loaders(batch_size=256, normalize=(mean, std))
print(f"{mnist.origin}\npixels before: mean {mean:.3f}, standard deviation {std:.3f}")
lk.figures.image_grid(
    mnist.train.images[:8], [f"digit {int(i)}" for i in mnist.train.labels[:8]], origin=mnist.origin
)

# %% [markdown]
# The network of this lab has **five hidden layers of 256 units**:
# $784 \to 256 \to 256 \to 256 \to 256 \to 256 \to 10$. Each hidden layer computes
#
# $$z^{(l)} = W^{(l)} a^{(l-1)} + b^{(l)}, \qquad a^{(l)} = \phi\bigl(z^{(l)}\bigr),$$
#
# with an activation $\phi$ that is tanh or ReLU, and $a^{(0)}$ the pixels. The biases start at 0.
# What may the weights start from?
#
# ## Four ways to begin
#
# | method | weights of a layer with `fan_in` inputs and `fan_out` outputs |
# |---|---|
# | `"zero"` | all 0 |
# | `"small"` | normal, standard deviation 0.01 |
# | `"xavier"` | normal, variance $\dfrac{2}{\text{fan\_in} + \text{fan\_out}}$ (Glorot and Bengio, 2010) |
# | `"he"` | normal, variance $\dfrac{2}{\text{fan\_in}}$ (He and others, 2015) |

# %% [markdown]
# ### Exercise 3.1: initialize_weights
#
# Write `initialize_weights(shape, method)` with `shape` = (fan_in, fan_out). It returns a tensor of
# that shape. An unknown method raises a `ValueError` that names it.
#
# <details><summary>Hint</summary>
#
# `torch.randn(shape)` draws from the normal distribution with variance 1. Multiplying by $s$ makes
# the variance $s^2$, so a variance of $v$ needs the factor $\sqrt{v}$.
# </details>


# %%
# Exercise 3.1 - the four initialisations
def initialize_weights(shape, method):
    raise NotImplementedError("3.1: weights of this shape")


# %%
# Solution 3.1
def initialize_weights(shape, method):
    fan_in, fan_out = shape
    scales = {
        "zero": 0.0,
        "small": 0.01,
        "xavier": (2 / (fan_in + fan_out)) ** 0.5,
        "he": (2 / fan_in) ** 0.5,
    }
    if method not in scales:
        raise ValueError(f"method is {method!r}; choose one of {', '.join(scales)}.")
    return scales[method] * torch.randn(shape)


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Multiplying a random number by $s$ multiplies its variance by $s^2$. That is the place of the
# commonest mistake here: the formulas give *variances*, `randn` wants a *standard deviation*.
# An unknown method must not fall through to a default: nobody would notice.
# </details>

# %%
with lk.check("3.1", "initialize_weights"):

    def _draw(shape, method):
        weights = initialize_weights(shape, method)
        assert weights is not None, "the function gives None: is `return` missing?"
        weights = torch.as_tensor(np.asarray(weights, dtype=float))
        assert tuple(weights.shape) == tuple(shape), (
            f"the shape is {tuple(weights.shape)}; it must be (fan_in, fan_out) = {tuple(shape)}"
        )
        return weights

    _shape = (800, 200)
    assert not _draw(_shape, "zero").any(), "zero: all weights must be 0"
    _stds = {"small": 0.01, "xavier": (2 / 1000) ** 0.5, "he": (2 / 800) ** 0.5}
    for _method, _std in _stds.items():
        _weights = _draw(_shape, _method)
        _got = float(_weights.std())
        assert abs(float(_weights.mean())) < 0.02 * max(_got, _std), (
            f"{_method}: the mean must be 0"
        )
        assert abs(_got - _std**2) > 0.02 * _std**2, (
            f"{_method}: {_got:.2g} is the variance; randn needs its square root"
        )
        if _method == "xavier":
            assert abs(_got - (1 / 1000) ** 0.5) > 0.02 * _std, "xavier: a factor of 2 is missing"
            assert abs(_got - (1 / 800) ** 0.5) > 0.01 * _std, "xavier: use fan_in + fan_out"
        if _method == "he":
            assert abs(_got - (2 / 200) ** 0.5) > 0.02 * _std, (
                "he: this uses fan_out; shape is (fan_in, fan_out)"
            )
            assert abs(_got - (1 / 800) ** 0.5) > 0.02 * _std, "he: a factor of 2 is missing"
        assert abs(_got - _std) < 0.02 * _std, (
            f"{_method}: the standard deviation is {_got:.4f}; it must be {_std:.4f}"
        )
        _tails = float((_weights.abs() > 2.2 * _std).double().mean())
        assert 0.015 < _tails < 0.045, f"{_method}: draw from the normal distribution"
        assert not torch.equal(_draw(_shape, _method), _weights), (
            f"{_method}: two calls gave the same weights; draw anew, without a fixed seed"
        )
    try:
        initialize_weights((4, 4), "magic")
    except ValueError as _error:
        assert "magic" in str(_error), "the message of the ValueError must name the method"
    except Exception as _error:
        raise AssertionError(
            f"an unknown method must raise a ValueError, not {type(_error).__name__}"
        ) from None
    else:
        raise AssertionError("an unknown method must raise a ValueError")

# %% [markdown]
# With it, the network. PyTorch keeps a weight as (fan_out, fan_in), hence the transpose.

# %%
ACTIVATIONS = {"tanh": nn.Tanh, "ReLU": nn.ReLU}
METHODS = ("zero", "small", "xavier", "he")


def make_network(method, activation, depth=5, batch_norm=False):
    """784 → 256 (depth times) → 10, weights by `initialize_weights`, biases 0."""
    layers = [nn.Flatten()]
    for number in range(depth):
        layers.append(nn.Linear(256 if number else 784, 256))
        if batch_norm:
            layers.append(nn.BatchNorm1d(256))
        layers.append(ACTIVATIONS[activation]())
    network = nn.Sequential(*layers, nn.Linear(256, 10))
    for layer in network:
        if isinstance(layer, nn.Linear):
            shape = (layer.in_features, layer.out_features)
            layer.weight.data = torch.as_tensor(initialize_weights(shape, method)).float().T.clone()
            nn.init.zeros_(layer.bias)
    return network


print(make_network("xavier", "tanh"))

# %% [markdown]
# ## What should happen: the variance, layer by layer
#
# One unit adds up `fan_in` products: $z = \sum_{k} w_k a_k$. The weights are independent of the
# inputs and have mean 0. So all mixed terms of $z^2$ have mean 0, and what is left is
#
# $$\operatorname{Var}(z) = \text{fan\_in} \cdot \operatorname{Var}(w) \cdot
# \operatorname{mean}(a^2).$$
#
# Read it as a loop: mean square in, times a factor, mean square out.
#
# - Keep $\text{fan\_in} \cdot \operatorname{Var}(w) = 1$, and $z$ is as large as $a$ was. Backwards
#   the same sum runs over `fan_out`, so the gradients would like
#   $\text{fan\_out} \cdot \operatorname{Var}(w) = 1$. **Xavier** is the compromise between the two.
# - ReLU sets half of the $z$ to 0, which halves the mean square. **He** doubles the variance to make
#   up for that.

# %% [markdown]
# ### Exercise 3.2: predict the standard deviation
#
# Write two functions:
#
# - `predict_std(mean_square, fan_in, weight_variance)`: the standard deviation of $z$;
# - `relu_mean_squares(depth, mean_square, width, weight_variance)`: the mean square of the
#   **activations** after each of `depth` ReLU layers with `width` inputs and `width` units, as a
#   list of `depth` numbers. Assume that $z$ is symmetric around 0.
#
# <details><summary>Hint</summary>
#
# A standard deviation is the root of a variance. For the second: each layer multiplies the mean
# square by $\text{fan\_in} \cdot \operatorname{Var}(w)$, then ReLU halves it. Use a loop.
# </details>


# %%
# Exercise 3.2 - how large the signal will be
def predict_std(mean_square, fan_in, weight_variance):
    raise NotImplementedError("3.2: the standard deviation of z")


def relu_mean_squares(depth, mean_square, width, weight_variance):
    raise NotImplementedError("3.2: one mean square for each layer")


# %%
# Solution 3.2
def predict_std(mean_square, fan_in, weight_variance):
    return (fan_in * weight_variance * mean_square) ** 0.5


def relu_mean_squares(depth, mean_square, width, weight_variance):
    results = []
    for _ in range(depth):
        mean_square = predict_std(mean_square, width, weight_variance) ** 2 / 2
        results.append(mean_square)
    return results


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# A symmetric $z$ is negative half of the time, so ReLU keeps half of the mean square. (Not half of
# the *variance*: ReLU's output has a positive mean.) With He's variance the factor of a layer is
# $\text{fan\_in} \cdot \frac{2}{\text{fan\_in}} \cdot \frac12 = 1$. With Xavier's and equal widths
# it is $\frac12$: the mean square halves from layer to layer. With 0.01 and 256 inputs it is
# $256 \cdot 0.0001 / 2 \approx 0.013$.
# </details>

# %%
with lk.check("3.2", "predict_std", "relu_mean_squares"):
    for _square, _fan, _variance in ((1.0, 784, 0.001), (0.3, 256, 0.0078), (4.0, 100, 0.0001)):
        _got = predict_std(_square, _fan, _variance)
        assert _got is not None, "predict_std gives None: is `return` missing?"
        _got, _true = float(_got), (_square * _fan * _variance) ** 0.5
        assert abs(_got - _true**2) > 1e-6 * _true, "this is the variance: take the root"
        assert abs(_got - (_fan * _variance) ** 0.5 * _square) > 1e-6 or _square == 1, (
            "the mean square belongs under the root too"
        )
        assert abs(_got - _true) < 1e-6 * _true, f"predict_std gives {_got:.4g}, not {_true:.4g}"
    for _variance in (2 / 256, 1 / 256, 0.0001):
        _got = relu_mean_squares(4, 1.5, 256, _variance)
        assert _got is not None, "relu_mean_squares gives None: is `return` missing?"
        _got = [float(v) for v in _got]
        assert len(_got) != 5, "the list starts after the first layer: the input is not in it"
        assert len(_got) == 4, f"the list has {len(_got)} numbers; one for each of 4 layers"
        _factor = 256 * _variance / 2
        _true = [1.5 * _factor ** (k + 1) for k in range(4)]
        assert not np.allclose(_got, [1.5 * (2 * _factor) ** (k + 1) for k in range(4)]), (
            "ReLU halves the mean square in each layer"
        )
        assert not np.allclose(_got, np.sqrt(_true)), "these are roots: give the mean squares"
        assert np.allclose(_got, _true, rtol=1e-6), f"{np.round(_got, 4)}, not {np.round(_true, 4)}"

# %% [markdown]
# ## What does happen: look inside
#
# A **forward hook** is a function that PyTorch calls whenever a layer has computed its output. It
# sees the activations without a change to the network. A hook stays until it is removed, and one
# that is forgotten slows everything down and keeps memory. So: always remove it.

# %% [markdown]
# ### Exercise 3.3: statistics by forward hooks
#
# Write `activation_statistics(network, images)`. It sends the images through the network once and
# returns a list with one pair (mean, standard deviation) for each **activation** layer (`nn.Tanh`
# or `nn.ReLU`), from the input to the output. No hook may be left behind.
#
# <details><summary>Hint</summary>
#
# `handle = layer.register_forward_hook(function)` with `def function(layer, inputs, output)`; later
# `handle.remove()`. No gradients are needed: `torch.no_grad()`. A `try … finally` removes the hooks
# even if something goes wrong in between.
# </details>


# %%
# Exercise 3.3 - forward hooks
def activation_statistics(network, images):
    raise NotImplementedError("3.3: one (mean, standard deviation) for each activation layer")


# %%
# Solution 3.3
def activation_statistics(network, images):
    statistics, handles = [], []

    def record(layer, inputs, output):
        statistics.append((output.mean().item(), output.std().item()))

    for layer in network.modules():
        if isinstance(layer, nn.Tanh | nn.ReLU):
            handles.append(layer.register_forward_hook(record))
    try:
        with torch.no_grad():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    return statistics


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# The hooks run in the order in which the layers compute. `.item()` takes the number and lets the
# tensor go: a list of whole activations would fill the memory. `finally` runs also when the network
# raises, for example because the images have the wrong size.
# </details>

# %%
with lk.check("3.3", "activation_statistics"):
    _random = torch.Generator().manual_seed(1)
    _images = torch.randn(64, 1, 28, 28, generator=_random)
    for _kind in (nn.Tanh, nn.ReLU):
        _layers = [nn.Flatten(), nn.Linear(784, 30), _kind(), nn.Linear(30, 20), _kind()]
        _network = nn.Sequential(*_layers, nn.Linear(20, 10))
        with torch.no_grad():
            _first = _network[:3](_images)
            _outputs = [_first, _network[3:5](_first)]
        _answer = activation_statistics(_network, _images)
        _left = sum(len(layer._forward_hooks) for layer in _network.modules())
        assert _left == 0, f"{_left} hooks are left behind: call handle.remove() for each"
        assert _answer is not None, "the function gives None: is `return` missing?"
        assert len(_answer) != 6, "one pair for each Tanh or ReLU, not for every layer"
        assert len(_answer) == 2, f"{len(_answer)} pairs for a network with 2 activation layers"
        assert all(len(pair) == 2 for pair in _answer), "each entry must be (mean, std)"
        _got = np.array([[float(v) for v in pair] for pair in _answer])
        _true = np.array([[o.mean().item(), o.std().item()] for o in _outputs])
        assert not np.allclose(_got, _true[:, ::-1], rtol=1e-2), "swapped: (mean, std)"
        _before = [_network[:2](_images), _network[3](_first)]
        _z = [[o.mean().item(), o.std().item()] for o in _before]
        assert not np.allclose(_got, _z, rtol=1e-3), "this is before the activation, not after"
        assert not np.allclose(_got[:, 1], _true[:, 1] ** 2, rtol=1e-2), "the variance, not the std"
        assert np.allclose(_got, _true, rtol=1e-2, atol=1e-4), "the statistics differ from ours"

# %% [markdown]
# Your function at work on 512 training images. For ReLU, the dotted line is your prediction: the
# root of `relu_mean_squares` (which counts the mean, too).

# %%
images, labels = next(iter(mnist.train.loader(512, normalize=(mean, std))))
figure, axes = lk.figures.new_figure(1, 2, 3.2, mnist.origin)
for ax, activation in zip(axes[0], ACTIVATIONS, strict=True):
    for method, colour in zip(METHODS[1:], COLOURS, strict=False):
        statistics = np.array(activation_statistics(make_network(method, activation), images))
        size = np.sqrt(statistics[:, 0] ** 2 + statistics[:, 1] ** 2)
        ax.plot(range(1, 6), size, "o-", color=colour, label=method)
        if activation == "ReLU":
            # the first layer sees the pixels, with 784 inputs; the other four have 256
            variance = {"small": (1e-4,) * 2, "xavier": (2 / 1040, 2 / 512)}.get(
                method, (2 / 784, 2 / 256)
            )
            first = predict_std(float((images**2).mean()), 784, variance[0]) ** 2 / 2
            squares = [first, *relu_mean_squares(4, first, 256, variance[1])]
            ax.plot(range(1, 6), np.sqrt(squares), ":", color="0.2", lw=2)
    ax.set(title=f"{activation}, before training", xlabel="hidden layer", yscale="log")
    ax.set_xticks(range(1, 6))
    ax.legend(fontsize=8)
axes[0, 0].set_ylabel("activation: root mean square")
figure

# %% [markdown]
# - **small**: from layer to layer the signal shrinks by a large factor. On a log axis that is a
#   straight line down.
# - **xavier** and **he** stay within the same order of magnitude. For ReLU, He stays level and
#   Xavier loses a factor of about $\sqrt 2$ a layer: as predicted.
# - **zero** is missing because a log axis has no 0: all activations are exactly 0.
#
# Nothing explodes here. You will often read that large weights explode and small ones vanish; with
# *these* four methods only one of the two happens.

# %% [markdown]
# ## The way back: gradients
#
# Backpropagation sends the gradient from the loss to the first layer. At each layer it is
# multiplied by the same weights, transposed, and by the slope $\phi'(z)$:
#
# $$\frac{\partial \ell}{\partial a^{(l-1)}} =
# {W^{(l)}}^{\top} \left(\phi'\bigl(z^{(l)}\bigr) \odot
# \frac{\partial \ell}{\partial a^{(l)}}\right).$$
#
# And the gradient of a weight is the product of what comes from above and what came in from below:
#
# $$\frac{\partial \ell}{\partial W^{(l)}} = \left(\phi'\bigl(z^{(l)}\bigr) \odot
# \frac{\partial \ell}{\partial a^{(l)}}\right) {a^{(l-1)}}^{\top}.$$
#
# If either factor is tiny, the weight does not move.

# %% [markdown]
# ### Exercise 3.4: gradient sizes by backward hooks
#
# Write `gradient_norms(network, images, labels)`: the norm (root of the sum of squares) of the
# gradient of the cross-entropy loss with respect to the **output** of each activation layer, from
# the input to the output, as a list of numbers. Again no hook may stay, and the network's weights
# must be as before.
#
# <details><summary>Hint</summary>
#
# `layer.register_full_backward_hook(function)` with
# `def function(layer, grad_input, grad_output)`: `grad_output[0]` is the gradient with respect to
# the layer's output. Backward hooks run from the last layer to the first: turn the list round.
# `nn.functional.cross_entropy(network(images), labels).backward()` starts it.
# </details>


# %%
# Exercise 3.4 - backward hooks
def gradient_norms(network, images, labels):
    raise NotImplementedError("3.4: one norm for each activation layer")


# %%
# Solution 3.4
def gradient_norms(network, images, labels):
    norms, handles = [], []

    def record(layer, grad_input, grad_output):
        norms.append(grad_output[0].norm().item())

    for layer in network.modules():
        if isinstance(layer, nn.Tanh | nn.ReLU):
            handles.append(layer.register_full_backward_hook(record))
    try:
        nn.functional.cross_entropy(network(images), labels).backward()
    finally:
        for handle in handles:
            handle.remove()
    network.zero_grad()
    return norms[::-1]


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# The gradients of the weights were filled by `backward` as a side effect; `zero_grad` empties them,
# so that a training afterwards does not begin with them. The loss is a mean over the batch, so the
# norms get smaller with a larger batch: compare only what was measured with the same batch.
# </details>

# %%
with lk.check("3.4", "gradient_norms"):
    _random = torch.Generator().manual_seed(2)
    _images = torch.randn(32, 1, 28, 28, generator=_random)
    _labels = torch.randint(0, 10, (32,), generator=_random)
    for _kind in (nn.Tanh, nn.ReLU):
        _layers = [nn.Flatten(), nn.Linear(784, 30), _kind(), nn.Linear(30, 20), _kind()]
        _network = nn.Sequential(*_layers, nn.Linear(20, 10))
        _kept = [p.detach().clone() for p in _network.parameters()]
        _leaves, _x = [], _images
        for _layer in _network:
            _x = _layer(_x)
            if isinstance(_layer, _kind):
                _x.retain_grad()
                _leaves.append(_x)
        nn.functional.cross_entropy(_x, _labels).backward()
        _true = np.array([leaf.grad.norm().item() for leaf in _leaves])
        _network.zero_grad()
        _answer = gradient_norms(_network, _images, _labels)
        _left = sum(
            len(layer._backward_hooks) + len(layer._forward_hooks) for layer in _network.modules()
        )
        assert _left == 0, f"{_left} hooks are left behind: call handle.remove() for each"
        _same = [torch.equal(p, k) for p, k in zip(_network.parameters(), _kept, strict=True)]
        assert all(_same), "the weights changed: no optimiser step here"
        assert _answer is not None, "the function gives None: is `return` missing?"
        _got = np.array([float(v) for v in _answer])
        assert len(_got) == 2, f"{len(_got)} numbers for a network with 2 activation layers"
        assert not np.allclose(_got, _true[::-1], rtol=1e-3), (
            "the order: backward hooks run from the last layer to the first, turn the list round"
        )
        assert not np.allclose(_got, _true**2, rtol=1e-3), "these are squared norms: take the root"
        assert not np.allclose(_got, 32 * _true, rtol=1e-3), "the loss is a mean over the batch"
        assert np.allclose(_got, _true, rtol=1e-3), f"{_got} instead of {_true}"

# %% [markdown]
# ## Dead and saturated
#
# The slope $\phi'$ can also be the culprit.
#
# - tanh is flat where its output is near $\pm 1$. We call an output with $|a| > 0.97$
#   **saturated**; there the slope $1 - a^2$ is below 0.06.
# - ReLU's slope is 0 for $z < 0$. A unit that is 0 for **every** image gets no gradient at all: it
#   is **dead**.

# %% [markdown]
# ### Exercise 3.5: the shares
#
# Given the outputs of one layer for many images, (images, units), write
#
# - `share_saturated(outputs, limit=0.97)`: the share of all single outputs that are saturated;
# - `share_dead(outputs)`: the share of **units** that are 0 for every image.
#
# <details><summary>Hint</summary>
#
# Comparing a tensor gives booleans; the mean of booleans (as floats) is a share. For the second,
# which axis are the images? `.all(dim=0)` asks it for each unit.
# </details>


# %%
# Exercise 3.5 - dead and saturated
def share_saturated(outputs, limit=0.97):
    raise NotImplementedError("3.5: share of saturated outputs")


def share_dead(outputs):
    raise NotImplementedError("3.5: share of dead units")


# %%
# Solution 3.5
def share_saturated(outputs, limit=0.97):
    return (outputs.abs() > limit).float().mean().item()


def share_dead(outputs):
    return (outputs == 0).all(dim=0).float().mean().item()


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# A single 0 means nothing: ReLU is 0 for about half of its inputs, which is its purpose. Only a
# unit that is 0 for *all* images is out of the game, for these images. "Dead" is a word about
# data: a unit that looks dead on 10 images may be alive on 10,000.
# </details>

# %%
with lk.check("3.5", "share_saturated", "share_dead"):
    _outputs = torch.tensor([[0.99, -0.99, 0.1, 0.0], [0.5, -0.98, 0.96, 0.0]])
    _got = share_saturated(_outputs)
    assert _got is not None, "share_saturated gives None: is `return` missing?"
    assert abs(float(_got) - 1 / 8) > 1e-6, "−0.99 is saturated as well: use the absolute value"
    assert abs(float(_got) - 3) > 1e-6, "this is a count: divide by the number of outputs"
    assert abs(float(_got) - 3 / 8) < 1e-6, f"share_saturated: 3 of 8, not {float(_got):.3f}"
    assert abs(float(share_saturated(_outputs, 0.4)) - 5 / 8) < 1e-6, "limit is not used"
    _outputs = torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.2], [0.0, 0.0, 0.0, 3.0, 0.1]])
    _got = share_dead(_outputs)
    assert _got is not None, "share_dead gives None: is `return` missing?"
    assert abs(float(_got) - 6 / 10) > 1e-6, "a dead unit is 0 for every image: count units"
    assert abs(float(_got) - 2) > 1e-6, "this is a count: divide by the number of units"
    assert abs(float(_got) - 0.0) > 1e-6, "over which axis? Two of the five units are dead"
    assert abs(float(_got) - 2 / 5) < 1e-6, f"share_dead: 2 of 5 units, not {float(_got):.3f}"

# %% [markdown]
# ## All of it at once
#
# `lk.probes.Probe` does what you have written, for all layers, and removes its hooks by itself. We
# look at all eight networks **before training**.


# %%
def probe(network):
    """The statistics of each activation layer for 512 images and their loss."""
    with lk.probes.Probe(network) as probe:
        nn.functional.cross_entropy(network(images), labels).backward()
    network.zero_grad()
    return probe.to_frame()


tables = {a: {m: probe(make_network(m, a)) for m in METHODS} for a in ACTIVATIONS}
lk.figures.layer_statistics(tables["tanh"], "tanh, before training", mnist.origin)

# %%
lk.figures.layer_statistics(tables["ReLU"], "ReLU, before training", mnist.origin)

# %% [markdown]
# The numbers of the last two rows, for the first and the fifth hidden layer:

# %%
rows = {}
for activation, by_method in tables.items():
    for method, table in by_method.items():
        first, last = table.iloc[0], table.iloc[-1]
        rows[f"{activation}, {method}"] = {
            "std, layer 1": first["std"],
            "std, layer 5": last["std"],
            "gradient, layer 1": first["gradient_norm"],
            "gradient, layer 5": last["gradient_norm"],
            "saturated, layer 1 (%)": 100 * first["saturated"],
            "dead, layer 5 (%)": 100 * last["dead"],
        }
pd.DataFrame(rows).T.map("{:.2g}".format)

# %% [markdown]
# Read it row by row:
#
# - **zero**: the activations are 0. The gradient is 0, too, at every hidden layer, because it passes
#   through the zero weights of the layer above.
# - **small**: the activations are nearly gone at layer 5, the gradients nearly gone at layer 1. The
#   signal **vanishes in both directions**.
# - **xavier, he**: both arrive. Compare how level they are.

# %% [markdown]
# ## Now train them
#
# Plain SGD, learning rate 0.1, batches of 256, 10 epochs. Eight networks take about a minute on two
# processor cores. **Before you run it**, write down: which of the eight will learn?


# %%
def train_network(network, plot=None, epochs=EPOCHS, lr=0.1):
    """Train in place and return the history."""
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    return lk.fit(
        network, train, val, epochs=epochs, optimizer=optimizer, precision="fp32",
        callbacks=[plot] if plot else [], progress=False,
    )  # fmt: skip


results, networks = {}, {}


def train_all(activation):
    """Train the four methods, in one live plot."""
    plot = lk.LivePlot(mnist.classes)
    for method in METHODS:
        lk.seed_everything(42)
        network = make_network(method, activation)
        train_network(network, plot.run(method))
        networks[activation, method] = network
        results[activation, method] = lk.evaluate(network, test)


train_all("tanh")

# %%
train_all("ReLU")

# %%
rows = {}
for (activation, method), result in results.items():
    low, high = result.accuracy_interval()
    rows[f"{activation}, {method}"] = {
        "test accuracy (%)": 100 * result.accuracy,
        "95 % interval (%)": f"{100 * low:.2f} to {100 * high:.2f}",
        "classes predicted": len(np.unique(result.predicted)),
        "n": len(result.labels),
    }
print(f"{mnist.origin}; SGD 0.1, batch 256, {EPOCHS} epochs, 1 seed")
pd.DataFrame(rows).T

# %% [markdown]
# ## Why zero and small stay where they are
#
# A network that always says the same digit is right as often as that digit occurs. Compare the
# accuracy of the networks that predict one class only with the shares of the test digits:

# %%
shares = 100 * mnist.test.counts() / len(mnist.test)
figure, axes = lk.figures.new_figure(1, 2, 2.9, mnist.origin)
axes[0, 0].bar(shares.index, shares, color=COLOURS[0])
axes[0, 0].set(title="How often each digit occurs", xlabel="digit", ylabel="share of test set (%)")
said = {m: np.bincount(results["ReLU", m].predicted, minlength=10) for m in METHODS}
for shift, (method, counts) in enumerate(said.items()):
    axes[0, 1].bar(
        np.arange(10) + 0.2 * (shift - 1.5), 100 * counts / counts.sum(), 0.2,
        color=COLOURS[shift], label=method,
    )  # fmt: skip
axes[0, 1].set(title="How often each network says it (ReLU)", xlabel="digit", xticks=range(10))
axes[0, 1].set_ylabel("share of predictions (%)")
axes[0, 1].legend(fontsize=8)
figure

# %% [markdown]
# What has changed in the weights at all? Here is how far each layer's weights have moved, relative
# to where a network with the same seed begins (for zero: the absolute length).

# %%
rows = {}
for (activation, method), network in networks.items():
    lk.seed_everything(42)
    begin = [p.detach() for p in make_network(method, activation).parameters() if p.ndim == 2]
    now = [p.detach() for p in network.parameters() if p.ndim == 2]
    moved = [
        float((n - b).norm()) / (float(b.norm()) or 1) for b, n in zip(begin, now, strict=True)
    ]
    rows[f"{activation}, {method}"] = dict(
        zip(("layer 1", 2, 3, 4, 5, "output"), moved, strict=True)
    )
pd.DataFrame(rows).T.map("{:.1e}".format)

# %% [markdown]
# - **zero**: no weight has moved, not by a single bit. The gradient of a weight is a product, and
#   with all activations and all weights at 0 one of its two factors is 0 in every layer. Only the
#   biases of the output can learn: ten numbers, the same for all images. They learn how frequent the
#   digits are.
# - **small**: the weights get a gradient, but a tiny one: look at the figures before training. In
#   these epochs the network does not leave the place; with many more it might.
#
# Zero weights have a second fault: **symmetry**. Units with equal weights have equal gradients and
# stay equal for ever. Even if a signal came through, 256 units would be one. Random numbers break
# that.

# %% [markdown]
# ### Exercise 3.6: the diagnosis
#
# A colleague sends you numbers of networks that she is about to train (10 classes, tanh or ReLU).
# Write `diagnose(stds, gradients, saturated=0.0, dead=0.0)`. `stds` and `gradients` list the
# standard deviation of the activations and the gradient norm for each hidden layer, from the first
# to the last. Return one of
#
# - `"zero"`: nothing comes through at all, all standard deviations are exactly 0;
# - `"vanishing"`: the standard deviation shrinks by a factor of more than 100 from the first layer
#   to the last, or the gradient does so from the last to the first;
# - `"exploding"`: one of them grows by more than a factor of 100 on the same way;
# - `"saturated"`: none of these, and more than half of the outputs saturated;
# - `"dead"`: none of these, and more than half of the units dead;
# - `"healthy"`: else.
#
# <details><summary>Hint</summary>
#
# The activations flow from the first layer to the last, the gradients from the last to the first.
# Ask for zero first, so that nothing is divided by 0.
# </details>


# %%
# Exercise 3.6 - the diagnosis
def diagnose(stds, gradients, saturated=0.0, dead=0.0):
    raise NotImplementedError("3.6: zero, vanishing, exploding, saturated, dead or healthy")


# %%
# Solution 3.6
def diagnose(stds, gradients, saturated=0.0, dead=0.0):
    if max(stds) == 0:
        return "zero"
    forward_change = stds[-1] / stds[0]
    backward_change = gradients[0] / gradients[-1]
    if min(forward_change, backward_change) < 1 / 100:
        return "vanishing"
    if max(forward_change, backward_change) > 100:
        return "exploding"
    if saturated > 0.5:
        return "saturated"
    return "dead" if dead > 0.5 else "healthy"


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Vanishing and exploding are about *change with depth*, each in its own direction of travel. A
# network whose numbers are small but level can be mended by a larger learning rate; one whose
# numbers fall by a factor in each layer cannot, because no single learning rate fits all layers.
# </details>

# %%
with lk.check("3.6", "diagnose"):
    _cases = [
        (([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]), "zero", "all activations 0"),
        (([0.5, 0.01, 1e-4], [1e-5, 1e-3, 1e-1]), "vanishing", "both shrink"),
        (
            ([0.5, 0.4, 0.3], [1e-6, 1e-3, 1e-1]),
            "vanishing",
            "the gradient shrinks on its way back",
        ),
        (([0.5, 0.01, 1e-4], [0.1, 0.1, 0.1]), "vanishing", "only the activations shrink"),
        (([0.5, 20, 900.0], [0.3, 0.2, 0.1]), "exploding", "the activations grow"),
        (([0.5, 0.5, 0.6], [50.0, 3.0, 0.1]), "exploding", "the gradient grows on its way back"),
        (([0.9, 0.9, 0.9], [0.1, 0.1, 0.1], 0.8, 0.0), "saturated", "80 % saturated"),
        (([0.9, 0.9, 0.9], [0.1, 0.1, 0.1], 0.0, 0.7), "dead", "70 % of the units dead"),
        (([0.6, 0.5, 0.5], [0.2, 0.1, 0.1], 0.1, 0.1), "healthy", "level and alive"),
        (([1e-3, 1e-3, 1e-3], [1e-5, 1e-5, 1e-5]), "healthy", "small, but level: not vanishing"),
    ]
    for _arguments, _true, _what in _cases:
        _got = diagnose(*_arguments)
        assert _got is not None, "diagnose gives None: is `return` missing in a branch?"
        _swapped = {"vanishing": "exploding", "exploding": "vanishing"}.get(_true)
        assert "back" not in _what or _got != _swapped, (
            f"{_what}: gradients travel from the last layer to the first"
        )
        assert str(_got).strip().lower() == _true, f"{_what}: {_true}, not {_got}"

# %% [markdown]
# Your diagnosis of the eight networks, beside what the training made of them:

# %%
rows = {}
for activation, by_method in tables.items():
    for method, table in by_method.items():
        shares_of = table[["saturated", "dead"]].fillna(0).mean()
        rows[f"{activation}, {method}"] = {
            "before training": diagnose(
                table["std"].tolist(), table["gradient_norm"].tolist(), *shares_of
            ),
            "test accuracy (%)": 100 * results[activation, method].accuracy,
        }
pd.DataFrame(rows).T

# %% [markdown]
# ## After training
#
# And the same look into the trained networks. Which layers of the tanh networks saturate? Which
# ReLU units have died?

# %%
after = {f"{a}, {m}": probe(networks[a, m]) for a in ACTIVATIONS for m in ("xavier", "he")}
lk.figures.layer_statistics(after, f"after {EPOCHS} epochs", mnist.origin)

# %% [markdown]
# ## Deeper: 20 layers
#
# Five layers forgive a lot. A factor of 0.7 a layer is $0.7^5 = 0.17$ after five, but
# $0.7^{20} = 0.0008$ after twenty. Choose method, activation and depth, and see. (Where there are
# no menus, you see He, ReLU, 20 layers.)


# %%
def draw(method="he", activation="ReLU", depth=20):
    lk.seed_everything(0)
    table = probe(make_network(method, activation, depth))
    name = f"{method}, {activation}, {depth} layers"
    return lk.figures.layer_statistics({name: table}, "before training", mnist.origin)


lk.explore(draw, method=["he", "xavier", "small"], activation=["ReLU", "tanh"], depth=[20, 5, 2])

# %% [markdown]
# The same, side by side as curves, with and without **batch normalisation**. It subtracts the mean
# of the batch from each unit's $z$ and divides by its standard deviation, whatever the weights are.

# %%
deep = {}
for name, method, norm in (
    ("small", "small", False), ("xavier", "xavier", False), ("he", "he", False),
    ("small + batch norm", "small", True), ("he + batch norm", "he", True),
):  # fmt: skip
    lk.seed_everything(0)
    deep[name] = probe(make_network(method, "ReLU", 20, norm))
columns = {"std": "std of the activations", "gradient_norm": "gradient norm"}
lk.figures.depth_curves(deep, columns, "ReLU, 20 hidden layers, before training", mnist.origin)

# %% [markdown]
# Look at the two curves with batch normalisation, forward (left) and backward (right): forward they
# are level, whatever the weights' scale was. Backward, see for yourself whether they are; batch
# normalisation repairs the scale of the signal, not everything.
#
# Does it help to learn? Twenty layers, three epochs each, about 40 seconds in all:

# %%
plot = lk.LivePlot(mnist.classes)
deep_results = {}
for name, method, norm in (
    ("xavier", "xavier", False), ("he", "he", False), ("small + batch norm", "small", True),
    ("he + batch norm", "he", True),
):  # fmt: skip
    lk.seed_everything(42)
    network = make_network(method, "ReLU", 20, norm)
    history = train_network(network, plot.run(name), epochs=min(3, EPOCHS), lr=0.05)
    deep_results[name] = 100 * history[-1]["val_accuracy"]
pd.Series(deep_results, name="validation accuracy (%), 1 seed").round(2).to_frame()

# %% [markdown]
# ## Orthogonal weights
#
# A matrix $Q$ with $Q^\top Q = I$ changes no length: $\lVert Q a \rVert = \lVert a \rVert$, exactly,
# not only on average. Twenty such layers without an activation pass a signal through unchanged.

# %% [markdown]
# ### Exercise 3.7: orthogonal weights
#
# Write `orthogonal(size, gain=1.0)`: a random square matrix $W$ with
# $W^\top W = \text{gain}^2 \cdot I$.
#
# <details><summary>Hint</summary>
#
# The QR decomposition of a random normal matrix gives an orthogonal one: `torch.linalg.qr(m)`
# returns `Q` and `R`.
# </details>


# %%
# Exercise 3.7 - orthogonal weights
def orthogonal(size, gain=1.0):
    raise NotImplementedError("3.7: a matrix (size, size)")


# %%
# Solution 3.7
def orthogonal(size, gain=1.0):
    q, r = torch.linalg.qr(torch.randn(size, size))
    return gain * q * r.diagonal().sign()


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# QR makes the columns of a matrix orthogonal one after the other and gives each length 1. The signs
# of R's diagonal make the draw fair: without them some rotations would be more likely than others
# (PyTorch's `nn.init.orthogonal_` does the same). For ReLU a gain of $\sqrt 2$ makes up for the
# half that is cut off.
# </details>

# %%
with lk.check("3.7", "orthogonal"):
    for _size, _gain in ((5, 1.0), (40, 2.0)):
        _w = orthogonal(_size, _gain)
        assert _w is not None, "the function gives None: is `return` missing?"
        assert not isinstance(_w, tuple), "qr gives two matrices: return only the first"
        _w = torch.as_tensor(np.asarray(_w, dtype=float))
        assert tuple(_w.shape) == (_size, _size), f"the shape is {tuple(_w.shape)}, not square"
        _product, _eye = _w.T @ _w, torch.eye(_size).double()
        assert torch.allclose(_product, _product.diagonal().diag(), atol=1e-4), (
            "WᵀW is not diagonal: the columns are not orthogonal"
        )
        assert _gain == 1 or not torch.allclose(_product, _eye, atol=1e-4), "the gain is missing"
        assert _gain == 1 or not torch.allclose(_product, _gain * _eye, atol=1e-4), (
            "the gain multiplies W, so that WᵀW has gain²"
        )
        assert torch.allclose(_product, _gain**2 * _eye, atol=1e-3), "WᵀW must be gain² times I"
        assert (_w - _w.diagonal().diag()).abs().max() > 1e-3, "W must be random, not I"
        _again = torch.as_tensor(np.asarray(orthogonal(_size, _gain), dtype=float))
        assert not torch.allclose(_w, _again), "two calls gave the same matrix: draw anew"

# %% [markdown]
# Fifty **linear** layers of 256 units, no activation: your orthogonal weights beside normal ones of
# the same scale (variance 1/256). Each thin line is one draw.

# %%
lk.seed_everything(0)
start = torch.randn(64, 256)
figure, axes = lk.figures.new_figure(height=3.0, origin="random inputs, 10 draws each, 50 layers")
makers = {
    "normal, variance 1/256": lambda: torch.randn(256, 256) / 16,
    "orthogonal": lambda: torch.as_tensor(orthogonal(256)).float(),
}
for (name, make), colour in zip(makers.items(), (COLOURS[5], COLOURS[0]), strict=True):
    for draw_number in range(10):
        signal, lengths = start, []
        for _ in range(50):
            signal = signal @ make().T
            lengths.append(float(signal.norm() / start.norm()))
        label = name if draw_number == 0 else None
        axes[0, 0].plot(range(1, 51), lengths, color=colour, alpha=0.7, lw=1, label=label)
axes[0, 0].set(
    title="How long the signal is", xlabel="layer", ylabel="length relative to the input"
)
axes[0, 0].legend(fontsize=8)
figure

# %% [markdown]
# ## What to take away
#
# - Weights are drawn at random so that units differ, and with a variance that keeps the signal's
#   size, forwards and backwards: $\text{fan\_in} \cdot \operatorname{Var}(w)$ of about 1 for tanh,
#   about 2 for ReLU.
# - Too small weights make the signal vanish, exponentially with depth. Zero weights make nothing at
#   all. Too large ones would explode or saturate; these four methods are not too large.
# - Hooks show it before a minute of training is spent. Remove them.
# - Batch normalisation makes the forward signal independent of the weights' scale.
#
# **Write down, in two or three sentences each:**
#
# 1. A network stays at the accuracy of the most frequent class from the first epoch on. Which two
#    numbers do you look at first, and what would each tell you?
# 2. He's rule was made for ReLU, Xavier's for tanh. Do the accuracies of your eight runs prove that
#    each should be used so? What would you have to do to be sure?
# 3. Somebody sets all weights to the same value 0.1 "so that the signal comes through". What
#    happens?

# %% [markdown] tags=["solution"]
# <details><summary>Model answers</summary>
#
# 1. The standard deviation of the last activations and the gradient norm at the first layer. Zero:
#    dead or zero weights. Tiny in comparison with the other end: vanishing. If both are fine, the
#    fault is elsewhere (learning rate, labels, an optimiser for another model).
# 2. No: one run each, at one learning rate. Differences of a few tenths of a per cent lie within the
#    intervals, and the best learning rate differs between the methods. Several seeds, and for each
#    method its own learning rate, chosen on validation data.
# 3. All units of a layer compute the same and get the same gradient; they stay equal for ever. The
#    layer works like a single unit, however wide it is.
# </details>

# %%
for activation, method in (("tanh", "xavier"), ("tanh", "he"), ("ReLU", "xavier"), ("ReLU", "he")):
    lk.report_result(
        "test accuracy", results[activation, method], f"{activation}, {method}, {EPOCHS} epochs"
    )
