import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import labkit as lk
from labkit.explain import count_hooks, grad_cam, saliency
from labkit.inference import undisturbed


@pytest.fixture
def net():
    torch.manual_seed(0)
    return lk.models.DeeperCNN(8).eval()


@pytest.fixture
def images():
    return torch.randn(5, 3, 28, 28, generator=torch.Generator().manual_seed(1))


def by_hand(net, position, images, classes):
    activations = net.features[: position + 1](images).detach().requires_grad_()
    logits = net.classifier(net.features[position + 1 :](activations))
    chosen = logits[torch.arange(len(images)), classes].sum()
    weights = torch.autograd.grad(chosen, activations)[0].mean((2, 3), keepdim=True)
    maps = (weights * activations).sum(1).relu().detach()
    for last in (False, True):
        maps = maps - maps.amin((1, 2), keepdim=True)
        maps = maps / (maps.amax((1, 2), keepdim=True) + 1e-7)
        if not last:
            maps = F.interpolate(maps[:, None], (28, 28), mode="bilinear")[:, 0]
    return maps.numpy()


@pytest.mark.parametrize("position", [2, 6, 10, 14])
def test_grad_cam_equals_the_formula_written_out(net, images, position):
    classes = torch.tensor([0, 7, 3, 3, 1])
    got = grad_cam(net, net.features[position], images, classes)
    assert got.shape == (5, 28, 28) and got.dtype == np.float32
    np.testing.assert_allclose(got, by_hand(net, position, images, classes), atol=1e-5)


def test_without_targets_the_predicted_class_is_explained_and_batches_do_not_matter(net, images):
    predicted = net(images).argmax(1)
    layer = net.features[10]
    one = grad_cam(net, layer, images, predicted)
    np.testing.assert_allclose(
        one, grad_cam(net, layer, images, batch_size=2), atol=1e-5
    )  # float32: another batch size adds in another order


def test_nothing_is_left_in_the_network(net, images):
    net.train()
    net.features[1].eval()
    states = [module.training for module in net.modules()]
    net.features[0].weight.grad = torch.ones_like(net.features[0].weight)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    grad_cam(net, net.features[10], images)
    saliency(net, images)
    assert count_hooks(net) == 0
    assert [module.training for module in net.modules()] == states
    assert (net.features[0].weight.grad == 1).all()
    assert net.classifier[2].weight.grad is None
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


class Failing(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error, self.calls = error, 0

    def forward(self, images):
        self.calls += 1
        if self.calls > 1:  # the first call only asks for the logits
            raise self.error
        return images


@pytest.mark.parametrize("error", [RuntimeError("stop"), IndexError("stop")])
def test_after_an_exception_no_hook_remains_and_the_error_is_not_swallowed(images, error):
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), Failing(error), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).train()
    with pytest.raises((RuntimeError, ValueError), match="stop"):
        grad_cam(net, net[1], images)
    assert count_hooks(net) == 0
    assert net.training and all(p.grad is None for p in net.parameters())


def test_a_frozen_network_is_explained_as_the_same_one_unfrozen(net, images):
    expected = grad_cam(net, net.features[10], images)
    net.requires_grad_(False)
    np.testing.assert_array_equal(grad_cam(net, net.features[10], images), expected)


def test_an_in_place_relu_behind_the_layer_does_not_change_what_was_kept(images):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2704, 3)).eval()
    expected = grad_cam(net, net[0], images)
    net[1].inplace = True
    np.testing.assert_array_equal(grad_cam(net, net[0], images), expected)
    assert net[1].inplace


@pytest.mark.parametrize("change", ["relu_", "add_", "clamp_"])
def test_what_changes_the_output_in_place_behind_the_layer_does_no_harm(images, change):
    changes = {"relu_": F.relu_, "add_": lambda t: t.add_(1), "clamp_": lambda t: t.clamp_(0.1)}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 3)
            self.in_place = False

        def forward(self, x):
            kept = self.conv(x)
            out = kept if self.in_place else kept.clone()
            out = changes[change](out)
            return self.head(out.mean((2, 3)))

    torch.manual_seed(0)
    net = Net().eval()
    expected = grad_cam(net, net.conv, images, 1)
    net.in_place = True
    np.testing.assert_array_equal(grad_cam(net, net.conv, images, 1), expected)
    assert expected.any()


def test_a_layer_that_is_used_twice_or_gives_one_place_is_refused(images):
    relu = nn.ReLU()
    net = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, nn.AdaptiveAvgPool2d(1))
    net = nn.Sequential(net, nn.Flatten(), nn.Linear(4, 2)).eval()
    with pytest.raises(ValueError, match="uses this layer 2 times"):
        grad_cam(net, relu, images)
    with pytest.raises(ValueError, match=r"one place only, \(5, 4, 1, 1\), which is no map"):
        grad_cam(net, net[0][4], images)
    assert grad_cam(net, net[0][2], images).any()


def test_reshape_transform_serves_layers_that_give_tokens(images):
    class Tokens(nn.Module):
        def forward(self, maps):
            return maps.flatten(2).transpose(1, 2)

    torch.manual_seed(0)
    head = (nn.Flatten(), nn.Linear(784, 2))
    net = nn.Sequential(nn.Conv2d(3, 4, 2, stride=2), nn.ReLU(), Tokens(), *head).eval()
    maps = grad_cam(
        net, net[2], images, reshape_transform=lambda t: t.transpose(1, 2).reshape(-1, 4, 14, 14)
    )
    np.testing.assert_allclose(maps, grad_cam(net, net[1], images), atol=1e-5)


def test_wrong_layers_and_classes_are_named(net, images):
    with pytest.raises(ValueError, match="not part of this network"):
        grad_cam(net, nn.ReLU(), images)
    with pytest.raises(ValueError, match="classes 0 … 7"):
        grad_cam(net, net.features[2], images, 8)
    with pytest.raises(ValueError, match=r"targets is \[1, 2\]; give a class number, or 5 of them"):
        saliency(net, images, [1, 2])


def test_saliency_of_a_linear_network_is_its_weight():
    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 2))
    maps = saliency(net, torch.rand(3, 2, 2, 2), targets=1)
    expected = net[1].weight[1].abs().reshape(2, 2, 2).sum(0).detach()
    np.testing.assert_allclose(maps, np.stack([expected] * 3), rtol=1e-6)


def test_undisturbed_restores_after_an_exception():
    net = nn.Sequential(nn.Linear(1, 1), nn.ReLU(inplace=True)).train()
    with pytest.raises(KeyError), undisturbed(net):
        assert not net.training and not net[1].inplace
        raise KeyError
    assert net.training and net[1].inplace


def test_a_layer_that_forward_does_not_use_is_named(net, images):
    net.add_module("spare", nn.Conv2d(3, 3, 1))
    spare = net.spare
    net.forward = lambda x: nn.Sequential(*[m for m in net.children() if m is not spare])(x)
    with pytest.raises(ValueError, match="its forward does not use it"):
        grad_cam(net, spare, images)
    assert count_hooks(net) == 0
