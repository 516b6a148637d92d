import math

import pandas as pd
import pytest
import torch
from torch import nn

import labkit as lk
from labkit.probes import Probe, attention_weights, hooks_left


def network(*activations: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for activation in activations:
        layers += [nn.Linear(6, 6), activation]
    return nn.Sequential(*layers, nn.Linear(6, 3))


def hooks_of(model: nn.Module) -> int:
    """All hooks on a network's layers and weights."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    on_layers = sum(len(getattr(m, kind)) for m in model.modules() for kind in kinds)
    return on_layers + sum(len(p._backward_hooks or {}) for p in model.parameters())


def run(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    loss = nn.functional.cross_entropy(model(images), torch.zeros(len(images)).long())
    loss.backward()
    return loss


@pytest.mark.parametrize("parts", [1, 3])
def test_statistics_equal_those_of_the_whole_activations(parts):
    model, images = network(nn.Tanh(), nn.ReLU(), nn.Sigmoid()), 5 * torch.randn(60, 6)
    outputs, x = [], images
    for layer in model:
        x = layer(x)
        if not isinstance(layer, nn.Linear):
            outputs.append(x.detach().double())
    with Probe(model, saturation=0.8) as probe:
        for part in images.chunk(parts):
            run(model, part)
    table = probe.to_frame()
    for (_, row), output in zip(table.iterrows(), outputs, strict=True):
        assert row["mean"] == pytest.approx(output.mean().item())
        assert row["std"] == pytest.approx(output.std(correction=0).item())
    tanh, relu, sigmoid = outputs
    assert table["saturated"].iloc[0] == pytest.approx((tanh.abs() > 0.8).double().mean().item())
    assert table["saturated"].iloc[2] == pytest.approx(
        ((sigmoid - 0.5).abs() > 0.4).double().mean().item()
    )
    assert table["dead"].iloc[1] == pytest.approx((relu == 0).all(0).double().mean().item())
    assert math.isnan(table["saturated"].iloc[1]) and math.isnan(table["dead"].iloc[0])


def test_gradient_norms_equal_those_of_autograd():
    model, images = network(nn.Tanh(), nn.ReLU()), torch.randn(20, 6)
    outputs, x = [], images
    for layer in model:
        x = layer(x)
        outputs.append(x)
    loss = nn.functional.cross_entropy(x, torch.zeros(20).long())
    expected = torch.autograd.grad(loss, outputs)
    weight = torch.autograd.grad(
        nn.functional.cross_entropy(model(images), torch.zeros(20).long()), model[0].weight
    )
    with Probe(model, layers=nn.Module) as probe:
        run(model, images)
    table = probe.to_frame()
    norms = [g.norm().item() for g in expected]
    assert table["gradient_norm"].tolist() == pytest.approx(norms, rel=1e-5)
    assert table["weight_gradient_norm"].iloc[0] == pytest.approx(weight[0].norm().item(), rel=1e-5)


def test_hooks_are_gone_after_the_block_and_after_an_error():
    model, images = network(nn.Tanh()), torch.randn(4, 6)
    with Probe(model, layers=nn.Module):
        run(model, images)
        assert hooks_of(model) > 0
    assert hooks_of(model) == 0
    with pytest.raises(RuntimeError), Probe(model, layers=nn.Module):
        model(torch.randn(4, 5))
    assert hooks_of(model) == 0


def test_watching_changes_nothing():
    images = torch.randn(8, 6)
    watched, alone = network(nn.ReLU(inplace=True)), network(nn.ReLU(inplace=True))
    with Probe(watched):
        watched_loss = run(watched, images)
    assert torch.equal(watched_loss, run(alone, images))
    for a, b in zip(watched.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def test_what_cannot_be_watched_is_said():
    with pytest.raises(ValueError, match=r"layers= \(ReLU, .*it has: Linear"):
        Probe(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="saturation is 2"):
        Probe(network(nn.Tanh()), saturation=2)


def test_a_level_line_looks_level_on_the_log_axes():
    level = pd.DataFrame({"mean": 0.0, "std": [0.50, 0.51], "saturated": 0.0, "dead": math.nan,
                          "gradient_norm": [0.055, 0.064]})  # fmt: skip
    curves = lk.figures.depth_curves({"a": level}, {"gradient_norm": "gradient"})
    panels = lk.figures.layer_statistics({"a": level})
    for ax in (curves.axes[0], panels.axes[2]):
        low, high = ax.get_ylim()
        assert high / low >= 99


def test_attention_weights_are_those_of_the_layers_and_leave_nothing_behind():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, nhead=2, dropout=0, batch_first=True)
    model = nn.TransformerEncoder(layer, 2)
    x = torch.randn(3, 5, 8)
    found = attention_weights(model, x)
    assert [weights.shape for weights in found] == [(3, 2, 5, 5)] * 2
    torch.testing.assert_close(found[1].sum(-1), torch.ones(3, 2, 5))
    first = model.layers[0].self_attn
    _, mean = first(x, x, x)
    torch.testing.assert_close(found[0].mean(1), mean)
    assert model.training
    assert torch.backends.mha.get_fastpath_enabled()
    assert hooks_of(model) == 0
    with pytest.raises(ValueError, match="MultiheadAttention"):
        attention_weights(nn.Linear(8, 8), x)


@pytest.mark.parametrize(
    "kind", ["forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook"]
)
def test_every_kind_of_hook_that_is_left_is_counted_once(kind):
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    assert hooks_left(model) == 0
    handle = getattr(model[0], f"register_{kind}")(lambda *_: None)
    assert hooks_left(model) == 1
    handle.remove()
    getattr(nn.modules.module, f"register_module_{kind}")(lambda *_: None)
    assert [hooks_left(model), hooks_left(model)] == [1, 0]


def test_a_forward_that_was_replaced_counts_as_a_hook():
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].forward = lambda x: x
    assert hooks_left(model) == 1
