# %% [markdown]
# # Lab 03 · Why the first weights matter
#
# **You will learn** to choose the weights a network starts from, to look inside it with *hooks*
# before it has learnt anything, and to read from a few numbers whether plain gradient descent will
# get anywhere with it.
#
# **You should know** labs 00 and 02: gradients, and a training loop.
#
# **Time:** about three hours. All cells together compute for about four and a half minutes on two
# processor cores; the cells that take longer ask you a question first.

# %%
import math
from statistics import NormalDist

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
# <details><summary>Hint 1: the idea</summary>
#
# Three methods differ only in one number. Mind what the table gives: for some a standard deviation,
# for others a variance. What does multiplying a random number by $s$ do to its variance?
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `torch.randn(shape)` draws from the normal distribution with variance 1; `torch.zeros(shape)`;
# `raise ValueError(f"…")`.
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
        weights = lk.judge.call(initialize_weights, shape, method)
        weights = torch.as_tensor(lk.judge.as_array(weights))
        assert tuple(weights.shape) == tuple(shape), (
            f"the shape is {tuple(weights.shape)}; it must be (fan_in, fan_out) = {tuple(shape)}"
        )
        return weights

    assert not _draw((800, 200), "zero").any(), "zero: all weights must be 0"
    for _shape, _method in [
        (shape, method)
        for shape in ((800, 200), (300, 600))
        for method in ("small", "xavier", "he")
    ]:
        _in, _out = _shape
        _stds = {"small": 0.01, "xavier": (2 / (_in + _out)) ** 0.5, "he": (2 / _in) ** 0.5}
        _wanted = _stds[_method]
        _weights = _draw(_shape, _method)
        _got = float(_weights.std())
        assert _got > 0, f"{_method}: all weights are {float(_weights.flatten()[0]):g}; draw them"
        assert float((_weights.std(0) - _got).abs().max()) <= 0.3 * _got and (
            float((_weights.std(1) - _got).abs().max()) <= 0.5 * _got
        ), f"{_method}: rows or columns repeat; each weight needs a draw of its own"
        assert abs(float(_weights.mean())) < 0.02 * max(_got, _wanted), (
            f"{_method}: the mean must be 0"
        )
        _slips = {f"{_got:.2g} is the variance; randn needs its square root": _wanted**2}
        _halved = {"a factor of 2 is missing": _wanted / 2**0.5}
        _slips |= {
            "small": {"0.01 is the standard deviation, not the variance": 0.1},
            "xavier": _halved | {
                "brackets are missing, a / b + c is (a / b) + c": (2 / _in + _out) ** 0.5,
                "this is He's variance": (2 / _in) ** 0.5,
                "use fan_in + fan_out": (1 / _in) ** 0.5,
            },
            "he": _halved | {
                "this uses fan_out; shape is (fan_in, fan_out)": (2 / _out) ** 0.5,
                "this is Xavier's variance": (2 / (_in + _out)) ** 0.5,
            },
        }[_method]  # fmt: skip
        lk.judge.compare(
            _got / _wanted,
            1.0,
            {f"{_method}: {words}": slip / _wanted for words, slip in _slips.items()},
            f"{_method}: the standard deviation is {_got:.4f}; it must be {_wanted:.4f}",
            0.01,
        )
        _tails = float((_weights.abs() > 2.2 * _wanted).double().mean())
        assert 0.02 < _tails < 0.04, f"{_method}: draw from the normal distribution"
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
# With it, the network. PyTorch keeps a weight as (fan_out, fan_in), hence the transpose. A fifth
# way to begin, `"large"`, is `torch.randn` without any factor: standard deviation 1, what one gets
# who does not think about it. And beside tanh and ReLU there will be the sigmoid, once.

# %%
ACTIVATIONS = {"tanh": nn.Tanh, "ReLU": nn.ReLU}
KINDS = ACTIVATIONS | {"sigmoid": nn.Sigmoid}
METHODS = ("zero", "small", "xavier", "he")


def make_network(method, activation, depth=5, batch_norm=False):
    """784 → 256 (depth times) → 10, weights by `initialize_weights` or N(0, 1), biases 0."""
    layers = [nn.Flatten()]
    for number in range(depth):
        layers.append(nn.Linear(256 if number else 784, 256))
        if batch_norm:
            layers.append(nn.BatchNorm1d(256))
        layers.append(KINDS[activation]())
    network = nn.Sequential(*layers, nn.Linear(256, 10))
    for layer in network:
        if isinstance(layer, nn.Linear):
            shape = (layer.in_features, layer.out_features)
            w = torch.randn(shape) if method == "large" else initialize_weights(shape, method)
            layer.weight.data = torch.as_tensor(w).detach().float().T.clone()
            nn.init.zeros_(layer.bias)
    return network


print(make_network("xavier", "tanh"))

# %% [markdown]
# ## What should happen: the variance, layer by layer
#
# One unit adds up `fan_in` products: $z = \sum_{k} w_k a_k$. How large is it? Square the sum:
#
# $$z^2 = \sum_k w_k^2 a_k^2 + \sum_{k \ne j} w_k w_j\, a_k a_j.$$
#
# The weights have mean 0 and are independent of each other and of the inputs. So on average each
# mixed term is 0, because $\operatorname{E}[w_k w_j] = \operatorname{E}[w_k]
# \operatorname{E}[w_j] = 0$. Each square gives $\operatorname{Var}(w) \cdot a_k^2$. What the sum
# of `fan_in` such terms comes to, you work out in the exercise. Read the result as a loop: **mean
# square of the activations in, times a factor, mean square out.** Then ask which factor keeps the
# signal as it is. Backwards the same sum runs over `fan_out` instead of `fan_in`.

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
# <details><summary>Hint 1: the idea</summary>
#
# `fan_in` terms, each $\operatorname{Var}(w) \cdot a_k^2$: that is `fan_in` times their mean. A
# standard deviation is the root of a variance. And what does ReLU leave of the mean square of
# something that is symmetric around 0?
# </details>
#
# <details><summary>Hint 2: how to go on</summary>
#
# A loop over the layers that carries the mean square on (not the standard deviation), and
# `results.append(…)`.
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
# $$\operatorname{Var}(z) = \text{fan\_in} \cdot \operatorname{Var}(w) \cdot
# \operatorname{mean}(a^2).$$
#
# With $\text{fan\_in} \cdot \operatorname{Var}(w) = 1$, $z$ is as large as $a$ was; backwards,
# $\text{fan\_out} \cdot \operatorname{Var}(w) = 1$ would do the same for the gradients.
# **Xavier** is the compromise between the two. **He** doubles the variance, because ReLU halves the
# mean square.
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
        _answer = lk.judge.call(predict_std, _square, _fan, _variance)
        _got = lk.judge.read_array(_answer, (), "predict_std")
        assert np.ndim(_answer) == 0, "predict_std gives a list with one number: give the number"
        _true = (_square * _fan * _variance) ** 0.5
        _slips = {
            "this is the variance: take the root": _true**2,
            "the mean square belongs under the root too": _true * _square**0.5,
            "the variance of the weights belongs under the root too": _true * _variance**0.5,
            "fan_in is missing: z is a sum of that many terms": _true / _fan**0.5,
            "multiply by fan_in: z is a sum of that many terms, not their mean": _true / _fan,
            "this is after a ReLU: predict_std asks for z, before it": _true / 2**0.5,
        }
        _slips = {words: slip / _true for words, slip in _slips.items()}
        _words = f"predict_std gives {_got:.4g}, not {_true:.4g}"
        lk.judge.compare(_got / _true, 1.0, _slips, _words)
    for _depth, _width, _variance in ((4, 256, 2 / 256), (6, 256, 1 / 256), (4, 100, 0.0001)):
        _got = lk.judge.call(relu_mean_squares, _depth, 1.5, _width, _variance)
        _got = list(_got) if hasattr(_got, "__next__") else _got
        assert np.ndim(_got) != 0, "one number: give a list with one mean square for each layer"
        _got, _factor = np.array([float(v) for v in _got]), _width * _variance / 2
        _powers = np.arange(1, _depth + 1)
        _true = 1.5 * _factor**_powers
        assert len(_got) != _depth + 1 or not np.isclose(_got[0], 1.5), (
            "the list starts after the first layer: the input is not in it"
        )
        assert len(_got) == _depth, (
            f"the list has {len(_got)} numbers; one for each of {_depth} layers"
        )
        _roots, _late = [1.5], [1.5]
        for _ in range(_depth):
            _roots.append((_width * _variance * _roots[-1]) ** 0.5 / 2)
            _late.append((_width * _variance * _late[-1]) ** 0.5)
        _carried = "predict_std gives a standard deviation: square it before you go on"
        _slips = {
            "ReLU halves the mean square in each layer": _true * 2**_powers,
            "these are roots: give the mean squares": np.sqrt(_true),
            "all layers have the same number: the mean square of one is the input of the next": (
                _true[:1].repeat(_depth)
            ),
            "the list starts after the first layer, not with the input": _true / _factor,
            _carried: _roots[1:],
            f"{_carried}, and halve it": _late[1:],
            "ReLU halves the mean square; halving the standard deviation quarters it": _true
            / 2**_powers,
            "this is the variance after ReLU: the mean square is asked": _true
            * (1 - 1 / math.pi) ** _powers,
        }
        _slips = {words: np.divide(slip, _true) for words, slip in _slips.items()}
        lk.judge.compare(
            _got / _true, np.ones(_depth), _slips, f"{np.round(_got, 4)}, not {np.round(_true, 4)}"
        )

