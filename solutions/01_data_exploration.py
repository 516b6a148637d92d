# %% [markdown]
# # Lab 01 · Know the data before the model
#
# **You will learn** to look at a data set before you train on it: what one image is, how often each
# class occurs, what is broken, what gets lost, how the pictures were taken, and how a split goes
# wrong without any warning.
#
# **You should know** Python, NumPy and a little pandas (`groupby`). You need not have seen PyTorch:
# the little that is needed is said where it is needed. No network is trained here.
#
# **Time:** about two and a half hours. All cells together compute for less than a minute.

# %%
import time
from itertools import combinations, pairwise
from pathlib import Path

import medmnist
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.colors import rgb_to_hsv
from PIL import Image
from scipy import ndimage

import labkit as lk

COLOURS = lk.figures.PALETTE
PER_CLASS = 12 if lk.settings.fast() else 40  # photographs a class that are measured
lk.seed_everything(42)

# %% [markdown]
# ## The small images
#
# BloodMNIST: single blood cells, 28 x 28 pixels, eight classes. It is one of the sets of MedMNIST, a
# collection of small medical images that all come in the same form. Its package, `medmnist`, says
# what is in each:

# %% tags=["nbval-check-output"]
info = medmnist.INFO["bloodmnist"]
print(len(medmnist.INFO), "data sets, among them:", "bloodmnist" in medmnist.INFO)
print("task:", info["task"], "· channels:", info["n_channels"], "· licence:", info["license"])
print("images:", info["n_samples"])
for number, name in info["label"].items():
    print(number, name)

# %% [markdown]
# (`medmnist.BloodMNIST(split="train", download=True)` gives the images one by one, as you will see
# elsewhere. Its labels have the shape (N, 1); one takes the extra axis away with `.squeeze()`.)
#
# The course reads the same file with `lk.load_dataset`, all images at once. It shows a **card**:
# where the images come from, under which licence, and what they cannot show. Read it first.

# %%
blood = lk.load_dataset("bloodmnist", size=28)
blood

# %%
first = lk.figures.image_grid(
    blood.train.images[:8],
    [blood.classes[label] for label in blood.train.labels[:8]],
    origin=blood.origin,
)
first

# %% [markdown]
# Eight images do not show a class. See at least two of each, and let chance choose them: the first
# images of a file may come from one day, or one patient.
#
# Images and labels come as **tensors**. A tensor is PyTorch's array, and nearly all that you know
# from NumPy holds for it: shape, slices, masks, `mean`. What NumPy calls `axis` is called `dim`.
# `.float()` makes decimal numbers of whole ones, and `.numpy()` gives the NumPy array.

# %% [markdown]
# ### Exercise 1.1: two random images of each class
#
# Choose 16 training images at random, two of each of the eight classes. Give their row numbers in
# `blood.train`, as one list or array, in any order.
#
# <details><summary>Hint 1: the idea</summary>
#
# Class by class: which rows of the whole split belong to it? Draw two different ones of *those*.
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# `np.flatnonzero(mask)` gives the rows where a mask is true. `rng.choice` can draw with or without
# `replace`.
# </details>

# %%
# Exercise 1.1 - two random images of each class
labels = blood.train.labels.numpy()
rng = np.random.default_rng(42)
picked = ...  # 16 row numbers

# %%
# Solution 1.1
labels = blood.train.labels.numpy()
rng = np.random.default_rng(42)
picked = np.concatenate(
    [rng.choice(np.flatnonzero(labels == c), 2, replace=False) for c in range(len(blood.classes))]
)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# `flatnonzero` gives rows of the whole split, so what is drawn from it can be used as it is.
# Without `replace=False` the same image could be drawn twice. With a seeded generator of its own
# the choice is the same each time, and nothing else in the notebook changes it.
# </details>

# %%
with lk.check("1.1", "picked"):
    assert not isinstance(picked, dict), "give one list of 16 row numbers, not a dictionary"
    assert not isinstance(picked, set), "give a list of 16 row numbers, not a set"
    try:
        _rows = lk.judge.as_array(picked, None)
    except ValueError:
        raise AssertionError("the parts have different lengths: 2 row numbers a class") from None
    assert _rows.ndim < 3, "these are images; give their row numbers in blood.train"
    _rows, _labels = _rows.ravel(), blood.train.labels.numpy()
    assert _rows.dtype != bool, "this is a mask; give row numbers (np.flatnonzero helps)"
    assert _rows.dtype.kind in "iuf", "these are no numbers: give 16 row numbers of blood.train"
    assert len(_rows) == 16, f"there are {len(_rows)} row numbers; 8 classes need 16, 2 a class"
    assert (_rows == _rows.astype(int)).all(), "row numbers are whole numbers"
    _rows = _rows.astype(int)
    assert _rows.max() > 7, "these are the classes 0 to 7; give row numbers of blood.train"
    assert _rows.min() >= 0 and _rows.max() < len(blood.train), "a row is outside blood.train"
    _each = np.bincount(_labels[_rows], minlength=8).tolist()
    assert len(set(_rows.tolist())) == 16, "an image comes twice: draw without replacement"
    assert _each == [2] * 8, (
        f"the images a class are {_each}, not 2 each: draw 2 rows of each class of blood.train, "
        "as rows of the whole split (not places inside one class, nor rows of another split)"
    )
    _of = [np.flatnonzero(_labels == c) for c in range(8)]
    for _words, _part in {"first two": [0, 1], "last two": [-2, -1], "two ends": [0, -1]}.items():
        _ends = np.concatenate([r[_part] for r in _of])
        assert set(_rows) != set(_ends), f"these are the {_words} of each: choose at random"
    _places = np.array([np.sort(np.searchsorted(r, np.intersect1d(r, _rows))) for r in _of])
    assert len(set(_places.ravel())) > 2, (
        "you took the same two places in each class: choose at random, anew for each class"
    )
    _last = np.array([len(r) - 1 for r in _of])
    _rules = [_places[:, 1] - _places[:, 0]]
    for _place in _places.T:  # near one share of the class in all of them, or one place from an end
        _rules += [np.round((_place - share * _last) / 2) for share in (1 / 4, 1 / 3, 1 / 2, 2 / 3)]
        _rules += [_place, _last - _place]
    assert all(np.ptp(rule) > 0 for rule in _rules), (
        "the places in the classes follow a rule (such as first, middle, neighbours): choose at "
        "random, anew for each class"
    )
    assert np.ptp(_places / _last[:, None]) > 1 / 3, (
        "all 16 come from one stretch of their classes (the first rows?): draw from all rows of each"
    )

# %%
rows = torch.as_tensor(lk.judge.as_array(picked, int).ravel())
rows = rows[blood.train.labels[rows].argsort()]
two_each = lk.figures.image_grid(
    blood.train.images[rows],
    [blood.classes[label] for label in blood.train.labels[rows]],
    title="Two random training images of each class",
    origin=blood.origin,
)
two_each

# %% [markdown]
# **Look:** which two classes would *you* confuse at this size? Write the pair down.
#
# <details><summary>Answer</summary>
#
# There is no single right one. Good candidates are monocyte and immature granulocyte (both large,
# with a pale body and a big nucleus that is not cut into pieces), or basophil and immature
# granulocyte (both large and dark). Platelets and eosinophils are the easy ones: tiny, or reddish.
# Lab 02 shows which pairs a network confuses; compare.
# </details>

# %% [markdown]
# ## How often each class occurs

# %%
lk.figures.class_distribution(blood.train)

# %% [markdown]
# The bars differ: the classes are **imbalanced**. In the official training data 2,330 images
# (19.5 %) are neutrophils and only 849 (7.1 %) lymphocytes.
#
# Now think of a "classifier" that never looks at an image and always says the most frequent class.
# It has an accuracy, too. Any result must be read against it.

# %% [markdown]
# ### Exercise 1.2: the majority baseline
#
# Which class is the most frequent **in training**? What accuracy on the **test** split does the
# guesser reach that always says this class? Give it as a share with at least four decimals.
#
# <details><summary>Hint 1: the idea</summary>
#
# On which test images is this guesser right? Two splits come in: one names the class, the other
# judges.
# </details>
# <details><summary>Hint 2: in pandas</summary>
#
# `blood.train.counts()` is a series; `idxmax()` gives the name of its largest entry. A split has a
# `len`.
# </details>

# %%
# Exercise 1.2 - the majority baseline
majority_class = ...  # its name
baseline_accuracy = ...  # a share between 0 and 1

# %%
# Solution 1.2
majority_class = blood.train.counts().idxmax()
baseline_accuracy = blood.test.counts()[majority_class] / len(blood.test)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# The guesser may know the training data, so those name the class. It is then judged like any other
# model: right answers on the test split, divided by the number of test images. With eight classes
# one might expect 1/8 = 12.5 %; imbalance gives more for nothing.
# </details>

