"""The networks of the course, each as short as its idea, and the weights that labs keep."""

from labkit.backbones import load_backbone
from labkit.models.fine_tuning import fine_tuned, save_fine_tuned
from labkit.models.ladder import (
    DeeperCNN,
    LightCNN,
    OneFilterCNN,
    SimpleCNN,
    SoftmaxRegression,
    TwoBlockCNN,
    WideCNN,
)
from labkit.models.mlp import BloodMLP, count_parameters
from labkit.models.residual import EightViews, SmallResNet
from labkit.models.vgg import vgg16
from labkit.models.weights import save_trained, trained

__all__ = [
    "BloodMLP",
    "DeeperCNN",
    "EightViews",
    "LightCNN",
    "OneFilterCNN",
    "SimpleCNN",
    "SmallResNet",
    "SoftmaxRegression",
    "TwoBlockCNN",
    "WideCNN",
    "count_parameters",
    "fine_tuned",
    "load_backbone",
    "save_fine_tuned",
    "save_trained",
    "trained",
    "vgg16",
]