# %% [markdown]
# ## What does happen: look inside
#
# A **forward hook** is a function that PyTorch calls whenever a layer has computed its output. It
# sees the activations without a change to the network. A hook stays until it is removed, and one
# that is forgotten slows everything down and keeps memory. So: always remove it. A worked example,
# on one linear layer:

# %%
layer = nn.Linear(3, 2)


def show(layer, inputs, output):  # inputs is a tuple; nothing is returned
    print(f"{type(layer).__name__}: {tuple(inputs[0].shape)} in, {tuple(output.shape)} out")


handle = layer.register_forward_hook(show)
_ = layer(torch.ones(5, 3))  # the hook speaks
handle.remove()
_ = layer(torch.ones(5, 3))  # and is silent

# %% [markdown]
# What happens if a hook returns something? Then that **replaces** the layer's output: a hook that
# is meant to look has changed the network. So let yours return nothing.

# %% [markdown]
# ### Exercise 3.3: statistics by forward hooks
#
# Write `activation_statistics(network, images)`. It sends the images through the network once and
# returns a list with one pair (mean, standard deviation) for each **activation** layer (`nn.Tanh`
# or `nn.ReLU`), from the input to the output. No hook may be left behind.
#
# "Mean" and "standard deviation" are over **all** numbers that the layer puts out, images and units
# together.
#
# <details><summary>Hint 1: the idea</summary>
#
# One hook, registered at each activation layer, that appends a pair of numbers to a list. Keep the
# handles in a second list, to remove them afterwards.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `isinstance(layer, nn.Tanh | nn.ReLU)`, `layer.register_forward_hook(function)`, `torch.no_grad()`
# because no gradients are needed, and `try … finally` to remove the hooks even if something goes
# wrong in between.
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
    _images = 2 * torch.randn(64, 1, 28, 28, generator=_random) + torch.randn(
        64, 1, 1, 1, generator=_random
    )
    for _kind in (nn.Tanh, nn.ReLU):
        _layers = [nn.Flatten(), nn.Linear(784, 30), _kind(), nn.Linear(30, 20), _kind()]
        _network = nn.Sequential(*_layers, nn.Linear(20, 10))
        with torch.no_grad():
            for _layer in (_network[1], _network[3]):  # units that differ in mean and spread
                nn.init.kaiming_uniform_(_layer.weight, a=5**0.5, generator=_random)
                _layer.weight.mul_(torch.linspace(0.1, 4, len(_layer.bias))[:, None])
                nn.init.normal_(_layer.bias, 0.5, generator=_random)
            _first = _network[:3](_images)
            _outputs = [_first, _network[3:5](_first)]
            _last = _network[5](_outputs[1])
        _seen = []
        _watch = _network[5].register_forward_hook(
            lambda layer, x, y, seen=_seen: seen.append(y.detach())
        )
        try:
            _answer = lk.judge.call(activation_statistics, _network, _images)
        except (TypeError, RuntimeError):
            _ends = nn.Sequential(nn.Flatten(), nn.Linear(784, 9), _kind())  # nothing comes after
            _came = []
            _ends.register_forward_hook(lambda network, x, y, came=_came: came.append(y))
            try:
                activation_statistics(_ends, _images)
            except (TypeError, RuntimeError):
                _came.clear()  # another fault
            assert all(np.shape(y) == (64, 9) for y in _came), (
                "a hook returns something, and that replaces the layer's output: return nothing"
            )
            raise
        finally:
            _watch.remove()
            _enabled = torch.is_grad_enabled()
            torch.set_grad_enabled(True)
        assert _enabled, (
            "gradients stay switched off for all that follows: with torch.no_grad(): ends by itself"
        )
        _left = lk.probes.hooks_left(_network)
        assert _left == 0, f"hooks left behind: {_left}; call handle.remove() for each"
        assert hasattr(_answer, "__len__"), (
            "give a list: list(…) makes one of what comes one by one"
        )
        assert not _seen or len(_seen[-1]) == 64, (
            "send all images through the network together, once, not one by one"
        )
        assert not _seen or torch.allclose(_seen[-1], _last, atol=1e-4), (
            "the network gives other outputs while you look: does a hook return something? That "
            "replaces the layer's output"
        )
        assert len(_answer) != 0, (
            f"the list is empty for a network of {_kind.__name__} layers: does a hook watch them, and "
            "were the images sent through the network?"
        )
        assert all(isinstance(p, tuple | list) or np.shape(p) for p in _answer), (
            "each entry must be a pair (mean, standard deviation)"
        )
        assert len(_answer) != 6, "one pair for each Tanh or ReLU, not for every layer"
        assert len(_answer) != 3, "one pair for each Tanh or ReLU, not for the linear layers"
        assert len(_answer) != 4, "four pairs for two layers: do the hooks run twice?"
        assert len(_answer) == 2, f"{len(_answer)} pairs for a network with 2 activation layers"
        assert all(len(pair) == 2 for pair in _answer), (
            "each entry must be a pair (mean, standard deviation)"
        )
        assert not any(callable(v) for p in _answer for v in p), (
            "a call has parentheses: output.std()"
        )
        assert all(np.prod(np.shape(v)) == 1 for p in _answer for v in p), (
            "mean and standard deviation must be one number each, over images and units together"
        )
        assert len(_seen) <= 1, (
            f"the images go through the network {len(_seen)} times: register all hooks, then once"
        )
        _got = np.array([[float(v) for v in pair] for pair in _answer])

        def _is(function, outputs=_outputs, got=_got):
            return np.allclose(got, [[float(v) for v in function(o)] for o in outputs], rtol=3e-3,
                               atol=3e-4)  # fmt: skip

        if not _is(lambda o: (o.mean(), o.std())):
            _true = np.array([[o.mean().item(), o.std().item()] for o in _outputs])
            _slips = {"the order: from the input to the output": _true[::-1],
                      "one list of pairs, a pair for each layer; not all means and then all "
                      "deviations": _true.T}  # fmt: skip
            for _words, _slip in _slips.items():
                assert not np.allclose(_got, _slip, rtol=3e-3, atol=3e-4), _words
            with torch.no_grad():
                _before = [_network[:2](_images), _network[3](_first)]
            assert not _is(lambda o: (o.mean(), o.std()), _before), (
                "this is before the activation, not after"
            )
            _together = (
                "the standard deviation of all numbers together, no mean of standard deviations"
            )
            _slips = {
                "swapped: (mean, std)": lambda o: (o.std(), o.mean()),
                "the variance, not the std": lambda o: (o.mean(), o.var()),
                _together: lambda o: (o.mean(), o.std(0).mean()),
                f"{_together} of images": lambda o: (o.mean(), o.std(1).mean()),
                "the standard deviation of all numbers, not of the means of the units": lambda o: (
                    o.mean(), o.mean(0).std()),
                "over all images, not only the first": lambda o: (o[0].mean(), o[0].std()),
                "the mean, not the mean of the absolute values": lambda o: (
                    o.abs().mean(), o.std()),
                "this is the root mean square: subtract the mean for the standard deviation":
                lambda o: (o.mean(), o.square().mean().sqrt()),
            }  # fmt: skip
            for _words, _slip in _slips.items():
                assert not _is(_slip), _words
            raise AssertionError(
                f"(mean, std) is {np.round(_got, 3).tolist()}, not what the activation layers put out"
            )
    _kinds = (nn.Tanh, nn.ReLU) * 4
    _network = nn.Sequential(nn.Flatten(), nn.Linear(784, 9), *(kind() for kind in _kinds))
    _images = torch.randn(100, 1, 28, 28, generator=_random)
    _got = activation_statistics(_network, _images)
    assert len(_got) == 8, (
        f"{len(_got)} pairs for a network with 4 Tanh and 4 ReLU layers: it must be 8"
    )
    _left = lk.probes.hooks_left(_network)
    assert _left == 0, f"hooks left behind: {_left}; call handle.remove() for each"
    with torch.no_grad():
        _outputs = [_network[:n](_images) for n in range(3, 11)]
    _true = [[float(o.mean()), float(o.std())] for o in _outputs]
    assert np.allclose([[float(v) for v in pair] for pair in _got], _true, rtol=3e-3, atol=3e-4), (
        "for a network in which Tanh and ReLU alternate the pairs are others: in the order of the "
        "layers, of all images?"
    )


