"""Hand-made and learnt features, and their projections."""

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch import Tensor

from labkit.arrays import to_numpy
from labkit.device import get_device
from labkit.display import track
from labkit.inference import outputs_of
from labkit.models.backbones import Backbone

__all__ = [
    "deep_features",
    "explained_variance",
    "hog_features",
    "hog_picture",
    "project_pca",
    "project_tsne",
]


def __dir__() -> list[str]:  # what Tab shows after the module's name
    return __all__


Images = Tensor | np.ndarray
HOG = {"orientations": 9, "cells_per_block": (2, 2), "block_norm": "L2-Hys"}


def _grey(image: Images) -> np.ndarray:
    return torch.as_tensor(image).float().mean(0).div(255).numpy()


def hog_features(images: Images, cell: int = 10) -> np.ndarray:
    """Histograms of oriented gradients of each image, in grey.

    A histogram has 9 bins of direction, from 0 to 180 degrees; a block of 2 x 2 of them is
    normalised as one (L2-Hys).

    Args:
        images: uint8 (N, C, H, W).
        cell: pixels along the side of a cell, which has one histogram.

    Returns:
        float32 (N, D); D is 44,100 for images of 360x360.

    Source:
        Dalal and Triggs, Histograms of oriented gradients for human detection, CVPR 2005.

    Example:
        >>> hog_features(torch.zeros(1, 3, 40, 40, dtype=torch.uint8)).shape
        (1, 324)
    """
    from skimage.feature import hog

    options = {"pixels_per_cell": (cell, cell), **HOG}
    if len(images) == 0:
        raise ValueError("There are no images: give at least one, (N, C, H, W).")
    if "uint8" not in str(images.dtype):
        raise ValueError(f"images are {images.dtype}; give uint8 (N, C, H, W), from 0 to 255.")
    rows = np.empty((len(images), hog(_grey(images[0]), **options).size), np.float32)
    for i, image in enumerate(track(images, "HOG")):
        rows[i] = hog(_grey(image), **options)
    return rows


def hog_picture(image: Images, cell: int = 10) -> np.ndarray:
    """Draw the histograms of one image (C, H, W) as little stars: float (H, W) in [0, 1].

    Example:
        >>> hog_picture(torch.zeros(3, 40, 40, dtype=torch.uint8)).shape
        (40, 40)
    """
    from skimage.feature import hog

    _, picture = hog(_grey(image), pixels_per_cell=(cell, cell), visualize=True, **HOG)
    return np.clip(picture / max(float(np.percentile(picture, 99.5)), 1e-9), 0, 1)


def deep_features(backbone: Backbone, images: Images, batch_size: int = 32) -> np.ndarray:
    """The features that a backbone gives for each image, in batches on the device.

    Args:
        backbone: as ``load_backbone`` gives it.
        images: uint8 (N, 3, H, W).
        batch_size: how many at a time.

    Returns:
        float32 (N, D).

    Example:
        >>> deep_features(load_backbone(), photos.images).shape  # doctest: +SKIP
        (1207, 512)
    """
    backbone.to(get_device())
    images = torch.as_tensor(images)
    what = f"features of {backbone.name}"
    return outputs_of(backbone, images, batch_size, backbone.transform, what).float().cpu().numpy()


def project_pca(features: np.ndarray, components: int = 2, seed: int = 0) -> np.ndarray:
    """The coordinates (N, components) of each row on its principal components.

    Example:
        >>> project_pca(np.eye(4)).shape
        (4, 2)
    """
    return PCA(components, random_state=seed).fit_transform(features)


def project_tsne(features: np.ndarray, perplexity: float = 30, seed: int = 0) -> np.ndarray:
    """A map (N, 2) by t-SNE of the first 50 principal components: for looking only.

    t-SNE keeps neighbours together; distances between groups and their sizes mean nothing, and
    scikit-learn's cannot place a new point on the map.

    Example:
        >>> coordinates = project_tsne(features)  # doctest: +SKIP
    """
    fifty = project_pca(features, min(50, *features.shape), seed)
    fewer = min(perplexity, (len(fifty) - 1) / 3)
    with threadpool_limits(1):  # its threads wait for each other: minutes on a busy machine
        return TSNE(perplexity=fewer, init="pca", random_state=seed).fit_transform(fifty)


def explained_variance(features: np.ndarray) -> np.ndarray:
    """The share of the variance that each principal component explains, the largest first.

    Args:
        features: (N, D); N images have at most N − 1 components, however large D is.

    Returns:
        float (min(N − 1, D),); the sum is 1, or 0 where all rows are equal.

    Example:
        >>> explained_variance(np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]])).round(3)
        array([1., 0.])
    """
    features = to_numpy(features)
    features = features.astype(np.result_type(features, np.float32), copy=False)  # no halves
    centred, (n, dims) = features - features.mean(0), features.shape
    # the eigenvalues are those of the covariance; the smaller of the two products has them all
    product = centred @ centred.T if n < dims else centred.T @ centred
    values = np.linalg.eigvalsh(product.astype(float))[::-1][: min(n - 1, dims)].clip(0)
    return values / (values.sum() or 1.0)
