"""A graphics card that is only pretended: it computes on the CPU and refuses what a card refuses.

After `install()` a tensor on the device "card" is an `OnCard`, whose numbers are on the CPU. It
refuses tensors of two devices in one operation, `numpy()`, and float64, as Apple's chips do; a copy
to the CPU that nobody waits for is read before it has arrived: it holds zeros. For processes of
their own, such as `tests/training/test_card.py` and `tests/soak/answers.py --card`. Built on
PyTorch's experimental interface for back ends in Python; seen to work with PyTorch 2.15.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

import labkit.device

_aten = torch.ops.aten
_MAKERS = _device_constructors()  # torch.zeros and its kind
_PICKS = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default}
_PICKS |= {_aten._index_put_impl_.default}  # by indices that may be on the CPU
_COPIES = {_aten.copy_.default, _aten._to_copy.default}


class OnCard(torch.Tensor):
    """A tensor that says it is on the card; its numbers are in `inner`."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "OnCard":
        if inner.dtype == torch.float64:
            raise TypeError("Cannot convert a tensor to float64 on the card: it has none")
        options = {"dtype": inner.dtype, "layout": inner.layout, "device": torch.device("card:0")}
        options |= {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        made = torch.Tensor._make_wrapper_subclass(cls, inner.shape, **options)
        made.inner = inner
        return made

    def __repr__(self, **_: Any) -> str:
        return f"{repr(self.inner)[:-1]}, device='card:0')"

    def __format__(self, spec: str) -> str:
        return format(self.inner, spec)

    def __reduce_ex__(self, protocol: int) -> tuple:
        return self.inner.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(
        cls, function: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return _compute(function, args, kwargs or {})


def _compute(function: Callable, args: tuple, kwargs: dict) -> Any:
    flat, spec = tree_flatten((args, kwargs))
    on_card = [value for value in flat if isinstance(value, OnCard)]
    on_cpu = [v for v in flat if isinstance(v, torch.Tensor) and not isinstance(v, OnCard)]
    first = isinstance(args[0], OnCard) if args else False
    mixed = on_card and any(value.ndim for value in on_cpu)  # one number may come from anywhere
    if mixed and function not in _COPIES and not (function in _PICKS and first):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"card:0 and cpu! ({function})"
        )
    to_card = first if function in _PICKS else bool(on_card)
    plain = [value.inner if isinstance(value, OnCard) else value for value in flat]
    args, kwargs = tree_unflatten(plain, spec)
    if kwargs.get("device") is not None:
        to_card = torch.device(kwargs["device"]).type == "card"
        kwargs = {**kwargs, "device": "cpu"}
    known = {id(value.inner): value for value in on_card}  # what an operation in place returns
    too_early = function in _COPIES and on_card and not to_card and kwargs.get("non_blocking")

    def wrap(value: torch.Tensor) -> torch.Tensor:
        if too_early:
            return torch.zeros_like(value)
        if not to_card:
            return value
        return known[id(value)] if id(value) in known else OnCard(value)

    return tree_map_only(torch.Tensor, wrap, function(*args, **kwargs))


class _Operations(TorchDispatchMode):
    """Sends what names the card, and has no tensor on it yet, there."""

    def __torch_dispatch__(
        self, function: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        wanted = kwargs.get("device")
        if wanted is not None and torch.device(wanted).type == "card":
            return _compute(function, args, kwargs)
        return function(*args, **kwargs)


class _Functions(TorchFunctionMode):
    """What PyTorch answers in C, before any operation is asked for."""

    def __torch_function__(
        self, function: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if args and isinstance(args[0], OnCard):
            if function is torch.Tensor.numpy:
                raise TypeError("can't convert card:0 device type tensor to numpy. Use .cpu()")
            if function is torch.Tensor.tolist:
                return args[0].inner.tolist()
        wanted = kwargs.get("device")
        if function not in _MAKERS or wanted is None or torch.device(wanted).type != "card":
            return function(*args, **kwargs)
        made = function(*args, **{**kwargs, "device": "cpu"})
        return made.detach().to("card").requires_grad_(made.requires_grad)


class _Module(backend_registration._DummyBackendModule):
    """What PyTorch asks of a back end as a whole."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)


def _swap(
    one: torch.Tensor, other: torch.Tensor, plainly: Callable = torch.utils.swap_tensors
) -> None:
    """How a parameter moves; on a real card its hooks stay with it."""
    hooks, one._backward_hooks = one._backward_hooks or {}, None
    plainly(one, other)
    for hook in hooks.values():
        one.register_hook(hook)


def install() -> None:
    """Make PyTorch and labkit believe in the card, in this thread, until the process ends."""
    backend_registration._setup_privateuseone_for_python_backend("card", _Module())
    torch.__future__.set_swap_module_params_on_conversion(True)
    torch.utils.swap_tensors = _swap
    torch.inference_mode = torch.no_grad  # its tensors cannot be wrapped
    save = torch.save
    torch.save = lambda value, *more, **options: save(
        tree_map_only(OnCard, lambda tensor: tensor.inner, value), *more, **options
    )
    labkit.device.available_devices = lambda: ["card", "cpu"]
    _Operations().__enter__()
    _Functions().__enter__()