# %% [markdown]
# Your function at work on 512 training images. For ReLU, the dotted line is your prediction: the
# root of `relu_mean_squares` (which counts the mean, too).

# %%
batch = next(iter(mnist.train.loader(512, normalize=(mean, std))))
images, labels = (part.cpu() for part in batch)  # where these networks are
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
# Now mean and standard deviation apart, all four methods on the same axes. (The axis of the standard
# deviation is logarithmic down to $10^{-5}$ and straight from there to 0, so that zero has a place.)

# %%
figure, axes = lk.figures.new_figure(2, 2, 5.0, mnist.origin, sharex=True, sharey="row")
for column, activation in zip(axes.T, ACTIVATIONS, strict=True):
    for number, method in enumerate(METHODS):
        statistics = np.array(activation_statistics(make_network(method, activation), images))
        for ax, values in zip(column, statistics.T, strict=True):
            style = {"marker": "os^D"[number], "color": COLOURS[number], "label": method}
            ax.plot(range(1, 6), values, **style)
    column[0].set_title(f"{activation}, before training")
    column[1].set(xlabel="hidden layer", xticks=range(1, 6))
    column[1].set_yscale("symlog", linthresh=1e-5)
axes[0, 0].set_ylabel("mean of the activations")
axes[1, 0].set_ylabel("standard deviation")
axes[0, 0].legend(fontsize=8)
for ax in axes.flat:
    ax.grid(alpha=0.3)
figure

# %% [markdown]
# **Look for yourself:** with tanh, is Xavier level? Is He? And why are the means of the two
# activations so different?
#
# <details><summary>Answer</summary>
#
# Neither is exactly level, and He falls *less* than Xavier, although Xavier's rule is the one "for
# tanh". Xavier keeps $z$ as large as $a$ was, but then comes tanh, and $|\tanh z| < |z|$: each layer
# shrinks what it gets (typically from about 0.67 in the first layer to 0.33 in the fifth). The
# derivation of Xavier's rule treats tanh as the identity, which it is only for small $z$. He's
# variance is larger, so $z$ is amplified first; amplifying and shrinking come to a balance, here
# near 0.57. No factor is level both ways for tanh: a larger one helps forward, and lets the gradients
# grow.
#
# The means: tanh is odd, so positive and negative outputs cancel. ReLU's outputs are never negative,
# so their mean is positive as long as anything arrives.
# </details>
#
# With *these* four methods nothing explodes. You will often read that one of them does, or that
# large and small are the other way round: measure. One that is really too large comes below.

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
# And the gradient of a weight is the product of what arrives from behind and what came in from the
# front:
#
# $$\frac{\partial \ell}{\partial W^{(l)}} = \left(\phi'\bigl(z^{(l)}\bigr) \odot
# \frac{\partial \ell}{\partial a^{(l)}}\right) {a^{(l-1)}}^{\top}.$$
#
# If either factor is tiny, plain gradient descent does not move the weight.
#
# A **backward hook** is called when the gradient passes a layer, with two tuples:
#
# $$\text{input } a \;\longrightarrow\; \boxed{\text{layer}} \;\longrightarrow\;
# \text{output } y \qquad\qquad
# \underbrace{\partial \ell/\partial a}_{\texttt{grad\_input[0]}} \;\longleftarrow\;
# \boxed{\text{layer}} \;\longleftarrow\;
# \underbrace{\partial \ell/\partial y}_{\texttt{grad\_output[0]}}$$
#
# The gradient comes in at the layer's *output* and leaves at its *input*. An example:

# %%
layer = nn.Linear(3, 2)


def show(layer, grad_input, grad_output):
    print("at the output", tuple(grad_output[0].shape), "at the input", tuple(grad_input[0].shape))


handle = layer.register_full_backward_hook(show)
layer(torch.ones(5, 3, requires_grad=True)).sum().backward()
handle.remove()

