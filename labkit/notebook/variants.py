"""The check of lab 05's variants of ``two_blocks``: are they the plan with one change each?"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

_KINDS = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
_PLACES = ("first", "second", "third")
_HEAD = [(800, 128), (128, 8)]
# norms, what dropout switches off before each linear layer, the linear layers, the stride
_PLANS = {
    "second_norm": (2, (0.2, 0.0), _HEAD, 1),
    "head_dropout": (1, (0.2, 0.3), _HEAD, 1),
    "third_linear": (1, (0.2, 0.0, 0.0), [(800, 128), (128, 32), (32, 8)], 1),
    "strided": (1, (0.2, 0.0), [(1152, 128), (128, 8)], 2),
}


def judge_variants(makers: Mapping[str, Callable[[], nn.Module]]) -> None:
    """Assert that each function makes its variant of lab 05's network.

    Args:
        makers: the student's functions by the variant's name.

    Raises:
        AssertionError: says which variant is wrong, and where.

    Example:
        >>> net = lk.models.TwoBlockCNN()
        >>> net.classifier[-1] = nn.Sequential(nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 8))
        >>> judge_variants({"third_linear": lambda: net})
    """
    images = torch.randn(256, 3, 28, 28)
    for name, make in makers.items():
        net = make()
        assert net is not None, f"{name} returns nothing: is `return` missing?"
        assert isinstance(net, nn.Module), f"{name} must return a network, made with ()"
        _judge_kinds(name, net)
        calls = _watch(net)
        got = _logits(net, images, name)
        parts = [[call[0] for call in calls if isinstance(call[0], kind)] for kind in _KINDS]
        _judge_layers(name, parts)
        with torch.no_grad():
            _judge_dropout(name, *_dropouts(net, images, calls))
            _judge_answer(name, got, images, parts)


def _judge_kinds(name: str, net: nn.Module) -> None:
    assert not any(nn.parameter.is_lazy(parameter) for parameter in net.parameters()), (
        f"{name}: a lazy layer has no size yet when the optimizer is made: write its numbers"
    )
    for module in net.modules():
        kind = type(module).__name__
        holds = [*module._parameters.values(), *module._buffers.values()]
        assert isinstance(module, _KINDS) or all(tensor is None for tensor in holds), (
            f"{name}: the plan has no {kind}; one change at a time"
        )
        assert not isinstance(module, nn.BatchNorm2d) or None not in holds, (
            f"{name}: {kind} keeps its defaults: weight, bias and running mean belong to the plan"
        )


def _watch(net: nn.Module) -> list[tuple[nn.Module, Tensor, Tensor]]:
    """A list that will hold each layer with its input and output, in the order of their use."""
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # a fresh one would change nothing in eval mode
            nn.init.normal_(module.running_mean)
            nn.init.normal_(module.bias)
        if isinstance(module, _KINDS):
            module.register_forward_hook(
                lambda layer, x, y: calls.append((layer, x[0].detach(), y.detach()))
            )
    return calls


def _logits(net: nn.Module, images: Tensor, name: str) -> Tensor:
    try:
        with torch.no_grad():
            logits = net.eval()(images)
    except RuntimeError as error:
        if "mat1" not in str(error):
            raise
        raise AssertionError(
            f"{name}: the first linear layer does not fit the maps; ask out_side for their side"
        ) from None
    assert logits.shape == (256, 8), f"{name} must give 8 logits, not {tuple(logits.shape)}"
    return logits


def _judge_layers(name: str, parts: list[list]) -> None:
    norm_count, _, sizes, stride = _PLANS[name]
    convs, norms, linear = parts
    assert len(norms) == norm_count, (
        f"{name}: batch normalisation is used {len(norms)} times; by the plan {norm_count}"
    )
    found = [(m.in_channels, m.out_channels) for m in convs]
    assert found == [(3, 16), (16, 32)], f"{name}: the convolutions are {found}"
    steps = [m.stride[0] for m in convs]
    assert steps == 2 * [stride], f"{name}: the convolutions take steps of {steps}"
    found = [(m.in_features, m.out_features) for m in linear]
    assert name != "strided" or not found or found[0][0] != 32, (
        "strided: the poolings are still there; the steps of 2 take their place"
    )
    assert found == sizes, f"{name}: the linear layers are {found}, not {sizes}"


def _dropouts(net: nn.Module, images: Tensor, calls: list) -> tuple[bool, list[float]]:
    """Whether none is among the convolutions; the share switched off before each linear layer."""
    sure = next(x for m, x, _ in calls if isinstance(m, nn.Linear))
    maps = [x for m, x, _ in calls if isinstance(m, nn.Conv2d)]
    calls.clear()
    net.train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # so that only dropout makes a difference
    net(images)
    net.eval()
    linear = [(x, y) for m, x, y in calls if isinstance(m, nn.Linear)]
    alive = [sure, *(y for _, y in linear[:-1])]
    pairs = [(x[a > 0], a[a > 0]) for a, (x, _) in zip(alive, linear, strict=True)]
    rates = [float((x == 0).float().mean()) for x, _ in pairs]
    kept, before = pairs[0]
    scales = (kept / before)[kept != 0]  # one number, if nothing was dropped before the pooling
    again = [x for m, x, _ in calls if isinstance(m, nn.Conv2d)]
    same = all(torch.allclose(a, b) for a, b in zip(maps, again, strict=True))
    return same and torch.allclose(scales, scales.median(), rtol=1e-2), rates


def _judge_dropout(name: str, only_linear: bool, rates: list[float]) -> None:
    assert only_linear, (
        f"{name}: something is dropped among the convolutions; in two_blocks nothing is"
    )
    for rate, share, place in zip(rates, _PLANS[name][1], _PLACES, strict=False):
        assert rate > 0.05 or not share, (
            f"{name}: dropout {share} is missing before the {place} linear layer"
        )
        assert abs(rate - share) < 0.05, (
            f"{name}: before the {place} linear layer {100 * rate:.0f} % are switched off; by the "
            f"plan {100 * share:.0f} %"
        )


def _judge_answer(name: str, got: Tensor, images: Tensor, parts: list[list]) -> None:
    stride = _PLANS[name][3]

    def same(without: tuple = (), late: tuple = ()) -> bool:
        return torch.allclose(got, _plan(images, parts, stride, without, late), atol=1e-3)

    if same():
        return
    assert not any(same(late=late) for late in ((0,), (1,), (0, 1))), (
        f"{name}: the normalisation comes before the ReLU, not after it"
    )
    assert not any(same(without) for without in ((0,), (1,), (0, 1))), (
        f"{name}: a ReLU is missing between the linear layers"
    )
    raise AssertionError(
        f"{name}: with your weights the plan says something else; one change at a time, the rest "
        "as in two_blocks"
    )


def _plan(images: Tensor, parts: list[list], stride: int, without: tuple, late: tuple) -> Tensor:
    """What a network with these layers says by the plan, with these slips."""
    convs, norms, linear = parts
    x = images
    for number, conv in enumerate(convs):
        x = functional.conv2d(x, conv.weight, conv.bias, stride=stride)
        x = x.relu() if number in late or number >= len(norms) else x
        if number < len(norms):
            x = norms[number](x) if number in late else norms[number](x).relu()
        x = functional.max_pool2d(x, 2) if stride == 1 else x
    x = x.flatten(1)
    for number, layer in enumerate(linear[:-1]):
        x = layer(x) if number in without else layer(x).relu()
    return linear[-1](x)