# %%
with lk.check("1.2", "majority_class", "baseline_accuracy"):
    _train, _test = blood.train.counts(), blood.test.counts()
    _number = int(_train.to_numpy().argmax())
    _name = blood.classes[_number]
    _said = majority_class
    if not isinstance(_said, str):
        _said = np.ravel(lk.judge.as_array(majority_class, object))
        assert len(_said) == 1, "majority_class: give the name of the class alone, nothing more"
        _said = _said[0]
    _said = _said.strip().lower() if isinstance(_said, str) else _said
    assert isinstance(_said, str) or _said in range(8), (
        f"{_said!r} is not a class: is it the count? Give the name (idxmax, not max)"
    )
    assert _said in (_name, _number) or str(_said).rstrip("s") != _name, (
        f"{_said!r} is the right class: write its name as in blood.classes"
    )
    assert _said in (_name, _number), f"{_said!r} is not the most frequent class in training"
    try:
        _value = float(lk.judge.as_array(baseline_accuracy).item())
    except (TypeError, ValueError):
        raise AssertionError("baseline_accuracy must be one number, a share") from None
    _right = _test[_name] / len(blood.test)
    assert not 1 < _value <= 100, "baseline_accuracy is a share from 0 to 1, not per cent"
    assert abs(_value - 1 / 8) > 1e-9, "1/8 is right only where all classes are equally frequent"
    assert abs(_value - _test[_name]) > 0.5, "this is a number of images: divide by all of them"
    assert abs(_value - (1 - _right)) > 5e-5, "this is the share of wrong answers"
    if abs(_value - _right) >= 5e-5:
        for _digits in (1, 2, 3):
            assert abs(_value - round(_right, _digits)) > 1e-9, "give at least four decimals"
        for _split in ("train", "val"):
            _share = blood.splits[_split].counts()[_name] / len(blood.splits[_split])
            assert abs(_value - _share) > 5e-5, (
                f"this is the share in the {_split} split; accuracy is measured on the test split"
            )
    assert abs(_value - _right) < 5e-5, (
        f"{_value:.4f} is not it: count the test images of {_name}, divide by all test images"
    )

# %% [markdown]
# The same guesser, seen class by class. **Recall** is the share of a class that is found, and
# **precision** the share of right ones among all images that were *called* this class (0 where none
# was). **F1** is their harmonic mean, $2 \cdot \text{precision} \cdot \text{recall} /
# (\text{precision} + \text{recall})$: high only if both are. `support` counts the images. Accuracy
# looks like *something*; what do the recalls show?

# %%
guess = int(blood.train.counts().to_numpy().argmax())
logits = np.zeros((len(blood.test), len(blood.classes)))
logits[:, guess] = 1
guesser = lk.Predictions(logits, blood.test.labels, blood.classes, blood.origin)
guesser.report().round(3)

# %% [markdown]
# <details><summary>Answer</summary>
#
# One class has recall 1, all others 0: nothing was learnt.
# </details>
#
# That is why the labs also report **macro F1**, the mean of the F1 over the classes, whatever their
# size. (In the table, `macro avg` is the mean over the classes, `weighted avg` over the images.)

# %% [markdown]
# ## The numbers inside
#
# A colour image is three tables of numbers: red, green and blue. In the file they are whole numbers
# from 0 to 255; a network gets them divided by 255. Networks often learn faster from inputs
# around zero (lab 02 measures it), so one subtracts a mean and divides by a standard deviation. Of
# what?

# %% [markdown]
# ### Exercise 1.3: mean and standard deviation of each channel
#
# Over **all training pixels**, scaled to $[0, 1]$: three means and three standard deviations, in
# the order red, green, blue.
#
# <details><summary>Hint 1: the idea</summary>
#
# Which axes of (N, C, H, W) must disappear, so that one number a channel remains? And how often may
# one average before taking a standard deviation?
# </details>
# <details><summary>Hint 2: in PyTorch</summary>
#
# `blood.train.images` is uint8: make it float first. `mean` and `std` take several axes at once,
# `dim=(…)`.
# </details>

# %%
# Exercise 1.3 - mean and standard deviation of each channel
channel_mean = ...  # three numbers
channel_std = ...  # three numbers

# %%
# Solution 1.3
pixels = blood.train.images.float() / 255
channel_mean = pixels.mean(dim=(0, 2, 3))
channel_std = pixels.std(dim=(0, 2, 3))

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# The mean runs over images, rows and columns; what remains is one number a channel. The standard
# deviation of all pixels is larger than the mean of the images' own standard deviations, because
# images also differ from each other. Validation and test data stay out: at test time they are new.
# </details>

# %%
with lk.check("1.3", "channel_mean", "channel_std"):

    def _three(answer):
        answer = list(answer.values()) if isinstance(answer, dict) else answer
        return np.ravel(lk.judge.as_array(answer))

    _mean, _std = _three(channel_mean), _three(channel_std)
    for _numbers, _what in ((_mean, "channel_mean"), (_std, "channel_std")):
        assert len(_numbers) == 3, (
            f"{_what} has {len(_numbers)} numbers; it needs 3: average over every axis but the "
            "channels, dim=(0, 2, 3)"
        )
        assert np.isfinite(_numbers).all(), f"{_what} holds NaN or infinity"
    assert _mean.max() <= 1 and _std.max() <= 1, "these are on the scale 0–255: divide by 255"

    def _moments(splits):
        images = [torch.bincount(x.flatten().int(), minlength=256) for x in splits]
        share = (sum(images) / sum(images).sum()).double()
        level = torch.arange(256) / 255
        mean = float((share * level).sum())
        return mean, float((share * (level - mean) ** 2).sum()) ** 0.5

    def _table(*names):
        chosen = [blood.splits[name].images for name in names]
        return np.array([_moments([x[:, c] for x in chosen]) for c in range(3)]).T

    def _off(table):
        return max(abs(_mean - table[0]).max(), abs(_std - table[1]).max())

    _right = _table("train")
    _parts = (("test",), ("val",), ("val", "test"), ("train", "val"), ("train", "test"))
    for _names in (*_parts, ("train", "val", "test")):
        assert _off(_right) < 1e-5 or _off(_table(*_names)) > _off(_right) / 4, (
            f"these are numbers of {' and '.join(_names)}: use the training images, blood.train, only"
        )
    assert _off(_right[::-1]) > 6e-4, "channel_mean and channel_std are swapped"
    assert abs(_mean - _right[0][::-1]).max() > 6e-4, "turn the order round: red, green, blue"

    def _fits(numbers, right):  # three or four decimals are enough; float32 errs by less than 1e-5
        rounded = [abs(numbers - numbers.round(digits)) < 1e-7 for digits in (3, 4)]
        return (abs(numbers - right) < np.select(rounded, (6e-4, 6e-5), 2.5e-5)).all()

    assert _fits(_mean, _right[0]), (
        f"channel_mean {_mean.round(5)} is not it: all training pixels of a channel, in [0, 1], each "
        "once (and NumPy's float32 sums can drift: dtype=float)"
    )
    _images = blood.train.images.float().div(255)
    _own = _images.std(dim=(2, 3)).mean(0).numpy()
    assert abs(_std - _own).max() > 6e-4, (
        "this is the mean of each image's own deviation; take all pixels of a channel at once"
    )
    assert abs(_std - _images.mean(dim=(2, 3)).std(0).numpy()).max() > 6e-4, (
        "this is the deviation of the images' means; take all pixels of a channel at once"
    )
    assert abs(_std - _right[1] ** 2).max() > 6e-4, "this is the variance: take its square root"
    assert abs(_std - _right[1][::-1]).max() > 6e-4, "turn channel_std round: red, green, blue"
    assert _fits(_std, _right[1]) or abs(_std - _right[1]).max() > 1e-3, (
        f"channel_std {_std.round(5)} is near, but not it: a mean over batches, or a part of the "
        "images? Take all training pixels of a channel at once"
    )
    assert _fits(_std, _right[1]), (
        f"channel_std {_std.round(5)} is not it: all training pixels of a channel, in [0, 1]"
    )

# %%
figure, axes = lk.figures.new_figure(height=3.0, origin=blood.origin)
print("mean:", channel_mean, "standard deviation:", channel_std)
CHANNELS = {"red": "#D55E00", "green": "#009E73", "blue": "#0072B2"}  # told apart by anyone
for channel, (name, colour) in enumerate(CHANNELS.items()):
    values = torch.bincount(blood.train.images[:, channel].flatten().int(), minlength=256)
    share = 100 * values / values.sum()
    axes[0, 0].plot(np.arange(256) / 255, share, color=colour, label=name)
axes[0, 0].set(xlabel="pixel value (0 dark, 1 bright)", ylabel="share of pixels in %", yscale="log")
axes[0, 0].set_title("How often each value occurs in the training images (logarithmic)")
axes[0, 0].set_ylim(bottom=1e-3)
axes[0, 0].legend(title="channel", frameon=False)
figure

