# %% [markdown]
# # Lab 08 · Your own data, from the question to the limits
#
# **You will learn** to carry a project through by yourself: a question, a data card, a split without
# leaks, a baseline, several models, a choice on validation data, **one** test, an error analysis, an
# explanation, and what the result cannot say.
#
# **You should know** labs 01, 02 and 05; lab 06 for the borrowed network.
#
# **Time:** two afternoons for a project of your own, about two hours for the example. All cells
# together take about two and a half minutes on two cores with fast bf16, more on others.
#
# The checks of this lab judge the **form**: is the split clean, was the choice made on validation data,
# was the test set used once, is there an interval. No check asks for a score.

# %%
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labkit as lk

FAST = lk.settings.fast()  # fast mode: a quick test run of the whole lab
SEED = 42 + lk.settings.seed_offset()
lk.seed_everything(SEED)

# %% [markdown]
# ## Which data?
#
# Three kinds will do, and **one line** below decides:
#
# - a folder with one sub-folder a class: `SOURCE = "path/of/my/photographs"`;
# - an `.npz` file with `images` and `labels`, or with `train_images`, `train_labels`, `val_…`, `test_…`;
# - the name of a two-dimensional data set of MedMNIST: `SOURCE = "pneumoniamnist"`.
#
# These sets of MedMNIST fit; ChestMNIST, whose images have several labels each, does not. For a first
# project take a small one: at 28 pixels `breastmnist` is less than a megabyte, `pathmnist` 206.

# %%
lk.data.medmnist_choices()

# %% [markdown]
# The example uses a folder, because that is how your own data will mostly come: the blood cell
# photographs of lab 01, which are on your disk already, made small: 64 pixels a side. If the line under
# the card says **stand-in**, the photographs could not be had, and drawn cells take their place.

# %%
SOURCE = lk.dataset_folder("pbc")  # <- your data here
SIZE = 64  # pixels a side; MedMNIST has 28, 64, 128 and 224
problems = pd.DataFrame(columns=["file", "class", "problem", "action"])
if Path(SOURCE).is_dir():
    images, problems = lk.load_folder(SOURCE, size=SIZE)
    data = lk.data.split_data(images, seed=SEED, title="Photographs of blood cells")
else:
    data = lk.load_dataset(SOURCE, size=None if str(SOURCE).endswith(".npz") else SIZE)
train, val, test = data.loaders(batch_size=64)
data

# %%
rows = [int((data.train.labels == c).nonzero()[0, 0]) for c in range(len(data.classes))]
figure = lk.figures.image_grid(
    data.train.images[rows],
    data.classes,
    title="One training image of each class",
    origin=data.origin,
)
lk.figures.as_jpeg(figure)

# %% [markdown]
# Look at the training images as long as you like, and at no test image before the end: whatever you
# decide after you have seen it, you decide on the test set.
#
# `labkit` helps you to keep that promise. Each split counts how many different sets of answers were
# compared with its labels: `lk.evaluate` counts, and so does a training that validates on it.

# %% tags=["nbval-check-output"]
print("the test labels were asked", data.test.times_judged, "time(s) so far")

# %% [markdown]
# (The count is kept in this notebook's memory. It starts at 0 when the data are loaded again, and it
# does not see what you compute from `data.test.labels` by hand. It is a reminder, not a lock.)
#
# ## The question
#
# A model is useful for something or somebody. Say so **now**: afterwards every number looks like what
# one wanted.

# %% [markdown]
# ### Exercise 8.1: the question
#
# Fill the dictionary `question`:
#
# - `"question"`: one sentence, with a question mark;
# - `"who asks"`: who would use the answer, and for what;
# - `"worst mistake"`: the mistake that costs most, as a pair of class names `(true, predicted)`;
# - `"useful from"`: the accuracy (below 1: no model is always right) from which the answer would be of
#   use. Answering always with the most frequent class must not be enough.
#
# <details><summary>Hint 1: the idea</summary>
#
# Who is harmed by which mistake? Taking an ill cell for a healthy one is mostly not the same as the
# reverse. And what do people do today without your model, and how well?
# </details>
# <details><summary>Hint 2: where to look</summary>
#
# `data.classes` has the names; `data.train.counts()` says how frequent each class is.
# </details>

# %%
# Exercise 8.1 - the question, before anything is trained
question = {
    "question": ...,
    "who asks": ...,
    "worst mistake": ...,  # (true class, predicted class)
    "useful from": ...,  # 0 to 1
}

# %%
# Solution 8.1
ill, healthy = "immature granulocyte", "neutrophil"
if not {ill, healthy} <= set(data.classes):  # other data than those of the example
    ill, healthy = data.classes[-1], data.classes[0]
question = {
    "question": "Which kind of cell does a single photograph show?",
    "who asks": "a laboratory that wants a second look at the cells it counts by hand",
    "worst mistake": (ill, healthy),
    "useful from": 0.9,
}
if data.train.counts().max() >= 0.9 * len(data.train):
    question["useful from"] = 0.99

# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Immature granulocytes in the blood may be a sign of a severe infection or of leukaemia. Taken for
# mature neutrophils, they are missed; the reverse costs a second look. An accuracy counts both the
# same, so the pair is written down beside it. Nobody can look up "useful from": that it was written
# down **before** is what makes it worth something.
# </details>

# %%
with lk.check("8.1", "question"):
    assert isinstance(question, dict), "question must stay a dictionary"
    for _key in ("question", "who asks", "worst mistake", "useful from"):
        assert _key in question, f"the key {_key!r} is missing"
        assert question[_key] is not ..., f"{_key!r} still holds `...`"

    def _says(text):
        """Has a text three words, or eight letters of a script without spaces?"""
        if not isinstance(text, str):
            return False
        words = sum(any(map(str.isalnum, word)) for word in text.split())
        letters = sum(c.isalpha() and c.lower() == c.upper() for c in text)  # no capitals
        return words >= 3 or (letters >= 8 and " " not in text)

    _text = question["question"]
    assert _says(_text), "'question' needs a whole sentence, as a text"
    assert any(mark in _text for mark in "?？؟"), "'question' needs a question mark: ask something"
    assert _says(question["who asks"]), "'who asks': say who, and for what"
    _pair = question["worst mistake"]
    assert isinstance(_pair, tuple | list | np.ndarray | pd.Series) and len(_pair) == 2, (
        "'worst mistake' is a pair: (true class, predicted class)"
    )
    _pair = list(_pair)
    for _name in _pair:
        assert _name in data.classes, (
            f"{_name!r} is no class of these data: use the names in data.classes"
        )
    assert _pair[0] != _pair[1], "that is no mistake: true and predicted class are the same"
    _share = float(data.train.counts().max() / len(data.train))
    _limit = question["useful from"]
    assert not isinstance(_limit, str | None) and np.ndim(_limit) == 0, "'useful from' is a number"
    _limit = float(lk.judge.read_array(_limit, (), "'useful from'"))
    assert not 1 < _limit <= 100, "'useful from' is a share from 0 to 1, not per cent"
    assert _limit > _share, (
        f"{_limit:.2f} is not more than the share of the most frequent class ({_share:.2f}): "
        "always answering with it would be enough"
    )
    assert _limit < 1, "no model is always right: ask for less than 1"

