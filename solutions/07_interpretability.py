# %% [markdown]
# # Lab 07 · Is it right for the right reason?
#
# **You will learn** to ask a network *where* it looked, with Grad-CAM, exact Shapley values and
# integrated gradients written by hand, and then the harder question: what is such an answer worth?
#
# **You should know** lab 02 (the training loop, confident mistakes), lab 05 (convolutions) and lab 06
# (the fine-tuned network).
#
# **Time:** about four hours. All cells together compute for about five minutes on two cores with
# fast bf16, and some minutes more where labs 02, 05 and 06 have not been run.

# %%
import copy
import itertools
import time
from math import factorial

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

import labkit as lk

FAST = lk.settings.fast()  # a quick test run of the whole lab: few images, few epochs
lk.seed_everything(42)

# %% [markdown]
# ## A network to question
#
# `DeeperCNN` is a rung of lab 05: six convolutions with batch normalisation, three linear layers.
# If lab 05 has not run on this machine, the next cell trains it, and says how long that takes.

# %%
blood = lk.load_dataset("bloodmnist", size=28)
model = lk.models.trained("DeeperCNN", blood)
_, val, test = blood.loaders(batch_size=256)
result = lk.evaluate(model, test)
model = model.cpu().eval()
result

# %% [markdown]
# Eight test images, the first of each class, with the network's answer and its probability.

# %%
prepare = model.transform  # from stored images to pixels in [-1, 1], as it was trained on
first = [int((blood.test.labels == k).nonzero()[0, 0]) for k in range(8)]
pictures, truth = blood.test.images[first], blood.test.labels[first]
images = prepare(pictures)
with torch.no_grad():
    probabilities = model(images).softmax(1)
predicted = probabilities.argmax(1)
captions = [
    f"{blood.classes[t]}; said {blood.classes[p]}, {row.max():.2f}"
    for t, p, row in zip(truth, predicted, probabilities, strict=True)
]
lk.figures.image_grid(pictures, captions, title="Why these answers?", origin=blood.origin)

# %% [markdown]
# ## Grad-CAM, by hand
#
# A convolutional layer gives maps $A_k$, one a filter, that still know *where*. How much does map
# $k$ matter for class $c$? Take the gradient of the **logit** $y_c$ with respect to the map, and
# average it over the $Z$ places of the map:
#
# $$\alpha_k^c = \frac{1}{Z} \sum_{i,j} \frac{\partial y_c}{\partial A_{k,ij}}$$
#
# Then add the maps with these weights, and keep only what speaks *for* the class:
#
# $$L^c = \mathrm{ReLU}\Big( \sum_k \alpha_k^c A_k \Big)$$
#
# Both parts need a look inside the network. A **hook** is a function that a layer calls when it is
# used. **A trap:** a hook stays until someone removes it. In a notebook, ten runs of a cell leave
# ten hooks, each of which keeps its tensors alive.

# %% [markdown]
# ### Exercise 7.1: activations and gradients
#
# Write `collect(model, layer, images, classes)`. It returns the layer's output $A$ and the
# gradient of the chosen logits with respect to it, both tensors (N, filters, h, w). Image $i$ has
# its own class `classes[i]`. No hook may remain, **also where the network raises an error**.
#
# <details><summary>Hint 1: the idea</summary>
#
# A hook sees what the layer gives: keep it, and remove the hook whatever happens. The images do not
# influence each other, so the gradient of the *sum* of the chosen logits holds each image's own
# gradient.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `handle = layer.register_forward_hook(function)` calls `function(module, inputs, output)`;
# `handle.remove()` belongs in the `finally` of a `try`. `logits[torch.arange(N), classes]` picks
# one logit an image. `torch.autograd.grad(number, tensor)[0]` gives the gradient and leaves the
# weights' `.grad` alone. `.detach()` comes after it.
# </details>


# %%
# Exercise 7.1 - activations and gradients of a layer
def collect(model, layer, images, classes):
    raise NotImplementedError("7.1: hook the layer, run the network, take the gradient")


# %%
# Solution 7.1
def collect(model, layer, images, classes):
    kept = []
    handle = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    try:
        logits = model(images)
    finally:
        handle.remove()
    chosen = logits[torch.arange(len(images)), classes].sum()
    gradients = torch.autograd.grad(chosen, kept[0])[0]
    return kept[0].detach(), gradients


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# `finally` runs whether the network returned or raised. The logit is used, not the probability:
# where the network is sure, the softmax is flat and its gradient almost zero, although the evidence
# is strong. `detach` cuts the result off from the graph, which can then be freed.
# </details>

# %%
with lk.check("7.1", "collect"):
    torch.manual_seed(0)
    _convs = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU()]
    _body = nn.Sequential(*_convs)  # the layers may stand deep inside
    _toy = nn.Sequential(_body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 5)).eval()
    _x, _k = torch.randn(3, 3, 8, 8), torch.tensor([4, 0, 2])
    _foreign = _body[3].register_forward_hook(lambda *_: None)  # somebody else's

    def _collect(layer, images, classes, net=_toy):
        """The answer, or what its usual errors mean."""
        try:
            return collect(net, layer, images, classes)
        except ValueError as error:
            if "in list" not in str(error):
                raise
            raise AssertionError(
                f"{error}: the layer may stand deep inside any network. Hook it; do not look for it"
            ) from None
        except IndexError as error:
            if "list index" in str(error):
                raise
            raise AssertionError(
                f"{error}: for N images, N = len(images), logits[torch.arange(N), classes] picks "
                "one logit each"
            ) from None
        except RuntimeError as error:
            if "require grad" not in str(error):
                raise
            raise AssertionError(
                f"{error}: the way from the activations to the logits must stay open. No detach() "
                "in the hook (it comes after the gradient), and no no_grad() around the network"
            ) from None

    _got = _collect(_body[3], _x, _k)
    assert isinstance(_got, tuple | list) and len(_got) == 2, "return activations and gradients"
    assert _got[1] is not None, (
        "the gradient is None: detach the activations only at the end, and take "
        "torch.autograd.grad(logit, activations)[0]"
    )
    assert all(isinstance(_part, torch.Tensor) for _part in _got), "both must be tensors"
    _A, _G = (_part.detach() for _part in _got)
    assert _A.shape == (3, 6, 8, 8), f"the activations are {tuple(_A.shape)}, not (3, 6, 8, 8)"
    assert _G.shape == _A.shape, f"the gradients are {tuple(_G.shape)}, not {tuple(_A.shape)}"
    _true = _body(_x).detach().requires_grad_()
    _into = _body[:3](_x).detach()
    assert not torch.allclose(_A, _into, atol=1e-5), (
        "these are the inputs of the layer, not outputs"
    )
    assert not torch.allclose(_G, _true, atol=1e-5), "swapped: the activations come first"
    assert torch.allclose(_A, _true, atol=1e-5), "these are not the outputs of this layer"
    _logits = _toy[1:](_true)
    _rows = torch.arange(3)

    def _gradient(number):
        return torch.autograd.grad(number, _true, retain_graph=True)[0]

    _right = _gradient(_logits[_rows, _k].sum())
    _others = {
        "this is the gradient of the predicted class: use `classes`": _logits.max(1).values.sum(),
        "this is the gradient of all logits: pick one an image": _logits.sum(),
        "logits[:, classes] takes all classes for each image: pick [row, class] pairs": _logits[
            :, _k
        ].sum(),
        "each image has a class of its own: `classes[i]`, not the first for all": _logits[
            :, _k[0]
        ].sum(),
        "this is the gradient of the probability: take the logit": _logits.softmax(1)[
            _rows, _k
        ].sum(),
        "this is the gradient of the log-probability: take the logit": _logits.log_softmax(1)[
            _rows, _k
        ].sum(),
        "this is the gradient of the mean over images: sum them": _logits[_rows, _k].mean(),
        "this is the gradient of the loss: take the logit": F.cross_entropy(_logits, _k),
    }
    for _message, _number in _others.items():
        assert not torch.allclose(_G, _gradient(_number), atol=1e-6), _message
    assert torch.allclose(_G, _right, atol=1e-5), "these are not the gradients of the logits"
    _hooks = lk.probes.hooks_left(_toy)  # replaced forwards, too
    assert _hooks <= 1, (
        "a hook, or a replaced forward, is still in the network: remove it in `finally`"
    )
    assert _hooks == 1, "the hooks of others are gone, too: remove your own, handle.remove()"
    _two = _collect(_body[1], _x[:2], _k[:2])
    _first = _convs[1](_convs[0](_x[:2])).detach()
    assert _two[0].shape == _two[1].shape == _first.shape, (
        f"for 2 images both must be {tuple(_first.shape)}: take N from the images"
    )
    assert torch.allclose(_two[0].detach(), _first, atol=1e-5), (
        "not the outputs of this layer for 2 of the images: use `layer`"
    )
    _foreign.remove()
    assert not _toy.training, "the network is in training mode afterwards: leave its mode alone"

    class _Broken(nn.Module):
        def forward(self, images):
            raise RuntimeError("broken on purpose")

    _net = nn.Sequential(*_convs, _Broken())
    try:
        _collect(_net[3], _x, _k, _net)
    except RuntimeError:
        _raised = True
    else:
        _raised = False
    assert _raised, "the network's error is lost: use `finally`, or raise it again"
    assert not lk.probes.hooks_left(_net), "after an error a hook remains: use `finally`"

# %% [markdown]
# ### Exercise 7.2: the map
#
# Write `cam_from(activations, gradients, size)`, with `size` = (H, W) of the images. It returns
# maps (N, H, W):
#
# 1. the weights, the weighted sum, the ReLU, as in the formulas;
# 2. normalise each map: subtract its smallest value, divide by the then largest one (plus `1e-7`);
# 3. resize bilinearly to `size`, and normalise again.
#
# <details><summary>Hint 1: the idea</summary>
#
# Each filter has one weight, the mean of its gradients over the places: average before you
# multiply. Normalising comes twice, so give it a function of its own.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `gradients.mean((2, 3), keepdim=True)` has the shape (N, filters, 1, 1). `.relu()`;
# `amin((1, 2), keepdim=True)` is the smallest value of each map, `amax` the largest.
# `F.interpolate(…, mode="bilinear")` wants four dimensions: `maps[:, None]` adds one, `[:, 0]`
# takes it away.
# </details>


# %%
# Exercise 7.2 - the map
def cam_from(activations, gradients, size):
    raise NotImplementedError("7.2: weigh, add, cut off, normalise, resize, normalise")


# %%
# Solution 7.2
def normalised(maps):
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / (maps.amax((1, 2), keepdim=True) + 1e-7)


def cam_from(activations, gradients, size):
    weights = gradients.mean((2, 3), keepdim=True)
    maps = (weights * activations).sum(1).relu()
    maps = F.interpolate(normalised(maps)[:, None], size, mode="bilinear")[:, 0]
    return normalised(maps)


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# The average over places comes *before* the product with the activations: a filter gets one weight,
# wherever it fired. Resizing between pixel centres lowers the peaks, hence the second
# normalisation. (After it the first one makes no difference, but for the 1e-7: resizing is linear. The
# library does both.) Note what normalising hides: every map ends at 1, also where hardly anything spoke
# for the class.
# </details>