# %% [markdown]
# **Look:** which channel has dark pixels that another lacks? And what may two humps mean?
#
# <details><summary>Answer</summary>
#
# What the stain colours strongly is dark in the complementary channel: a blue-violet nucleus lets
# little green light through, so green should reach furthest to the left. Two humps mean two kinds
# of pixels, for instance background (bright) and cell (darker).
# </details>

# %% [markdown]
# ## What a batch holds
#
# Networks take images in batches. A batch of images is one tensor with four axes: N images,
# C channels, H rows, W columns. "NCHW" is that order.

# %% tags=["nbval-check-output"]
train, val, test = blood.loaders(batch_size=64, normalize="none")
images, batch_labels = next(iter(train))
print("images:", tuple(images.shape), images.dtype)
print("labels:", tuple(batch_labels.shape), batch_labels.dtype)
print("values within [0, 1]:", bool(images.min() >= 0 and images.max() <= 1))
print("labels within 0 … 7:", bool(batch_labels.min() >= 0 and batch_labels.max() <= 7))

# %% [markdown]
# The memory behind a tensor is one long row of numbers. The **strides** say how far to jump for the
# next image, channel, row and column. With `channels_last` the shape is the same, but the three
# colours of a pixel lie side by side: with it, many processors run the networks of lab 05 faster.

# %% tags=["nbval-check-output"]
batch = torch.zeros(64, 3, 28, 28)
last = batch.to(memory_format=torch.channels_last)
print("NCHW:         shape", tuple(batch.shape), "strides", batch.stride())
print("channels last: shape", tuple(last.shape), "strides", last.stride())

# %% [markdown]
# ### Exercise 1.4: the memory of a batch
#
# How many megabytes (1 MB = 10⁶ bytes) does a batch of 64 colour images take as float32, with 28,
# 224 and 360 pixels a side? Calculate; do not measure.
#
# <details><summary>Hint 1: the idea</summary>
#
# How many numbers are in the batch, and how many bytes does one take?
# </details>
# <details><summary>Hint 2: the factors</summary>
#
# Four axes, N, C, H and W. A float32 has 32 bits; a byte has 8.
# </details>

# %%
# Exercise 1.4 - the memory of a batch
batch_megabytes = {28: ..., 224: ..., 360: ...}

# %%
# Solution 1.4
batch_megabytes = {side: 64 * 3 * side * side * 4 / 1e6 for side in (28, 224, 360)}

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# 64 · 3 · 28 · 28 · 4 bytes = 0.6 MB; 38.5 MB at 224 and 99.5 MB at 360 pixels. Twice the side
# takes four times the memory. A network keeps a tensor of its own for *every layer* while it learns,
# so the side decides what fits. As uint8 the same images take a quarter: keep them so until a batch
# is made.
# </details>

# %%
with lk.check("1.4", "batch_megabytes"):
    _given, _sides = batch_megabytes, (28, 224, 360)
    if isinstance(_given, dict):
        _numbers = pd.Series([str(key) for key in _given], dtype=str).str.extract(r"(\d+)")[0]
        _keys = dict(zip(_numbers, _given.values(), strict=True))  # 28, 28.0 and "28 px" alike
        assert all(str(side) in _keys for side in _sides), "keep the keys 28, 224 and 360"
        _given = [_keys[str(side)] for side in _sides]
    _given = list(np.ravel(lk.judge.as_array(_given, object)))
    assert not any(value is ... for value in _given), "there are still `...` in batch_megabytes"
    assert not any(isinstance(value, str) for value in _given), "give bare numbers, without a unit"
    _given = np.ravel(lk.judge.as_array(_given))
    assert len(_given) == 3, f"there are {len(_given)} numbers; give 3, for 28, 224 and 360 pixels"
    _right = np.array([64 * 3 * side**2 * 4 / 1e6 for side in _sides])
    _usual = {
        1 / 3: "a colour image has 3 channels",
        1 / 4: "a float32 takes 4 bytes, not 1",
        8: "a float32 has 32 bits; that is 4 bytes",
        2: "a float32 takes 4 bytes, not 8 (that is float64)",
        1 / 64: "this is one image; a batch holds 64",
        1e6: "these are bytes: divide by 10⁶",
        1e6 / 2**20: "these are mebibytes (2²⁰ bytes): divide by 10⁶",
        1e3: "these are kilobytes: divide by 10⁶",
        1e-3: "these are gigabytes: divide by 10⁶",
        4 / 3: "a colour image has 3 channels, not 4",
    }
    for _factor, _text in _usual.items():
        assert not np.allclose(_given, _factor * _right, rtol=2e-3, atol=0), _text
    assert not np.allclose(_given, _right / _sides, rtol=2e-3, atol=0), (
        "an image has rows **and** columns: the side comes in twice"
    )
    assert not np.allclose(_given[::-1], _right, rtol=0.01, atol=0.006), (
        "the order is turned round: 28, 224, 360"
    )
    assert np.allclose(_given, _right, rtol=0.005, atol=0.006), (
        f"{_given} MB is not it: 64 · 3 · side · side numbers of 4 bytes each"
    )

# %% [markdown]
# ## The original photographs
#
# BloodMNIST was made from larger photographs, the PBC data set. Labkit keeps about 150 a class.
# They come as a folder with one sub-folder a class, as most data do. Count the files first
# (`ig` are the immature granulocytes).

# %%
folder = lk.dataset_folder("pbc")
files = {d.name: len(list(d.iterdir())) for d in sorted(folder.iterdir()) if d.is_dir()}
pd.Series(files, name="files").to_frame().T

# %% [markdown]
# A class with one file more or less than its neighbours deserves a look: there may be something in
# the folder that is no image. `lk.load_folder` reads everything and lists what is irregular. It
# leaves nothing out in silence.

# %%
photos, problems = lk.load_folder(folder)
print(f"{len(photos)} photographs, {len(problems)} entries in the table of problems")
problems["problem"].str.replace(r"same bytes.*", "same bytes as another", regex=True).value_counts()

# %%
problems[~problems["problem"].str.startswith("size")]

# %% [markdown]
# Each row says what was done: `left out`, or kept and how. **Look** for a file that is no picture,
# and for one that should worry you more than a wrong size.
#
# <details><summary>Answer</summary>
#
# A name that begins with a dot: operating systems leave such files behind. And "under another
# label": the same bytes, called two different cells. That one is no matter of tidiness: one of the
# two labels must be wrong.
# </details>
#
# Sizes next: one photograph of each size that occurs. The usual one is 360 x 363 pixels.

# %%
one_each = {}
for file in photos.files:
    with Image.open(folder / file) as image:
        one_each.setdefault(image.size, image.convert("RGB").reduce(4))
figure, axes = lk.figures.new_figure(1, len(one_each), 1.9, photos.origin)
for ax, (size, image) in zip(axes[0], sorted(one_each.items()), strict=True):
    ax.imshow(image)
    ax.set_axis_off()
    ax.set_title(f"{size[0]} x {size[1]}", fontsize=9)
figure.suptitle("One photograph of each size (width x height in pixels)", fontsize=11)
figure

# %% [markdown]
# A few pixels look harmless, and one cannot see them. But a network fed with a stack of images
# needs one size; and if only some classes had odd sizes, the size alone would give the class away.
# Which classes have them here? And compare the *backgrounds* of these photographs: write down what
# you see. In exercise 1.7 you measure it.

# %%
odd = problems[problems["problem"].str.startswith("size")]
odd.groupby("class").size().rename("odd sizes").to_frame().T

# %% [markdown]
# ### The same photograph, two labels
#
# `lk.data.duplicate_groups` numbers the images so that identical ones share a number. In the full PBC data
# (17,092 photographs) there are 17 identical pairs.

# %%
groups = lk.data.duplicate_groups(photos.images)
twins = np.flatnonzero(np.bincount(groups)[groups] > 1)
twins = twins[groups[twins].argsort(kind="stable")][:4]
print(f"{len(photos)} photographs, {groups.max() + 1} different ones")

# %%
figure, axes = lk.figures.new_figure(1, 4, 2.3, photos.origin)
for ax in axes[0]:
    ax.set_axis_off()
for ax, row in zip(axes[0], twins, strict=False):
    ax.imshow(F.avg_pool2d(photos.images[row].float(), 4).byte().permute(1, 2, 0))
    ax.set_title(
        f"{photos.classes[photos.labels[row]]}\n{Path(photos.files[row]).name}", fontsize=9
    )
figure.suptitle("Identical photographs" if len(twins) else "No identical pair in this sample")
figure

# %% [markdown]
# Where both labels differ, at least one is wrong, and no network can get both right. Nor should you
# decide it by eye: ask the source. Until then: report it, and keep both in the same split (below).