# %% [markdown]
# ## The data card
#
# What was left out when the folder was read, and what was kept in spite of a defect? (Empty for data
# that do not come as a folder.)

# %%
problems.groupby(["problem", "action"]).size().rename("files").reset_index().head(12)

# %% [markdown]
# ### Exercise 8.2: the data card
#
# Fill the dictionary `card`. Five entries are texts: `"source"` (who took the images, where),
# `"licence"`, `"labelled by"`, `"belongs together"` (what links images: patient, slide, film; is it
# known?) and `"cannot show"`. One word will do for licence and labels, not for the others. Three are
# to be computed:
#
# - `"images"`: how many there are in all three parts together;
# - `"smallest class"`: the name of the class with the fewest images in all;
# - `"left out"`: how many files were **left out** when the folder was read.
#
# <details><summary>Hint 1: the idea</summary>
#
# Whoever reads the card must be able to tell whether your result holds for **their** images. For the
# counts, look at the card above; a file that was kept in spite of a defect was not left out.
# </details>
# <details><summary>Hint 2: where to look</summary>
#
# `data.counts()` has a column `"all"` and a last row `"all classes"`. `problems["action"]` says what was
# done with each file.
# </details>

# %%
# Exercise 8.2 - the data card
card = {
    "source": ...,
    "licence": ...,
    "labelled by": ...,
    "belongs together": ...,
    "cannot show": ...,
    "images": ...,
    "smallest class": ...,
    "left out": ...,
}

# %%
# Solution 8.2
per_class = data.counts()["all"].drop("all classes")
card = {
    "source": "Acevedo et al. (2020), Data in Brief 30, 105474: one hospital, one analyser",
    "licence": "CC BY 4.0",
    "labelled by": "clinical pathologists of that hospital",
    "belongs together": "cells of one patient; the patients are not recorded",
    "cannot show": "how well it works in another hospital, or on cells of ill people",
    "images": int(per_class.sum()),
    "smallest class": per_class.idxmin(),
    "left out": int((problems["action"] == "left out").sum()),
}

# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# "Belongs together" is the line that is most often missing and costs most. If a patient's images lie in
# training **and** test, the network may recognise the patient. If you know the patients, give them to
# the split: `lk.data.split_data(images, groups=patients)`. If you do not, the card must say so.
# </details>

# %%
with lk.check("8.2", "card"):
    assert isinstance(card, dict), "card must stay a dictionary"
    _texts = ("source", "licence", "labelled by", "belongs together", "cannot show")
    for _key in (*_texts, "images", "smallest class", "left out"):
        assert _key in card, f"the key {_key!r} is missing"
        assert card[_key] is not ..., f"{_key!r} still holds `...`"
    for _key in _texts:
        _least = 1 if _key in ("licence", "labelled by") else 2
        _said = card[_key] if isinstance(card[_key], str) else ""
        _words = sum(any(map(str.isalnum, word)) for word in _said.split())
        # a script without spaces, whose letters have no capitals
        _letters = sum(c.isalpha() and c.lower() == c.upper() for c in _said)
        assert _words >= _least or (_letters >= 8 and " " not in _said), (
            f"{_key!r} needs a text that says something (at least {_least} "
            f"word{'s' * (_least > 1)})"
        )
    for _key in ("images", "left out"):
        assert np.ndim(card[_key]) == 0, f"{_key!r} is one number, not the rows: count them"
        assert not isinstance(card[_key], str), f"{_key!r} is a number, not the text {card[_key]!r}"
    _counts = data.counts()["all"].drop("all classes")
    _lost = int((problems["action"] == "left out").sum())
    assert card["images"] != len(data.train), (
        "'images' counts the training part only: add validation and test"
    )
    assert card["images"] != data.counts().to_numpy().sum(), (
        "'images' counts each image more than once: the table has totals too"
    )
    assert card["images"] == _counts.sum(), f"'images': there are {_counts.sum():,} in all"
    assert not isinstance(card["smallest class"], int | np.integer), (
        "'smallest class' is a name, not a number"
    )
    assert isinstance(card["smallest class"], str), (
        f"'smallest class' is one name, not {type(card['smallest class']).__name__}: idxmin() "
        "gives the name alone"
    )
    assert card["smallest class"] in data.classes, (
        f"{card['smallest class']!r} is no class of these data"
    )
    assert _counts[card["smallest class"]] == _counts.min(), (
        f"{card['smallest class']!r} has {_counts[card['smallest class']]:,} images; another class "
        "has fewer (count all parts)"
    )
    assert card["left out"] == _lost or card["left out"] != len(problems), (
        "'left out' counts every row of the table; some of these files were kept"
    )
    assert card["left out"] == _lost, f"'left out': {_lost} files were not read"

# %% [markdown]
# The card goes along with the data. Your words stand on it from now on.

# %%
data.licence, data.citation = card["licence"], card["source"]
data.notes += tuple(f"{k}: {card[k]}" for k in ("labelled by", "belongs together", "cannot show"))
data

# %% [markdown]
# ## A split without leaks
#
# Images that are in two parts make the test too easy: the network may know the answer by heart.
# `lk.data.split_data` keeps identical images together. Trust it, and check it.

# %% [markdown]
# ### Exercise 8.3: count the leaks
#
# Write `count_leaks(data)`: how many images of `data.val` and `data.test` also stand, pixel for pixel, in
# a part **before** them (train is before val, val before test). Two copies inside one part are no leak.
#
# <details><summary>Hint 1: the idea</summary>
#
# Walk through the three parts in order and remember every image that you have seen **in the parts
# before**. Comparing each with each would take long: turn an image into something that a `set` can
# hold, and that is equal only for equal images.
# </details>
# <details><summary>Hint 2: where to look</summary>
#
# `split.images[i].numpy().tobytes()`, `set`, `|=`. Add to the set after the whole part was counted.
# </details>