# %% [markdown]
# ### Exercise 3.4: gradient sizes by backward hooks
#
# Write `gradient_norms(network, images, labels)`: the norm (root of the sum of squares, over all
# images and units) of the gradient of the cross-entropy loss with respect to the **output** of each
# activation layer, from the input to the output, as a list of numbers. Leave the network as you
# found it: no hook, the same weights, and no gradient left in a parameter.
#
# <details><summary>Hint 1: the idea</summary>
#
# As in 3.3, with a backward hook and a loss that is sent backward. In which order do the layers
# speak now? And what else does `backward()` leave behind?
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `layer.register_full_backward_hook(function)`, `nn.functional.cross_entropy(logits, labels)`,
# `tensor.norm()`, `network.zero_grad()`.
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
# The gradient with respect to an activation's output is what the layer above has sent back:
# `grad_output[0]`. `grad_input[0]` has already been multiplied by the slope $\phi'$.
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
        if _kind is nn.ReLU:  # a gradient that grows going back, where the other one shrinks
            _network[3].weight.data *= 9
        _kept = [p.detach().clone() for p in _network.parameters()]
        _leaves, _inputs, _x = [], [], _images
        for _layer in _network:
            if isinstance(_layer, _kind):
                _inputs.append(_x)
            _x = _layer(_x)
            if isinstance(_layer, _kind):
                _leaves.append(_x)
        _asked = [*_leaves, *_inputs, _network[1].weight, _network[3].weight]
        _loss = nn.functional.cross_entropy(_x, _labels)
        _all = torch.autograd.grad(_loss, _asked, retain_graph=True)
        _gradients, _entering, _weights = _all[:2], _all[2:4], _all[4:]
        try:
            _answer = lk.judge.call(gradient_norms, _network, _images, _labels)
        except (RuntimeError, TypeError) as _error:
            _text = str(_error)  # of a hook that returns a number PyTorch says that it has no len()
            assert "len()" not in _text and ("hook" not in _text or "return" not in _text), (
                "a hook returns something, and that would replace the gradient: return nothing"
            )
            raise
        _left = lk.probes.hooks_left(_network)
        assert _left == 0, f"hooks left behind: {_left}; call handle.remove() for each"
        _same = [torch.equal(p, k) for p, k in zip(_network.parameters(), _kept, strict=True)]
        assert all(_same), "the weights changed: no optimiser step here"
        assert _network.training and all(p.requires_grad for p in _network.parameters()), (
            "leave the network as you found it: in training mode, its parameters with requires_grad"
        )
        assert hasattr(_answer, "__len__"), (
            "give a list: list(…) makes one of what comes one by one"
        )
        assert len(_answer) != 0, (
            f"the list is empty for a network of {_kind.__name__} layers: does a hook watch them, "
            "and was the loss sent backward?"
        )
        assert all(np.prod(np.shape(v)) == 1 for v in _answer), (
            "one number for each layer: the norm over all images and units"
        )
        _got = np.array([float(v) for v in _answer])
        assert len(_got) not in (3, 6), "only the activation layers: 2 in this network"
        assert len(_got) == 2, f"{len(_got)} numbers for a network with 2 activation layers"

        def _is(function, gradients=_gradients, got=_got):
            return np.allclose(got, [float(function(g)) for g in gradients], rtol=1e-3, atol=0)

        _other = nn.functional.cross_entropy(_x.softmax(1), _labels)
        _tensors = {
            "this is the gradient at the layer's input (grad_input); grad_output is at its output":
            _entering,
            "these are the gradients of the weights; the activations' are asked": _weights,
            "this is the norm of the outputs themselves: a backward hook sees their gradients":
            _leaves,
            "cross_entropy takes the logits as they are, without a softmax":
            torch.autograd.grad(_other, _leaves, retain_graph=True),
            "the gradient of the cross-entropy loss is asked, not of the sum of the logits":
            torch.autograd.grad(_x.sum(), _leaves, retain_graph=True),
            "a hook returns grad_output, and that replaces the gradient: return nothing":
            [_gradients[1] @ _network[3].weight, _gradients[1]],
        }  # fmt: skip
        assert not _is(torch.norm, _gradients[::-1]), (
            "the order: backward hooks run from the last layer to the first, turn the list round"
        )
        for _words, _those in _tensors.items():
            assert not (_is(torch.norm, _those) or _is(torch.norm, _those[::-1])), _words
        _slips = {
            "these are squared norms: take the root": lambda g: g.norm() ** 2,
            "the loss is a mean over the batch": lambda g: 32 * g.norm(),
            "the norm: the root of the sum of squares, not absolute values": lambda g: (
                g.abs().mean()),
            "the norm is a root of squares, no sum of absolute values": lambda g: g.abs().sum(),
            "the root of the sum of squares, not of their mean": lambda g: g.std(),
            "the root of the sum, not of the mean, of the squares": lambda g: (
                g.square().mean().sqrt()),
            "one norm over all images together, not the mean of each image's norm": lambda g: (
                g.norm(dim=1).mean()),
            "one norm over all units together, not the mean of each unit's norm": lambda g: (
                g.norm(dim=0).mean()),
            "over all images, not only the first": lambda g: g[0].norm(),
            "the norm, not the largest entry": lambda g: g.abs().max(),
        }  # fmt: skip
        for _words, _slip in _slips.items():
            assert not _is(_slip), _words
        assert _is(torch.norm), (
            f"{_got.round(4)}, not {[round(float(g.norm()), 4) for g in _gradients]}: is it the norm "
            "of the loss's gradient at each activation's output?"
        )
        assert all(p.grad is None or not p.grad.any() for p in _network.parameters()), (
            "gradients are left in the network: a training would begin with them; zero_grad()"
        )
    _kinds = (nn.Tanh, nn.ReLU) * 4
    _network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), *(kind() for kind in _kinds))
    _images, _labels = _images[:20], _labels[:20]
    _got = gradient_norms(_network, _images, _labels)
    assert len(_got) == 8, (
        f"{len(_got)} numbers for a network with 4 Tanh and 4 ReLU layers: it must be 8"
    )
    _outputs = [_network[:3](_images)]
    for _layer in _network[3:]:
        _outputs.append(_layer(_outputs[-1]))
    _loss = nn.functional.cross_entropy(_outputs[-1], _labels)
    _true = [float(g.norm()) for g in torch.autograd.grad(_loss, _outputs)]
    assert np.allclose([float(v) for v in _got], _true, rtol=1e-3, atol=0), (
        "for 20 images and a network in which Tanh and ReLU alternate the norms are others: in the "
        "order of the layers, of a loss that is the mean of however many images there are?"
    )


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
# <details><summary>Hint 1: the idea</summary>
#
# Comparing a tensor gives booleans; the mean of booleans (as floats) is a share. For the second, ask
# each unit first: over which axis are the images?
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `.abs()`, `.all(dim=…)`, `.float().mean()`.
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
    _got = lk.judge.read_array(share_saturated(_outputs), (), "share_saturated")
    _slips = {
        "−0.99 is saturated as well: use the absolute value": 1 / 8,
        "this is a count: divide by the number of outputs": 3,
        "divide by the number of outputs, not of images": 3 / 2,
        "a share lies between 0 and 1: no per cent": 37.5,
        "this is the share that is not saturated": 5 / 8,
        "the share of all single outputs, not of whole units: no all()": 1 / 4,
        "the share of all single outputs, not of whole units: no any()": 1 / 2,
    }
    lk.judge.compare(_got, 3 / 8, _slips, f"share_saturated: 3 of 8, not {_got:.3f}", 1e-6)
    assert (_outputs < 0).any(), "share_saturated changes the outputs it is given: abs, not abs_"
    assert abs(float(share_saturated(_outputs, 0.4)) - 5 / 8) < 1e-6, "limit is not used"
    _low = torch.tensor([[-0.6, 0.7, -0.2, 0.1]])
    assert abs(float(share_saturated(_low, 0.5)) - 2 / 4) < 1e-6, (
        "limit counts on the negative side as well"
    )
    for _sign in (1, -1):
        assert abs(float(share_saturated(_sign * _outputs, 0.5)) - 4 / 8) < 1e-6, (
            "an output of exactly `limit` is not saturated, nor one of −limit: > limit"
        )
    _outputs = torch.tensor(
        [[0.0, 1.0, 0.0, 0.0, 0.2], [0.0, 0.0, 0.0, 3.0, 0.1], [0.0, 0.0, 0.0, 0.0, 4.0],
         [0.0, 0.0, 0.0, 0.0, 4.0], [0.0, 0.0, 1e-4, 0.0, 4.0], [0.0, 0.0, 0.0, 0.0, 4.0]]
    )  # fmt: skip
    _got = lk.judge.read_array(share_dead(_outputs), (), "share_dead")
    _slips = {
        "a dead unit is 0 for every image: count units": float((_outputs == 0).float().mean()),
        "a count, or all units? One of five is dead, a share of 0.2": 1,
        "over which axis? One of the five units is dead": 0,
        "divide by the number of units, not of images": 1 / 6,
        "1e-4 is small, but it is not 0: that unit is alive": 2 / 5,
        "a unit that is 0 for some image is not dead; or is this the share that is alive?": 4 / 5,
        "a share lies between 0 and 1: no per cent": 20,
    }
    lk.judge.compare(_got, 1 / 5, _slips, f"share_dead: 1 of 5 units, not {_got:.3f}", 1e-6)
    assert float(share_dead(torch.tensor([[0.3, 1.0], [0.3, 2.0], [0.3, 0.0]]))) == 0, (
        "a unit that always gives 0.3 is not dead: dead is 0 for every image"
    )
    assert float(share_dead(torch.tensor([[0.0, 0.0], [0.0, 1e-20]]))) == 0.5, (
        "1e-20 is tiny, but it is not 0: that unit is alive"
    )
    _outputs = torch.zeros(300, 2)
    _outputs[7, 0] = 0.5
    assert float(share_dead(_outputs)) == 0.5, (
        "a unit that is 0 for all of 300 images but one is alive"
    )

# %% [markdown]
# ### Saturation can be predicted
#
# In the first layer $z$ is a sum of 784 independent terms, so for each image it is normally
# distributed. We take one standard deviation $\sigma_z$ for all images, from your `predict_std`. An
# output is saturated when $|\tanh z| > 0.97$. **Before you run the cell:** which condition on $z$ is that,
# and what share do you expect for Xavier and for He?