# %% [markdown]
# ## How the photographs differ
#
# Before asking which cell it is, ask how the pictures were taken. If one class is darker or sharper
# than the others, a network may learn the camera and not the cell.
#
# A blurred picture has no edges. The **Laplacian** of a grey picture compares each pixel with its
# four neighbours: $4x - (\text{left} + \text{right} + \text{above} + \text{below})$, up to the
# sign. Its variance is a common measure of sharpness.

# %% [markdown]
# ### Exercise 1.5: sharpness
#
# Write `sharpness(grey)`: it gets a grey picture, uint8 (H, W) from 0 to 255, and returns the
# variance of its Laplacian on that scale, a number. At the border repeat or mirror the picture, or
# leave the border out: zeros around it would be an edge that is not there.
#
# <details><summary>Hint 1: the idea</summary>
#
# What type is the picture, and can a number of this type be negative?
# </details>
# <details><summary>Hint 2: in SciPy</summary>
#
# `ndimage.laplace(x)` is the Laplacian of an array and keeps its type.
# </details>


# %%
# Exercise 1.5 - sharpness
def sharpness(grey):
    raise NotImplementedError("1.5: the variance of the Laplacian")


# %%
# Solution 1.5
def sharpness(grey):
    return float(ndimage.laplace(grey.astype(float)).var())


# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# The Laplacian is positive on one side of an edge and negative on the other. A uint8 cannot be
# negative: −3 becomes 253, and a smooth picture would look sharp. Hence `astype(float)` first.
# Noise makes neighbours differ, too: a noisy picture counts as sharp. No
# measure sees only one thing.
# </details>


# %%
with lk.check("1.5", "sharpness"):
    _noise = np.random.default_rng(0).normal(0, 6, (240, 200))
    _ramp = np.linspace(60, 180, 200)[None, :] + _noise
    _ramp[60:180:12, 40:160] = 250  # thin bright lines: a Laplacian far beyond ±127
    _grey = _ramp.clip(0, 255).astype(np.uint8)
    _laplace = ndimage.laplace(_grey.astype(float))
    _right = float(_laplace.var())

    def _sharp(grey):
        value = lk.judge.as_array(lk.judge.call(sharpness, grey))
        assert value.size == 1, "return one number: the variance over all pixels"
        return float(value.item())

    _value = _sharp(_grey)

    def _is(other):
        return abs(_value - other) <= 0.01 * abs(other)

    _eight = ndimage.convolve(
        _grey.astype(float), np.array([[1, 1, 1], [1, -8, 1], [1, 1, 1]]), mode="nearest"
    )
    assert not _is(ndimage.laplace(_grey).var()), (
        "the Laplacian was taken in uint8, where −3 becomes 253: convert to float first"
    )
    for _type in (np.int8, np.uint8, np.uint16, np.uint32, np.uint64):
        for _wrapped in (_laplace.astype(int).astype(_type), ndimage.laplace(_grey.astype(_type))):
            assert not _is(_wrapped.astype(float).var()), (
                "an unsigned or 8-bit number cannot hold the Laplacian, which lies between −1020 and "
                "1020: convert to float first"
            )
    assert not _is(_laplace.std()), "this is the standard deviation; the variance is its square"
    assert not _is(_right / 255**2), "this is on the scale 0–1; keep 0–255"
    assert not _is(_right / 16), (
        "4x minus the **sum** of the four neighbours, not x minus their mean"
    )
    assert not _is(_eight.var()), (
        "four neighbours: left, right, above, below; not the diagonal ones"
    )
    assert abs(_value) > 1, "this is the mean, which is about zero: take the variance"
    assert not _is(abs(_laplace).mean()) and not _is(abs(_laplace).var()), (
        "leave the signs: the variance of the Laplacian itself, not of its absolute value"
    )
    assert not _is(_grey.var()), "this is the variance of the picture, not of its Laplacian"
    for _axis in (0, 1):
        _line = ndimage.correlate1d(_grey.astype(float), [1, -2, 1], axis=_axis).var()
        assert not _is(_line), "this looks along one axis: left, right, above **and** below"
    for _mode in ("constant", "wrap"):
        _edge = ndimage.laplace(_grey.astype(float), mode=_mode).var()
        assert not _is(_edge) or abs(_edge - _right) < 0.03 * _right, (
            "what was put around the picture makes an edge: repeat or mirror the border"
        )
    assert abs(_value - _right) < 0.03 * _right, (
        f"sharpness gives {_value:.1f}; the variance of the Laplacian: {_right:.1f}"
    )
    # a soft picture, whose Laplacian has another mean in each row and each column
    _random = np.random.default_rng(1)
    _soft = 120 + _random.normal(0, 2, (150, 1)) + _random.normal(0, 2, (1, 260))
    _soft = _soft.round().astype(np.uint8)
    _value, _right = _sharp(_soft), float(ndimage.laplace(_soft.astype(float)).var())
    assert abs(_value - _right) < 0.06 * _right, (
        f"for a soft picture sharpness gives {_value:.1f}; the variance of the Laplacian, over all "
        f"pixels at once and not rounded: {_right:.1f}"
    )

# %% [markdown]
# Now measure each photograph, a random selection of each class:
#
# - **brightness**: the mean of each colour channel;
# - **noise**: how much each pixel differs from what its eight neighbours predict
#   (Immerkær's estimate, in the units of the pixel values). Fine texture counts as noise, and so
#   does rounding to whole numbers: a rounding error has the standard deviation $1/\sqrt{12} = 0.29$
#   (less shows only where whole patches are equal, cut off at 255 or smoothed by JPEG);
# - **hue**: the mean colour angle in degrees (0 red, 60 yellow, −60 magenta, −120 blue), where a
#   pixel counts as much as it is coloured. An angle goes round: 359° and 1° are neighbours, so
#   their mean is taken on the circle, and the scale is cut at 180°, cyan, far from stained cells;
# - **sharpness**: your function;
# - **odd size**: whether the photograph is one of those with an unusual size.


# %%
def noise(photo):
    """The standard deviation of the noise in each channel of a float image (3, H, W)."""
    kernel = torch.tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]])[None, None]
    rest = F.conv2d(photo[:, None], kernel).abs().mean(dim=(1, 2, 3))
    return (rest * np.sqrt(np.pi / 2) / 6).tolist()


def mean_hue(photo):
    """The mean hue from −180 to 180 degrees; a pixel counts as much as it is coloured."""
    hue, strength, _ = rgb_to_hsv(photo[:, ::3, ::3].permute(1, 2, 0) / 255).transpose(2, 0, 1)
    return float(np.degrees(np.angle((strength * np.exp(2j * np.pi * hue)).sum())))


# %%
odd_files = set(odd["file"])


def measure(row):
    photo = photos.images[row].float()
    grey = torch.einsum("chw,c->hw", photo, torch.tensor([0.299, 0.587, 0.114]))
    values = {"class": photos.classes[photos.labels[row]], "row": row}
    values |= dict(zip(CHANNELS, photo.mean(dim=(1, 2)).tolist(), strict=True))
    values |= {f"noise {c}": n for c, n in zip(CHANNELS, noise(photo), strict=True)}
    values |= {"hue": mean_hue(photo)}
    values |= {"sharpness": float(lk.judge.as_array(sharpness(grey.byte().numpy())))}
    return values | {"odd size": photos.files[row] in odd_files}


rng = np.random.default_rng(0)
of_class = [np.flatnonzero(photos.labels == c) for c in range(len(photos.classes))]
chosen = [rng.choice(r, min(PER_CLASS, len(r)), replace=False) for r in of_class]
facts = pd.DataFrame([measure(row) for row in lk.track(np.concatenate(chosen), "measuring")])
MEASURES = [*CHANNELS, *(f"noise {c}" for c in CHANNELS), "hue", "sharpness"]
facts.groupby("class")[MEASURES].median().round(1)


# %%
def boxes(ax, columns, colours, ylabel):
    """One box a class and column: the middle half of the images, its line the median."""
    for place, (column, colour) in enumerate(zip(columns, colours, strict=True)):
        values = [facts.loc[facts["class"] == name, column] for name in photos.classes]
        width = 0.75 / len(columns)
        at = np.arange(len(values)) + (place - (len(columns) - 1) / 2) * width
        parts = ax.boxplot(values, positions=at, widths=0.85 * width, patch_artist=True)
        for part in parts["boxes"]:
            part.set(facecolor=colour, alpha=0.7)
        for part in parts["fliers"]:
            part.set(markersize=3)
        for part in parts["medians"]:
            part.set(color="black")
    names = [n.replace("immature granulocyte", "immature\ngranulocyte") for n in photos.classes]
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=9)
    ax.set_ylabel(ylabel)
    ax.grid(axis="y", alpha=0.3)