# %%
# Exercise 8.3 - images that two parts share
def count_leaks(data):
    raise NotImplementedError("8.3: count the images of val and test that an earlier part has")


# %%
# Solution 8.3
def count_leaks(data):
    seen, leaks = set(), 0
    for split in (data.train, data.val, data.test):
        keys = [image.numpy().tobytes() for image in split.images]
        leaks += sum(key in seen for key in keys)
        seen |= set(keys)
    return leaks


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# A set finds a key in the same time however many it holds. The bytes are equal only if all pixels are.
# A mean or a sum is not enough: different images share it. And this finds **identical** images only: the
# same photograph saved twice as JPEG, or two films of one patient, pass unseen. `lk.data.find_leaks`
# lists what you counted.
# </details>

# %%
with lk.check("8.3", "count_leaks"):
    _gen = np.random.default_rng(3)

    def _parts(plant, side, sizes):
        """Three parts of different images, then the planted copies (part, row, from part, row)."""
        _all = _gen.integers(0, 256, (sum(sizes), 3, side, side + 2), np.uint8)
        _cut = np.split(_all, np.cumsum(sizes)[:-1])
        for to, row, source, other in plant:
            _cut[to][row] = _cut[source][other]
        splits = [
            lk.ImageSplit(torch.from_numpy(c.copy()), torch.zeros(len(c)).long(), ("a", "b"))
            for c in _cut
        ]
        return lk.ImageData("made", *splits, "made for this check")

    def _count(plant, change=None, side=18, sizes=(12, 8, 8)):
        _made = _parts(plant, side, sizes)
        if change:
            change(_made)
        _got = count_leaks(_made)
        assert _got is not None, "count_leaks gives None: is `return` missing?"
        assert np.ndim(_got) == 0, "return one number, not a list"
        assert not isinstance(_got, str), f"return a number, not the text {_got!r}"
        assert float(_got) == int(_got), f"return how many images there are, not {float(_got):.3g}"
        return int(_got)

    assert _count([]) == 0, "parts that share nothing have 0 leaks"
    assert _count([(0, 1, 0, 2), (1, 2, 1, 5), (2, 3, 2, 4)]) == 0, (
        "copies inside one part were counted: they are no leak"
    )
    assert _count([(2, 0, 0, 5), (2, 1, 0, 6)]) == 2, "an image of train that is in test is a leak"
    assert _count([(1, 0, 0, 5)]) == 1, "val was not compared with train"
    assert _count([(2, 4, 1, 3)]) == 1, "test was not compared with val"
    assert _count([(0, 1, 0, 0), (0, 2, 0, 0), (2, 7, 0, 0)]) == 1, (
        "count images, not pairs: this one stands three times in train and once in test"
    )
    assert _count([(2, 0, 0, 5), (2, 1, 0, 5)]) == 2, (
        "two test images that train has are two leaks, also if they are equal"
    )
    assert _count([(1, 0, 0, 5), (2, 0, 0, 5)]) == 2, (
        "one leak into val and one into test are two: an image of test that both parts before have "
        "is one leak"
    )

    def _same_mean(made):
        made.test.images[0] = made.train.images[0].flip(2)
        made.test.images[1] = made.train.images[1].flip(1)

    assert _count([], _same_mean) == 0, (
        "a mirrored image has the same mean and sum, but other pixels: compare all pixels in place"
    )

    def _other_colours(made):
        made.test.images[0] = made.train.images[0].flip(0)

    assert _count([], _other_colours) == 0, (
        "an image whose colours have changed places is another one, with the same grey: compare "
        "all colours"
    )

    def _same_first_row(made):
        made.test.images[0, :, 0] = made.train.images[0, :, 0]

    assert _count([], _same_first_row) == 0, "only a part of the pixels was compared"

    def _one_pixel(made):
        for row, (colour, bit) in enumerate(((0, 1), (1, 1), (2, 1), (0, 16), (1, 16), (2, 128))):
            made.test.images[row] = made.train.images[row]
            made.test.images[row, colour, 9, 10] ^= bit

    for _side in (18, 128):  # in a large image, one pixel changes the mean by very little
        assert _count([], _one_pixel, _side) == 0, (
            "one pixel differs in one colour, by 1, 16 or 128, so the image is another: compare "
            "all colours and pixels, exactly (uint8 differences wrap: 16 * 16 is 0 there)"
        )

    def _other_label(made):
        made.test.images[0], made.test.labels[0] = made.train.images[1], 1

    assert _count([], _other_label) == 1, "a copy under another label is a leak too"
    _copies = [(part, row, 0, 10 * part + row) for part in (1, 2) for row in range(8)]
    assert _count(_copies, sizes=(40, 8, 8)) == 16, (
        "with 40 images to learn from, copies are missed or invented: a distance or a product of "
        "floats is rounded (torch.cdist, too); compare the bytes"
    )

# %% tags=["nbval-check-output"]
print("as many as labkit lists:", count_leaks(data) == len(lk.data.find_leaks(data)))

# %%
print(f"{count_leaks(data)} leaks among {len(data.val) + len(data.test):,} images of val and test")
lk.data.find_leaks(data).head()

# %% [markdown]
# Are there any in **your** data? A folder that `labkit` has split has none. A file that came with its
# parts may well have some: then say so with the result (8.7), or put the parts together and split anew.
#
# ## A baseline
#
# ### Exercise 8.4: the number to beat
#
# Write `majority_baseline(train_labels, val_labels)`: the accuracy on **validation** data of somebody who
# always answers with the class that is most frequent in **training** data.
#
# <details><summary>Hint 1: the idea</summary>
#
# The guesser has seen training labels only. Which class would it name, and how often is that right in
# validation?
# </details>
# <details><summary>Hint 2: where to look</summary>
#
# `np.bincount(labels).argmax()`; then the mean of a comparison. Labels come as tensors or arrays.
# </details>


# %%
# Exercise 8.4 - the guesser
def majority_baseline(train_labels, val_labels):
    raise NotImplementedError("8.4: the accuracy of always the same answer")


