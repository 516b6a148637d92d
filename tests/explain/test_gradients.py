import numpy as np
import pytest
import torch
from torch import nn

from labkit.explain import count_hooks, gradient, integrated_gradients, saliency


def smooth():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(24, 6), nn.Tanh(), nn.Linear(6, 3)).eval()


def images(seed):
    return torch.randn(5, 2, 3, 4, generator=torch.Generator().manual_seed(seed))


def test_the_gradient_is_that_of_small_changes():
    net, x, classes = smooth().double(), images(1).double(), torch.tensor([0, 2, 1, 1, 0])
    got = gradient(net, x, classes, batch_size=2)
    step = torch.zeros_like(x)
    step[:, 1, 2, 3] = 1e-5
    with torch.no_grad():
        change = (net(x + step) - net(x - step))[torch.arange(5), classes] / 2e-5
    np.testing.assert_allclose(got[:, 1, 2, 3], change, rtol=1e-6)
    np.testing.assert_allclose(saliency(net, x, classes), np.abs(got).sum(1))


def test_integrated_gradients_add_up_and_come_nearer_with_more_steps():
    net, x, baseline = smooth(), images(1), images(2)
    with torch.no_grad():
        difference = (net(x) - net(baseline))[:, 1].numpy()
    gaps = [
        np.abs(integrated_gradients(net, x, baseline, 1, steps).sum((1, 2, 3)) - difference).max()
        for steps in (2, 200)
    ]
    assert gaps[1] < 1e-4 < gaps[0]


def test_of_a_linear_network_they_are_weight_times_way_from_one_baseline_for_all():
    torch.manual_seed(0)
    net, x, baseline = nn.Sequential(nn.Flatten(), nn.Linear(24, 3)), images(1), images(2)[:1]
    expected = net[1].weight[2].detach().reshape(2, 3, 4) * (x - baseline)
    got = integrated_gradients(net, x, baseline, 2, steps=1)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_nothing_is_left_in_the_network_and_frozen_weights_do_not_matter():
    net, x = smooth().train(), images(1)
    expected = integrated_gradients(net, x, 0 * x)
    net.requires_grad_(False)
    np.testing.assert_array_equal(integrated_gradients(net, x, 0 * x), expected)
    assert net.training and count_hooks(net) == 0
    assert all(p.grad is None for p in net.parameters())


def test_a_baseline_may_be_a_number_and_another_shape_or_no_step_is_named():
    net, x = smooth(), images(1)
    expected = integrated_gradients(net, x, 0 * x)
    np.testing.assert_array_equal(integrated_gradients(net, x, 0), expected)
    with pytest.raises(ValueError, match=r"baseline has the shape \(3, 2, 3, 4\), and the images"):
        integrated_gradients(net, x, x[:3])
    with pytest.raises(ValueError, match=r"baseline has the shape \(5, 2, 3, 4\)"):
        integrated_gradients(net, x[:1], x)
    for steps in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=r"steps is .*; it must be a whole number"):
            integrated_gradients(net, x, 0, steps=steps)


@pytest.mark.parametrize("targets", ["cell", ["cell"] * 5, [None] * 5, 1.0, [0, 1]])
def test_targets_that_are_no_class_numbers_are_named(targets):
    with pytest.raises(ValueError, match="give a class number, or 5 of them"):
        gradient(smooth(), images(1), targets)


def test_what_has_no_gradient_or_no_finite_logits_is_named():
    net = smooth()
    with torch.inference_mode(), pytest.raises(ValueError, match="inference_mode on"):
        gradient(net, images(1))
    with pytest.raises(ValueError, match="outputs are NaN or infinite"):
        gradient(net, images(1) * float("nan"))
    with pytest.raises(ValueError, match=r"outputs are of shape \(5, 4, 1, 2\)"):
        gradient(nn.Conv2d(2, 4, 3), images(1))