# %%
edge = math.atanh(0.97)
rows = {}
for method, variance in (("xavier", 2 / (784 + 256)), ("he", 2 / 784)):
    sigma = float(predict_std(float((images**2).mean()), 784, variance))
    first_layer = make_network(method, "tanh")[:3]
    with torch.no_grad():
        measured = share_saturated(first_layer(images))
    rows[method] = {
        "σ of z": sigma,
        "predicted (%)": 200 * (1 - NormalDist().cdf(edge / sigma)),
        "measured (%)": 100 * float(measured),
    }
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# <details><summary>Answer</summary>
#
# $|z| > \operatorname{atanh}(0.97) \approx 2.09$, which a normal distribution exceeds with
# probability $2\,(1 - \Phi(2.09/\sigma_z))$. Compare the two columns. They may differ by about a point,
# because 256 units are a small sample: another draw of the weights gives another share. (In 180 draws
# Xavier had 7.0 to 9.5 %, on average 8.3 %.)
# </details>

# %% [markdown]
# ## All of it at once
#
# `lk.probes.Probe` does what you have written, for all layers, and removes its hooks by itself. We
# look at all eight networks **before training**.


# %%
def probe(network):
    """The statistics of each activation layer for 512 images and their loss."""
    with lk.probes.Probe(network.cpu()) as probe:
        nn.functional.cross_entropy(network(images), labels).backward()
    network.zero_grad()
    return probe.to_frame()


tables = {a: {m: probe(make_network(m, a)) for m in METHODS} for a in ACTIVATIONS}
lk.figures.layer_statistics(tables["tanh"], "tanh, before training", mnist.origin)

# %%
lk.figures.layer_statistics(tables["ReLU"], "ReLU, before training", mnist.origin)

# %% [markdown]
# The numbers behind the three rows of both figures, for the first and the fifth hidden layer:

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
# - **xavier, he**: both arrive. Compare how level they are, forward and backward, for each
#   activation.
#
# <details><summary>Answer</summary>
#
# ReLU: He is level both ways; Xavier loses a factor of about $\sqrt2$ a layer both ways. tanh: Xavier
# shrinks forward (tanh shrinks what it gets) and backward; He is nearly level both ways in five
# layers. "Xavier for tanh" is a good start, not a law.
# </details>
#
# ## Too large, and a sigmoid
#
# Now `"large"`, standard deviation 1, with both activations, and a sigmoid network that starts from
# Xavier. **Before you run it:** one of these three explodes, one saturates, one vanishes. Which?

# %%
large = {
    "tanh, large": probe(make_network("large", "tanh")),
    "ReLU, large": probe(make_network("large", "ReLU")),
    "sigmoid, xavier": probe(make_network("xavier", "sigmoid")),
}
columns = {"std": "std of the activations", "gradient_norm": "gradient norm"}
lk.figures.depth_curves(large, columns, "before training", mnist.origin)

# %%
rows = {}
for name, table in large.items():
    activation, method = name.split(", ")
    with torch.no_grad():
        loss = nn.functional.cross_entropy(make_network(method, activation)(images), labels)
    rows[name] = {
        "saturated, layer 5 (%)": 100 * table["saturated"].iloc[-1],
        "std, layer 5": table["std"].iloc[-1],
        "gradient, layer 1": table["gradient_norm"].iloc[0],
        "gradient, layer 5": table["gradient_norm"].iloc[-1],
        "loss (ln 10 = 2.30)": float(loss),
    }
pd.DataFrame(rows).T.map("{:.2g}".format)

# %% [markdown]
# <details><summary>Answer</summary>
#
# - **ReLU, large explodes**, forward and backward: each layer multiplies the mean square by
#   $256 \cdot 1 / 2 = 128$, the signal by about 11. The loss begins in the millions, where a network
#   that knows nothing should have $\ln 10 \approx 2.3$: one look at it before training is enough.
# - **tanh, large saturates**: nine outputs of ten sit at $\pm 1$. The activations look healthy, their
#   standard deviation is level; but the slope $1 - a^2$ is nearly 0 for most units. That the gradient
#   still grows backwards is no contradiction: the few units that are not saturated pass it on through
#   weights that are far too large. Such a gradient is likely to change with every small move.
# - **sigmoid vanishes** backward: its slope is at most ¼, so each layer takes a factor of about 4
#   from the gradient. Forward nothing warns you: from the second layer on the spread is level.
# </details>
#
# And do they learn? First the exploding one, five steps by hand. Then one epoch of the other two, beside
# tanh with Xavier, three seeds each: nine trainings, up to half a minute. **While they run:** write down
# the order in which the three will end, and which number in the table above tells you so.