# %%
# Solution 8.4
def majority_baseline(train_labels, val_labels):
    most_frequent = np.bincount(np.asarray(train_labels)).argmax()
    return float((np.asarray(val_labels) == most_frequent).mean())


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Whoever looks up the most frequent class in the validation labels has learnt from them. In most data
# the two agree; where they do not, that baseline would be too high, and no other model may do the same.
# </details>

# %%
with lk.check("8.4", "majority_baseline"):
    _one = torch.tensor([2, 2, 2, 0, 1, 1, 2, 0])  # class 2: 4 of 8
    _other = torch.tensor([1, 1, 1, 2, 0, 1, 2, 1, 0, 1])  # class 1: 6 of 10, class 2: 2 of 10
    for _make in (lambda t: t, lambda t: t.numpy()):
        _given = _make(_one.clone()), _make(_other.clone())
        _got = majority_baseline(*_given)
        assert _got is not None, "majority_baseline gives None: is `return` missing?"
        assert np.ndim(lk.judge.as_array(_got)) == 0, "return one number"
        _got = float(_got)
        assert abs(_got - 0.6) > 1e-6, (
            "this is the class that is most frequent in validation: the guesser knows training only"
        )
        assert abs(_got - 0.5) > 1e-6, "this is its share in training: ask the validation labels"
        assert abs(_got - 1 / 3) > 1e-3, (
            "this is 1 / classes: a guess at random, not the most frequent class"
        )
        assert abs(_got - 2) > 1e-6, "this is the class or a count: return a share from 0 to 1"
        assert abs(_got - 20) > 1e-6, "return a share from 0 to 1, not per cent"
        assert abs(_got - 0.2) < 1e-6, (
            f"class 2 is right in 2 of 10 cases, not in {_got:.2f} of them"
        )
        assert _given[0].tolist() == _one.tolist() and _given[1].tolist() == _other.tolist(), (
            "majority_baseline changes the labels that it is given, so they no longer belong to "
            "the images: work on a copy (np.asarray makes none)"
        )
    # class 9: neither the first nor the largest label, and not all classes below it are there
    _one, _other = torch.tensor([11, 9, 9, 3, 9, 12]), torch.tensor([9, 12, 3, 9, 12, 12, 11])
    _got = float(majority_baseline(_one, _other))
    assert abs(_got - 2 / 7) < 1e-6, (
        f"training labels {_one.tolist()}: class 9 is the most frequent one, and right in 2 of 7 "
        f"validation labels {_other.tolist()}, not in {_got:.4g} of them (do not round)"
    )
    assert (
        abs(float(majority_baseline(torch.tensor([0, 0, 1]), torch.tensor([1, 1]))) - 0) < 1e-9
    ), "a class that validation lacks is never right: 0"

# %%
baseline = majority_baseline(data.train.labels, data.val.labels)
print(f"always the same answer: {100 * baseline:.1f} % on validation, n = {len(data.val):,}")

# %% [markdown]
# ## Three models at least
#
# A model takes images (normalised to [−1, 1], as the loaders give them) and gives one logit a class.
# Begin with the simplest. If it is good enough, you are done.


# %%
def train_candidate(model, augment=None, epochs=20, lr=1e-3):
    """Train, keep the weights of the best epoch on validation, and note how, and the seconds."""
    lk.seed_everything(SEED)
    batches, _, _ = data.loaders(batch_size=64, augment=augment)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    start = time.perf_counter()
    lk.fit(model, batches, val, epochs, optimizer=optimizer, keep_best="val_accuracy")
    seconds[model] = time.perf_counter() - start
    trained_how[model] = f"{augment}, {epochs} epochs, learning rate {lr}"
    return model


channels, side, count = data.train.images.shape[1], data.train.images.shape[2], len(data.classes)
seconds, trained_how = {}, {}
lk.seed_everything(SEED)
softmax = train_candidate(lk.models.SoftmaxRegression(count, channels, side), lr=1e-4)

# %% [markdown]
# And a **borrowed** network (lab 06): SqueezeNet's features stand still, one linear layer learns. Its
# features are computed once. (A stand-in, if the line below names one, has never seen ImageNet.)


# %%
class Borrowed(nn.Module):
    """Frozen features of a network that was trained on something else, and a linear layer."""

    def __init__(self, backbone, head):
        super().__init__()
        self.backbone, self.head = lk.models.freeze(backbone, last=0), head

    def features(self, images):  # as the loaders give them, (B, channels, H, W) in [-1, 1]
        images = (images * 0.5 + 0.5).expand(-1, 3, -1, -1)
        return self.backbone(self.backbone.transform(images))

    def forward(self, images):
        return self.head(self.features(images))


def feature_loader(loader, part=None, shuffle=False):
    """Features and labels of a split, as batches; in fast mode of some images only."""
    with torch.no_grad():
        pairs = [(borrowed.features(x).cpu(), y.cpu()) for x, y in list(loader)[:part]]
    features, labels = (torch.cat(column) for column in zip(*pairs, strict=True))
    return DataLoader(TensorDataset(features, labels), 64, shuffle=shuffle)


backbone = lk.models.load_backbone("squeezenet1_0")
print(backbone.name, "·", backbone.weights_origin)

# %% [markdown]
# The next cell computes features. **Meanwhile:** the backbone knows dogs and cups. Would you expect it to
# be better or worse on your images than a network that saw only them?

# %%
start = time.perf_counter()
with torch.no_grad():
    width = backbone(backbone.transform(torch.zeros(1, 3, side, side))).shape[1]
lk.seed_everything(SEED)
borrowed = Borrowed(backbone, nn.Linear(width, count)).to(lk.get_device()).eval()
part = 2 if FAST else None
kept_train, kept_val = feature_loader(train, part, shuffle=True), feature_loader(val, part)
lk.fit(borrowed.head, kept_train, kept_val, epochs=40, keep_best="val_accuracy")
seconds[borrowed] = time.perf_counter() - start

# %% [markdown]
# ### Exercise 8.5: your candidates
#
# Fill the dictionary `candidates`: a name for each **trained** model, at least three of them, which differ
# in more than the seed. Two are there; add at least one convolutional network of your own, trained on
# **your** data with `train_candidate`. Does a flip, a turn, a shift leave the class as it is in your images?
# Then `lk.Augment` may help. (The table at the end of the lab says how long each took. **While they
# train:** write down which candidate you expect to win.)
#
# <details><summary>Hint 1: the idea</summary>
#
# Take a rung of lab 05's ladder. It must know how many classes and channels **your** data have. A chest
# has an up and a down; a blood cell has not.
# </details>
# <details><summary>Hint 2: where to look</summary>
#
# `lk.models.SimpleCNN(count, channels)`, `lk.models.DeeperCNN(count, channels)`,
# `train_candidate(model, augment=lk.Augment(flip=True), epochs=20)`.
# </details>