# %%
with lk.check("7.2", "cam_from"):
    from pytorch_grad_cam.utils.image import scale_cam_image as _scale

    torch.manual_seed(11)  # each map has both signs
    _A, _G = torch.rand(4, 6, 5, 7), torch.randn(4, 6, 5, 7)
    _kept = _A.clone(), _G.clone()
    _got = cam_from(*_kept, (20, 26))
    assert torch.equal(_kept[0], _A) and torch.equal(_kept[1], _G), (
        "activations or gradients were changed: compute on new tensors"
    )
    assert _got is not None, "cam_from must return the maps; is `return` missing?"
    _got = lk.judge.as_array(_got)
    assert _got.shape != (4, 26, 20), "H and W are swapped: size is (H, W), cv2 wants (W, H)"
    assert _got.shape == (4, 20, 26), f"for the size (20, 26) the maps are {_got.shape}"
    _w = _G.mean((2, 3), keepdim=True)
    _sum = (_w * _A).sum(1)

    def _finish(maps):
        return _scale(_scale(maps.numpy(), (26, 20)))

    def _is(other):
        return np.allclose(_got, other, atol=1e-4)

    _peaks = _got.reshape(4, -1).max(1)
    assert np.allclose(_peaks, 1, atol=1e-3), (
        f"the largest values are {_peaks.round(2).tolist()}: normalise each map by itself, to 1, "
        "and again after resizing"
    )
    _small = torch.from_numpy(_scale(_sum.relu().numpy()))[:, None]
    _corners = F.interpolate(_small, (20, 26), mode="bilinear", align_corners=True)[:, 0]
    _cubic = F.interpolate(_small, (20, 26), mode="bicubic")[:, 0]
    _slips = {
        "negative sums are still in: where is the ReLU?": _sum,
        "this is the absolute value: ReLU sets negatives to zero": _sum.abs(),
        "average the gradients over the places first": (_G * _A).sum(1).relu(),
        "the ReLU belongs to the sum, not to the gradients": (
            _G.relu().mean((2, 3), keepdim=True) * _A
        ).sum(1),
        "the ReLU belongs to the sum, not to the weights or to each product": (_w.relu() * _A).sum(
            1
        ),
        "the maps are added without their weights": _A.sum(1),
        "one weight a filter: the mean over places, not over filters": (
            _G.mean(1, keepdim=True) * _A
        )
        .sum(1)
        .relu(),
    }
    if not _is(_finish(_sum.relu())):
        for _message, _other in _slips.items():
            assert not _is(_finish(_other)), _message
        for _other in (F.interpolate(_small, (20, 26))[:, 0], _cubic):
            assert not _is(_scale(_other.numpy())), "resize bilinearly"
        assert not _is(_scale(_corners.numpy())), (
            "leave `align_corners` at False: pixels are areas, not points"
        )
        raise AssertionError(
            "the maps are not right: check the weights, the sum, each normalisation and the order"
        )
    _one = lk.judge.as_array(cam_from(_A[:1], _G[:1], (20, 26)))
    assert _one.shape == (1, 20, 26), (
        f"of one image the maps are {_one.shape}, not (1, 20, 26): squeeze(1) takes away the axis of "
        "the filters alone"
    )
    assert np.allclose(_one[0], _got[0], atol=1e-4), "one image gives another map than among four"
    _dark = cam_from(_A.clone(), -torch.ones_like(_G), (20, 26))
    assert np.isfinite(lk.judge.as_array(_dark)).all(), (
        "a map on which nothing speaks for the class becomes 0 / 0, NaN: add 1e-7 to the divisor"
    )

# %% [markdown]
# The `grad-cam` library does the same with more options. `lk.explain.grad_cam` calls it and cleans
# up after it: the library switches the network to `eval()`, and keeps its hooks unless it is
# used in a `with` block. The two must agree.

# %%
layer = model.features[19]  # the last ReLU of the third block: maps of 7 x 7
activations, gradients = (
    torch.as_tensor(lk.judge.as_array(values, None))  # tensors, whatever yours are
    for values in collect(model, layer, images, predicted)
)
by_hand = cam_from(activations, gradients, images.shape[2:])
by_library = lk.explain.grad_cam(model, layer, images)

# %% tags=["nbval-check-output"]
difference = np.abs(lk.judge.as_array(by_hand) - by_library).max()
print("equal to 1e-5:", bool(difference < 1e-5))
print("hooks left in the network:", lk.explain.count_hooks(model))

# %% [markdown]
# ## Early and late
#
# An early layer has fine maps of simple things: edges, colours. A late layer has coarse maps
# of what distinguishes classes: 7 x 7 places after two poolings, stretched to 28 pixels.

# %%
layers = {
    "block 1: 28x28": model.features[5],
    "block 2: 14x14": model.features[12],
    "block 3: 7x7": model.features[19],
}
maps = {name: lk.explain.grad_cam(model, module, images) for name, module in layers.items()}
figure = lk.figures.overlays(
    pictures, maps, captions, title="Grad-CAM of the predicted class", origin=blood.origin
)
lk.figures.as_jpeg(figure)

# %% [markdown]
# Each map is scaled to its own largest value. Compare rows by *shape*, never by brightness.
#
# Now one image and all eight classes: what would speak for the others? A dark map means that the
# *weighted sum* of the maps is nowhere positive; single maps may still speak for the class, and be
# outweighed.

# %%
one = 1  # the row of the image among the eight
eight = images[one : one + 1].repeat(8, 1, 1, 1)
every_class = lk.explain.grad_cam(model, layer, eight, targets=torch.arange(8))
titles = [f"for {name}, {p:.2f}" for name, p in zip(blood.classes, probabilities[one], strict=True)]
lk.figures.overlays(
    pictures[one : one + 1].repeat(8, 1, 1, 1),
    {"block 3": every_class},
    titles,
    title=f"One {blood.classes[truth[one]]}, eight questions",
    origin=blood.origin,
)

# %% [markdown]
# ### When it is wrong
#
# Now mistakes: the four of which the network was most certain. What does it show for its answer, and
# what for the truth? **Before you run it:** do you expect the map to lie beside the cell?

# %%
rows = result.misclassified(n=4)  # the most confident mistakes first
taken, said, sure = result.labels[rows], result.predicted[rows], result.confidence[rows]
wrong_pictures = blood.test.images[result.indices[rows]]
wrong_images = prepare(wrong_pictures)
figure = "This network makes no mistake on these images."
if len(rows):
    figure = lk.figures.overlays(
        wrong_pictures,
        {
            "for what it said": lk.explain.grad_cam(model, layer, wrong_images, said),
            "for the truth": lk.explain.grad_cam(model, layer, wrong_images, taken),
        },
        [
            f"{blood.classes[t]}; said {blood.classes[p]}, {c:.2f}"
            for t, p, c in zip(taken, said, sure, strict=True)
        ],
        title="Grad-CAM of confident mistakes, block 3",
        origin=blood.origin,
    )
figure

# %% [markdown]
# Four pictures prove nothing. So count, for up to 100 mistakes, the most confident ones, and as many
# right answers, the first of the test set (of 100, either share is known to about ± 8 points): how often
# does the peak lie in the middle quarter of the picture, where most cells are?

# %%
wrong_rows = result.misclassified(n=100)
right_rows = np.flatnonzero(result.predicted == result.labels)[: len(wrong_rows)]
quarter = np.zeros((28, 28), bool)
quarter[7:21, 7:21] = True
for kind, rows in (("mistakes", wrong_rows), ("right answers", right_rows)):
    if len(rows) == 0:
        continue
    shown = prepare(blood.test.images[result.indices[rows]])
    maps = lk.explain.grad_cam(model, layer, shown, result.predicted[rows])
    inside = lk.explain.pointing_game(maps, np.broadcast_to(quarter, maps.shape)).mean()
    print(f"peak in the middle: {100 * inside:.0f} % of {len(rows)} {kind}")

# %% [markdown]
# <details><summary>How to read it</summary>
#
# If the two shares are alike, the map looks at the cell whether the answer is right or wrong. Then "the
# map lies on the cell" is no sign that an answer may be trusted: *where* is not *what*. If mistakes
# peak elsewhere more often, the map carries some warning; how much, the numbers say.
# </details>
#
# ### Any other network
#
# The same call explains VGG16, if you name a layer. This one has seen only a small part of the
# training images once, so look at how the code is used, not at what the network knows. **While it
# trains:** its last convolution has maps of 2 x 2. How many places can it tell apart?

# %%
few = torch.arange(128 if FAST else 1280)
lk.seed_everything(0)
vgg = lk.models.vgg16(8)
slow = torch.optim.Adam(vgg.parameters(), lr=1e-4)
few_images = blood.train.loader(64, shuffle=True, indices=few)
lk.fit(vgg, few_images, epochs=1, optimizer=slow)
on_val = lk.evaluate(vgg, val)
vgg = vgg.cpu()
print(f"VGG16 after {len(few):,} images: validation {on_val}")
lk.figures.overlays(
    pictures,
    {
        "after the 2nd pooling": lk.explain.grad_cam(vgg, vgg.features[9], images),
        "last convolution": lk.explain.grad_cam(vgg, vgg.features[29], images),
    },
    [blood.classes[t] for t in truth],
    title="VGG16, hardly trained",
    origin=blood.origin,
)

# %% [markdown]
# <details><summary>How many places?</summary>
#
# Four. The smooth shades of the lower row are drawn between four numbers, so that a map of it can say
# "left" or "below", not "on the nucleus". After the second pooling there are 8 x 8, of the 32 pixels to
# which the picture was padded: so that map lies up to two pixels off.
# </details>
#
# ## Shapley values: who earned how much?
#
# Imagine parts of a picture as players who earn the logit together. They join one after the other, and
# each new one changes what has been earned. Its change depends on who is there already. The **Shapley
# value** of a player is what it adds on average, **over all orders** in which the players may join.
#
# Say three parts, *nucleus* (a), *granules* (b) and *background* (c), earn:
#
# | who has joined | nobody | a | b | c | a, b | a, c | b, c | all |
# |---|---|---|---|---|---|---|---|---|
# | earned | 0 | 6 | 3 | 0 | 15 | 6 | 3 | 12 |
#
# In the order b, c, a the granules add 3, the background then 0, and the nucleus 12 − 3 = 9.

# %% [markdown]
# ### Exercise 7.3: exact Shapley values
#
# 1. By hand, on paper: the Shapley values of a, b and c. Write the three numbers into `by_hand`.
# 2. Write `shapley(worth)` for any small number $n$ of players. `worth` is an array (2, …, 2) with an
#    axis for each player: `worth[1, 0, 1]` is what the first and the third earn together. It returns
#    $n$ values.
#
# <details><summary>Hint 1: the idea</summary>
#
# Three players have six orders: write them below each other, with what each player adds. The code
# can do the same. Or it goes through all coalitions, and weighs each by how many orders lead to it.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `itertools.permutations` gives all orders. Quicker are all coalitions,
# `itertools.product((0, 1), repeat=n)`, with $n$ from `worth.ndim`: who joins behind $s$ others
# finds exactly this coalition in $s!\,(n - 1 - s)!$ of the $n!$ orders (`factorial`).
# `worth[coalition]` needs a tuple.
# </details>

# %%
# Exercise 7.3 - three players by hand, then any number
by_hand = ...


def shapley(worth):
    raise NotImplementedError("7.3: what does each player add, on average over all orders?")


# %%
# Solution 7.3
by_hand = [8, 5, -1]


def shapley(worth):
    n = worth.ndim
    values = np.zeros(n)
    for there in itertools.product((0, 1), repeat=n):
        share = factorial(sum(there)) * factorial(max(0, n - 1 - sum(there))) / factorial(n)
        for player in range(n):
            if not there[player]:
                joined = (*there[:player], 1, *there[player + 1 :])
                values[player] += share * (worth[joined] - worth[there])
    return values


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# The nucleus adds 6, 6, 12, 9, 6, 9 in the six orders abc, acb, bac, bca, cab, cba: 48 / 6 = 8. The
# granules 9, 6, 3, 3, 6, 3 make 5, and the background −3, 0, −3, 0, 0, 0 makes −1. Together 12, what all
# earn. The mean over the four *coalitions* that a player can join gives other numbers (8.25, 5.25, −0.75),
# which do not add up to 12: small and large coalitions come up in more orders than those between.
# </details>

# %%
with lk.check("7.3", "by_hand", "shapley"):
    _hand = by_hand
    if isinstance(by_hand, dict):
        _hand = [by_hand[_k] for _k in ("abc" if {*by_hand} == {*"abc"} else by_hand)]
    _hand = lk.judge.read_array(_hand, (3,), "by_hand")
    _slips = {
        "what each earns alone: others may be there already": [6, 3, 0],
        "what each adds as the last one: it may come earlier": [9, 6, -3],
        "this is one order only, a, b, c: average over all six": [6, 9, -3],
        "all get the same: look at what each adds": [4, 4, 4],
        "each coalition was counted once: count orders, of which there are six": [
            8.25,
            5.25,
            -0.75,
        ],
        "these are sums over six orders: divide by 6": [48, 30, -6],
        "the right numbers, for other players: the order is a, b, c": sorted([8, 5, -1]),
    }
    lk.judge.compare(_hand, np.array([8.0, 5, -1]), _slips, "by_hand is not right", 1e-2)
    for _n in (3, 2, 4, 5):  # seeds that give values of both signs
        _w = np.random.default_rng(30 + _n).normal(size=(2,) * _n).round(2) + 3
        try:
            _got = lk.judge.call(shapley, _w)
        except (KeyError, IndexError) as _error:
            raise AssertionError(
                f"{type(_error).__name__} {_error} for {_n} players: take their number, worth.ndim"
            ) from None
        _got = lk.judge.read_array(_got, (_n,), f"shapley of {_n} players")
        _gains = [np.diff(_w, axis=_p).ravel() for _p in range(_n)]
        _first = np.array([_g[0] for _g in _gains])
        _last = np.array([_g[-1] for _g in _gains])
        _path = [_w[(1,) * _p + (0,) * (_n - _p)] for _p in range(_n + 1)]
        _true = lk.explain.shapley_values(_w)
        _from_0 = _w.copy()
        _from_0[(0,) * _n] = 0
        _slips = {
            "who joins first adds its worth less that of nobody, which need not be 0": (
                lk.explain.shapley_values(_from_0)
            ),
            "the values keep their sign": np.abs(_true),
            "what a player adds as the first one only": _first,
            "what a player adds as the last one only": _last,
            "one order only: average over all": np.diff(_path),
            "each coalition counts the same here; those met in more orders count more": np.array(
                [_g.mean() for _g in _gains]
            ),
            "the sum over all orders: divide by their number": factorial(_n) * _true,
            "the sign is turned round: with the player minus without": -_true,
            "the players stand in reverse": _true[::-1],
            "the worth of the coalition with the player: subtract that without it": np.array(
                [_w.take(1, axis=_p).mean() for _p in range(_n)]
            ),
        }
        if _n == 2:  # where there are no coalitions between, that slip is right
            _slips = {_k: _v for _k, _v in _slips.items() if "more orders" not in _k}
        lk.judge.compare(_got, _true, _slips, f"not the mean over all orders of {_n} players")
    _whole = np.array([[0, 1], [2, 6]])
    _got = lk.judge.read_array(lk.judge.call(shapley, _whole), (2,), "shapley")
    assert np.allclose(_got, [3.5, 2.5]), (
        f"for {_whole.tolist()}, whole numbers, it is [3.5, 2.5], not {_got.tolist()}: zeros_like "
        "and // make whole numbers of the values"
    )