figure, axes = lk.figures.new_figure(2, 1, 5.6, photos.origin, sharex=True)
boxes(axes[0, 0], list(CHANNELS), CHANNELS.values(), "brightness (0–255)")
axes[0, 0].set_title(
    "Brightness and noise of each colour channel (left to right: red, green, blue)"
)
boxes(axes[1, 0], [f"noise {c}" for c in CHANNELS], CHANNELS.values(), "noise (0–255)")
axes[1, 0].axhline(12**-0.5, color="0.3", linestyle=":", label="a rounding error: 1/√12")
axes[1, 0].legend(fontsize=8)
figure

# %%
figure, axes = lk.figures.new_figure(2, 1, 5.4, photos.origin, sharex=True)
boxes(axes[0, 0], ["hue"], lk.figures.PALETTE[3:4], "hue (degrees)")
boxes(axes[1, 0], ["sharpness"], lk.figures.PALETTE[4:5], "sharpness (grey levels²)")
axes[0, 0].set_title("Hue and sharpness of the photographs")
figure

# %% [markdown]
# How well does **one** of these numbers tell two classes apart, without any cell being recognised?
# A box shows the middle half of a class, so up to half of the photographs lie outside of their
# boxes: even where two boxes do not overlap, the classes may. Do not guess: compute.
#
# The simplest classifier has one **threshold**: below it one class, above it the other. As the groups
# may differ in size, judge it by its **balanced accuracy**, the mean of the two shares that it finds
# (recall of the one, recall of the other).

# %% [markdown]
# ### Exercise 1.6: the best threshold
#
# Write `best_threshold_accuracy(a, b)`: `a` and `b` are the values of two groups. It returns the
# balanced accuracy of the **best** threshold, whichever group lies below: a number from 0.5 to 1.
#
# <details><summary>Hint 1: the idea</summary>
#
# Nothing changes between two neighbouring values, so it is enough to try the values that occur. What
# is the balanced accuracy of the same threshold if one swaps "below" and "above"?
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# `(a <= t).mean()` is the share of `a` that is not above `t`. Try every `t` in
# `np.concatenate([a, b])`.
# </details>


# %%
# Exercise 1.6 - the best threshold
def best_threshold_accuracy(a, b):
    raise NotImplementedError("1.6: the balanced accuracy of the best threshold")


# %%
# Solution 1.6
def best_threshold_accuracy(a, b):
    a, b = np.asarray(a), np.asarray(b)
    a_below = [((a <= t).mean() + (b > t).mean()) / 2 for t in np.concatenate([a, b])]
    return max(max(a_below), 1 - min(a_below))


# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# If a threshold that calls everything below it `a` has the balanced accuracy $s$, the one that calls
# everything below it `b` has $1 - s$: each recall turns into its opposite. So the best of both
# directions is the largest $s$, or 1 minus the smallest. A warning: this threshold was chosen on the
# very values on which it is judged. With few values it flatters; even pure chance gives more than
# 0.5.
# </details>


# %%
with lk.check("1.6", "best_threshold_accuracy"):

    def _best(a, b):
        given = np.array(a, dtype=float), np.array(b, dtype=float)
        answer = lk.judge.call(best_threshold_accuracy, *given)
        assert lk.judge.as_array(answer, None).size == 1, "return one number, the best accuracy"
        return float(np.ravel(lk.judge.as_array(answer))[0])

    _apart = _best([1, 2, 3], [6, 7, 8, 9])
    assert abs(_apart - 100) > 1e-6, "a share from 0.5 to 1, not per cent"
    assert not 3 <= _apart <= 6, "this is the threshold; return its balanced accuracy"
    assert abs(_apart - 1) < 1e-6, f"1, 2, 3 and 6, 7, 8, 9 are told apart fully, not {_apart:.3f}"
    _turned = _best([6, 7, 8, 9], [1, 2, 3])
    assert abs(_turned - 1) < 1e-6, (
        f"the same groups, swapped, give {_turned:.3f}: `a` may also be the group above (and the "
        "threshold a value of either group)"
    )
    _same = _best([1, 2, 3, 4], [1, 2, 3, 4])
    assert abs(_same - 0.5) < 1e-6, f"two equal groups give 0.5, not {_same:.3f}"
    # 5 against 50, one of the few among the many: balanced 0.9, plain accuracy higher
    _few, _many = [1.0, 2, 3, 4, 30.5], np.arange(10.0, 60)
    _got = _best(_few, _many)
    assert abs(_got - 54 / 55) > 1e-6, (
        "this is the plain accuracy, in which the larger group counts more: take the mean of "
        "both recalls"
    )
    _area = (np.subtract.outer(_many, _few) > 0).mean()
    assert abs(_got - _area) > 1e-6, (
        "this is the area under the ROC curve (the share of pairs in order), not one threshold's"
    )
    assert abs(_got - 0.9) < 1e-6, f"4 of 5 below all 50 others make (0.8 + 1)/2, not {_got:.3f}"
    # two tight groups and a far point of each: neither means nor medians are the best place
    _a, _b = [1, 2, 3, 4, 5, 6, 100], [5.5, 7, 8, 9, 10, 11, 12]
    _got = _best(_a, _b)
    _true = (6 / 7 + 6 / 7) / 2
    assert abs(_got - _true) < 1e-6, (
        f"for {_a} and {_b} the best threshold reaches {_true:.3f}, not {_got:.3f}: try every "
        "value that occurs, in both groups, not only the middle of the means"
    )
    _got = _best([5, 5.1, 5.2, 9, 9], [1, 1, 5.3, 5.3, 5.3])
    assert abs(_got - 0.7) < 1e-6, (
        f"for 5, 5.1, 5.2, 9, 9 and 1, 1, 5.3, 5.3, 5.3 it is 0.7, not {_got:.3f}: try both "
        "directions; neither means nor medians say which group lies below"
    )
    _got = _best([0, 0.001, 0.002, 0.003], [0.004, 0.005, 0.006, 0.007, 50])
    assert abs(_got - 1) < 1e-6, (
        f"groups only 0.001 apart, and one value far off, give {_got:.3f}, not 1: try the values that "
        "occur, not a grid of your own"
    )
    _random = np.random.default_rng(0)
    for _shift, _size in ((0.0, 1), (0.7, 1), (-1.5, 1), (0.7, 10)):
        _a, _b = _random.normal(size=31 * _size), _random.normal(_shift, 2, 44 * _size)
        _s = [((_a <= t).mean() + (_b > t).mean()) / 2 for t in np.concatenate([_a, _b])]
        _true, _got = max(max(_s), 1 - min(_s)), _best(_a, _b)
        assert abs(_got - _true) < 1e-6, (
            f"for two groups of random numbers it is {_true:.4f}, not {_got:.4f}: try every value "
            "that occurs, in both groups and both directions"
        )
    for _pair in (([1], [2, 3]), ([2, 3], [1]), ([1, 2], [3]), ([3], [1, 2])):
        assert abs(_best(*_pair) - 1) < 1e-6, (
            f"{_pair[0]} and {_pair[1]} are told apart fully: also the smallest and the largest "
            "value may be the threshold, in either direction"
        )

# %% [markdown]
# For each measure, the pair of classes that it tells apart best:

# %%
table = {}
for measure_name in MEASURES:
    values = {name: group.to_numpy() for name, group in facts.groupby("class")[measure_name]}
    scores = {
        (one, other): float(lk.judge.as_array(best_threshold_accuracy(values[one], values[other])))
        for one, other in combinations(values, 2)
    }
    best_pair = max(scores, key=scores.get)
    table[measure_name] = {
        "best pair": " / ".join(best_pair),
        "its best threshold": scores[best_pair],
        "median of all pairs": np.median(list(scores.values())),
    }
pd.DataFrame(table).T.infer_objects().round(2)

# %% [markdown]
# What could be the reason where one number alone tells two classes apart? Write down one pair for
# which you suspect the cell itself, and one for which you suspect the way the picture was taken.
#
# <details><summary>Answer</summary>
#
# It may be the cell: a large dark nucleus makes the picture darker, a platelet leaves most of the
# picture empty, bright and smooth. Or it may be the day, the stain, the focus. This table
# alone cannot say which. Nor does "noise" say much of the camera: the smoothest classes lie near the
# dotted line of rounding, and what lies above it is mostly texture.
# To find out, one compares photographs of the *same* class that were taken differently. You have
# such photographs:
# </details>