# %%
# Exercise 8.5 - at least three trained models
candidates = {"softmax regression": softmax, "borrowed features": borrowed}
# candidates["..."] = train_candidate(...)

# %%
# Solution 8.5
candidates = {"softmax regression": softmax, "borrowed features": borrowed}
candidates["SimpleCNN"] = train_candidate(lk.models.SimpleCNN(count, channels), epochs=20)
candidates["DeeperCNN, augmented"] = train_candidate(
    lk.models.DeeperCNN(count, channels),
    augment=lk.Augment(flip=True, turn=True, shift=4),
    epochs=30,
)

# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# The four differ in what they assume: only a weighted sum of pixels; filters learnt elsewhere; filters
# learnt here; and a deeper network with invented variety. So a clear gap between them says something
# about data and plan. (Not a small one: they also differ in epochs and learning rate, and each was
# trained once.) Four seeds of one network would speak of chance alone.
# </details>

# %%
with lk.check("8.5", "candidates"):
    assert isinstance(candidates, dict), "candidates must be a dictionary: name -> trained model"
    assert len(candidates) >= 3, f"there are {len(candidates)} candidates; at least 3 are asked for"
    _x, _ = next(iter(val))
    _said = {}
    for _name, _model in candidates.items():
        assert isinstance(_name, str), f"the name {_name!r} is no text: give each model a name"
        assert not isinstance(_model, type), f"{_name!r} is a class: call it, with ()"
        assert not isinstance(_model, lk.History), (
            f"{_name!r} is a history: lk.fit returns that, the model is what you gave it"
        )
        assert isinstance(_model, nn.Module), f"{_name!r} must be a network (nn.Module)"
        with lk.inference.evaluating(_model), torch.no_grad():
            try:
                _out = _model(_x.to(lk.inference.device_of(_model))).float().cpu()
            except Exception as _error:
                raise AssertionError(
                    f"{_name!r} cannot take a batch of shape {tuple(_x.shape)}: {_error}"
                ) from None
        assert _out.shape == (len(_x), len(data.classes)), (
            f"{_name!r} gives {tuple(_out.shape)}; your data need (batch, {len(data.classes)})"
        )
        assert torch.isfinite(_out).all(), f"{_name!r} gives NaN or infinity"
        assert _out.min() < 0 or not torch.allclose(
            _out.sum(1), torch.ones(len(_out)), atol=1e-2
        ), f"{_name!r} gives probabilities: leave the softmax out, the loss takes logits"
        assert not torch.allclose(_out, _out[:1].expand_as(_out), atol=1e-6), (
            f"{_name!r} gives the same logits for every image: it has learnt nothing"
        )
        for _other, _before in _said.items():
            assert not torch.equal(_out, _before), (
                f"{_name!r} and {_other!r} are the same model under two names"
            )
        _said[_name] = _out
        _grads = any(p.grad is not None for p in _model.parameters())
        _learnt = _model in seconds or _grads or lk.evaluate(_model, val).loss < np.log(count)
        assert _learnt, (
            f"{_name!r} has not been trained: train_candidate(…) trains it and returns it"
        )
    _plans = {(str(m), trained_how.get(m)) for m in candidates.values()}
    assert len(_plans) >= 3, (
        "at least three must differ in plan or training: another seed is no other model"
    )
    assert any(
        p.requires_grad and p.ndim == 4  # the kernels of a convolution: (out, in, height, width)
        for net in candidates.values()
        if net is not borrowed
        for p in net.parameters()
    ), (
        "none of your own has a convolution that learns: add a convolutional network, trained on "
        "your data (the borrowed features stand still, under another head too)"
    )

# %% [markdown]
# ## The choice, on validation data
#
# (Training validates in bf16 where that is fast, `lk.evaluate` in fp32: an image or two may change sides
# against the lines above.)

# %%
on_val = {name: lk.evaluate(model, val) for name, model in candidates.items()}


def table_row(result):
    low, high = result.accuracy_interval()
    return {
        "accuracy %": f"{100 * result.accuracy:.1f}",
        "95 % interval": f"{100 * low:.1f}–{100 * high:.1f}",
        "macro F1": f"{result.macro_f1:.3f}",
        "loss": f"{result.loss:.3f}",
    }


pd.DataFrame({name: table_row(result) for name, result in on_val.items()}).T

# %% [markdown]
# ### Exercise 8.6: choose
#
# Write `choose(results)`: from a dictionary name → `lk.Predictions` **the name** of the model with the
# highest accuracy; among equals, the one with the lowest loss. Then set `chosen = choose(on_val)`.
#
# <details><summary>Hint 1: the idea</summary>
#
# A rule that is written down before cannot be bent afterwards. Two criteria, one after the other, are
# one comparison of pairs.
# </details>
# <details><summary>Hint 2: where to look</summary>
#
# `max(results, key=lambda name: (…, …))`; `results[name].accuracy`, `.loss`; a minus turns the order.
# </details>


# %%
# Exercise 8.6 - the choice
def choose(results):
    raise NotImplementedError("8.6: the name of the best model")


chosen = ...


# %%
# Solution 8.6
def choose(results):
    return max(results, key=lambda name: (results[name].accuracy, -results[name].loss))


chosen = choose(on_val)

# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# The best of several is a little too good on the data that chose it: the luckiest wins. That is why its
# validation accuracy is no result, and why the test set must not have had a say. And whoever comes last is
# not refuted: one seed and a few hundred steps say nothing of longer training, which would be a candidate
# of its own.
# </details>