# %%
lk.seed_everything(42)
network = make_network("large", "ReLU").to(lk.get_device())
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
for _, (x, y) in zip(range(5), train, strict=False):
    loss = nn.functional.cross_entropy(network(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"loss {loss.item():.3g}")

# %%
rows = {}
for name in lk.track(("tanh, large", "tanh, xavier", "sigmoid, xavier"), "training"):
    activation, method = name.split(", ")
    rows[name] = {}
    for seed in range(3):
        lk.seed_everything(seed)
        network = make_network(method, activation)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        history = lk.fit(
            network, train, val, epochs=1, optimizer=optimizer, precision="fp32", progress=False
        )
        rows[name][f"seed {seed}"] = 100 * history[-1]["val_accuracy"]
print("validation accuracy (%) after 1 epoch of SGD with learning rate 0.1")
pd.DataFrame(rows).T.round(1)

# %% [markdown]
# Which of them stays at what guessing would give (about 10 %)? And was the size of the gradient the
# number that told you?
#
# <details><summary>Answer</summary>
#
# Typically the sigmoid network: its gradient at layer 1 is more than a hundred times smaller than that
# of tanh with Xavier (see the tables), and SGD moves the first layer that much less. "large" has the
# larger gradient of the two tanh networks, and still ends far below Xavier: the size of a gradient
# does not say how far one can follow it. Its first loss gave it away.
# </details>

# %% [markdown]
# ## Now train them
#
# Plain SGD, learning rate 0.1, batches of 256, 10 epochs. Eight networks take a minute or two on two
# processor cores. **Before you run it**, write down: which of the eight will learn? And which number
# of the tables above told you?
#
# The test set is used here to report each network once. Nothing is chosen by it.


# %%
def train_network(network, plot=None, epochs=EPOCHS, lr=0.1):
    """Train in place and return the history."""
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    return lk.fit(
        network, train, val, epochs=epochs, optimizer=optimizer, precision="fp32",
        callbacks=[plot] if plot else [], progress=False,
    )  # fmt: skip


results, networks, histories = {}, {}, {}


def train_all(activation):
    """Train the four methods, in one live plot."""
    plot = lk.LivePlot(mnist.classes)
    for method in METHODS:
        lk.seed_everything(42)
        network = make_network(method, activation)
        histories[activation, method] = train_network(network, plot.run(method))
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
# <details><summary>Answer</summary>
#
# The four with Xavier and He. The gradient of layer 1 told it: where it is 0, or thousands of times
# smaller than Xavier's, the first layer cannot move.
# </details>
#
# Do Xavier and He lie apart? One run each cannot say. On a log axis one sees more of the curves:

# %%
figure, axes = lk.figures.new_figure(1, 2, 3.0, mnist.origin, sharey=True)
for ax, activation in zip(axes[0], ACTIVATIONS, strict=True):
    for number, method in enumerate(METHODS):
        losses = [epoch["train_loss"] for epoch in histories[activation, method]]
        style = {"marker": "os^D"[number], "color": COLOURS[number], "label": method}
        ax.plot(range(1, len(losses) + 1), losses, **style)
    ax.set(title=activation, xlabel="epoch", yscale="log")
    ax.grid(alpha=0.3)
axes[0, 0].set_ylabel("training loss (log scale)")
axes[0, 1].legend(fontsize=8)
figure

# %% [markdown]
# The two flat lines lie on each other, near $\ln 10 \approx 2.3$: zero and small.
#
# ## Why zero and small stay where they are
#
# A network that always says the same digit is right as often as that digit occurs. Which digit do the
# networks say that predict one class only?

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
# <details><summary>Answer</summary>
#
# The most frequent one. In MNIST's test set that is the 1, 11.35 % of the digits: the accuracy of those
# networks in the table.
# </details>
#
# What has changed in the weights at all? Here is how far each layer's weights have moved, relative
# to where a network with the same seed begins (for zero: the absolute length).

# %%
rows = {}
for (activation, method), network in networks.items():
    lk.seed_everything(42)
    begin = [p.detach() for p in make_network(method, activation).parameters() if p.ndim == 2]
    now = [p.detach().cpu() for p in network.parameters() if p.ndim == 2]
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
# Zero weights have a second fault: **symmetry**. Units with equal weights, in and out, have equal
# gradients and stay equal for ever. Even if a signal came through, 256 units would be one. Random
# numbers break that.

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
# If more than one fits, the first in the list counts. (No colleague sends you one that vanishes one
# way and explodes the other.)
#
# <details><summary>Hint 1: the idea</summary>
#
# The activations flow from the first layer to the last. And the gradients? Write both changes as
# "what comes out at the end of the way, divided by what goes in".
# </details>
#
# <details><summary>Hint 2: how to go on</summary>
#
# Ask for zero first, so that nothing is divided by 0. Then the smaller of the two changes, then the
# larger one. `stds[-1]` is the last layer.
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
# Vanishing and exploding are about *change with depth*, each in its own direction of travel. For
# plain SGD, a network whose gradients are small but level can be mended by a larger learning rate;
# one whose gradients fall by a factor in each layer hardly can, because no single learning rate fits
# all layers. For Adam, which divides each gradient by its own size, that is another question: see
# below.
#
# The limit of 100 is a convention, and it does not ask how deep the network is: a factor of 0.75 a
# layer is harmless in five layers ($0.75^4 = 0.32$ from the first to the last) and "vanishing" in
# twenty ($0.75^{19} = 0.004$). It is a warning, not a verdict.
# </details>

# %%
with lk.check("3.6", "diagnose"):
    _level = [0.1, 0.1, 0.1]
    _cases = [
        (([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]), "zero", "all activations 0"),
        (([0.0, 0.0, 0.0], _level, 0.9, 0.9), "zero", "all activations 0, whatever else there is"),
        (([0.5, 0.01, 1e-4], [1e-5, 1e-3, 1e-1]), "vanishing", "both shrink"),
        (([0.5, 0.4, 0.3], [1e-6, 1e-3, 1e-1]), "vanishing", "the gradient shrinks going back"),
        (([0.5, 0.01, 1e-4], _level), "vanishing", "only the activations shrink"),
        (([0.5, 20, 900.0], [0.3, 0.2, 0.1]), "exploding", "the activations grow"),
        (([0.5, 0.5, 0.6], [50.0, 3.0, 0.1]), "exploding", "the gradient grows going back"),
        (([0.9, 0.9, 0.9], _level, 0.8, 0.0), "saturated", "80 % saturated"),
        (([0.9, 0.9, 0.9], _level, 0.0, 0.7), "dead", "70 % of the units dead"),
        (([0.6, 0.5, 0.5], [0.2, 0.1, 0.1], 0.1, 0.1), "healthy", "level and alive"),
        (([1e-3, 1e-3, 1e-3], [1e-5, 1e-5, 1e-5]), "healthy", "small, but level: not vanishing"),
        (([300.0] * 3, [40.0] * 3), "healthy", "large, but level: not exploding"),
        (([0.5, 0.2, 0.01], _level), "healthy", "a factor of 50 is not more than 100"),
        (([0.01, 0.2, 0.5], _level), "healthy", "a factor of 50 is not more than 100"),
        (([0.5] * 3, [0.002, 0.01, 0.1]), "healthy", "a factor of 50 going back"),
        (([0.5, 0.1, 0.02], [0.01, 0.1, 0.2]), "healthy", "factors of 25 and 20, each by itself"),
        (([0.9, 0.9, 0.9], _level, 0.4, 0.45), "healthy", "not more than half saturated or dead"),
        (([0.5, 99.0, 0.4], _level), "healthy", "only the first and the last layer count"),
        (([0.5, 0.01, 2e-3], _level, 0.9, 0.9), "vanishing", "shrinks and saturates"),
        (([0.9, 0.9, 0.9], _level, 0.6, 0.7), "saturated", "saturated and dead"),
        (([0.9] * 5, [0.1, 0.3, 1.0, 3.0, 30.0]), "vanishing", "the gradient shrinks going back"),
        (([0.5, 0.1, 0.0], _level), "vanishing", "the last layer is 0, but not all are"),
        (([1e-12, 1e-12, 1e-12], _level), "healthy", "tiny, but level, and not exactly 0"),
        (([0.5, 0.001, 0.5], _level), "healthy", "only the first and the last layer count"),
        ((_level, [0.1, 50.0, 0.1]), "healthy", "only the first and the last layer count"),
        ((_level, [0.1, 0.0005, 0.1]), "healthy", "only the first and the last layer count"),
        (([1.0, 10.0, 100.0], _level), "healthy", "a factor of 100 is not more than 100"),
        (([100.0, 10.0, 1.0], _level), "healthy", "a factor of 100 is not more than 100"),
        ((_level, _level, 0.5, 0.5), "healthy", "half is not more than half"),
        (([0.5, 20, 900.0], _level, 0.9, 0.9), "exploding", "explodes, saturated and dead"),
        ((_level, [50.0, 3.0, 0.1], 0.9, 0.9), "exploding", "the gradient grows going back, dead"),
        (([0.5, 0.4, 0.3], [0.0, 0.1, 0.1]), "vanishing", "no gradient reaches the first layer"),
        ((_level, _level, 0.2, 0.7), "dead", "70 % of the units dead, 20 % saturated"),
        ((_level, _level, 0.51), "saturated", "51 % saturated"),
        ((_level, _level, 0.0, 0.51), "dead", "51 % of the units dead"),
        (([1.0, 1.0, 110.0], _level), "exploding", "a factor of 110"),
        (([110.0, 1.0, 1.0], _level), "vanishing", "a factor of 110"),
        ((_level, [110.0, 1.0, 1.0]), "exploding", "a factor of 110 going back"),
        ((_level, [1.0, 1.0, 110.0]), "vanishing", "a factor of 110 going back"),
        ((_level, [100.0, 1.0, 1.0]), "healthy", "a factor of 100 going back"),
        ((_level, [1.0, 1.0, 100.0]), "healthy", "a factor of 100 going back"),
        (([0.0] * 5, [0.0] * 5), "zero", "all activations of five layers 0"),
    ]
    for _arguments, _true, _what in _cases:
        _stds, _gradients, *_shares = _arguments
        _lists = list(_stds), list(_gradients)
        try:
            _got = diagnose(*_lists, *_shares)
        except ZeroDivisionError:
            raise AssertionError(
                f"{_what}: diagnose divides by 0, with stds {_stds} and gradients {_gradients}"
            ) from None
        assert _lists == (_stds, _gradients), "diagnose changes the lists that it is given"
        assert _got is not None, "diagnose gives None: is `return` missing in a branch?"
        _swapped = {"vanishing": "exploding", "exploding": "vanishing"}.get(_true)
        assert "back" not in _what or _got != _swapped, (
            f"{_what}: gradients travel from the last layer to the first"
        )
        assert str(_got).strip().lower() == _true, f"{_what}: {_true}, not {_got}"
    _got = diagnose(stds=[0.9] * 2, gradients=[0.1] * 2, saturated=0.1, dead=0.7)
    assert str(_got).strip().lower() == "dead", "keep the names stds, gradients, saturated and dead"

# %% [markdown]
# Your diagnosis of the eight networks, beside what the training made of them, and of the three that were
# too large or had a sigmoid:


# %%
def diagnose_table(table):
    shares = table[["saturated", "dead"]].fillna(0).mean()
    return diagnose(table["std"].tolist(), table["gradient_norm"].tolist(), *shares)


rows = {}
for activation, by_method in tables.items():
    for method, table in by_method.items():
        rows[f"{activation}, {method}"] = {
            "before training": diagnose_table(table),
            "test accuracy (%)": f"{100 * results[activation, method].accuracy:.2f}",
        }
for name, table in large.items():
    rows[name] = {"before training": diagnose_table(table), "test accuracy (%)": "see above"}
pd.DataFrame(rows).T

# %% [markdown]
# ## After training
#
# And the same look into the trained networks. Which layers of the tanh networks saturate more than
# before? Have ReLU units died? (The numbers before training are in the first two figures.)

# %%
after = {f"{a}, {m}": probe(networks[a, m]) for a in ACTIVATIONS for m in ("xavier", "he")}
lk.figures.layer_statistics(after, f"after {EPOCHS} epochs", mnist.origin)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Above all the first one: typically from about a tenth of its outputs to a quarter (in a short run to
# less). The dead ReLU units remain a few per cent at most: what dies in this lab dies with depth, as the
# next section shows, not in training.
# </details>
#
# ## Deeper: 20 layers
#
# Five layers forgive a lot. A factor of 0.7 a layer is $0.7^5 = 0.17$ after five, but
# $0.7^{20} = 0.0008$ after twenty. Look also at the dead units under He in the deepest layers: where
# do they come from, before any training? Choose method, activation and depth, and see. (Where there are
# no menus, you see He, ReLU, 20 layers.)


# %%
def draw(method="he", activation="ReLU", depth=20):
    lk.seed_everything(0)
    table = probe(make_network(method, activation, depth))
    name = f"{method}, {activation}, {depth} layers"
    return lk.figures.layer_statistics({name: table}, "before training", mnist.origin)


METHOD_MENU = ["he", "xavier", "small", "large"]
lk.explore(draw, method=METHOD_MENU, activation=["ReLU", "tanh"], depth=[20, 5, 2])

# %% [markdown]
# <details><summary>Answer</summary>
#
# ReLU's outputs are never negative, so the activations of two different images point in similar
# directions, and more so with each layer. The cell below measures it. Where all images look alike, a
# unit that is 0 for one of them is 0 for all.
# </details>

# %%
lk.seed_everything(0)
signal, cosines = images, []
with torch.no_grad():
    for layer in make_network("he", "ReLU", 20):
        signal = layer(signal)
        if isinstance(layer, nn.ReLU):
            rows = nn.functional.normalize(signal, dim=1)
            cosines.append(float((rows @ rows.T).mean()))
for number in (1, 5, 10, 20):
    print(f"layer {number:2}: mean cosine between two images {cosines[number - 1]:.2f}")

# %% [markdown]
# The same, side by side as curves, with and without **batch normalisation**. For each unit it subtracts
# the batch's mean of $z$ and divides by the batch's standard deviation, whatever the weights are. (A
# learnt scale and shift follow, at first 1 and 0: lab 04.)

# %%
deep = {}
for name, method, norm in (
    ("small", "small", False), ("xavier", "xavier", False), ("he", "he", False),
    ("small + batch norm", "small", True), ("he + batch norm", "he", True),
):  # fmt: skip
    lk.seed_everything(0)
    deep[name] = probe(make_network(method, "ReLU", 20, norm))
lk.figures.depth_curves(deep, columns, "ReLU, 20 hidden layers, before training", mnist.origin)

# %% [markdown]
# Look at the two curves with batch normalisation: forward (left) they are level, whatever the
# weights' scale was. And backward (right)? Work out the factor per layer before you open the answer.

# %%
rows = {}
for name, table in deep.items():
    gradients = table["gradient_norm"]
    change = gradients.iloc[0] / gradients.iloc[-1]
    rows[name] = {
        "gradient, layer 1": gradients.iloc[0],
        "gradient, layer 20": gradients.iloc[-1],
        "change backwards": change,
        "factor per layer": change ** (1 / (len(gradients) - 1)),
        "diagnose says": diagnose(table["std"].tolist(), gradients.tolist()),
    }
pd.DataFrame(rows).T.map(lambda v: v if isinstance(v, str) else f"{v:.3g}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# With batch normalisation the gradients **grow** backwards, typically by a factor of about 1.2 a
# layer, which is more than 30 over 20 layers. `diagnose` calls that healthy, because its limit of
# 100 does not know the depth; at 40 layers the same factor per layer would be "exploding". A factor
# per layer, compared with 1, says more than the change from end to end. Batch normalisation repairs
# the scale of the signal, not everything.
# </details>
#
# Does it help to learn? Twenty layers, one epoch, three seeds each: fifteen trainings, one to two
# minutes. **While they run:** which of the five do you expect to be better than guessing after one
# epoch? `diagnose` has an opinion on each; will it be right?

# %%
deep_results = {name: {} for name in deep}
settings = [(name, seed) for name in deep for seed in range(3)]
for name, seed in lk.track(settings, "training"):
    lk.seed_everything(seed)
    network = make_network(name.split(" + ")[0], "ReLU", 20, "batch norm" in name)
    history = train_network(network, epochs=1, lr=0.05)
    deep_results[name][f"seed {seed}"] = 100 * history[-1]["val_accuracy"]
print("validation accuracy (%) after 1 epoch of SGD with learning rate 0.05, 20 layers of ReLU")
pd.DataFrame(deep_results).T.round(1)

# %% [markdown]
# Compare rows only where the difference is larger than the spread between the seeds.
#
# - small with and without batch normalisation: the same weights, learning or not?
# - He with and without: what does batch normalisation add where the scale was right already?
# - Xavier: `diagnose` says "vanishing". Does it move at all?
#
# <details><summary>Answer</summary>
#
# Small stays with one digit without batch normalisation, and learns with it: the same weights, but their
# scale no longer counts. He learns either way; with batch normalisation it tends to be further after one
# epoch. Do not be surprised if "small" is the better start of the two *with* it: behind a batch
# normalisation only the direction of a unit's weights matters, and at the same learning rate short
# weights turn faster. Xavier is slow: after one epoch it is beyond guessing (16 to 25 % in our three runs)
# and far behind. A diagnosis is a warning, not a verdict.
# </details>
#
# ## Adam and the small weights
#
# SGD's step is the learning rate times the gradient, so tiny gradients make tiny steps. Lab 00 showed
# that Adam divides each gradient by its own size. **Before you run the cell** (six trainings, half a
# minute or more): will Adam save the small initialisation with 5 layers? With 20? Find the gradient
# of layer 1 in the tables above for each depth (norms over all images and units: a single one is far
# smaller), and set it against Adam's $\varepsilon = 10^{-8}$.

# %%
rows = {}
settings = [(depth, seed) for depth in (5, 20) for seed in range(3)]
for depth, seed in lk.track(settings, "training"):
    lk.seed_everything(seed)
    network = make_network("small", "ReLU", depth)
    row = rows.setdefault(f"small, {depth} layers, Adam", {})
    row["gradient, layer 1"] = f"{probe(network)['gradient_norm'].iloc[0]:.1e}"
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    history = lk.fit(
        network, train, val, epochs=1, optimizer=optimizer, precision="fp32", progress=False
    )
    row[f"accuracy (%), seed {seed}"] = round(100 * history[-1]["val_accuracy"], 1)
pd.DataFrame(rows).T

# %% [markdown]
# <details><summary>Answer</summary>
#
# Adam's step is the learning rate times $\hat m / (\sqrt{\hat v} + \varepsilon)$. Where the
# gradient of a weight is far above $\varepsilon$, its size cancels and the step is about the
# learning rate, however small the gradient. Where it is far below, $\varepsilon$ is all that stands
# in the denominator, and the step is the learning rate times $g/\varepsilon$: nothing. With 5
# layers the single gradients at layer 1 are small but not lost; with 20 layers they are below
# $10^{-20}$. Vanishing is a matter for SGD first, and for Adam once the gradient falls under its
# $\varepsilon$.
# </details>

# %% [markdown]
# ## Orthogonal weights
#
# A matrix $Q$ with $Q^\top Q = I$ changes no length: $\lVert Q a \rVert = \lVert a \rVert$, exactly,
# not only on average. Twenty such layers without an activation turn a signal, but keep its length.

# %% [markdown]
# ### Exercise 3.7: orthogonal weights
#
# Write `orthogonal(size, gain=1.0)`: a random square matrix $W$ with
# $W^\top W = \text{gain}^2 \cdot I$.
#
# <details><summary>Hint 1: the idea</summary>
#
# Begin with a random normal matrix and make its columns orthogonal to each other and of length 1:
# Gram and Schmidt did that by hand. How does a factor in front of $W$ appear in $W^\top W$?
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `torch.linalg.qr(m)` returns two matrices, `Q` and `R`, with $m = QR$.
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

    def _draw(*arguments):
        try:
            w = lk.judge.call(orthogonal, *arguments)
        except (TypeError, ValueError) as _error:
            assert not any(word in str(_error) for word in ("sequence", "unpack")), (
                "take apart what you get: q, r = torch.linalg.qr(…); an svd gives three"
            )
            assert "argument: 'gain'" not in str(_error), "keep gain=1.0 in the first line"
            raise
        assert not isinstance(w, tuple), "qr gives two matrices: return only the first"
        return torch.as_tensor(lk.judge.as_array(w))

    for _size, _gain in ((5, 1.0), (40, 2.0)):
        _w = _draw(_size, _gain)
        assert tuple(_w.shape) == (_size, _size), f"the shape is {tuple(_w.shape)}, not square"
        _product, _eye = _w.T @ _w, np.eye(_size)
        _lengths = _product.diagonal()
        assert (_w - _w.diagonal().diag()).abs().max() > 1e-3, (
            "W is diagonal, like I: it must be random and mix the units"
        )
        assert not torch.allclose(_w, _w.triu(), atol=1e-6), (
            "this is R, the triangular one: Q is the orthogonal matrix"
        )
        assert torch.allclose(_product, _lengths.diag(), atol=1e-4), (
            "WᵀW is not diagonal: the columns are not orthogonal"
            + ("" if _lengths.std() > 1e-3 else " (dividing each by its length is not enough)")
        )
        _slips = {
            "the gain is missing": _eye,
            "the gain multiplies W, so that WᵀW has gain²": _gain * _eye,
            "the gain multiplies W once: here WᵀW has gain to the power of 4": _gain**4 * _eye,
        }
        _words = "WᵀW must be gain² times I"
        lk.judge.compare(_product.numpy(), _gain**2 * _eye, _slips, _words, 1e-3)
        assert not torch.allclose(_w, _draw(_size, _gain)), (
            "two calls gave the same matrix: draw anew"
        )
    _w = _draw(6)
    assert torch.allclose(_w.T @ _w, torch.eye(6).double(), atol=1e-4), (
        "without a second argument the gain is 1"
    )

# %% [markdown]
# Fifty **linear** layers of 256 units, no activation: your orthogonal weights beside normal ones of
# the same scale (variance 1/256). On the left, how long the signal is, ten draws each. That looks
# harmless: a spread around 1. On the right, what happens to the *directions*: the singular values of
# the product of all 50 matrices, that is, the factors by which it stretches 256 perpendicular
# directions. **Before you run it:** what are they for the orthogonal product?

# %%
lk.seed_everything(0)
start = torch.randn(64, 256, dtype=torch.float64)
figure, axes = lk.figures.new_figure(1, 2, 3.4, "random inputs, 50 layers")
makers = {
    "normal, variance 1/256": lambda: torch.randn(256, 256, dtype=torch.float64) / 16,
    "orthogonal": lambda: torch.as_tensor(orthogonal(256)).detach().double(),
}
for (name, make), colour in zip(makers.items(), (COLOURS[5], COLOURS[0]), strict=True):
    for draw_number in range(10):
        signal, product, lengths = start, torch.eye(256, dtype=torch.float64), []
        for _ in range(50):
            weights = make()
            signal, product = signal @ weights.T, weights @ product
            lengths.append(float(signal.norm() / start.norm()))
        label = name if draw_number == 0 else None
        axes[0, 0].plot(range(1, 51), lengths, color=colour, alpha=0.7, lw=1, label=label)
    values = torch.linalg.svdvals(product)
    axes[0, 1].plot(range(1, 257), values, color=colour, lw=2, label=name)
    near = 100 * float((values > values[0] / 100).double().mean())
    print(f"{name}: largest {values[0]:.3g}, median {values.median():.3g}, "
          f"{near:.0f} % within a factor of 100 of the largest")  # fmt: skip
axes[0, 0].set(
    title="How long the signal is", xlabel="layer", ylabel="length relative to the input"
)
axes[0, 0].set_ylim(0, 2)
axes[0, 1].set(title="Singular values of the product", xlabel="number, from the largest")
axes[0, 1].set(ylabel="singular value (log scale)", yscale="log", ylim=(1e-20, 1e4))
for ax in axes[0]:
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
figure

# %% [markdown]
# <details><summary>Answer</summary>
#
# All equal to 1: a product of orthogonal matrices is orthogonal. The normal product keeps the length
# *on average* by stretching a few directions and losing the rest: whatever an input differs by in the
# lost directions cannot be seen at the output, and no gradient comes back along them.
#
# `float64` keeps about 16 digits, so values below about $10^{-16}$ of the largest are rounding
# errors: the true ones may be smaller still.
# </details>

# %% [markdown]
# ## What to take away
#
# - Weights are drawn at random so that units differ, and with a variance that keeps the signal's
#   size, forwards and backwards: $\text{fan\_in} \cdot \operatorname{Var}(w)$ of 2 for ReLU; for
#   tanh something between 1 and 2, because tanh shrinks what it gets and neither is level.
# - Too small weights make the signal vanish, exponentially with depth. Zero weights make nothing at
#   all. Too large ones explode with ReLU and saturate with tanh. A deep sigmoid network vanishes
#   backwards even where the forward signal looks well.
# - Hooks (remove them afterwards) show it before a minute of training is spent. So does the first loss
#   where something is too large: it lies far above $\ln(\text{classes})$.
# - Batch normalisation makes the forward signal independent of the weights' scale; the gradients grow
#   backwards.
# - What stops SGD need not stop Adam, until the gradients fall under its $\varepsilon$.
#
# **Write down, in two or three sentences each:**
#
# 1. A network stays at the accuracy of the most frequent class from the first epoch on. Which two
#    numbers do you look at first, and what would each tell you?
# 2. He's rule was made for ReLU, Xavier's for tanh. Do the accuracies of your eight runs prove that
#    each should be used so? What would you have to do to be sure?
# 3. tanh or ReLU? Compare how the signal, the gradient, saturated and dead units behave with depth,
#    from your figures, and say which initialisation you would use for each, and why.
# 4. Somebody sets all weights to the same value 0.1 "so that the signal comes through". What
#    happens?

# %% [markdown] tags=["solution"]
# <details><summary>Model answers</summary>
#
# 1. The standard deviation of the last activations and the gradient norm at the first layer. Zero:
#    dead or zero weights. Tiny in comparison with the other end: vanishing. If both are fine, the
#    fault is elsewhere (learning rate, labels, an optimiser for another model).
# 2. No: one run each, at one learning rate. Differences of a few tenths of a per cent lie within the
#    intervals, and the best learning rate may differ between the methods. Several seeds, and for each
#    method its own learning rate, chosen on validation data.
# 3. tanh bounds the signal, so it cannot explode forward, but it shrinks what it gets and saturates
#    when the weights are large: then the slope is near 0. ReLU passes positive values unchanged, so
#    nothing saturates and the slope is exactly 1 or 0; but it is not bounded (large weights explode),
#    its mean is not 0, and units can die. ReLU: He, level both ways by derivation. tanh: in five
#    layers He's numbers were the more level; in deep networks something between Xavier and He. The
#    accuracies alone do not decide it (question 2).
# 4. All units of a layer compute the same and get the same gradient; they stay equal for ever. The
#    layer works like a single unit, however wide it is.
# </details>

# %% [markdown]
# ## The results of this lab

# %%
for activation, method in (("tanh", "xavier"), ("tanh", "he"), ("ReLU", "xavier"), ("ReLU", "he")):
    lk.report_result(
        "test accuracy", results[activation, method], f"{activation}, {method}, {EPOCHS} epochs"
    )

# %%
lk.progress()
