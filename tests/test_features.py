import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.tree import DecisionTreeClassifier

from labkit import features, figures
from labkit.data.splits import grouped_splits
from labkit.metrics import Predictions
from labkit.models.backbones import Backbone

RANDOM = np.random.default_rng(0)


def photographs(n=6, size=40):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)


def mean_backbone():
    layers = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    return Backbone("mean", layers, lambda x: x.float() / 255, "none")


@pytest.mark.parametrize(("cell", "numbers"), [(10, 44100), (8, 69696), (16, 15876)])
def test_hog_has_the_published_lengths(cell, numbers):
    assert features.hog_features(photographs(1, 360), cell=cell).shape == (1, numbers)


def test_hog_is_the_hog_of_scikit_image_and_ignores_brightness():
    from skimage.feature import hog

    image = photographs(1)
    grey = image[0].float().mean(0).numpy() / 255
    expected = hog(grey, 9, (10, 10), (2, 2), block_norm="L2-Hys")
    np.testing.assert_allclose(features.hog_features(image)[0], expected, atol=1e-6)
    darker = features.hog_features((image // 2 * 2) // 2)
    np.testing.assert_allclose(features.hog_features(image // 2 * 2), darker, atol=1e-3)


def test_hog_of_nothing_says_so():
    with pytest.raises(ValueError, match="no images"):
        features.hog_features(photographs(0))


def test_the_hog_picture_has_the_size_of_the_image_and_lies_in_0_1():
    picture = features.hog_picture(photographs(1)[0])
    assert picture.shape == (40, 40)
    assert 0 <= picture.min() <= picture.max() <= 1


def test_deep_features_do_not_depend_on_the_batch_and_leave_the_mode():
    images, backbone = photographs(7), mean_backbone().train()
    once = features.deep_features(backbone, images, batch_size=7)
    assert backbone.training
    assert once.dtype == np.float32
    np.testing.assert_allclose(once, images.float().mean((2, 3)) / 255, atol=1e-6)
    np.testing.assert_allclose(features.deep_features(backbone, images, 3), once, atol=1e-6)


@pytest.mark.parametrize("shape", [(30, 8), (12, 50)])
def test_explained_variance_is_that_of_scikit_learn(shape):
    x = RANDOM.normal(size=shape) * np.arange(1, shape[1] + 1)
    expected = PCA().fit(x).explained_variance_ratio_[: min(shape[0] - 1, shape[1])]
    np.testing.assert_allclose(features.explained_variance(x), expected, atol=1e-8)


def test_projections_have_two_coordinates_also_for_few_points():
    x = RANDOM.normal(size=(20, 64))
    assert features.project_pca(x).shape == (20, 2)
    assert features.project_tsne(x).shape == (20, 2)


def test_splits_are_stratified_keep_duplicates_together_and_test_each_image_once():
    labels = np.repeat(np.arange(4), 30)
    groups = np.arange(120)
    groups[[1, 2, 40, 41]] = groups[[0, 0, 39, 39]]
    splits = grouped_splits(labels, groups, folds=5, repeats=2, seed=3)
    assert len(splits) == 10
    for first in (0, 5):
        tested = np.concatenate([test for _, test in splits[first : first + 5]])
        assert np.array_equal(np.sort(tested), np.arange(120))
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
        assert np.bincount(labels[test], minlength=4).min() >= 4
    again = grouped_splits(labels, groups, folds=5, repeats=2, seed=3)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(splits, again, strict=True))
    assert not np.array_equal(splits[0][1], splits[5][1])


def test_figures_are_drawn_from_plain_arrays(tmp_path):
    images, labels, classes = photographs(6), np.array([0, 1, 0, 1, 0, 1]), ("a", "b")
    tree = DecisionTreeClassifier().fit(labels[:, None], labels)
    drawn = [
        figures.hog_triple(images[0], features.hog_picture(images[0]), "t", "o"),
        figures.neighbour_grid(images, labels, classes, {0: [1, 2], 3: [4, 5]}, "t", "o"),
        figures.projections({"PCA": RANDOM.normal(size=(6, 2))}, labels, classes, "o"),
        figures.variance_curve({"x": np.array([0.9, 0.08, 0.02])}),
        figures.decision_tree(tree, classes),
        figures.roc_curves(Predictions(RANDOM.normal(size=(6, 2)), labels, classes)),
    ]
    assert figures.as_jpeg(drawn[0]).data.startswith(b"\xff\xd8")
    for number, figure in enumerate(drawn):
        figure.savefig(tmp_path / f"{number}.png")
        assert any(ax.get_title() or ax.images or ax.lines for ax in figure.axes)