# %% [markdown]
# Four properties define the Shapley value, and no other way to share has them all: players who do the
# same earn the same (*symmetry*); who changes nothing earns nothing (*dummy*); the values of two games'
# sum are the sums of the values (*linearity*); and the values **add up** to what all earn more than
# nobody (*efficiency*; the `shap` library says *additivity*). Your function has them:

# %%
game, other = np.random.default_rng(0).normal(size=(2, 2, 2, 2))
idle, alike = np.stack([game, game], axis=-1), game + game.transpose(1, 0, 2)
games = (idle, alike, game, other, game + other)
of_idle, of_alike, one, two, both = (lk.judge.as_array(shapley(each)) for each in games)
print("a fourth player who changes nothing:", of_idle[3].round(6))
print("two players who do the same:        ", of_alike[:2].round(6))
print("linearity, a gap of:                ", np.abs(both - one - two).max().round(6))
print(
    "adding up, a gap of:                ", abs(one.sum() - game[1, 1, 1] + game[0, 0, 0]).round(6)
)

# %% [markdown]
# ### Nine players in a real picture
#
# Cut a picture into 3 x 3 squares, *super-pixels*. A square that has not joined shows that part of a
# *background* image instead; the worth of a coalition is the mean logit over 25 background images. Nine
# players have $2^9 = 512$ coalitions, so each of four pictures takes 512 · 25 = 12,800 answers.
# **Meanwhile:** which square will have the largest value, and may a square of pure background have one at
# all?

# %%
rows = torch.randperm(len(blood.train), generator=torch.Generator().manual_seed(0))[:25]
background = prepare(blood.train.images[rows])
background = background[:5] if FAST else background
chosen, chosen_said = (x[: 2 if FAST else 4] for x in (images, predicted))
worths = np.concatenate(
    [
        lk.explain.coalition_worths(model, background, chosen[n : n + 1], chosen_said[n : n + 1])
        for n in lk.track(range(len(chosen)), "all coalitions of nine squares")
    ]
)
exact = np.stack([lk.explain.shapley_values(worth) for worth in worths])  # as yours, quicker
exact = exact.reshape(-1, 3, 3)
yours = lk.judge.as_array(shapley(worths[0]))
print("yours and labkit's, first picture, equal:", np.allclose(yours, exact[0].ravel(), atol=1e-4))

# %% [markdown]
# That was nine players. A picture of 28 x 28 pixels in three colours has 2,352, and
# $2^{2352}$ coalitions. For a deep network, every method that gives values of single pixels must
# therefore **approximate**.
#
# *Deep SHAP* passes differences instead of gradients back through the network; *gradient SHAP* averages
# gradients at random points between image and background, times the difference of the two. Two
# players can be followed by hand: let $y = \mathrm{ReLU}(a + b - 1)$ with $a = 2$, $b = 1$, and 0 for
# a player who has not joined. **Before you run it:** will Deep SHAP share out as `shapley` does?

# %%
toy = nn.Sequential(nn.Flatten(), nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1))
with torch.no_grad():
    for part, weight, bias in ((toy[1], [1.0, 1.0], -1.0), (toy[3], [1.0], 0.0)):
        part.weight.copy_(torch.tensor([weight]))
        part.bias.fill_(bias)