# %% [markdown]
# ### Exercise 1.7: what the odd sizes give away
#
# Compare the photographs of odd size with the usual ones. Below, all odd ones are measured in
# addition, and `batch` holds all measurements of the classes that have odd ones, with the column
# `"odd size"`.
#
# Which of the `MEASURES` tells odd from usual best, by your `best_threshold_accuracy`? Give its name
# as `telling_measure`, and its median among the odd and among the usual photographs. First look at
# all medians at once: what would you expect if size were an accident?
#
# <details><summary>Hint 1: the idea</summary>
#
# One `groupby` of `batch` shows all medians. Then your function for each measure, odd against usual,
# and the name of the largest.
# </details>
# <details><summary>Hint 2: in pandas</summary>
#
# `batch.groupby("odd size")[MEASURES].median()`. `batch[batch["odd size"]]` are the odd ones, `~`
# turns a mask round. `max(scores, key=scores.get)` gives the key of the largest value of a
# dictionary.
# </details>

# %%
all_odd = [row for row, file in enumerate(photos.files) if file in odd_files]
missing = sorted(set(all_odd) - set(facts["row"]))
extra = pd.DataFrame(
    [measure(row) for row in lk.track(missing, "measuring")], columns=facts.columns
)
batch = pd.concat([facts, extra], ignore_index=True).astype({"odd size": bool})
batch = batch[batch["class"].isin(batch.loc[batch["odd size"], "class"])]
print(f"{batch['odd size'].sum()} of odd size, {(~batch['odd size']).sum()} usual")

# %%
# Exercise 1.7 - what the odd sizes give away
telling_measure = ...  # one of MEASURES
odd_median = ...  # its median among the photographs of odd size
usual_median = ...  # and among the others

# %%
# Solution 1.7
is_odd = batch["odd size"]
scores = {m: best_threshold_accuracy(batch[m][is_odd], batch[m][~is_odd]) for m in MEASURES}
telling_measure = max(scores, key=scores.get)
odd_median = round(batch.loc[is_odd, telling_measure].median(), 1)
usual_median = round(batch.loc[~is_odd, telling_measure].median(), 1)

# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# If size were an accident, all medians would be about equal. On the real photographs **blue** and
# **hue** tell odd from usual without a mistake (both reach 1, so either name is right): odd ones lie
# near −70°, towards violet, the usual ones around 0°. (Of the whole sample of 1,207 photographs, 3 of
# 1,173 usual ones lie below −40°, and all 34 odd ones.) So these photographs are a second **batch**, in
# the laboratory's sense: taken, stained, white-balanced or saved in another way, which would explain
# the other size, too. Which of these it was, the pictures do not say; that there are two batches,
# nobody told us: one `groupby` did. A
# network could use such a hue as a shortcut wherever the share of odd sizes differs between the classes.
# On stand-ins the sizes *are* an accident, and what comes out is chance.
# </details>

# %%
with lk.check("1.7", "telling_measure", "odd_median", "usual_median"):
    assert isinstance(telling_measure, str), "telling_measure: give the name of one of MEASURES"
    _said, _mask = telling_measure.strip().lower(), batch["odd size"].to_numpy()
    assert _said in MEASURES, f"{_said!r} is not one of MEASURES: {', '.join(MEASURES)}"

    def _score(name):
        a, b = batch.loc[_mask, name].to_numpy(), batch.loc[~_mask, name].to_numpy()
        s = [((a <= t).mean() + (b > t).mean()) / 2 for t in np.concatenate([a, b])]
        return max(max(s), 1 - min(s))

    _scores = {name: _score(name) for name in MEASURES}
    assert _scores[_said] > max(_scores.values()) - 0.011, (
        f"{_said} tells odd from usual with {_scores[_said]:.2f}, but another measure does better: "
        "compute all of them"
    )
    _values = batch[_said].to_numpy(dtype=float)
    _true = np.median(_values[_mask]), np.median(_values[~_mask])
    _got = []
    for _name, _value in (("odd_median", odd_median), ("usual_median", usual_median)):
        _value = np.ravel(lk.judge.as_array(_value))
        assert len(_value) == 1, f"{_name}: give one number, the median of {_said}"
        _got.append(float(_value[0]))

    def _same(pair):
        return np.allclose(_got, pair, atol=0.06)

    _means = _values[_mask].mean(), _values[~_mask].mean()
    assert _same(_true) or not _same(_true[::-1]), "odd_median and usual_median are swapped"
    assert _same(_true) or not _same(_means), "these are the means: take the medians"
    _whole = facts[_said].median(), batch[_said].median()
    assert _same(_true) or not any(np.isclose(_got[1], w, atol=0.06) for w in _whole), (
        "usual_median: leave the odd ones out, and take `batch`"
    )
    assert _same(_true), (
        f"in `batch` the medians of {_said}, odd and usual, to one decimal, are not "
        f"{_got[0]:.1f} and {_got[1]:.1f}: group by `odd size`"
    )

# %%
figure, axes = lk.figures.new_figure(height=2.8, origin=photos.origin)
print(f"{telling_measure}, medians: odd size {odd_median}, usual {usual_median}")
edges = np.histogram_bin_edges(batch["hue"], 30)
for is_odd, colour, label in ((False, COLOURS[4], "usual size"), (True, COLOURS[5], "odd size")):
    values = batch.loc[batch["odd size"] == is_odd, "hue"]
    axes[0, 0].hist(values, bins=edges, color=colour, alpha=0.8, label=label)
axes[0, 0].set(xlabel="hue (degrees)", ylabel="photographs")
axes[0, 0].set_title("The hue of photographs of usual and of odd size")
axes[0, 0].legend(fontsize=8)
figure

# %% [markdown]
# ### Outliers are pictures, not points
#
# A point far from its box may be an error, a rare cell, or a picture that was taken differently. Look
# before you delete anything. Which of these are the *cell*, and which the *picture*?

# %%
facts["brightness"] = facts[list(CHANNELS)].mean(axis=1)
facts["noise"] = facts[[f"noise {c}" for c in CHANNELS]].mean(axis=1)
words = {
    "brightness": ("darkest", "brightest"),
    "noise": ("least noise", "most noise"),
    "hue": ("lowest hue", "highest hue"),
    "sharpness": ("least sharp", "sharpest"),
}
ends = [i for column in words for i in (facts[column].idxmin(), facts[column].idxmax())]
lk.figures.image_grid(
    F.avg_pool2d(photos.images[facts.loc[ends, "row"].tolist()].float(), 4).byte(),
    [word for pair in words.values() for word in pair],
    title="The extremes among the measured photographs",
    origin=photos.origin,
)

# %%
facts.loc[ends, ["class", "odd size", "brightness", "noise", "hue", "sharpness"]].round(1)

# %% [markdown]
# <details><summary>Answer</summary>
#
# See whether the picture of the lowest hue is one of odd size: then it is the second batch, no rare
# cell. The darkest ones are often full of large dark cells, the least sharp ones mostly empty:
# measures of the whole picture say as much about what is in it as about how it was taken.
# </details>

# %% [markdown]
# ## From a photograph to 28 x 28
#
# BloodMNIST keeps the central 200 x 200 pixels of a photograph and scales them down to 28 x 28.

# %% tags=["nbval-check-output"]
photo_numbers, small_numbers = 3 * 363 * 360, 3 * 28 * 28
print(f"a photograph: {photo_numbers:,} numbers, a small image: {small_numbers:,}")
print(f"that is one for {photo_numbers / small_numbers:.0f}")

# %%
rows = np.array([r[0] for r in of_class])
centre = photos.images[rows, :, 81:281, 80:280].float()
small = F.interpolate(centre, size=(28, 28), mode="area")
large = F.interpolate(photos.images[rows].float(), size=(84, 84), mode="area")
both = torch.cat([large, F.interpolate(small, scale_factor=3)])
twice = lk.figures.image_grid(
    both.round().byte(),
    [photos.classes[label] for label in photos.labels[rows]] + 8 * ["centre, 28 px"],
    title="The same cells twice: the whole photograph (reduced), and what 28 pixels keep",
    origin=photos.origin,
)
twice

# %% [markdown]
# **Look:** what is still there, and what is gone? Which classes differ mostly in what is gone? And is
# every cell in the centre?
#
# <details><summary>Answer</summary>
#
# Size, colour and the rough shape of the nucleus are still there. Granules, the texture of the
# nucleus and the neighbours are gone. Classes that differ mostly in these (immature granulocyte and
# monocyte; basophil, whose grains cover the nucleus) should be the hardest for a network on 28
# pixels: lab 02 tells. A cell that lies off the centre is cut, or left out altogether, as a
# platelet may be; what is left out is lost, and the label stays.
# </details>
#
# ### Do changed copies stay sharp?
#
# Lab 05 trains on changed copies of the images: mirrored, turned, shifted (**augmentation**). A good
# copy could be a real image. Your `sharpness` can judge one side of that. Four changes: mirror; turn
# by 90, 180 or 270 degrees; shift by up to 2 whole pixels; rotate by up to 15 degrees. Which of them
# change the sharpness, and why? Write it down first.

