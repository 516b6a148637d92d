import numpy as np
import pytest
import torch
from torch import nn

import labkit as lk
from labkit.explain import additivity_gap, count_hooks, deep_shap, gradient_shap, partition_shap


def random_images(count, seed):
    return torch.randn(count, 3, 28, 28, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = lk.models.DeeperCNN(8)
    with torch.no_grad():
        net(random_images(64, 5))  # batch normalisation with statistics of its own
    return net.eval()


def test_deep_shap_of_the_ladders_cnn_adds_up_within_one_per_cent(net):
    background, images = random_images(20, 1), random_images(3, 2)
    values = deep_shap(net, background, images)
    assert values.shape == (3, 8, 3, 28, 28)
    with torch.no_grad():
        difference = (net(images) - net(background).mean(0)).numpy()
    gap = np.abs(values.sum((2, 3, 4)) - difference).max(1) / np.abs(difference).max(1)
    assert gap.max() < 0.01
    np.testing.assert_allclose(additivity_gap(net, background, images, values), gap, atol=1e-4)


def test_one_class_an_image_is_a_part_of_all_classes(net):
    background, images = random_images(4, 1), random_images(3, 2)
    every, chosen = deep_shap(net, background, images), [2, 5, 2]
    some = deep_shap(net, background, images, chosen)
    np.testing.assert_allclose(some, every[np.arange(3), chosen], atol=1e-5)


def test_shapley_values_of_a_linear_network_are_known():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    background, images = torch.randn(5, 3, 2, 2), torch.randn(2, 3, 2, 2)
    expected = net[1].weight[1].reshape(3, 2, 2) * (images - background.mean(0))
    np.testing.assert_allclose(deep_shap(net, background, images, 1), expected.detach(), atol=1e-5)
    near = gradient_shap(net, background, images, 1, samples=4000)
    np.testing.assert_allclose(near, expected.detach(), atol=0.15)


def test_gradient_shap_comes_nearer_with_more_samples_and_repeats_itself():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2)).eval()
    net.extend([nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 8)])
    background, images = random_images(4, 1), random_images(1, 2)
    values = [gradient_shap(net, background, images, samples=n) for n in (10, 10, 1000)]
    np.testing.assert_array_equal(values[0], values[1])
    gaps = [additivity_gap(net, background, images, v)[0] for v in values]
    assert gaps[2] < 0.2 < gaps[0]


class ReusedReLU(nn.Module):
    def __init__(self):
        super().__init__()
        self.flat, self.one, self.two = nn.Flatten(), nn.Linear(12, 6), nn.Linear(6, 2)
        self.relu = nn.ReLU()

    def forward(self, images):
        return self.relu(self.two(self.relu(self.one(self.flat(images)))))


class FunctionalReLU(ReusedReLU):
    def forward(self, images):
        return self.two(torch.relu(self.one(self.flat(images)) * 5))


def test_networks_that_deep_shap_would_lie_about_are_refused_and_left_clean():
    torch.manual_seed(0)
    background, images = torch.randn(5, 3, 2, 2), torch.randn(4, 3, 2, 2)
    for net, message in (
        (ReusedReLU(), "'relu'.*more than once"),
        (FunctionalReLU(), r"torch\.relu"),
    ):
        with pytest.raises(ValueError, match=message):
            deep_shap(net, background, images)
        assert count_hooks(net) == 0 and net.training
        assert gradient_shap(net, background, images, samples=5).shape == (4, 2, 3, 2, 2)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ((nn.ReLU(), nn.MaxPool2d(3, 2)), r"'2' is the cause: MaxPool2d with overlapping windows"),
        ((nn.ReLU(), nn.MaxPool2d(2), nn.SiLU()), "no rule for the layer '3', a SiLU"),
    ],
)
def test_the_layer_that_breaks_deep_shap_is_named(layers, words):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), *layers, nn.Flatten(), nn.LazyLinear(4)).eval()
    images = random_images(3, 2)[..., :12, :12] * 2
    with torch.no_grad():
        net(images)
    with pytest.raises(ValueError, match=words):
        deep_shap(net, random_images(4, 1)[..., :12, :12], images)


def test_max_pooling_without_overlap_adds_up():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()).eval()
    net.append(nn.Linear(6 * 25, 4))
    images = random_images(3, 2)[..., :12, :12] * 2
    background = random_images(4, 1)[..., :12, :12]
    values = deep_shap(net, background, images)
    assert additivity_gap(net, background, images, values).max() < 0.01


def test_gradient_shap_of_an_image_does_not_depend_on_its_company(net):
    background, images = random_images(4, 1), random_images(3, 2)
    together = gradient_shap(net, background, images, [2, 2, 5], samples=5)
    alone = gradient_shap(net, background, images[1:2], 2, samples=5)
    np.testing.assert_allclose(together[1], alone[0], rtol=1e-4, atol=1e-6)


def test_in_place_relus_are_worked_around():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 2))
    background, images = torch.randn(5, 3, 2, 2), torch.randn(4, 3, 2, 2)
    expected = deep_shap(net, background, images)
    net[2].inplace = True
    np.testing.assert_array_equal(deep_shap(net, background, images), expected)
    assert net[2].inplace


def test_the_network_is_as_before(net):
    names = list(net.state_dict())
    net.train()
    deep_shap(net, random_images(2, 1), random_images(1, 2), 0)
    gradient_shap(net, random_images(2, 1), random_images(1, 2), 0, samples=3)
    assert net.training and count_hooks(net) == 0 and list(net.state_dict()) == names


def test_partition_adds_up_to_the_difference_from_the_hidden_picture():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).eval()
    images = torch.randint(0, 255, (2, 3, 8, 8), dtype=torch.uint8)
    values = partition_shap(net, images, lambda x: x * 2, targets=[2, 0], max_evals=60)
    every = partition_shap(net, images, lambda x: x * 2, max_evals=60)
    assert values.shape == (2, 3, 8, 8) and every.shape == (2, 3, 3, 8, 8)
    shown = images.float() / 255
    hidden = shown.mean((2, 3), keepdim=True).expand_as(shown)
    with torch.no_grad():
        difference = net(shown * 2) - net(hidden * 2)
    np.testing.assert_allclose(values.sum((1, 2, 3)), difference[[0, 1], [2, 0]], atol=0.02)
    np.testing.assert_allclose(every.sum((2, 3, 4)), difference, atol=0.02)


def test_gradient_shap_leaves_numpys_generator_alone(net):
    np.random.seed(1)
    expected = np.random.random(3)
    np.random.seed(1)
    gradient_shap(net, random_images(4, 1), random_images(1, 2), targets=0, samples=5)
    assert np.array_equal(np.random.random(3), expected)


def test_partition_takes_the_images_of_a_split_as_they_are():
    for wrong in (torch.rand(1, 3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"images are .*; give those of a split as they are"):
            partition_shap(nn.Flatten(), wrong, lambda x: x)


@pytest.mark.parametrize("method", [deep_shap, gradient_shap])
@pytest.mark.parametrize("background", [torch.rand(2, 1, 3, 3), torch.rand(0, 1, 2, 2)])
def test_a_background_of_another_size_is_named(method, background):
    with pytest.raises(ValueError, match="all but the first number must be the same"):
        method(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), background, torch.rand(2, 1, 2, 2))