# %%
with lk.check("8.6", "choose", "chosen"):

    def _made(right, sure=1.0, n=8):
        """Predictions of a two-class problem: so many right, with so large a logit."""
        labels = np.arange(n) % 2
        answers = np.where(np.arange(n) < right, labels, 1 - labels)
        return lk.Predictions(sure * np.eye(2)[answers], labels, ("a", "b"), "made")

    def _ask(results):
        _given = dict(results)
        _got = choose(_given)
        assert list(_given) == list(results), "choose changes the dictionary that it is given"
        assert _got is not None, "choose gives None: is `return` missing?"
        assert not isinstance(_got, lk.Predictions), "return the name, not the predictions"
        assert not isinstance(_got, int | float), "return the name, not a number"
        assert isinstance(_got, str), f"return the name alone, not {_got!r}"
        assert _got in results, (
            f"choose gives {_got!r}, which is no name in the dictionary that it was given"
        )
        return _got

    _plain = {"x": _made(5), "y": _made(7), "z": _made(6)}
    assert _ask(_plain) != "x", "this is the worst model: the highest accuracy is asked for"
    assert _ask(_plain) != "z", "this is the last name in the alphabet: compare the accuracies"
    assert _ask(_plain) == "y", f"7 of 8 right is the highest accuracy here, not {_ask(_plain)!r}"
    _doubt = {"x": _made(7, sure=9.0), "y": _made(6, sure=0.1), "z": _made(6, sure=0.1)}
    assert _ask(_doubt) == "x", "accuracy comes first: a lower loss counts among equals only"
    _close = {"x": _made(34_800, 0.1, 40_000), "y": _made(34_801, 9e4, 40_000)}
    assert _ask(_close) == "y", (
        "34,801 of 40,000 right are more than 34,800, whatever the losses: do not round, and add "
        "nothing to the accuracy"
    )
    for _order in (("low", "high"), ("high", "low")):
        for _much in (1.0, 5.0):
            _equal = {name: _made(4, sure=0.2 if name == "low" else _much) for name in _order}
            assert _ask(_equal) == "low", "equal accuracy: the lowest loss decides"
    _skewed = np.array([0] * 9 + [1] * 3)
    _first = lk.Predictions(np.eye(2)[np.zeros(12, int)] * 0.5, _skewed, ("a", "b"))
    _second = lk.Predictions(np.eye(2)[np.array([0] * 5 + [1] * 7)] * 0.5, _skewed, ("a", "b"))
    assert _ask({"first": _first, "second": _second}) == "first", (
        "this is the highest macro F1: the rule says accuracy"
    )
    assert chosen is not ..., "chosen still holds `...`: chosen = choose(on_val)"
    assert isinstance(chosen, str) and chosen in candidates, (
        "chosen must be one of the names in candidates"
    )
    _best = max(on_val, key=lambda n: (on_val[n].accuracy, -on_val[n].loss))
    assert chosen == _best, f"by the rule on validation data it is {_best!r}, not {chosen!r}"

# %% [markdown]
# Is the winner's lead more than chance? Both saw the same images, so count those that only one of
# the two got right (McNemar, lab 02).

# %%
second = choose({name: result for name, result in on_val.items() if name != chosen})
only_first, only_second, p = lk.mcnemar(on_val[chosen], on_val[second])
print(f"chosen: {chosen}; second: {second}")
print(f"right only by the first {only_first}, only by the second {only_second}, p = {p:.3f}")

# %% [markdown]
# A large p does not say that the two are equal. It says that these validation images cannot tell them
# apart: the one that is cheaper to run, or easier to explain, may serve as well. **Say so** with the
# result.
#
# <details><summary>And the borrowed features?</summary>
#
# With our photographs of blood cells at 64 pixels (845 to learn from, 181 for validation, one seed) they
# reached 81.8 %, an augmented `DeeperCNN` 83.4 %, p = 0.77: no difference that these images could show.
# They took a third of the time. Dogs and cups have edges, colours and textures too.
# </details>
#
# ## One test
#
# ### Exercise 8.7: the result
#
# Evaluate the chosen model on `test`, once, as `result`. Then write `sentence`: the accuracy in per cent,
# its 95 % interval, and how many images n it rests on.
#
# <details><summary>Hint 1: the idea</summary>
#
# One model, one number, one interval. Running this cell again is no second test, as long as the model
# is the same.
# </details>
# <details><summary>Hint 2: where to look</summary>
#
# `lk.evaluate(candidates[chosen], test)`, `result.accuracy_interval()`, `len(result.labels)`, an f-string with
# `{100 * low:.1f}`.
# </details>

# %%
# Exercise 8.7 - the test, once
result = ...
sentence = ...

# %%
# Solution 8.7
result = lk.evaluate(candidates[chosen], test)
low, high = result.accuracy_interval()
sentence = (
    f"{chosen}: test accuracy {100 * result.accuracy:.1f} % "
    f"(95 % interval {100 * low:.1f}–{100 * high:.1f} %, n = {len(result.labels):,})"
)
print(sentence)

# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# The interval says how much these test images could have misled you; with 180 images and 84 % it is eleven
# points wide. More test images make it narrower, or far fewer mistakes. It does not say how another seed
# would have done, nor another hospital.
# </details>

