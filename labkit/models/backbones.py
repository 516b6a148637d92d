"""Networks that others trained on ImageNet: loaded, and cut into stages.

Weights come from cache, mirror or network, verified by hash. Where none has them, a small network
trained on drawn cells stands in, loudly; random weights are never used unless they were asked for.
"""

import sys
import warnings
from collections.abc import Callable
from contextlib import suppress

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.data.download import RemoteFile, UnavailableError, fetch
from labkit.data.kept import Fetched, discard, hash_prefix, set_aside
from labkit.data.load import load_dataset
from labkit.data.origin import Origin
from labkit.data.transforms import normalizer
from labkit.models.weights import read_weights, trained

BACKBONES = {"squeezenet1_0": 5, "resnet18": 45, "vit_b_16": 331, "vgg16": 528}  # megabytes
STAND_IN = "DeeperCNN"


class StandInBackboneWarning(UserWarning):
    """The features are not those of the network that was asked for."""


class Backbone(nn.Module):
    """A network without its head: images to features, in stages that can be frozen one by one.

    Args:
        name: "resnet18" and so on.
        stages: its layers up to the features (B, dim), in order.
        transform: photographs (B, 3, H, W), uint8 or in [0, 1], to what the network takes.
        weights_origin: where the weights come from.

    Example:
        >>> layers = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> tiny = Backbone("tiny", layers, lambda x: x.float() / 255, "none")
        >>> tiny.features(tiny.transform(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        name: str,
        stages: nn.Sequential,
        transform: Callable[[Tensor], Tensor],
        weights_origin: str,
    ) -> None:
        super().__init__()
        self.name, self.transform, self.stages = name, transform, stages
        self.weights_origin = Origin(weights_origin)

    def forward(self, images: Tensor) -> Tensor:
        """Transformed images (B, 3, S, S) to features (B, dim)."""
        return self.stages(images)

    features = forward

    def split(self) -> tuple[nn.Sequential, nn.Sequential]:
        """The frozen stages at the beginning, and the rest.

        What the frozen ones give never changes, so that it can be computed once for all epochs.
        """
        trainable = [any(p.requires_grad for p in stage.parameters()) for stage in self.stages]
        first = trainable.index(True) if any(trainable) else len(trainable)
        return self.stages[:first], self.stages[first:]


def load_backbone(name: str = "squeezenet1_0", pretrained: bool = True) -> Backbone:
    """Load a network that was trained on ImageNet, ready to give features.

    Args:
        name: ``"squeezenet1_0"`` (5 MB, 512 features), ``"resnet18"`` (45 MB, 512), ``"vit_b_16"``
            (330 MB, 768) or ``"vgg16"`` (528 MB, 512).
        pretrained: False for random weights.

    Returns:
        The backbone in ``eval`` mode; a ``DeeperCNN`` that has seen drawn cells only, where the
        weights cannot be had, with a warning.

    Raises:
        ValueError: for another name.

    Example:
        >>> load_backbone("resnet18", pretrained=False).features(torch.zeros(1, 3, 224, 224)).shape
        torch.Size([1, 512])
    """
    from torchvision.models import get_model

    if name not in BACKBONES:
        raise ValueError(f"There is no backbone {name!r}; choose {', '.join(BACKBONES)}.")
    if pretrained:
        try:
            model, fetched = _trained_on_imagenet(name)
        except UnavailableError as error:
            return _drawn_network(name, str(error))
        theirs = "trained on ImageNet (torchvision)"
        origin = f"from a mirror, which says: {fetched.note}" if fetched.note else theirs
    else:
        model, origin = get_model(name, weights=None), "random weights, as asked for"
    stages = _stages(name, model).to(memory_format=torch.channels_last)  # up to twice as fast
    return Backbone(name, stages, imagenet_transform, origin).eval()


def _trained_on_imagenet(name: str) -> tuple[nn.Module, Fetched]:
    """A network with the weights of its file; one that holds others is set aside, fetched anew."""
    from torchvision.models import get_model

    fetched = fetch_weights(name)
    model = get_model(name, weights=None)
    try:
        weights = read_weights(fetched.path, lambda _: model)
    except ValueError:
        aside = fetched.path.with_name(f"{fetched.path.name}.damaged")
        with suppress(OSError):  # a cache that a class shares may be read-only
            set_aside(fetched.path)
        if fetched.path.exists():
            raise
        warnings.warn(
            f"The weights of {name} were damaged, or those of another network (now {aside.name}). "
            "They are fetched anew.",
            stacklevel=3,
        )
        fetched = fetch_weights(name)
        try:
            weights = read_weights(fetched.path, lambda _: model)
        except ValueError:
            discard(fetched)  # so that a source that was mended is asked again
            raise
    model.load_state_dict(weights)
    return model, fetched


def imagenet_transform(images: Tensor) -> Tensor:
    """Photographs (B, 3, H, W), uint8 or in [0, 1], to normalised float (B, 3, 224, 224)."""
    return normalizer("imagenet")(_resize(images, 224))


def _resize(images: Tensor, size: int) -> Tensor:
    images = images if images.is_floating_point() else images.float() / 255
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)


def weights_url(name: str) -> str:
    """Where torchvision keeps the weights; the file name ends in the start of their SHA-256."""
    from torchvision.models import get_model_weights

    return get_model_weights(name).DEFAULT.url


def fetch_weights(name: str) -> Fetched:
    """Fetch the ImageNet weights of a backbone: cache, mirror, network; verified by hash.

    Raises:
        UnavailableError: when nobody has the file, or its hash is wrong.
    """
    url = weights_url(name)
    file_name = url.rsplit("/", 1)[-1]
    file = RemoteFile(f"weights/{name}", f"weights/{file_name}", (url,), None, BACKBONES[name])
    fetched = fetch(file)
    prefix = hash_prefix(file_name)
    # the mirror has hashes of its own, which fetch has verified
    if fetched.source == "official" and not fetched.sha256.startswith(prefix):
        discard(fetched)
        raise UnavailableError(
            f"{file_name} was refused: its SHA-256 begins with {fetched.sha256[:8]}, not {prefix}"
        )
    return fetched


def _drawn_network(wanted: str, why: str) -> Backbone:
    """A small network instead of a large one, and a notice nobody can miss.

    It is trained on drawn cells, so that it has not seen a photograph that it may be judged on:
    BloodMNIST was made from PBC's photographs, three in four of which would be training images.
    """
    line = (
        f"NOT {wanted}: its weights cannot be had. {STAND_IN}, trained on drawn cells, stands in."
    )
    advice = "What follows runs, but says nothing about features borrowed from ImageNet."
    print("\n".join(["!" * 90, line, advice, f"Why: {why}", "!" * 90]))
    sys.stdout.flush()
    warnings.warn(f"{line} {why}", StandInBackboneWarning, stacklevel=3)
    cells = load_dataset("synthetic")
    model = trained(STAND_IN, cells)
    stages = nn.Sequential(*model.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    origin = Origin(f"STAND-IN for {wanted}: {STAND_IN}, trained on {cells.origin}", stand_in=True)
    return Backbone(STAND_IN, stages, _like_bloodmnist, origin).eval()


def _like_bloodmnist(images: Tensor) -> Tensor:
    """The middle 200 pixels of each photograph, at 28 pixels: that is how BloodMNIST was made."""
    height, width = images.shape[-2:]
    top, left = (max(0, (side - 200) // 2) for side in (height, width))
    middle = images[..., top : height - top, left : width - left]
    return normalizer("half")(_resize(middle, 28))


class _Tokens(nn.Module):
    """The beginning of a Vision Transformer: patches to tokens, class token, positions."""

    def __init__(self, vit: nn.Module) -> None:
        super().__init__()
        self.class_token, self.positions = vit.class_token, vit.encoder.pos_embedding
        self.patches = vit.conv_proj

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        first = self.class_token.expand(len(images), -1, -1)
        return torch.cat([first, tokens], dim=1) + self.positions


class _ClassToken(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0]


def _stages(name: str, model: nn.Module) -> nn.Sequential:
    if name == "vit_b_16":
        *layers, last = model.encoder.layers
        ends = nn.Sequential(last, model.encoder.ln, _ClassToken())
        return nn.Sequential(_Tokens(model), *layers, ends)
    if name == "resnet18":
        layers = [layer for key, layer in model.named_children() if key not in ("avgpool", "fc")]
    else:
        layers = list(model.features)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