players, nobody = torch.tensor([2.0, 1.0]).view(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
by_deep_shap = lk.explain.deep_shap(toy, nobody, players, 0).ravel()
print("exact:     a {:.2f}, b {:.2f}".format(*shapley(np.array([[0.0, 0.0], [1.0, 2.0]]))))
print("Deep SHAP: a {:.2f}, b {:.2f}".format(*by_deep_shap))

# %% [markdown]
# Both add up to 2, and they are not the same. Deep SHAP multiplies each weight by *one* slope of the
# ReLU, the mean slope between background and image, and so shares out in proportion; the exact value
# knows that $b$ alone achieves nothing.
#
# **A trap:** Deep SHAP keeps what it saw *in* each layer. A ReLU that is used twice or works in
# place overwrites that, and the answer is wrong. `lk.explain.deep_shap` works on a copy without
# in-place ReLUs, refuses a ReLU that is used twice, and checks the sums. It also refuses networks
# with *overlapping* max pooling, as SqueezeNet and ResNet-18 have: the library's rule for pooling does
# not fit them, and the sums show it. It then names the layer.

# %%
deep = lk.explain.deep_shap(model, background, chosen)
print("attributions (images, classes, colours, height, width):", deep.shape)

# %% [markdown]
# ### Exercise 7.4: do the sums fit?
#
# Write `largest_gap(values, logits, background_logits)`, for `values` (N, classes, C, H, W),
# `logits` (N, classes) and `background_logits` (B, classes). For each image it returns the largest
# gap between sum and output difference among the classes, divided by the largest absolute output
# difference of that image: N numbers, 0.01 for one per cent.
#
# <details><summary>Hint 1: the idea</summary>
#
# The output difference of a class is its logit minus its mean logit over the background. The values
# to compare it with are summed over colours and pixels, signs and all. Then two maxima an image.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `background_logits.mean(0)`; `values.sum((2, 3, 4))` sums over the last three axes; `np.abs`, then
# `.max(1)`, the largest among the classes.
# </details>


# %%
# Exercise 7.4 - additivity
def largest_gap(values, logits, background_logits):
    raise NotImplementedError("7.4: compare the sums with the output differences")


# %%
# Solution 7.4
def largest_gap(values, logits, background_logits):
    difference = np.asarray(logits) - np.asarray(background_logits).mean(0)
    sums = np.asarray(values).sum((2, 3, 4))
    return np.abs(sums - difference).max(1) / np.abs(difference).max(1)


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# A gap is only large or small compared with what was to be explained. Dividing each class by its
# own difference would blow up where a class's logit happens to equal the background's mean, so one
# scale an image is used. A method whose sums do not fit may still rank the pixels well; but then
# its numbers cannot be read as logits.
# </details>

# %%
with lk.check("7.4", "largest_gap"):
    _random = np.random.default_rng(0)
    _values = _random.normal(size=(3, 4, 2, 5, 6))
    _b = _random.normal(size=(6, 4)) + 3
    _off = np.array([[0.0, 8, -3, 0], [2, 0, -2, -13], [0.1, 0, 0, -0.04]])
    _sums, _mean = _values.sum((2, 3, 4)), _b.mean(0)
    _logits = _sums + _mean + _off
    try:
        _got = lk.judge.call(largest_gap, _values, _logits, _b)
    except AssertionError as _error:
        if "keepdims" not in str(_error):
            raise
        raise AssertionError(
            f"{str(_error).split(';')[0]}: sums over axes (2, 3, 4) of the values, the mean over "
            "axis 0 of the background, and maxima over axis 1"
        ) from None
    _got = lk.judge.as_array(_got)
    assert _got.shape == (3,), f"3 images must give 3 numbers, not the shape {_got.shape}"
    _difference = _logits - _mean
    _gaps, _scale_of = np.abs(_off), np.abs(_difference).max(1)
    _true = _gaps.max(1) / _scale_of
    _forgot = np.abs(_sums - _logits).max(1)
    _slips = {
        "divide by the largest output difference": _gaps.max(1),
        "a share, not per cent": 100 * _true,
        "take the absolute value of the gaps": (-_off).max(1) / _scale_of,
        "take the absolute value of the gaps, then the largest": _off.max(1) / _scale_of,
        "the largest gap, not the mean": _gaps.mean(1) / _scale_of,
        "the largest gap, not the sum": _gaps.sum(1) / _scale_of,
        "absolute values before the sum: gaps of both signs cancel": (
            np.abs(_off.sum(1)) / _scale_of
        ),
        "compare sum and output difference with their signs: absolute values come after": (
            np.abs(np.abs(_sums) - np.abs(_difference)).max(1) / _scale_of
        ),
        "each class is divided by its own difference: one scale an image, the largest": (
            _gaps / np.abs(_difference)
        ).max(1),
        "divide by the largest output difference, not by the sums of the values": (
            _gaps.max(1) / np.abs(_sums).max(1)
        ),
        "absolute value first, then the maximum: the largest difference may be negative": (
            _gaps.max(1) / _difference.max(1)
        ),
        "one scale an image: this is the largest difference of all images": (
            _gaps.max(1) / np.abs(_difference).max()
        ),
        "divide by the output difference, not by the logits": _gaps.max(1) / np.abs(_logits).max(1),
        "the sign is turned round: logits minus those of the background": (
            np.abs(_sums + _difference).max(1) / _scale_of
        ),
        "sum the values of all pixels and colours, no mean": (
            np.abs(_sums / 60 - _difference).max(1) / _scale_of
        ),
        "each class has a mean of its own over the background: mean(0)": (
            np.abs(_sums - _logits + _b.mean()).max(1) / np.abs(_logits - _b.mean()).max(1)
        ),
        "the values keep their signs when they are summed": (
            np.abs(np.abs(_values).sum((2, 3, 4)) - _difference).max(1) / _scale_of
        ),
        "subtract the mean logit of the background": _forgot / np.abs(_logits).max(1),
        "subtract the mean logit of the background, in both places": _forgot / _scale_of,
    }
    if not np.allclose(_got, _true, atol=1e-6):
        for _message, _other in _slips.items():
            assert not np.allclose(_got, _other, atol=1e-6), _message
        raise AssertionError(
            f"the shares must be {_true.round(3).tolist()}, not {_got.round(3).tolist()}"
        )

# %% [markdown]
# **Guess:** how many drawn points does gradient SHAP need to come as near as Deep SHAP? (The cell takes
# some ten seconds.)

# %%
logits = lk.inference.outputs_of(model, chosen).numpy()
background_logits = lk.inference.outputs_of(model, background).numpy()
estimates = {"Deep SHAP": deep}
for samples in lk.track((20, 80) if FAST else (25, 100, 400), "gradient SHAP"):
    estimates[f"gradient SHAP, {samples} samples"] = lk.explain.gradient_shap(
        model, background, chosen[:2], samples=samples
    )
for name, values in estimates.items():
    gap = 100 * lk.judge.as_array(largest_gap(values, logits[: len(values)], background_logits))
    print(f"{name:27} largest gap of {len(gap)} images: {gap.max():.2f} %")

# %% [markdown]
# Gradient SHAP is an average of random draws: on average its gap shrinks with the square root of
# their number, four times as many draws for half the gap. (The largest gap of two images is itself a
# matter of chance: expect no exact halves above, and more draws may even do worse.) By that rule, 10 %
# at 400 draws would take 400 million for 0.01 %. It works for any
# network; ask how many samples were drawn before you read its numbers as logits.

# %% tags=["nbval-check-output"]
gap = lk.judge.as_array(largest_gap(deep, logits, background_logits))
print("Deep SHAP adds up within 1 %:", bool(gap.max() < 0.01))

# %% [markdown]
# ### The sums fit. Are the shares right?
#
# The nine squares say. What Deep SHAP and gradient SHAP give a square is the sum of its pixels' values
# (hiding a square is a linear step, which both methods pass on unchanged), so the two can be put beside
# the exact values. The fourth map gives each square the same share of the sum. **Before you run it:**
# which of the four add up, and which are right?

# %%
nine = {"exact": exact}
nine["Deep SHAP"] = lk.explain.super_pixels(deep[np.arange(len(chosen)), chosen_said])
by_chance = lk.explain.gradient_shap(model, background, chosen, chosen_said, samples=200)
nine["gradient SHAP"] = lk.explain.super_pixels(by_chance)
nine["the same share"] = np.ones_like(exact) * exact.mean((1, 2), keepdims=True)
table = {}
for name, values in nine.items():
    sums, errors = exact.sum((1, 2)), np.abs(values - exact).sum((1, 2))
    table[name] = {
        "largest gap of the sums, %": 100 * np.abs(values.sum((1, 2)) / sums - 1).max(),
        "mean error of the shares, %": 100 * np.mean(errors / np.abs(exact).sum((1, 2))),
        "largest error, %": 100 * np.max(errors / np.abs(exact).sum((1, 2))),
        "wrong signs of 9, mean": (np.sign(values) != np.sign(exact)).sum((1, 2)).mean(),
    }
print(f"{len(chosen)} pictures, predicted class; errors as a share of the exact values' sizes")
pd.DataFrame(table).T.round(1)

# %%
shown = [0, 1]
in_squares = lk.explain.squares(3, 28, 28).numpy()
lk.figures.attribution_grid(
    pictures[shown],
    np.stack([v.reshape(-1, 9)[shown][:, in_squares] for v in nine.values()], axis=1),
    [blood.classes[k] for k in predicted[shown]],
    list(nine),
    title="Nine squares, for the predicted class",
    origin=blood.origin,
    unit="logits a square",
)

# %% [markdown]
# **Adding up is necessary, not sufficient.** The last row adds up exactly and knows nothing. So a check of
# the sums finds a broken explainer; it does not say that the shares are right. How far off the
# approximations are depends on the network and the picture. Here you have measured it, for nine squares;
# with 2,352 players there is nothing to measure it against.
#
# <details><summary>Your guess about the squares</summary>
#
# In both pictures shown, a square with much of the cell has the largest value. A square of background may
# have one too: the value says what changes when the same part of *other pictures* stands there, and
# in some of those a cell reaches into it.
# </details>

# %% [markdown]
# ## Integrated gradients: where does the way begin?
#
# A gradient tells what a *small* change would do. *Integrated gradients* (Sundararajan et al., 2017)
# walk from a **baseline** $x'$ straight to the image $x$, average the gradients on the way and
# multiply by the way:
#
# $$\phi = (x - x') \cdot \frac{1}{S} \sum_{s=1}^{S} \nabla y_c\Big(x' + \frac{s - 1/2}{S}\,(x - x')\Big).$$
#
# With many steps $S$ the $\phi$ of all pixels and colours add up to $y_c(x) - y_c(x')$.

# %% [markdown]
# ### Exercise 7.5: integrated gradients
#
# Write `integrated(model, images, baseline, classes, steps)` as in the formula: each gradient is taken in
# the **middle** of its step. `images` and `baseline` are (N, C, H, W), `classes` (N,). The result is a
# tensor or array (N, C, H, W).
#
# <details><summary>Hint 1: the idea</summary>
#
# Step by step, take the point in the middle of the step, and the gradient there. Their mean times
# the way is the answer. As in 7.1, the sum of the chosen logits serves all images at once.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# In a loop, `(s + 0.5) / steps` is the share of the way, for `s` from 0. `.requires_grad_()` for
# each point; `torch.autograd.grad(logit, x)[0]` as in 7.1.
# </details>


# %%
# Exercise 7.5 - integrated gradients
def integrated(model, images, baseline, classes, steps):
    raise NotImplementedError("7.5: average the gradients on the way, times the way")


# %%
# Solution 7.5
def integrated(model, images, baseline, classes, steps):
    way, total = images - baseline, 0
    for s in range(steps):
        x = (baseline + (s + 0.5) / steps * way).requires_grad_()
        logits = model(x)[torch.arange(len(images)), classes]
        total = total + torch.autograd.grad(logits.sum(), x)[0]
    return way * total / steps


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# It is the fundamental theorem of calculus along a line: the slopes, added up over the way, are the
# difference of the ends. The middle of each step makes the sum exact for straight and for quadratic
# pieces; the beginning of each step would need many more steps. The answer is about the difference to
# *this* baseline: another one is another question.
# </details>

# %%
with lk.check("7.5", "integrated"):
    torch.manual_seed(3)
    _parts = [nn.Flatten(), nn.Linear(24, 6), nn.Tanh(), nn.Linear(6, 4)]
    _net = nn.Sequential(*_parts).eval()
    _x, _base = torch.randn(3, 2, 3, 4), torch.randn(3, 2, 3, 4)
    _k, _rows = torch.tensor([3, 0, 2]), torch.arange(3)

    def _walk(shares, net=_net, base=_base, k=_k, end=_x):
        points = [(base + s * (end - base)).requires_grad_() for s in shares]
        return sum(torch.autograd.grad(net(p)[_rows, k].sum(), p)[0] for p in points) / len(points)

    for _steps in (4, 7):
        _kept = _x.clone(), _base.clone()
        try:
            _got = integrated(_net, _x, _base, _k, _steps)
            _two = integrated(_net, _x[:2], _base[:2], _k[:2], _steps)
        except IndexError as _error:
            raise AssertionError(f"{_error}: take the number of images, len(images)") from None
        except RuntimeError as _error:
            if "require grad" not in str(_error):
                raise
            raise AssertionError(
                f"{_error}: each point needs .requires_grad_() before the network, and the "
                "gradient is that with respect to this point"
            ) from None
        assert torch.equal(_x, _kept[0]) and torch.equal(_base, _kept[1]), (
            "images or baseline were changed: compute on new tensors"
        )
        assert not _net.training, "the network is in training mode afterwards: leave its mode alone"
        _got = lk.judge.read_array(_got, (3, 2, 3, 4), "integrated")
        _mid = [(_s + 0.5) / _steps for _s in range(_steps)]
        _left, _right = ([(_s + _e) / _steps for _s in range(_steps)] for _e in (0, 1))
        _way, _mean = _x - _base, _walk(_mid)
        _said = _net(_x).argmax(1)
        _slips = {
            "multiply by the way, images - baseline": _mean,
            "multiply by the way, not by the image": _x * _mean,
            "the way goes from the baseline to the image: the sign is turned round": -_way * _mean,
            "the mean of the gradients, not their sum": _steps * _way * _mean,
            "the gradient in the middle of each step, not at its beginning": _way * _walk(_left),
            "the gradient in the middle of each step, not at its end": _way * _walk(_right),
            "the gradient in the middle of each step: linspace from 0 to 1 takes the ends": _way
            * _walk(torch.linspace(0, 1, _steps)),
            "linspace with one point more takes the ends: the middle of each step": _way
            * _walk(torch.linspace(0, 1, _steps + 1)),
            "this is the gradient at the image only: average it on the way": _way * _walk([1.0]),
            "this is the gradient at the baseline only": _way * _walk([0.0]),
            "one step only, in the middle of the way: use `steps`": _way * _walk([0.5]),
            "the baseline is not used: the way begins there, not at 0": _x
            * _walk(_mid, base=torch.zeros_like(_x)),
            "the way goes from the baseline, not from 0": _way
            * _walk(_mid, base=torch.zeros_like(_x)),
            "explain the logit, not the probability": _way
            * _walk(_mid, nn.Sequential(*_parts, nn.Softmax(1))),
            "explain `classes[i]`, not the predicted class": _way * _walk(_mid, k=_said),
            "each image has a class of its own, not the first for all": _way
            * _walk(_mid, k=_k[:1].expand(3)),
            "the size of the gradients lost its sign": _way * _mean.abs(),
            "the values keep their sign": (_way * _mean).abs(),
            "the sum over images, not the mean": _way * _mean / 3,
        }
        _slips = {_words: _slip.detach().numpy() for _words, _slip in _slips.items()}
        _true = (_way * _mean).detach().numpy()
        lk.judge.compare(_got, _true, _slips, "other values than the formula's", 1e-4)
        _two = lk.judge.read_array(_two, (2, 2, 3, 4), "integrated of 2 images")
        lk.judge.compare(_two, _true[:2], {}, "other values for 2 images: take their number", 1e-4)
    assert all(_p.requires_grad for _p in _net.parameters()), (
        "the network's weights are frozen afterwards: leave them as they were"
    )
    assert not [_p for _p in _net.parameters() if _p.grad is not None], (
        "backward() fills the gradients of the weights: torch.autograd.grad(…, x) leaves them alone"
    )

# %% [markdown]
# Two baselines: **black**, and the image's own **blurred** copy. **Before you run it:** with black as
# the baseline, what can a pixel that *is* black ever get?

# %%
four = slice(0, 2 if FAST else 4)
blurred = lk.explain.blurred(images[four])
two_ways = {
    name: lk.judge.as_array(integrated(model, images[four], baseline, predicted[four], 32))
    for name, baseline in (("from black", -torch.ones_like(blurred)), ("from blurred", blurred))
}
lk.figures.overlays(
    pictures[four],
    {name: values.sum(1) for name, values in two_ways.items()},
    [blood.classes[k] for k in predicted[four]],
    title="Integrated gradients of the predicted class, two baselines",
    origin=blood.origin,
    signed=True,
)

# %%
signed, absolute = (
    lk.explain.rank_correlation(*(form(values).sum(1) for values in two_ways.values()))
    for form in (np.asarray, np.abs)
)
print(f"rank correlation of the two maps: {signed:.2f}, of their absolute values {absolute:.2f}")
for name, baseline in (("black", -torch.ones_like(blurred)), ("blurred", blurred)):
    values = two_ways[f"from {name}"].sum((1, 2, 3))
    reached = [
        lk.inference.outputs_of(model, x)[range(len(blurred)), predicted[four]]
        for x in (images[four], baseline)
    ]
    print(
        f"{name}: sums {values.round(2)}, differences {(reached[0] - reached[1]).numpy().round(2)}"
    )

# %% [markdown]
# <details><summary>How to read it</summary>
#
# One network, one image, one class, and two maps that differ: each answers "compared with *what*?". A
# black pixel gets exactly 0 from a black baseline, because its way is 0, and the way of a dark one is
# short, even where darkness *is* the evidence, as in a nucleus. There is no neutral baseline; say which
# one you took. Where sums and differences are still apart, 32 steps were too few for this network.
#
# A sum from black can be negative, as our third was: that network gave a black picture a *higher* logit
# for erythroblast than this erythroblast, so the nucleus turned blue. It had never seen a black picture.
# </details>

# %% [markdown]
# ### Three networks, one scale
#
# The same network three times, on **the same 2,000 images**: one that **failed** (one epoch, a learning
# rate of 1e-6), one **half trained** (one epoch, 1e-3), and a **good** one (twelve epochs, 1e-3).
# Columns are classes. **Red** pixels raise that
# class's logit compared with the background, **blue** ones lower it; pale ones hardly matter.
#
# A blue pixel is *not* "unimportant", and red in the column of a wrong class is evidence *for the
# mistake*.

# %%
some = torch.arange(256 if FAST else 2000)


def quick(learning_rate, epochs=1):
    lk.seed_everything(1)
    net = lk.models.DeeperCNN(8)
    loader = blood.train.loader(64, shuffle=True, indices=some)
    optimizer = torch.optim.Adam(net.parameters(), lr=learning_rate)
    lk.fit(net, loader, epochs=epochs, optimizer=optimizer)
    return net, lk.evaluate(net, val)


failed, failed_result = quick(1e-6)
half, half_result = quick(1e-3)
good, good_result = quick(1e-3, 2 if FAST else 12)
networks = {
    f"failed, {100 * failed_result.accuracy:.0f} %": failed.cpu(),
    f"half trained, {100 * half_result.accuracy:.0f} %": half.cpu(),
    f"good, {100 * good_result.accuracy:.0f} %": good.cpu(),
}
two = [1, 6]  # two of the eight images
attributions = [
    lk.explain.deep_shap(net, background, images[two])
    for net in lk.track(networks.values(), "Deep SHAP of three networks", len(networks))
]
figure = lk.figures.attribution_grid(
    pictures[np.repeat(two, 3)],
    np.stack(attributions, axis=1).reshape(6, *attributions[0].shape[1:]),
    [*networks, *networks],
    blood.classes,
    title="Deep SHAP, "
    + " and ".join(blood.classes[t] for t in truth[two])
    + " (left: validation accuracy of each network)",
    origin=blood.origin,
)
lk.figures.as_jpeg(figure)

# %% [markdown]
# What to look at: in the row of the failed network there is next to nothing, since its logits
# hardly differ from image to image. Where a row has colour, ask whether red lies on the cell, and
# whether the column with most red is the right one. Is the half trained network's map *unlike* the good
# one's, or only paler? Paler alone says that its logits differ less, not that it looks elsewhere. (One
# network each, two images: an impression.)

# %% [markdown]
# ### Without gradients: hide and ask
#
# `PartitionExplainer` needs only the network's answers. It hides parts of the picture by painting
# them over from their surroundings (*inpainting*), large parts first, and divides those that
# matter. A small inpainted part looks like more of what is around it. But a picture that is hidden
# *as a whole* has no surroundings: it becomes one flat colour, its mean, and that is what all values
# are counted from; a half hidden one has smeared edges. The network has seen neither.
#
# It works for any network, so let us ask a larger one: the fine-tuned network of lab 06, about
# eight photographs that it has not seen. If lab 06 has not run on this machine, the next cell trains
# that network, and says how long that takes.

# %%
photos, _ = lk.load_folder(lk.dataset_folder("pbc"), size=360)
if FAST:  # the photographs that lab 06 takes in fast mode
    photos = photos.subset(
        np.concatenate([np.flatnonzero(photos.labels == k)[:16] for k in range(8)])
    )
middle = photos.images[:, :, 68:292, 68:292].contiguous()
groups = lk.data.duplicate_groups(middle)
split_seed = 10 * lk.settings.seed_offset()  # as in lab 06
seen, unseen = lk.data.grouped_splits(photos.labels, groups, 5, seed=split_seed)[0]
tuned = lk.models.fine_tuned(middle[seen], photos.labels[seen])
to_tuned = tuned.transform

eight = [int(unseen[photos.labels[unseen] == k][0]) for k in range(8)]
photographs, photo_truth = middle[eight], photos.labels[eight]
with torch.no_grad():
    photo_probabilities = tuned(to_tuned(photographs)).softmax(1)
photo_said = photo_probabilities.argmax(1)

# %% [markdown]
# Each photograph needs eighty answers; an answer has eight logits, so all classes come from
# the same answers. Going through the network in batches can save much time, or little: it depends on the
# network, and painting takes its share in any case. So measure. **Meanwhile:** how small can a patch
# become with so few answers?

# %%
number, evaluations = (2, 10) if FAST else (8, 80)
lk.explain.partition_shap(tuned, photographs[:1], to_tuned, max_evals=4)  # compiles its helpers


def hide_and_ask(count, batch_size):
    """Values of the first photographs for all classes, and the seconds that one of them took."""
    start = time.perf_counter()
    values = lk.explain.partition_shap(
        tuned, photographs[:count], to_tuned, max_evals=evaluations, batch_size=batch_size
    )
    return values, (time.perf_counter() - start) / count


parts, batched = hide_and_ask(number, 32)  # (photographs, classes, 3, 224, 224)
_, one_by_one = hide_and_ask(2, 1)
print(f"{evaluations} answers a photograph, in batches of 32: {batched:.1f} s a photograph")
print(f"one by one: {one_by_one:.1f} s")

# %% [markdown]
# Beside it gradient SHAP, for the same network, the same photographs and the predicted class.

# %%
mixed = np.random.default_rng(0).choice(seen, 20, replace=False)  # of all classes
photo_background = to_tuned(middle[mixed])
by_gradients = lk.explain.gradient_shap(
    tuned, photo_background, to_tuned(photographs[:number]), photo_said[:number], samples=20
)
figure = lk.figures.overlays(
    photographs[:number],
    {
        "hide and ask": parts[np.arange(number), photo_said[:number]].sum(1),
        "gradient SHAP": by_gradients.sum(1),
    },
    [
        f"{photos.classes[t]}; said {photos.classes[k]}, {row.max():.2f}"
        for t, k, row in zip(photo_truth, photo_said, photo_probabilities, strict=True)
    ][:number],
    title="Two relatives of the Shapley value, for the predicted class",
    origin=photos.origin,
    signed=True,
)
lk.figures.as_jpeg(figure)  # photographs as JPEG keep the notebook small

# %% [markdown]
# First look at the captions: are all answers right? A map of a wrong answer explains the *mistake*.
# Hide and ask gives patches: when its answers are used up, it divides no further. Gradient SHAP gives
# single pixels. Both are relatives of the Shapley value. Hide and ask gives *Owen values*, where
# parts join only in a fixed hierarchy; gradient SHAP estimates *Aumann–Shapley values*, where all
# pixels join together, each in the same proportion, little by little. They also differ in what
# replaces a hidden part. With 20 draws, read gradient SHAP's pattern, not its numbers.
#
# <details><summary>How small a patch?</summary>
#
# A division costs an answer or more for each half. Eighty are enough for about sixteen patches, each a
# quarter of the picture wide and high, as the next figure shows.
# </details>
#
# And all classes, for three of the photographs. **Look:** is a patch that speaks for one class silent in
# the other columns, or does it speak against them?
#
# <details><summary>How to read it</summary>
#
# Neither need be: one patch can raise several logits at once. The probabilities depend only on the
# *differences* of the logits, so compare the columns of a row, and do not read one column alone.
# </details>

# %%
three = list(range(number))[:3]
figure = lk.figures.attribution_grid(
    F.avg_pool2d(photographs[three].float(), 2).byte(),
    F.avg_pool2d(torch.from_numpy(parts[three]).sum(2), 2, divisor_override=1).numpy(),
    [f"{photos.classes[photo_truth[n]]}; said {photos.classes[photo_said[n]]}" for n in three],
    photos.classes,
    title="Hide and ask, all classes",
    origin=photos.origin,
    unit="logits per 2 x 2 pixels",
)
lk.figures.as_jpeg(figure)

# %% [markdown]
# ## Is an explanation any good?
#
# A map that *looks* sensible proves nothing: you see a cell, so you believe a map that lights up on
# the cell. To measure, one needs pictures whose evidence is **known**.
#
# Drawn cells are such pictures: only what lies inside the cell depends on the class. These lie
# anywhere in the picture, not in the middle: in centred pictures, as BloodMNIST's, a map that
# always points to the middle would win every game.

# %%
PER_CLASS, TRUTH_EPOCHS = (30, 2) if FAST else (400, 14)
drawn_train = lk.data.draw_off_centre(PER_CLASS, seed=1)
drawn_test = lk.data.draw_off_centre(4 if FAST else 25, seed=2)
lk.figures.image_grid(
    drawn_test.images[:8],
    [drawn_test.classes[k] for k in drawn_test.labels[:8]],
    title="Drawn cells, off the centre",
    origin=drawn_test.origin,
)

# %% [markdown]
# A small network learns them.


# %%
class CellCNN(nn.Module):
    """Three convolutions; the last maps are a quarter of the picture's side."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        )
        self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 8))

    def forward(self, images):
        return self.classifier(self.features(images))


def train_small(split, epochs, seed=0, augment=None):
    lk.seed_everything(seed)
    net = CellCNN()
    loader = split.loader(64, shuffle=True, augment=augment)
    lk.fit(net, loader, epochs=epochs)
    return net.cpu().eval()


drawn_net = train_small(drawn_train, TRUTH_EPOCHS, augment=lk.Augment(flip=True, turn=True))
drawn_result = lk.evaluate(drawn_net, drawn_test.loader())
drawn_net = drawn_net.cpu()
drawn_result

# %% [markdown]
# Ten ways to make a map of the **predicted** class. The last three do not ask the network at all:
# they say how much of a score is cheap. Gradients, integrated gradients and Deep SHAP have a **sign**, and
# each comes in two forms, so that like can be compared with like: the sum over the colours, and
# *|…|*, the sum of the absolute values.

# %%
drawn_images = prepare(drawn_test.images)
drawn_said = torch.from_numpy(drawn_result.predicted)
drawn_background = prepare(drawn_train.images[:20])
drawn_mean = drawn_background.mean(0, keepdim=True)  # where integrated gradients begin
cell = drawn_test.masks["cell"]
noise = np.random.default_rng(0)


def maps_of(net, n=None):
    """Maps (N, H, W) by each method that asks the network, for the first n images."""
    x, classes = drawn_images[:n], drawn_said[:n]
    values = {
        "gradient": lk.explain.gradient(net, x, classes),
        "int. gradients": lk.explain.integrated_gradients(net, x, drawn_mean, classes, steps=8),
        "Deep SHAP": lk.explain.deep_shap(net, drawn_background, x, classes),
    }
    maps = {"Grad-CAM": lk.explain.grad_cam(net, net.features[-1], x, classes)}
    maps |= {name: value.sum(1) for name, value in values.items()}
    return maps | {f"|{name}|": np.abs(value).sum(1) for name, value in values.items()}


def maps_of_nothing():
    """Maps that never saw the network: edges, a bump in the middle, noise."""
    down, across = torch.gradient(drawn_images.mean(1), dim=(1, 2))
    axis = torch.linspace(-1, 1, drawn_images.shape[-1])
    bump = torch.exp(-3 * (axis[:, None] ** 2 + axis**2))
    return {
        "edges": (down**2 + across**2).sqrt().numpy(),
        "the middle": bump.expand(len(drawn_images), -1, -1).numpy(),
        "random": noise.random((len(drawn_images), *drawn_images.shape[2:])),
    }


drawn_maps = maps_of(drawn_net) | maps_of_nothing()
figure = lk.figures.overlays(
    drawn_test.images[:3],
    {name: values[:3] for name, values in drawn_maps.items()},
    [drawn_test.classes[k] for k in drawn_test.labels[:3]],
    title="Ten maps; the last three have not seen the network (negative values count as 0)",
    origin=drawn_test.origin,
)
lk.figures.as_jpeg(figure)

# %% [markdown]
# ### Exercise 7.6: two games with a mask
#
# Write `hits_and_share(maps, masks)`, both (N, H, W), the masks boolean. It returns two arrays
# (N,):
#
# - `hits`: whether the pixel with the largest value lies inside the mask (*pointing game*);
# - `share`: how much of the **positive** attribution lies inside the mask, from 0 to 1 (0 or NaN
#   where nothing is positive).
#
# <details><summary>Hint 1: the idea</summary>
#
# Make one row of each map and each mask: then the peak is one place in a row. In the share, what
# speaks *against* the class counts as zero.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `maps.reshape(N, -1)` makes the rows; `argmax(1)` finds the largest values, and
# `rows[np.arange(N), places]` looks one place up in each row. `np.maximum(maps, 0)`.
# </details>


# %%
# Exercise 7.6 - the pointing game and the share inside
def hits_and_share(maps, masks):
    raise NotImplementedError("7.6: where is the peak, and how much lies inside?")


# %%
# Solution 7.6
def hits_and_share(maps, masks):
    flat_maps, flat_masks = maps.reshape(len(maps), -1), masks.reshape(len(masks), -1)
    hits = flat_masks[np.arange(len(maps)), flat_maps.argmax(1)]
    positive = np.maximum(flat_maps, 0)
    share = (positive * flat_masks).sum(1) / positive.sum(1)
    return hits, share


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# The pointing game looks at one pixel and forgives everything else; the share looks at all of them
# and punishes a map for being soft at its edges. A coarse map can win the first and lose the
# second. Neither asks whether the *right part* of the cell was found. `lk.explain.pointing_game`
# and `mask_overlap` do the same, and take care of maps that are constant.
# </details>

# %%
with lk.check("7.6", "hits_and_share"):
    _random = np.random.default_rng(3)
    _maps = _random.normal(size=(40, 6, 8))
    _masks = _random.random((40, 6, 8)) < 0.4
    _maps[:5] = -np.abs(_maps[:5])
    _maps[:5, 0, 0] = 1.0
    _got = tuple(lk.judge.call(hits_and_share, _maps, _masks))
    assert len(_got) == 2, "return hits and share"
    _h, _s = (lk.judge.as_array(_part) for _part in _got)
    assert _h.shape == (40,) and _s.shape == (40,), "both must have one number an image"
    _th, _pos = lk.explain.pointing_game(_maps, _masks), np.maximum(_maps, 0)
    _ts = lk.explain.mask_overlap(_maps, _masks)["inside"].to_numpy()
    _strongest = np.abs(_maps).reshape(40, -1).argmax(1)
    _by_size = _masks.reshape(40, -1)[np.arange(40), _strongest].astype(float)
    assert not np.allclose(_h, _by_size), "the largest value, not the largest absolute value"
    _lowest = _masks.reshape(40, -1)[np.arange(40), _maps.reshape(40, -1).argmin(1)]
    assert not np.allclose(_h, _lowest), "this is the smallest value: the largest value counts"
    assert not np.allclose(_h, _ts) or np.allclose(_th, _ts), (
        "swapped: first the hits, then the share"
    )
    assert np.allclose(_h, _th), "hits: is the pixel with the largest value of each map inside?"
    _dark = -np.abs(_maps)
    try:
        _hd, _ = map(lk.judge.as_array, lk.judge.call(hits_and_share, _dark, _masks))
    except ZeroDivisionError:
        raise AssertionError(
            "a map in which nothing is positive stops all others with a ZeroDivisionError: give "
            "its share as 0 or NaN"
        ) from None
    assert np.allclose(_hd, lk.explain.pointing_game(_dark, _masks)), (
        "hits: where all values of a map are negative, its largest is still the one nearest 0, and "
        "not a 0 from the mask"
    )
    _signed = (_maps * _masks).sum((1, 2)) / _maps.sum((1, 2))
    _absolute = (np.abs(_maps) * _masks).sum((1, 2)) / np.abs(_maps).sum((1, 2))
    assert not np.allclose(_s, _signed), "negative values are still in the share: drop them"
    assert not np.allclose(_s, _absolute), "absolute values mix for and against: drop negatives"
    assert not np.allclose(_s, 1 - _ts), "this is the share outside"
    assert not np.allclose(_s, 100 * _ts), "a share from 0 to 1, not per cent"
    _wrong_base = (_pos * _masks).sum((1, 2)) / _masks.sum((1, 2))
    assert not np.allclose(_s, _wrong_base), "divide by the positive attribution, not by the area"
    _count = ((_maps > 0) & _masks).sum((1, 2)) / (_maps > 0).sum((1, 2))
    assert not np.allclose(_s, _count), "this counts pixels: add up their values"
    assert np.allclose(_s, _ts), "share: positive values inside, over all positive values"
    _, _small = map(lk.judge.as_array, lk.judge.call(hits_and_share, 1e-3 * _maps, _masks))
    assert np.allclose(_small, _ts, atol=1e-3), (
        "for maps a thousand times smaller the share must be the same: divide by the sum of their "
        "positive values, however small it is"
    )

# %% [markdown]
# ## Delete and insert
#
# Masks exist for drawn cells only. Another idea works on any picture: **blur** the pixels that the
# map calls most important first. If it is right, the probability of the class falls early, and the
# area under the curve is small (*deletion*). The other way round, start from the blurred picture
# and bring the most important pixels back: the area should be large (*insertion*).

# %% [markdown]
# ### Exercise 7.7: the deletion curve
#
# Write `deletion(model, images, maps, classes, baseline, steps)`. For $s = 0, …,$ `steps`, replace
# the share $s/$`steps` of the pixels with the highest map values (of equal ones, any), in all
# colours, by those of `baseline` (N, C, H, W), and record the softmax probability of `classes[i]`
# for image $i$. Return an array (N, steps + 1).
#
# <details><summary>Hint 1: the idea</summary>
#
# Give each pixel its rank: how many pixels have a higher map value. Then one comparison says, for
# each step, which pixels are replaced.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `argsort(1)` of `-maps.reshape(N, -1)` gives positions, and `argsort(1)` of these the ranks.
# `torch.from_numpy`; with the ranks as a tensor (N, 1, H, W), `torch.where(ranks < number, …, …)`
# replaces in all colours. `torch.no_grad()`; `.softmax(1)`.
# </details>


# %%
# Exercise 7.7 - the deletion curve
def deletion(model, images, maps, classes, baseline, steps):
    raise NotImplementedError("7.7: replace the most important pixels, ask the network, repeat")


# %%
# Solution 7.7
def deletion(model, images, maps, classes, baseline, steps):
    N, _, H, W = images.shape
    order = (-np.asarray(maps).reshape(N, -1)).argsort(1)
    ranks = torch.from_numpy(order.argsort(1)).view(N, 1, H, W)
    curves = []
    for step in range(steps + 1):
        changed = torch.where(ranks < round(step / steps * H * W), baseline, images)
        with torch.no_grad():
            shares = model(changed).softmax(1)
        curves.append(shares[torch.arange(N), classes])
    return torch.stack(curves, dim=1).numpy()


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Only the *order* of the pixels counts, so maps of any unit can be compared. What a pixel is
# replaced by matters: a half-blurred picture is something the network has never seen, and it may
# fall for that reason alone. So compare with random order, always.
# </details>

# %%
with lk.check("7.7", "deletion"):
    torch.manual_seed(2)
    _net = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).eval()
    _x, _base = torch.randn(4, 3, 4, 6), torch.randn(4, 3, 4, 6)
    _m, _k = np.random.default_rng(1).normal(size=(4, 4, 6)), torch.tensor([0, 2, 1, 1])
    _m = _m * np.array([1, 2, 5, 0.1])[:, None, None] - np.array([0, 3, 20, -1])[:, None, None]
    _kept = _x.clone(), _base.clone(), _m.copy()
    _got = deletion(_net, _x, _m, _k, _base, 8)
    assert _got is not None, "deletion must return the curves; is `return` missing?"
    assert torch.equal(_x, _kept[0]), "the images were changed: replace pixels in a copy"
    assert torch.equal(_base, _kept[1]) and np.array_equal(_m, _kept[2]), (
        "the baseline or the maps were changed: work on copies"
    )
    assert not _net.training, "the network is in training mode afterwards: leave its mode alone"
    _got = lk.judge.as_array(_got)
    assert _got.shape == (4, 9), f"4 images and 8 steps give (4, 9), not {_got.shape}"

    def _curves(maps, baseline, of=lk.explain.deletion_curve):
        return of(_net, _x, maps, _k, baseline, 8)[1]

    def _is(other):
        return np.allclose(_got, other, atol=1e-4)

    _true = _curves(_m, _base)
    if not _is(_true):
        with torch.no_grad():
            _logit = _net(_x)[torch.arange(4), _k].numpy()
            _top = _net(_x).softmax(1).max(1).values.numpy()
            _alone = _net(_x).softmax(1)[:, _k[0]].numpy()
            _over = _net(_x).softmax(0)[torch.arange(4), _k].numpy()
        _start = _got[:, 0]
        assert not np.allclose(_start, _logit, atol=1e-4), "take the softmax of the logits"
        assert not np.allclose(_start, _over, atol=1e-4), "the softmax goes over the classes, dim 1"
        assert not _is(_curves(-_m, _base)), "the least important went first: turn it round"
        assert not _is(_curves(np.abs(_m), _base)), (
            "the largest absolute values went first: a negative value speaks against the class"
        )
        assert not _is(_curves(_m, _base, lk.explain.insertion_curve)), (
            "this is insertion: start from the image"
        )
        assert not _is(_curves(_m, torch.zeros_like(_x))), (
            "the pixels became 0: replace them by those of `baseline`"
        )
        assert not np.allclose(_start, _top, atol=1e-4), "record the probability of `classes`"
        assert not np.allclose(_start, _alone, atol=1e-4), "image i has its own class, `classes[i]`"
        assert np.allclose(_start, _true[:, 0], atol=1e-4), (
            "at step 0 nothing is deleted yet: the probability of `classes[0]` for the first image "
            f"is {_true[0, 0]:.3f}, not {_start[0]:.3f}"
        )
        assert np.allclose(_got[:, -1], _true[:, -1], atol=1e-4), (
            "at the last step all pixels, in all colours, are those of `baseline`"
        )
        raise AssertionError(
            "between the ends the curves are off: are order and number of pixels right? Each image "
            "has an order of its own; only the order counts, not how far the values lie apart; "
            "argsort gives positions, a second argsort turns them into ranks"
        )
    _got = lk.judge.as_array(deletion(_net, _x, _m, _k, _base, 5))
    assert _got.shape == (4, 6), f"4 images and 5 steps give (4, 6), not {_got.shape}: use `steps`"
    _pixel = lk.explain.deletion_curve(_net, _x, _m, _k, _base, 24)[1]  # pixel by pixel
    for _s in range(6):  # 24 pixels in 5 steps: half a pixel may go either way
        _near = (_pixel[:, int(np.floor(_s * 4.8))], _pixel[:, int(np.ceil(_s * 4.8))])
        assert any(np.allclose(_got[:, _s], _p, atol=1e-4) for _p in _near), (
            f"24 pixels in 5 steps: after step {_s} the first {_s * 4.8:g} are replaced, rounded. "
            "Round s / steps times the number of pixels, not the pixels of one step"
        )
    _adder = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).eval()
    nn.init.constant_(_adder[1].weight.data[:1], 1 / 24)  # its first logit counts replaced pixels
    _adder[1].weight.data[1:] = 0
    _ties = np.repeat([0.0, 1.0], [60, 36]).reshape(4, 4, 6)
    _given = _adder, torch.zeros(4, 3, 4, 6), _ties, _k, torch.ones(4, 3, 4, 6), 8
    _got, _true = lk.judge.as_array(deletion(*_given)), lk.explain.deletion_curve(*_given)[1]
    assert np.allclose(_got, _true, atol=1e-4), (
        "where many pixels have one value, as Grad-CAM's zeros, too many or too few go at a step: "
        "go by ranks, of which no two are the same, not by a threshold"
    )

# %% [markdown]
# Now on real test images, with five maps. Each curve is a mean over images; the pictures become
# blurred, not black.

# %%
count = 24 if FAST else 60
rows = torch.randperm(len(blood.test), generator=torch.Generator().manual_seed(1))[:count]
real = prepare(blood.test.images[rows])
real_said = lk.inference.outputs_of(model, real).argmax(1)
real_deep = lk.explain.deep_shap(model, background, real, real_said)
real_maps = {
    "Grad-CAM": lk.explain.grad_cam(model, layer, real, real_said),
    "|gradient|": lk.explain.saliency(model, real, real_said),
    "Deep SHAP": real_deep.sum(1),
    "|Deep SHAP|": np.abs(real_deep).sum(1),
    "random": np.random.default_rng(0).random((count, 28, 28)),
}
deleted, inserted = {}, {}
for name, values in lk.track(real_maps.items(), "deleting and inserting"):
    deleted[name] = lk.explain.deletion_curve(model, real, values, real_said)
    inserted[name] = lk.explain.insertion_curve(model, real, values, real_said)
lk.figures.faithfulness_curves(deleted, inserted, origin=blood.origin)

# %% [markdown]
# Compare with the *random* curve first: only the distance to it has been earned by the map. Then
# see whether both games rank the methods alike. They need not: a blur in a sharp picture and
# sharp pixels in a blurred one are two different questions to the network.

# %% [markdown]
# ## The randomisation test
#
# Replace the trained weights by random ones, from the last layer down. The network then knows
# nothing. A method whose map hardly changes did not explain the network: it drew the picture's
# edges, or the middle.

# %% [markdown]
# ### Exercise 7.8: forget, layer by layer
#
# Write `forget(model, names)`: it returns a **copy** of the network in which the modules with these
# names have new random weights, drawn as for a new network. All other weights, and the network itself, stay as they are.
#
# <details><summary>Hint 1: the idea</summary>
#
# Copy the network first. Find each named module in the copy, and let it draw its weights as a new
# one does.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `copy.deepcopy(model)`; `net.get_submodule("features.0")`; each layer with weights has a method
# `reset_parameters()`.
# </details>


# %%
# Exercise 7.8 - random weights
def forget(model, names):
    raise NotImplementedError("7.8: copy the network, give the named layers new weights")


# %%
# Solution 7.8
def forget(model, names):
    net = copy.deepcopy(model)
    for name in names:
        net.get_submodule(name).reset_parameters()
    return net


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# `reset_parameters` draws from the same distribution as a new network does, so the sizes of the
# activations stay sensible. Setting the weights to zero would make every map empty: a method would
# pass the test for the wrong reason.
# </details>

# %%
with lk.check("7.8", "forget"):
    torch.manual_seed(0)
    _net = nn.Sequential()
    _net.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    _net.last = nn.Conv2d(4, 4, 3)
    _net.last_norm = nn.BatchNorm2d(4)
    _net.head = nn.Linear(400, 30)
    _net.eval()
    with torch.no_grad():  # a trained network: weights far from those of a new one
        for _p in _net.parameters():
            _p.copy_(torch.randn_like(_p) * 3)
        _net.body[1].running_mean.fill_(5.0)
    _before = copy.deepcopy(_net.state_dict())
    _got = forget(_net, ["last"])
    assert isinstance(_got, nn.Module), "forget must return the copy of the network"
    _same = all(torch.equal(_v, _before[_n]) for _n, _v in _net.state_dict().items())
    assert _got is not _net and _same, "the network itself was changed: work on a copy"
    _new = _got.state_dict()
    assert set(_new) == set(_before), "the copy has other layers than the network"
    assert not torch.equal(_new["last.weight"], _before["last.weight"]), (
        "the weight of the named layer is unchanged"
    )
    assert all(torch.equal(_new[n], _before[n]) for n in _new if not n.startswith("last.")), (
        "other layers changed too: only those with exactly these names"
    )
    _weight, _trained = _new["last.weight"].flatten(), _before["last.weight"].flatten()
    assert _weight.std() > 1e-3, "random weights, not constant ones"
    assert torch.corrcoef(torch.stack([_weight, _trained]))[0, 1] < 0.6, (
        "these are still the trained weights, with noise: the network has forgotten nothing"
    )
    assert 0.03 < _weight.std() < 0.4, (
        f"these weights are too {'large' if _weight.std() > 0.4 else 'small'}: "
        "reset_parameters() draws them as for a new network"
    )
    assert 0.2 < (_weight > 0).float().mean() < 0.8, (
        "all new weights lie on one side of 0: reset_parameters() draws them as for a new network"
    )
    assert not torch.equal(_new["last.bias"], _before["last.bias"]), (
        "the bias of the named layer is unchanged: it was trained, too"
    )
    assert _new["last.bias"].abs().max() < 1, (
        "the bias is too large: reset_parameters() draws it as for a new network"
    )
    _again = forget(_net, ["last"]).state_dict()["last.weight"]
    assert not torch.equal(_again, _new["last.weight"]), (
        "two calls draw the same weights: fix no seed in forget"
    )
    assert not any(_m.training for _m in _got.modules()), (
        "the copy is in training mode, the network was not: leave the mode alone"
    )
    assert all(_p.requires_grad for _p in _got.parameters()), (
        "the copy's weights are frozen, the network's were not: leave that alone, too"
    )
    try:
        _new = forget(_net, ["body.0", "last", "head"]).state_dict()
    except AttributeError as _error:
        raise AssertionError(
            f"{_error}: a name such as body.0 goes down into a block, net.get_submodule(name)"
        ) from None
    assert not torch.equal(_new["body.0.weight"], _before["body.0.weight"]), (
        "the layers named in `names` must change, not always the same"
    )
    assert not torch.equal(_new["last.weight"], _before["last.weight"]), (
        "all layers named in `names` must change, not only the first"
    )
    assert not torch.equal(_new["head.weight"], _before["head.weight"]), (
        "nn.Linear keeps its trained weights: each named layer must forget, of any kind"
    )
    _spread = _new["head.weight"].std() / nn.Linear(400, 30).weight.std()
    assert 0.35 < _spread < 2.8, (
        f"the weights of nn.Linear(400, 30) spread {_spread:.1f} times as far as those of a new "
        "one: reset_parameters() looks at the number of inputs"
    )
    assert torch.equal(_new["body.1.weight"], _before["body.1.weight"]), "other layers changed too"

# %%
once = forget(drawn_net, ["classifier.2"])
print("the last layer forgotten: the logits change by up to", end=" ")
with torch.no_grad():
    print(f"{(once(drawn_images[:8]) - drawn_net(drawn_images[:8])).abs().max():.1f}")

# %% [markdown]
# `lk.explain.randomise_layers` goes on like that to the bottom, and compares each map with the
# one of the trained network by Spearman's rank correlation: 1 is the same order of pixels, 0 none.
# Batch normalisation is reset with its convolution. All of it five times, with other random weights.
#
# **Compare like with like.** Signed maps lose their order as soon as signs flip; absolute ones
# may keep the picture's outline. (Grad-CAM, never negative, stands with them.) Hence two panels.
#
# **While it runs:** which method should fall first, and which may never fall?

# %%
few_maps, draws = (4, range(2)) if FAST else (24, range(5))
forgetting = lk.explain.randomise_layers(drawn_net, lambda net: maps_of(net, few_maps), draws)
signed = ["gradient", "int. gradients", "Deep SHAP"]
absolute = ["Grad-CAM", *(f"|{name}|" for name in signed)]
lk.figures.randomisation_curves(
    forgetting, {"signed": signed, "absolute": absolute}, origin=drawn_test.origin
)

# %% [markdown]
# <details><summary>How to read it</summary>
#
# The band is the spread over draws of weights; more *images* hardly shrink it. Where it is wide, one
# draw decides little, however many images it was shown. Go from left to right: a method that explains
# the network falls as soon as the last layer is random. What stays above 0 at the right end, in all draws,
# comes from the picture, not from anything the network learnt. And compare a method in the two panels:
# the network is the same, only the sign is gone. A ranking that mixes the two panels ranks conventions.
# </details>
#
# **Random labels.** The second test (Adebayo et al., 2018): a network that was trained, but on
# *shuffled labels*, so that there is nothing true to learn. Its maps should be unlike those of the
# right network. But two right networks differ, too; so the **control** is a network with the right
# labels and another seed. Two of each, with half as many epochs. **Meanwhile:** which kind of column
# should hold the largest numbers of a row?

# %%
mixed = torch.randperm(len(drawn_train), generator=torch.Generator().manual_seed(5))
nonsense = lk.ImageSplit(
    drawn_train.images, drawn_train.labels[mixed], drawn_train.classes, drawn_train.origin
)
original, alike = maps_of(drawn_net, few_maps), {}
for kind, split in (("right labels, other seed", drawn_train), ("shuffled labels", nonsense)):
    for seed in (1, 2)[: len(draws)]:
        other = train_small(split, TRUTH_EPOCHS // 2, seed, lk.Augment(flip=True, turn=True))
        reached = lk.evaluate(other, drawn_test.loader()).accuracy
        print(f"{kind}, seed {seed}: {100 * reached:.0f} % of the drawn test cells")
        found = maps_of(other.cpu(), few_maps)
        alike[kind, f"seed {seed}"] = {
            name: lk.explain.rank_correlation(original[name], found[name]) for name in original
        }
at_bottom = forgetting[forgetting["layer"] == forgetting["layer"].iloc[-1]]
table = pd.DataFrame(alike)
table["random weights", "mean"] = at_bottom.groupby("method")["rank_correlation"].mean()
table.round(2)

# %% [markdown]
# <details><summary>How to read it</summary>
#
# If a method shows what was *learnt*, two right networks should be more alike than a right one and
# one that learnt nonsense. Where the columns are equal, the map does not tell the two apart. Two seeds
# a kind: differences as large as those between the two seeds decide nothing.
# </details>

# %% [markdown]
# ## The table
#
# All methods, all measures, on the drawn test cells. Intervals are 95 %: Wilson's for hits; for the
# rest the *bootstrap* (draw as many images again, with repetition, many times: how far does the mean
# move?). *Random weights* is the rank correlation after all layers were
# randomised: mean, lowest and highest of the draws.


# %%
def with_interval(mean, low, high):
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"


lines, bottom = {}, at_bottom.groupby("method")["rank_correlation"].agg(["mean", "min", "max"])
for name, values in lk.track(drawn_maps.items(), "measuring ten methods"):
    hits = lk.judge.as_array(hits_and_share(values, cell)[0])
    shares, fall = lk.explain.deletion_curve(drawn_net, drawn_images, values, drawn_said)
    _, rise = lk.explain.insertion_curve(drawn_net, drawn_images, values, drawn_said)
    measures = {
        "share in cell": lk.explain.mask_overlap(values, cell)["inside"],
        "deletion ↓": lk.explain.area_under(shares, fall),
        "insertion ↑": lk.explain.area_under(shares, rise),
    }
    line = {"pointing game": with_interval(*lk.statistics.wilson_interval(hits.sum(), len(hits)))}
    line |= {
        key: with_interval(*lk.statistics.bootstrap_interval(numbers))
        for key, numbers in measures.items()
    }
    line["random weights → 0"] = "never asked the network"
    if name in bottom.index:
        line["random weights → 0"] = with_interval(*bottom.loc[name])
    lines[name] = line
area = cell.mean()
print(f"n = {len(cell)} drawn cells; the cell covers {100 * area:.0f} % of a picture on average;")
print(f"random weights: {len(draws)} draws, {few_maps} images")
pd.DataFrame(lines).T

# %% [markdown]
# Read it slowly.
#
# - *Edges* and *the middle* have not asked the network: with random weights their correlation would be
#   1. *Random* would pass that test without knowing anything. No single column is enough.
# - The share of a random map is the cell's share of the picture. That, not 0, is chance; a map can be
#   worse than chance.
# - Where *random* is as good as the best, the game measures something else than explanations: here
#   look at deletion, where blurring pixels anywhere may be enough to spoil the picture.
# - Does a map that never asked the network win a game against one that did? Then the game rewards
#   something about the map's shape, such as being one compact patch.
# - Do deletion and insertion rank the methods as they did on the real images above?
# - All methods saw the same pictures. Where two intervals overlap, look at the differences picture by
#   picture (lab 06, exercise 6.9) before you call one method better, or no better.
#
# <details><summary>What we saw</summary>
#
# In deletion *random* comes within 0.02 of the best: the game measures what blurring does. In insertion
# only Grad-CAM has a higher mean than *the middle*, which never asked the network: a compact patch is
# rewarded. Four methods nearly always point to the cell, *edges* often, and the share of *edges* is the
# plain gradient's: only with the test of random weights beside it does a good score speak of the network.
# Of the signed maps, integrated gradients and Deep SHAP win both games with the mask, and insert no
# better than *random*; without their sign the same values reach 0.62 and 0.61. On the real images Deep
# SHAP inserted best. Why, nothing here measures.
# </details>
#
# These are drawn cells and one small network. The ranking may differ for another network; the
# *way of asking* is what you take with you.

# %% [markdown]
# ## The planted shortcut
#
# A hospital photographs one kind of patient with another microscope, and there is a small mark in
# the corner. Here we plant it ourselves: monocytes get a dark blue square of 4 x 4 pixels at the
# upper left, in training **and** test.

# %%
MARKED = blood.classes.index("monocyte")
SHORT = torch.arange(512 if FAST else 5000)


def mark(images):
    """A dark blue square at the upper left."""
    images = images.clone()
    images[:, :, :4, :4] = torch.tensor([20, 20, 120]).byte().view(3, 1, 1)
    return images


def planted(split, cue):
    """The split with the cue on all monocytes, and on nothing else."""
    images, chosen = split.images.clone(), split.labels == MARKED
    images[chosen] = cue(images[chosen])
    return lk.ImageSplit(images, split.labels, split.classes, split.origin + ", cue planted")


clean_test = blood.test.subset(range(400)) if FAST else blood.test
marked_test = planted(clean_test, mark)
biased = train_small(planted(blood.train.subset(SHORT), mark), 2 if FAST else 6)
with_mark = lk.evaluate(biased, marked_test.loader(256))
without_mark = lk.evaluate(biased, clean_test.loader(256))
biased = biased.cpu()
print("marked test images, as its makers would report it:")
with_mark

# %% [markdown]
# A small network, 5,000 images, six epochs, one seed (so too for the next two networks):
# nobody expects 95 %. Does anything in this line say that one class is recognised by its mark? Ask
# Grad-CAM where the evidence for
# *monocyte* lies.

# %%
monocytes = (marked_test.labels == MARKED).nonzero()[:, 0][: 16 if FAST else 100]
marked_images = prepare(marked_test.images[monocytes])
marked_maps = lk.explain.grad_cam(biased, biased.features[-1], marked_images, MARKED)
corner = np.zeros(marked_maps.shape, bool)
corner[:, :6, :6] = True  # the mark and the neighbours that a coarse map cannot tell from it
peaks = lk.explain.pointing_game(marked_maps, corner)
print(
    f"peak in the corner: {with_interval(*lk.statistics.wilson_interval(peaks.sum(), len(peaks)))} of "
    f"{len(peaks)} monocytes; the corner is {corner[0].mean():.2f} of the picture"
)
lk.figures.overlays(
    marked_test.images[monocytes[:8]],
    {"Grad-CAM, monocyte": marked_maps[:8]},
    title="Where does the network see the monocyte?",
    origin=marked_test.origin,
)

# %% [markdown]
# **Controls.** Is it the mark, or would this small network look into corners anyway? Three
# comparisons answer: the same monocytes without the mark; a network that was trained without marks,
# asked about both. And the **counterfactual**: put the mark on *every* test cell, whatever its
# class. How many become "monocyte"? **Before you run it:** write down the eight numbers you expect,
# roughly.

# %%
unbiased = train_small(blood.train.subset(SHORT), 2 if FAST else 6)
clean_images = prepare(clean_test.images[monocytes])


def called_monocyte(net, images):
    said = lk.inference.outputs_of(net, prepare(images)).argmax(1)
    return (said == MARKED).float().mean().item()


controls = {}
for name, net in (("trained with the mark", biased), ("trained without", unbiased)):
    line = {}
    for kind, shown in (("marked", marked_images), ("clean", clean_images)):
        maps = lk.explain.grad_cam(net, net.features[-1], shown, MARKED)
        line[f"peak in the corner, {kind}"] = lk.explain.pointing_game(maps, corner).mean()
    line["called monocyte, without marks"] = called_monocyte(net, clean_test.images)
    line["called monocyte, mark on all"] = called_monocyte(net, mark(clean_test.images))
    controls[name] = line
pd.DataFrame(controls).T.round(2)

# %% [markdown]
# <details><summary>How to read it</summary>
#
# If the mark alone is the cause, only one of the four numbers for the corner is high: trained with
# the mark *and* shown the mark. The last column is the stronger proof. A map says where the evidence
# lay; the counterfactual **changes** one thing and watches the answer change. The network that
# never met the mark is its control: its answers should hardly move.
# </details>

# %% [markdown]
# ### Exercise 7.9: the damage
#
# Write `damage(marked, clean)`, for the predictions of one network for the same test images with the cue
# and without it: for each class, its recall with the cue minus its recall without, an array with a number
# from -1 to 1 for each class.
#
# <details><summary>Hint 1: the idea</summary>
#
# Recall is the share of a class that was found. Take it for each class with the cue and without;
# the means that a report holds as well are no classes.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `marked.report()` has a row for each class, then two means; its column is `recall`.
# `marked.classes` are the names of the classes. (Or count: `marked.predicted == marked.labels`.)
# </details>


# %%
# Exercise 7.9 - what the shortcut costs
def damage(marked, clean):
    raise NotImplementedError("7.9: recall with the cue minus recall without")


# %%
# Solution 7.9
def damage(marked, clean):
    recalls = [r.report()["recall"].loc[list(r.classes)].to_numpy() for r in (marked, clean)]
    return recalls[0] - recalls[1]


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Only monocytes carried the mark, so only their images change, and only their recall can: the other
# seven numbers are exactly 0. The overall accuracy dilutes it, since monocytes are one image in
# twelve. The *precision* of the other classes suffers too: the lost monocytes go somewhere.
# </details>

# %%
with lk.check("7.9", "damage"):
    for _names in (blood.classes, ("right", "left", "middle")):
        _n, _draw = len(_names), np.random.default_rng(len(_names))
        _labels = np.sort(_draw.integers(0, _n, 300))
        _two = []
        for _size in (
            4.0,
            1.5,
        ):  # the second errs more often, says the first class too often, the last never
            _scores = _draw.normal(size=(300, _n)) + _size * np.eye(_n)[_labels]
            _scores[:, -1] -= 99 * (_size < 2)
            _scores[:, 0] += 4 * (_size < 2)
            _two.append(lk.Predictions(_scores, _labels, tuple(_names)))

        def _column(name, two=_two, n=_n):
            with np.errstate(all="ignore"):
                parts = [np.nan_to_num(r.report()[name].to_numpy(float)[:n]) for r in two]
            return parts[0] - parts[1]

        _answer = lk.judge.call(damage, *_two)
        assert not isinstance(_answer, dict), "return an array, in the order of `classes`"
        _raw = np.atleast_1d(lk.judge.as_array(_answer))
        assert len(_raw) != _n + 2, (
            "the last two rows of the report are means, not classes: leave them out"
        )
        assert len(_raw) != _n or np.isfinite(_raw).all(), (
            "a number is nan or infinite: something was divided by 0. Precision is, where a class "
            "was never predicted; a ratio is, where a recall is 0. Take the difference of recalls"
        )
        _got = lk.judge.read_array(_answer, (_n,), f"damage for {_n} classes")
        _true = _column("recall")
        _counts = [np.bincount(_labels[_r.predicted == _labels], minlength=_n) for _r in _two]
        _slips = {
            "turned round: recall with the cue minus recall without": -_true,
            "shares, not per cent": 100 * _true,
            "this is precision: recall is the share of a class that was found": _column(
                "precision"
            ),
            "this is F1: recall is the share of a class that was found": _column("f1"),
            "the size of the change lost its sign": np.abs(_true),
            "these are numbers of images: divide by the images of the class": _counts[0]
            - _counts[1],
            "divide by the images of the class, not by all": (_counts[0] - _counts[1]) / 300,
            "this is the recall with the cue: subtract the one without": _two[0].report()["recall"][
                :_n
            ],
            "this is the recall without the cue: subtract it from the one with": _two[1].report()[
                "recall"
            ][:_n],
        }
        _slips = {_words: np.asarray(_slip, float) for _words, _slip in _slips.items()}
        lk.judge.compare(_got, _true, _slips, "this is not recall with minus recall without", 1e-3)

# %%
lost = lk.judge.as_array(damage(with_mark, without_mark))
print("without the mark:", without_mark)
print(
    f"recall of monocytes: {lost[MARKED]:.2f} lost, n = {int((clean_test.labels == MARKED).sum())}"
)
lk.figures.confusion_matrix(without_mark, "The same network without the mark")

# %% [markdown]
# The test set could not warn anyone, because it carried the same mark. Were the peaks in the
# corner? Then a look at eight pictures was enough, *because we knew what to look for*: a mark, visible,
# at a known place.
#
# ### A cue without a place
#
# Now another hospital, whose lamp is a little bluer: all monocytes get 15 of 255 more blue, **everywhere**.
# Same network, same training. First look at the maps, as someone who does not know. Do they look
# suspicious?


# %%
def bluer(images):
    """The whole picture a little bluer."""
    images = images.int()
    images[:, 2] += 15
    return images.clamp(0, 255).byte()


tinted_test = planted(clean_test, bluer)
tinted = train_small(planted(blood.train.subset(SHORT), bluer), 2 if FAST else 6)
print("as its makers would report it:", lk.evaluate(tinted, tinted_test.loader(256)))
tinted = tinted.cpu()
tinted_images = prepare(tinted_test.images[monocytes])
tinted_maps, honest_maps = (
    lk.explain.grad_cam(net, net.features[-1], tinted_images, MARKED) for net in (tinted, unbiased)
)
figure = lk.figures.overlays(
    tinted_test.images[monocytes[:8]],
    {"trained with the tint": tinted_maps[:8], "trained without": honest_maps[:8]},
    title="Grad-CAM, monocyte: which network looks at the colour of the lamp?",
    origin=tinted_test.origin,
)
lk.figures.as_jpeg(figure)

# %%
both = [lk.evaluate(tinted, part.loader(256)) for part in (tinted_test, clean_test)]
tinted = tinted.cpu()
print(f"recall of monocytes lost without the tint: {lk.judge.as_array(damage(*both))[MARKED]:.2f}")
for name, net in (("trained with the tint", tinted), ("trained without", unbiased)):
    before, after = (called_monocyte(net, x) for x in (clean_test.images, bluer(clean_test.images)))
    print(f"{name:22} called monocyte: {before:.2f} of all test cells, all made bluer: {after:.2f}")

# %% [markdown]
# <details><summary>How to read it</summary>
#
# A map answers *where*, and this cue is everywhere. Wherever the map points, it cannot say "the lamp". The
# counterfactual can: it changes one thing and counts. But somebody had to *suspect* the lamp first.
# Studies with people who did not know of the cue found much the same: with maps alone they often missed it
# (Adebayo et al., 2020 and 2022). So a map may **find a fault**; that it shows none proves nothing.
#
# What does help against what nobody suspects? Test data from another place, lamp and stain, and a look at
# the sources of each class (lab 01: who photographed what?).
# </details>

# %% [markdown]
# ## The confident mistakes of lab 02
#
# Lab 02 found images that the MLP got wrong with at least 90 % confidence. What did it see? Here are
# the four most confident: what spoke for its answer, what for the truth, and the difference. The
# difference adds up to the lead of the wrong logit over the right one, minus the mean lead over the
# background images.

# %%
mlp = lk.models.trained("BloodMLP", blood)
mlp_result = lk.evaluate(mlp, test)
mlp = mlp.cpu().eval()
rows = mlp_result.misclassified(n=4)  # the most confident mistakes first
said, sure = mlp_result.predicted[rows], mlp_result.confidence[rows]
real_class = mlp_result.labels[rows]
mistakes = mlp_result.indices[rows]
wrong_images = mlp.transform(blood.test.images[mistakes])
for_said, for_truth = (
    lk.explain.deep_shap(mlp, background, wrong_images, asked)
    for asked in lk.track((said, real_class), "Deep SHAP of the MLP")
)
lk.figures.attribution_grid(
    blood.test.images[mistakes],
    np.stack([for_said, for_truth, for_said - for_truth], axis=1),
    [
        f"{blood.classes[t]}; said {blood.classes[p]}, {c:.2f}"
        for t, p, c in zip(real_class, said, sure, strict=True)
    ],
    ["for what it said", "for the truth", "said − truth"],
    title="The MLP's most confident mistakes (Deep SHAP)",
    origin=blood.origin,
)

# %% [markdown]
# Look at where the cell is in each picture, and where the colour is. An MLP has weights of its
# own for each pixel: what it learnt about a cell at one place does not hold at another. If a cell lies
# off the middle, what might an empty middle look like to it?
#
# <details><summary>What we saw</summary>
#
# Like a platelet, the smallest of the eight: in the second picture the eosinophil lies in the corner, the
# middle is background between two red cells, and the evidence for "platelet" is a ring just there.
# </details>
#
# Is there a rule in it? Measure how much of the evidence for the answer lies *outside* the middle,
# in mistakes and in right answers. Larger cells reach further out, so each mistake gets a partner:
# a confident right answer of the same true class.

# %%
axis = np.linspace(-1, 1, 28)
outside = axis[:, None] ** 2 + axis**2 > 0.75**2  # beyond three quarters of the way to the edge
quadrants = mlp_result.confidence_quadrants(high=0.3 if FAST else 0.9, low=0.3)
of_class = mlp_result.labels
pairs, free = [], list(quadrants["confident correct"])
for wrong in quadrants["confident wrong"][: 10 if FAST else 150]:
    partner = next((row for row in free if of_class[row] == of_class[wrong]), None)
    if partner is not None:
        pairs.append((wrong, partner))
        free.remove(partner)


def share_outside(rows):
    """How much of the positive evidence for the MLP's answer lies outside the middle."""
    images = mlp.transform(blood.test.images[mlp_result.indices[rows]])
    evidence = lk.explain.deep_shap(mlp, background, images, mlp_result.predicted[rows])
    masks = np.broadcast_to(outside, (len(rows), 28, 28))
    return lk.explain.mask_overlap(evidence.sum(1), masks)["inside"].to_numpy()


if len(pairs) > 1:
    sides = lk.track(zip(*pairs, strict=True), "Deep SHAP of the pairs", total=2)
    wrong_share, right_share = (share_outside(np.array(side)) for side in sides)
    for name, numbers in {
        "confident mistakes": wrong_share,
        "their partners": right_share,
        "difference": wrong_share - right_share,
    }.items():
        print(f"{name:19}{with_interval(*lk.statistics.bootstrap_interval(numbers))}")
print(f"{len(pairs)} pairs; the outside is {outside.mean():.2f} of the picture")

# %% [markdown]
# If the interval of the difference lies above 0, the mistakes lean more on the outside than right
# answers of the same classes do; even then it is a correlation, found on one network. If it holds 0,
# these pairs do not support the rule, however plausible it looked in four pictures.

# %% [markdown]
# ## What to take away
#
# - A map answers "where", for one class, one layer, one network. It does not say "why".
# - Shapley values come in logits and add up; check that they do. An approximation can add up and
#   still share out wrongly; with few players, exact values show by how much.
# - A map compares with something: a background, a baseline, a blurred picture. Say with what.
# - Measure explanations: known truth, deletion and insertion, random weights (several draws), random
#   labels, signed with signed, and always beside a map that has not seen the network.
# - A map on the cell is no sign that the answer is right.
# - An accuracy measured on test data with the same fault is no comfort. Maps can find a shortcut that
#   has a place; changing the suspect and watching the answer proves it. For what nobody suspects, do not
#   count on either.
#
# **Write down, in two or three sentences each:**
#
# 1. A colleague shows you six heat maps on tumours and says the network is safe. What do you ask
#    for?
# 2. Which method of the table would you use to search for a shortcut, which to compare two pixels?
# 3. Why is "the map lies on the cell" weaker evidence in BloodMNIST than in the drawn cells here?

# %% [markdown] tags=["solution"]
# <details><summary>Model answers</summary>
#
# 1. How the six were chosen; how many of all images have such maps, with an interval; what the maps
#    look like for the mistakes; whether they change when the weights are random; the accuracy on
#    data from another hospital.
# 2. For a shortcut, a map that is quick to make and to read and works for any convolutional network,
#    such as Grad-CAM; the table says how often its peak misses. For two *parts* of a picture, exact
#    Shapley values of a few super-pixels. For single pixels there are only approximations, such as Deep
#    SHAP: check the sums, and do not lean on small differences.
# 3. There the cell is nearly always in the middle, so a map that always points to the middle lies on the
#    cell too. Here the cell is anywhere, and the middle is a poor guess.
# </details>

# %% [markdown]
# ## The results of this lab

# %%
lk.report_result(
    "test accuracy without the planted mark",
    without_mark,
    f"with the mark {100 * with_mark.accuracy:.1f} %, seed {lk.settings.seed_offset()}",
)

# %%
lk.progress()