# %%
with lk.check("8.7", "result", "sentence"):
    import re as _re

    assert isinstance(result, lk.Predictions), "result must be what lk.evaluate gives"
    _rows = np.asarray(result.indices)
    _fits = len(_rows) == len(test.indices) and np.array_equal(
        result.labels, data.test.labels[test.indices].numpy()
    )
    assert (
        len(_rows) != len(val.indices)
        or _fits
        or not np.array_equal(result.labels, data.val.labels[val.indices].numpy())
    ), "this is the validation split: evaluate on test"
    assert _fits, "result must be of the whole test split: lk.evaluate(candidates[chosen], test)"
    _times = data.test.times_judged
    assert _times <= 1, (
        f"the test labels were asked {_times} times, for different answers: then the test set chose "
        "too. Load the data again, and say in your limits that this happened"
    )
    with lk.inference.evaluating(candidates[chosen]), torch.no_grad():
        _x, _ = next(iter(test))
        _net = candidates[chosen]
        _own = _net(_x.to(lk.inference.device_of(_net))).float().cpu().numpy()
    assert np.allclose(_own, result.logits[: len(_own)], atol=0.1, rtol=0.05), (
        "these are not the chosen model's answers: evaluate candidates[chosen]"
    )
    assert isinstance(sentence, str), "sentence must be a text"
    _text = _re.sub(r"(?<=\d)[,' \u202f\u00a0](?=\d{3}(?!\d))", "", sentence)
    _text = _re.sub(r"(?<=\d),(?=\d)", ".", _text)
    # "[32,46]" may be two numbers, too
    _bounds = _re.findall(r"[\[(](\d{1,3}),(\d{1,3})[\])]", sentence)
    _found = _re.findall(r"\d+(?:\.\d+)?", _text) + [x for pair in _bounds for x in pair]
    _found = np.array([float(x) for x in _found])

    def _where(share, per_cent_only=False):
        near = abs(_found - 100 * share) < 0.51
        return np.flatnonzero(near if per_cent_only else near | (abs(_found - share) < 0.0051))

    def _has(share, per_cent_only=False):
        return len(_where(share, per_cent_only)) > 0

    _n, _acc = len(result.labels), result.accuracy
    _half = 1.96 * (_acc * (1 - _acc) / _n) ** 0.5
    _ends = [result.accuracy_interval(), (_acc - _half, min(1.0, _acc + _half))]
    assert _has(_acc), f"sentence lacks the accuracy of the test, {100 * _acc:.1f} %"
    assert _has(_acc, per_cent_only=True), (
        f"sentence gives the accuracy as a share: write it in per cent, {100 * _acc:.1f} %"
    )
    _to_either_side = [  # accuracy ± half the width, in per cent or as a share, as it is rounded
        abs(float(x) - half) < 0.51 * 10.0 ** -len(x.partition(".")[2]) + 0.02 * half
        for x in _re.findall(r"(?:±|\+/?[-−–])\s*(\d+(?:\.\d+)?)", _text)
        for half in (100 * _half, _half)
    ]
    assert any(_has(low_) and _has(high_) for low_, high_ in _ends) or any(_to_either_side), (
        "sentence lacks the 95 % interval of this result: result.accuracy_interval()"
    )
    assert (
        any(_to_either_side)
        or _re.search("upper|most|highest", sentence.lower())
        or any(
            _where(low_)[0] < _where(high_)[-1]
            for low_, high_ in _ends
            if _has(low_) and _has(high_)
        )
    ), "sentence has the interval the wrong way round: its low end comes first"
    assert _n in _found, f"sentence lacks n, the number of test images ({_n:,})"
    _leaks = len(lk.data.find_leaks(data))
    assert not _leaks or _leaks in _found, (
        f"{_leaks} images of val and test are in an earlier part, too (8.3): split anew, or say in "
        "your sentence how many leaks there are"
    )

# %%
limit = question["useful from"]
low, high = result.accuracy_interval()
verdict = "lies above" if low > limit else "lies below" if high < limit else "contains"
print(
    f"useful from {100 * limit:.0f} %: the interval {100 * low:.1f}–{100 * high:.1f} % {verdict} it"
)
print("the test labels were asked", data.test.times_judged, "time(s)")

# %% [markdown]
# "Contains" is an answer too: these test images cannot decide it.
#
# ## Where is it wrong?
#
# ### Exercise 8.8: the recall of one class, with its interval
#
# Write `recall_with_interval(result, name)`: the recall of the class `name`, then the low and the high end
# of Wilson's 95 % interval. A class has fewer images than the test set, so its interval is wider.
#
# <details><summary>Hint 1: the idea</summary>
#
# Recall: of the images that **are** of this class, which share was found? So how many trials are there,
# and how many successes?
# </details>
# <details><summary>Hint 2: where to look</summary>
#
# `result.labels`, `result.predicted`, `result.classes.index(name)`;
# `lk.statistics.wilson_interval(successes, trials)` gives share, low and high.
# </details>


# %%
# Exercise 8.8 - one class
def recall_with_interval(result, name):
    raise NotImplementedError("8.8: recall, low, high")


# %%
# Solution 8.8
def recall_with_interval(result, name):
    of_class = result.labels == result.classes.index(name)
    return lk.statistics.wilson_interval(int(result.correct[of_class].sum()), int(of_class.sum()))


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Only the images of the class are trials. With some twenty of them, a recall of 100 % still has an
# interval that reaches down to about 85 %. So two classes that differ by ten points need not differ.
# </details>

# %%
with lk.check("8.8", "recall_with_interval"):
    _true = np.array([0] * 10 + [1] * 30 + [2] * 5)
    _said = np.array([0] * 7 + [1] * 3 + [1] * 24 + [0] * 6 + [2] * 5)
    _case = lk.Predictions(np.eye(3)[_said], _true, ("b", "c", "a"), "made")
    for _name, _hits, _of, _named in (("b", 7, 10, 13), ("c", 24, 30, 27), ("a", 5, 5, 5)):
        try:
            _got = recall_with_interval(_case, _name)
        except ValueError as _error:
            assert not any(f"not in {kind}" in str(_error) for kind in ("tuple", "list")), (
                "the name is looked up in other classes than the result's: use "
                "result.classes.index(name), not data.classes"
            )
            assert "n is 0" not in str(_error), (
                "no image of this class was found: the labels are numbers, so compare them with "
                "result.classes.index(name), not with the name"
            )
            raise
        assert _got is not None, "recall_with_interval gives None: is `return` missing?"
        _given = _got
        _got = lk.judge.read_array(_got, (3,), "your answer of three numbers (recall, low, high)")
        assert np.shape(_given) == (3,), "return the three numbers, not a list that holds a list"
        assert not 1 < _got[0] <= 100, "shares from 0 to 1, not per cent"
        _right = np.array(lk.statistics.wilson_interval(_hits, _of))
        _slips = {
            "this is the precision: divide by the images of the class, not by those called so": (
                lk.statistics.wilson_interval(_hits, _named)
            ),
            "the trials are the images of this class, not all test images": (
                lk.statistics.wilson_interval(_hits, len(_true))
            ),
            "this is the accuracy of all classes: look at the images of one": (
                lk.statistics.wilson_interval(36, 45)
            ),
            "the order is recall, low, high": _right[[1, 0, 2]],
            "low and high are swapped": _right[[0, 2, 1]],
        }
        for _words, _slip in _slips.items():
            assert np.allclose(_slip, _right) or not np.allclose(_got, _slip, atol=1e-4), _words
        assert abs(_got[0] - _right[0]) < 1e-6, f"class {_name!r}: {_hits} of {_of} were found"
        _half = 1.96 * (_right[0] * (1 - _right[0]) / _of) ** 0.5
        assert np.allclose(_got, _right, atol=2e-3) or not (
            np.allclose(_got[1:], [_right[0] - _half, _right[0] + _half], atol=5e-3)
        ), "this is the normal interval (recall ± 1.96 standard errors): use Wilson's"
        assert np.allclose(_got, _right, atol=2e-3), (
            f"class {_name!r}: Wilson's interval is {_right[1]:.3f} to {_right[2]:.3f}"
        )

