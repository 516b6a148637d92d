import pytest
import torch
from torch import nn

import labkit as lk

COUNTS = [
    (lambda: lk.models.OneFilterCNN(5, in_channels=1, side=32), (1, 32, 32), 5, 1_135),
    (lambda: lk.models.TwoBlockCNN(5, in_channels=1, side=32), (1, 32, 32), 5, 153_061),
    (lambda: lk.models.SoftmaxRegression(), (3, 28, 28), 8, 18_824),
    (lambda: lk.models.OneFilterCNN(), (3, 28, 28), 8, 1_373),
    (lambda: lk.models.TwoBlockCNN(), (3, 28, 28), 8, 108_680),
    (lambda: lk.models.SimpleCNN(), (3, 28, 28), 8, 102_024),
    (lambda: lk.models.BloodMLP(), (3, 28, 28), 8, 636_296),
    (lambda: lk.models.DeeperCNN(), (3, 28, 28), 8, 313_192),
    (lambda: lk.models.LightCNN(), (3, 28, 28), 8, 53_686),
    (lambda: lk.models.WideCNN(), (3, 28, 28), 8, 1_215_048),
    (lambda: lk.models.SmallResNet(), (3, 28, 28), 8, 1_055_784),
    (lambda: lk.models.vgg16(5), (1, 32, 32), 5, 15_245_125),
]


@pytest.mark.parametrize(("make", "shape", "classes", "parameters"), COUNTS)
def test_parameters_and_shapes(make, shape, classes, parameters):
    model = make()
    assert lk.models.count_parameters(model) == parameters
    assert model(torch.rand(2, *shape)).shape == (2, classes)


@pytest.mark.parametrize(("make", "shape", "classes", "parameters"), COUNTS)
def test_every_activation_is_an_object_of_its_own_and_out_of_place(
    make, shape, classes, parameters
):
    model, calls = make(), []
    activations = [m for m in model.modules() if isinstance(m, nn.ReLU)]
    for activation in activations:
        assert not activation.inplace
        activation.register_forward_hook(lambda m, *_: calls.append(id(m)))
    model(torch.rand(2, *shape))
    assert sorted(calls) == sorted(map(id, activations))


@pytest.mark.parametrize("size", [28, 30, 32, 64])
def test_vgg_takes_small_and_grey_images(size):
    model = lk.models.vgg16(8).eval()
    grey = torch.rand(2, 1, size, size)
    assert torch.allclose(model(grey), model(grey.repeat(1, 3, 1, 1)), atol=1e-5)


def test_the_residual_block_adds_its_input():
    from labkit.models.residual import Residual

    block, images = Residual(4).eval(), torch.rand(2, 4, 5, 5)
    assert torch.allclose(block(images), (images + block.change(images)).relu())


def test_eight_views_do_not_depend_on_the_view():
    torch.manual_seed(0)
    network = lk.models.SmallResNet(width=4).eval()
    model, image = lk.models.EightViews(network), torch.rand(2, 3, 12, 12)
    logits = model(image)
    assert torch.allclose(logits.exp().sum(1), torch.ones(2))
    for view in (image.flip(2), image.flip(3), image.rot90(1, (2, 3)), image.transpose(2, 3)):
        assert not torch.allclose(network(view), network(image), atol=1e-4)
        assert torch.allclose(model(view), logits, atol=1e-4)


def test_eight_views_leave_the_mode_of_the_network():
    network = lk.models.SmallResNet(width=4).eval()
    images, labels = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4)
    loader = lk.BatchLoader(lk.ImageSplit(images, labels, tuple("abcdefgh")))
    lk.evaluate(lk.models.EightViews(network), loader)
    assert not any(module.training for module in network.modules())