# %%
small_images = blood.val.images[:400].float() / 255
changes = {
    "as they are": lambda x: x,
    "mirrored": lk.Augment(flip=True),
    "turned by 90, 180, 270°": lk.Augment(turn=True),
    "shifted by up to 2 pixels": lk.Augment(shift=2),
    "rotated by up to 15°": lk.Augment(rotate=15),
}
lk.seed_everything(0)
table = {}
for name, change in changes.items():
    luma = torch.einsum("nchw,c->nhw", change(small_images), torch.tensor([0.299, 0.587, 0.114]))
    sharp = [float(lk.judge.as_array(sharpness(g))) for g in (255 * luma).round().byte().numpy()]
    table[name] = {"median sharpness": np.median(sharp)}
pd.DataFrame(table).T.round(0)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Mirroring and quarter turns only move whole pixels: nothing changes. A shift by whole pixels repeats
# pixels at the border, which changes little. A rotation by any other angle must compute each pixel from
# its neighbours (*resampling*), and a mean of neighbours is blurred: the sharpness falls to little more
# than half. A network trained on such copies sees hardly any sharp image, and is then tested on sharp
# ones. Keep this in mind for lab 05.
# </details>

# %% [markdown]
# ## Splitting without cheating
#
# Training data teach, validation data choose, test data report. **Stratified** means: each class
# has the same share in each part. With a purely random split a small class may be missing by bad
# luck.

# %% [markdown]
# ### Exercise 1.8: a stratified split
#
# Write `stratified_split(labels, seed)`. It returns three lists or arrays of row numbers: training
# (70 %), validation (15 %) and test (15 %), with these shares *within every class*. The same seed
# draws the same split, another seed another one. Every row is in exactly one part.
#
# <details><summary>Hint 1: the idea</summary>
#
# Go class by class: shuffle its rows, then cut them into three. Or divide twice with a function that
# can stratify; then ask which share of the *rest* is 15 % of all.
# </details>
# <details><summary>Hint 2: the names</summary>
#
# `np.random.default_rng(seed)` made inside the function, `rng.permutation`; or scikit-learn's
# `train_test_split(rows, stratify=…, random_state=seed)`.
# </details>


# %%
# Exercise 1.8 - a stratified split
def stratified_split(labels, seed=0):
    raise NotImplementedError("1.8: return the rows of training, validation and test")


# %%
# Solution 1.8
def stratified_split(labels, seed=0):
    rng = np.random.default_rng(seed)
    train, val, test = [], [], []
    for c in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == c))
        a, b = round(0.7 * len(rows)), round(0.85 * len(rows))
        train.extend(rows[:a])
        val.extend(rows[a:b])
        test.extend(rows[b:])
    return np.sort(train), np.sort(val), np.sort(test)


# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# Each class is shuffled and cut on its own, so its shares are right up to rounding. Shuffling
# matters: files are often sorted by day or by patient, and then the first 70 % are not like the
# rest. `default_rng(seed)` inside the function makes the split depend on the seed alone.
# </details>


# %%
with lk.check("1.8", "stratified_split"):
    _sizes = np.array([161, 99, 62, 41, 21, 39, 61, 79, 42, 221, 59])  # 70 % of none is whole
    _labels = np.random.default_rng(1).permutation(np.repeat(np.arange(11), _sizes))
    _all = len(_labels)

    def _draw(seed):
        try:
            parts = lk.judge.call(stratified_split, _labels, seed)
        except ValueError as error:
            assert "inconsistent numbers of samples" not in str(error), (
                "the second division has fewer rows than labels: stratify=labels[rest], those of the "
                "rows that are left"
            )
            raise
        assert not isinstance(parts, dict), "return three lists of rows, not a dictionary"
        parts = list(parts)
        assert len(parts) == 3, f"there are {len(parts)} parts: return training, validation, test"
        assert not any(isinstance(p, list) and len(p) == 11 for p in parts), (
            "a part is a list of eleven arrays: join them to one (np.concatenate)"
        )
        parts = [np.asarray(list(p) if isinstance(p, set) else p) for p in parts]
        assert all(p.ndim for p in parts), "a part is a single number: return lists of its rows"
        assert all(p.dtype != bool for p in parts), (
            "these are masks: return row numbers (np.flatnonzero helps)"
        )
        return [np.sort(np.ravel(p).astype(int)) for p in parts]

    _parts = _draw(0)
    _rows = np.concatenate(_parts)
    assert not (len(_rows) == _all and _rows.max() == 10), "these are labels: return row numbers"
    assert len(np.unique(_rows)) == len(_rows), "a row is in two parts, or twice in one: leak!"
    _lost = np.setdiff1d(np.arange(_all), _rows)
    assert not len(_lost), (
        f"{len(_lost)} of {_all} rows are in no part; each must be in one (the last part gets all "
        f"that are left). They are of the classes {np.unique(_labels[_lost]).tolist()} of 0 to 10"
    )
    assert len(_rows) == _all, "there are rows beyond the last one"
    _n = [len(p) for p in _parts]
    assert _n[0] == max(_n), f"the parts have {_n} rows: training, the largest, comes first"
    assert not any(abs(n / 0.15 / _all - s) < 0.02 for s in (0.85, 0.3) for n in _n[1:]), (
        f"the parts have {_n} rows: 15 % of the rest is not 15 % of all"
    )
    _shares = 0.7, 0.15, 0.15
    assert all(abs(n - s * _all) <= 15 for n, s in zip(_n, _shares, strict=True)), (
        f"the parts have {_n} of {_all} rows; 70, 15 and 15 % are "
        f"{', '.join(f'{s * _all:.1f}' for s in _shares)}"
    )
    for _part, _share in zip(_parts, _shares, strict=True):
        _each = np.bincount(_labels[_part], minlength=11)
        assert (abs(_each - _share * _sizes) <= 2).all(), (
            f"a part has {_each.tolist()} images of the classes instead of "
            f"{(_share * _sizes).round().astype(int).tolist()}: it is not stratified"
        )
    assert all(map(np.array_equal, _parts, _draw(0))), "the same seed must give the same split"
    for _seed in (1, 2):  # chance draws about 70 % of the rows again
        assert len(np.intersect1d(_parts[0], _draw(_seed)[0])) < 0.9 * _n[0], (
            "another seed gives the same split, or nearly: shuffle the rows of each class, with "
            "that seed"
        )
    _places = [
        np.searchsorted(np.flatnonzero(_labels == c), _parts[0][_labels[_parts[0]] == c])
        for c in range(11)
    ]
    assert any((np.diff(p) > 1).sum() > 1 for p in _places), (
        "with seed 0 training gets the rows of each class as they stand, in one block: shuffle them "
        "with every seed, also with 0 (`if seed:` leaves it out)"
    )

# %%
parts = stratified_split(photos.labels.numpy(), seed=0)
counts = {
    name: photos.subset(part).counts()
    for name, part in zip(("train", "val", "test"), parts, strict=True)
}
pd.DataFrame(counts)

# %%
lk.figures.split_proportions(pd.DataFrame(counts), origin=photos.origin)

# %% [markdown]
# Bars of nearly equal height within a class: that is what "stratified" looks like. Compare the split of
# BloodMNIST (the line below the figure says whether this is the official file, or one that was
# rebuilt with its counts):

# %%
official = blood.counts().drop(index="all classes", columns="all")
lk.figures.split_proportions(official, origin=blood.origin)

# %% [markdown]
# ### Leakage
#
# If a copy of a training image sits in the test split, the test asks for something the network has
# *seen*. The result is too good, and nothing warns you. So duplicates must not cross splits.

# %% [markdown]
# ### Exercise 1.9: find the leaks
#
# Write `leaks(groups, parts)`. `groups` (N,) gives each image a number; identical images share it.
# `parts` are three arrays of rows, as from exercise 1.8. Return the group numbers that occur in
# **more than one part**, each once, in any order (a list, set or array).
#
# <details><summary>Hint 1: the idea</summary>
#
# Which groups occur in a part? Three parts make three pairs to compare. Copies *within* one part are
# no leak.
# </details>
# <details><summary>Hint 2: in Python</summary>
#
# `set(groups[part].tolist())` are the groups of a part; `&` is what two sets share.
# </details>


# %%
# Exercise 1.9 - find the leaks
def leaks(groups, parts):
    raise NotImplementedError("1.9: return the groups that occur in more than one part")


# %%
# Solution 1.9
def leaks(groups, parts):
    seen, crossing = set(), set()
    for part in parts:
        here = set(groups[part].tolist())
        crossing |= here & seen
        seen |= here
    return sorted(crossing)


# %% [markdown] tags=["solution"]
# <details><summary>Why this works</summary>
#
# `here & seen` are the groups of this part that an earlier one has, too, so all three pairs are
# compared. Comparing *rows* would find nothing: a copy is another row. The labels do not come into
# it: a copy under another label leaks just as well. Only byte-identical copies are found; the same
# cell photographed twice, or saved again, is not.
# </details>