# %%
present = [name for c, name in enumerate(data.classes) if (result.labels == c).any()]
# a Series takes whatever your function gives, so that a wrong answer can be looked at, too
rows = [list(pd.Series(recall_with_interval(result, name))) for name in present]
recalls = pd.DataFrame(rows, present).rename(columns=dict(enumerate(["recall", "low", "high"])))
recalls["test images"] = [
    int((result.labels == data.classes.index(name)).sum()) for name in present
]
recalls.sort_values(recalls.columns[0]).round(2)

# %%
lk.figures.confusion_matrix(result)

# %%
true, predicted = question["worst mistake"]
matrix = pd.DataFrame(result.confusion_matrix(), data.classes, data.classes)
made, of_class = matrix.loc[true, predicted], matrix.loc[true].sum()
print(f"the worst mistake, {true} taken for {predicted}: {made} of {of_class}")
for pair in result.most_confused(3):
    print("most frequent:", *pair)

# %% [markdown]
# None of some twenty is not *never*: Wilson's interval for 0 of 23 reaches to 14 %.
#
# Now look at the mistakes themselves, the most confident first. **Before you do:** what do you expect them
# to share?

# %%
wrong = result.misclassified(n=8)
captions = [
    f"{data.classes[result.labels[row]]}\nnot {data.classes[result.predicted[row]]}"
    for row in wrong
]
if len(wrong):
    pictures = data.test.images[result.indices[wrong]]
    figure = lk.figures.image_grid(
        pictures, captions, 4, "Confident mistakes (true class, not the predicted one)", data.origin
    )
    shown = lk.figures.as_jpeg(figure)
else:
    shown = "no mistakes"
shown

# %% [markdown]
# From now on the test images have been seen. Whatever you improve because of them needs **new** test
# images.
#
# ## An explanation
#
# Any model can be asked like this, with no layer named: cover a square with grey and see how far the
# probability of the predicted class falls. Where it falls most, the model may have found its evidence, or
# the grey square itself confuses it. The images are of the **validation** split, and beside the chosen
# model stands another one, because a map alone says little.


# %%
@torch.no_grad()
def occlusion(model, image, patch):
    """How far the probability falls when a square is covered: (places, places)."""
    model.eval()
    places = range(0, image.shape[-1] - patch + 1, patch // 2)
    covered = [image]
    for y in places:
        for x in places:
            copy = image.clone()
            copy[:, y : y + patch, x : x + patch] = 0  # middle grey
            covered.append(copy)
    device = lk.inference.device_of(model)
    p = model(torch.stack(covered).to(device)).float().softmax(1).cpu()
    return (p[0].max() - p[1:, p[0].argmax()]).reshape(len(places), -1)


found = [(data.val.labels == c).nonzero().flatten().tolist() for c in range(count)]
rows = [of_class[0] for of_class in found if of_class][:4]  # one image of each of four classes
prepared = lk.data.normalizer("half")(data.val.images[rows].float() / 255)
figure, axes = lk.figures.new_figure(3, len(rows), height=6, origin=data.origin)
for column, row in enumerate(rows):
    axes[0, column].imshow(data.val.images[row].permute(1, 2, 0).squeeze(), cmap="gray")
    axes[0, column].set_title(data.classes[data.val.labels[row]], fontsize=9)
    for line, name in enumerate((chosen, second), 1):
        falls = occlusion(candidates[name], prepared[column], patch=max(4, side // 5))
        axes[line, column].imshow(falls, cmap="RdBu_r", vmin=-1, vmax=1)
        axes[line, column].set_title(f"{name}: {falls.max():.2f} at most", fontsize=8)
for ax in axes.flat:
    ax.axis("off")
lk.figures.as_jpeg(figure)

# %% [markdown]
# Red: the probability falls when this place is covered (full red: by 1). Blue: it rises. **Look:** does
# the chosen model look at what the question is about, or at the surroundings? Do the two models agree?
#
# <details><summary>How to read it</summary>
#
# A map that is red nearly everywhere names no place: any grey square disturbs the model there, because it
# has seen no such square in training. A pale map says that no single square matters: what one covers, the
# others still show. Two models of about the same accuracy can have different maps. Four images are an
# impression, not a measurement; lab 07 shows how to measure a map.
# </details>
#
# ## The limits

# %% [markdown]
# **Write down, in two or three sentences each:**
#
# 1. For whose images does your result hold? For whose does it not, or nobody knows?
# 2. What could still be a leak in your split that `count_leaks` cannot see?
# 3. How often did you go back and change something after looking at validation results? What did that
#    do to the validation accuracy of the winner?
# 4. What would you do next, with the same effort again: more images, another model, better labels?
#    Which of your tables says so?

# %% [markdown] tags=["solution"]
# <details><summary>Model answers (for the example)</summary>
#
# 1. For cells of this hospital, stained and photographed as these were. Not known for another hospital,
#    another stain or ill people; a test on their images would show it.
# 2. Cells of one patient in several parts: the patients are not recorded. The same cell photographed
#    twice, or saved twice as JPEG: the pixels differ a little.
# 3. Each look adds a little luck. The winner of many tries is too good on validation; the test, asked
#    once, is not affected. So count the tries, and state them.
# 4. Read it from the recalls and the mistakes: confusions between two kinds that look alike ask for
#    more images of these, or a larger size; mistakes on labels that look wrong ask for better labels. A gap between
#    training and validation asks for more images; no gap for a larger model.
# </details>

# %% [markdown]
# ## What to take away
#
# - Question and limit first, the numbers after.
# - A card says what a result is worth to others. "Belongs together" is its most important line.
# - Check the split with a few lines of your own.
# - A baseline, a simple model, then a better one. Each must pay for itself.
# - Validation chooses. The test set answers once, with an interval.
# - A class has fewer images than the data set: its interval is wide.
#
# ## The results of this lab

# %%
pd.DataFrame(
    {
        name: {
            "validation accuracy %": table_row(on_val[name])["accuracy %"],
            "95 % interval": table_row(on_val[name])["95 % interval"],
            "parameters trained": sum(p.numel() for p in net.parameters() if p.requires_grad),
            "seconds": f"{seconds[net]:.0f}" if net in seconds else "not noted",
            "chosen": "yes" if name == chosen else "",
        }
        for name, net in candidates.items()
    }
).T

# %%
lk.report_result(
    f"test accuracy of {chosen}, chosen on validation data",
    result,
    f"best of {len(candidates)} candidates, test set used {data.test.times_judged} time(s), "
    f"seed {SEED}",
)

# %%
lk.progress()