# %%
with lk.check("1.9", "leaks"):

    def _found(groups, *parts):
        answer = lk.judge.call(leaks, np.array(groups), tuple(np.array(p) for p in parts))
        assert not isinstance(answer, bool | int | np.bool_ | np.integer), (
            "return the group numbers, not only whether or how many"
        )
        answer = answer if hasattr(answer, "dtype") else list(answer)
        try:
            answer = lk.judge.as_array(answer, None).ravel()
        except ValueError:  # lists of several lengths
            answer = np.array([None])
        assert answer.dtype != bool, "this is a mask: return the numbers of the groups"
        assert answer.dtype.kind in "iuf", "return whole numbers, those of the groups, in one list"
        return sorted(answer.astype(int).tolist())

    _none = _found([10, 11, 12, 13, 14, 15], [0, 3], [1, 4], [2, 5])
    assert _none == [], f"six different images cannot leak, but leaks gives {_none}"
    _within = _found([10, 10, 12, 13, 14, 15], [0, 1], [2, 4], [3, 5])
    assert _within == [], "copies within one part are no leak; count only groups in two parts"
    for _pair, _names in (
        ((0, 4), "train and test"),
        ((0, 2), "train and val"),
        ((2, 4), "val and test"),
    ):
        _groups = [10, 11, 12, 13, 14, 15]
        _groups[_pair[1]] = _groups[_pair[0]]
        _one = _found(_groups, [0, 1], [2, 3], [4, 5])
        assert _one != list(_pair), "these are row numbers; return the number of the group"
        assert _one, f"a pair divided between {_names} was not found"
        assert len(_one) == 1, f"one pair leaks, but leaks gives {_one}: name each group once"
        assert _one == [_groups[_pair[0]]], f"group {_groups[_pair[0]]} leaks, not {_one}"
    _three = _found([7, 1, 7, 3, 7, 3], [0, 1], [2, 3], [4, 5])
    assert _three == [3, 7], f"groups 3 and 7 leak (7 is in all parts), but leaks gives {_three}"
    _long = _found([5, 6, 7, 8, 9, 9], [0, 1, 2, 4], [3], [5])
    assert _long == [9], (
        f"in parts of 4, 1 and 1 rows group 9 is in training and test, but leaks gives {_long}"
    )
    # two copies in one part, the third in another; rows 4 and 5 are in two parts
    for _end, _leaking in (([6, 7], [5]), ([9, 9], [5, 9])):
        for _first, _second in (([0, 1, 3], [2, 4]), ([0, 2, 3], [1, 4]), ([0, 3], [1, 2, 4])):
            _copies = _found([5, 5, 5, 8, *_end], _first, _second, [5])
            assert len(set(_copies)) == len(_copies), (
                f"leaks gives {_copies}: name each group once, also one with two copies in a part"
            )
            assert _copies == _leaking, (
                f"leaks gives {_copies}, not {_leaking}: group 5 has two copies in one part and one "
                "in another; compare all of its rows, not two"
            )
    # identical photographs under two labels: the groups come from the images alone
    _images = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 4), dtype=np.uint8)
    _images[5] = _images[0]
    _two_labels = _found(lk.data.duplicate_groups(_images), [0, 1], [2, 3], [4, 5])
    assert _two_labels == [0], "an identical photograph under another label was not found"

# %% [markdown]
# Stratified and random is not enough. Draw your split with 20 seeds and count how often it leaks.
# (A pair is divided with probability 1 − (0.7² + 0.15² + 0.15²) = 46.5 %.)

# %%
leaking = [
    seed for seed in range(20) if len(leaks(groups, stratified_split(photos.labels.numpy(), seed)))
]
print(f"{len(leaking)} of 20 splits leak; seeds {leaking}")

# %% [markdown]
# `lk.data.split_indices` moves whole groups instead of single images. It is what the labs use.

# %% tags=["nbval-check-output"]
safe = [lk.data.split_indices(photos.labels, groups, seed=seed) for seed in range(5)]
print("leaking groups in 5 splits:", [len(leaks(groups, parts)) for parts in safe])

# %% [markdown]
# And BloodMNIST? Its small images can be compared in the same way. (What you see holds for the data
# that you have, named below; a rebuilt split is not the official one.)

# %%
everything = torch.cat([split.images for split in blood.splits.values()])
ends = np.cumsum([0] + [len(split) for split in blood.splits.values()])
official_parts = tuple(np.arange(a, b) for a, b in pairwise(ends))
found = leaks(lk.data.duplicate_groups(everything), official_parts)
print(f"identical images in more than one split: {len(found)} groups ({blood.origin})")

# %% [markdown]
# If there are some, a network that learns them by heart gains at most their share of the test
# split. Small or not: a report should say it.

# %% [markdown]
# ## Which form for the network?
#
# The same photographs can reach a network in different forms. Each costs memory and time.

# %%
weights = torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)
flip = lk.Augment(flip=True)


def colour(x):
    return F.interpolate(x.float() / 255, size=(224, 224), mode="bilinear", antialias=True)


transforms = {
    "colour, 224 px": colour,
    "colour, native size": lambda x: x.float() / 255,
    "colour, 224 px, ImageNet-normalised": lambda x: lk.data.normalizer("imagenet")(colour(x)),
    "grey, 224 px, random flips": lambda x: flip((colour(x) * weights).sum(1, keepdim=True)),
}

# %%
sample = photos.images[np.concatenate([r[:4] for r in of_class])]
table = {}
for name, transform in transforms.items():
    transform(sample)  # the first call is slower: it reserves memory
    start = time.perf_counter()
    out = transform(sample)
    seconds = time.perf_counter() - start
    table[name] = {
        "shape of an image": " x ".join(map(str, out.shape[1:])),
        "MB per 1,000 images": out[0].nbytes / 1e3,
        "ms an image": 1e3 * seconds / len(sample),
        "mean": out.mean().item(),
        "std": out.std().item(),
    }
pd.DataFrame(table).T.infer_objects().round(2)

# %% [markdown]
# - **224 px** is what most *pretrained* networks expect (trained before, by others, on the everyday
#   photographs of ImageNet); **ImageNet-normalised** is how those were scaled (lab 06). It costs no
#   memory, but some time.
# - **Native size** loses nothing and takes the most memory.
# - **Grey** takes a third, and throws away the colour. Colour may tell of the cell, and of the
#   laboratory too (exercise 1.7): so try a network with and without it.
# - **Flips** are free variety: a cell has no up and down. They are drawn anew for each image.
#
# The times are one measurement on this computer. Run the cell again to see how much they vary.

# %% [markdown]
# ## What these data cannot show
#
# Read the card once more. One hospital, one kind of analyser: a network may fail on the pictures of
# another hospital, and nothing here can tell. In the real photographs you have found a second batch
# within the one hospital; nobody says how many more there are. The patients are unknown, so cells
# of one patient may be in training *and* test. That is a leak which no check on pixels finds. The
# cells come from people without infection or blood disease. **Not for diagnosis.**

# %% [markdown]
# ## What to take away
#
# - Look first: at the card, at random images of each class, at the outliers.
# - Ask how the pictures were taken. One `groupby` by file size, date or source can find a batch.
# - Compare any accuracy with the majority baseline, and look at each class.
# - Statistics for normalising come from training data only.
# - Folders hold surprises. Report them in a table; leave nothing out in silence.
# - Stratify, keep duplicates together, and check it with a few lines of code.
#
# **Write down, in two or three sentences each:**
#
# 1. A screening data set has 98 % healthy cells. A model reaches 98 % accuracy. What do you ask?
# 2. A photograph appears under two labels. Name three things one can do, and what you would do.
# 3. One class is sharper than all others. How could you find out whether a network uses that?
# 4. The card does not say which patient a cell comes from. What does this mean for the test result?

# %% [markdown] tags=["solution"]
# <details><summary>Model answers</summary>
#
# 1. For the majority baseline, which reaches 98 % too; then for the recall of the ill cells, with
#    its interval and the number of ill cells in the test split.
# 2. Delete both, keep both in one split, or ask an expert for the right label. Without an expert:
#    keep both together (or leave both out) and say so in the report. Choosing the label that the
#    model predicts would flatter the model.
# 3. Blur all pictures to the same sharpness, or sharpen others, and see whether predictions change;
#    or train on the sharpness alone and see how far one gets; or look where the network looks
#    (lab 07).
# 4. It may be too good: cells of one patient are alike (same smear, same stain, same day). The
#    honest split goes by patient; without that, the result holds for new cells of known patients.
# </details>

# %% [markdown]
# ## The results of this lab
#
# The result of this lab is the number to beat.

# %%
print(f"macro F1 of the same guesser: {guesser.macro_f1:.3f}")
lk.report_result("majority-class baseline accuracy", guesser)

# %%
lk.progress()
