"""Networks that one lab trains and a later lab needs, kept in the data folder."""

import hashlib
import io
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from labkit import settings
from labkit.data.image_data import ImageData
from labkit.data.kept import set_aside
from labkit.data.load import load_dataset
from labkit.data.transforms import pixel_transform
from labkit.display import front_end
from labkit.files import DiskError, atomic
from labkit.models.recipes import find_recipe, train_recipe

SEED = 42  # of all labs


def save_trained(name: str, model: nn.Module, data: ImageData) -> Path:
    """Keep a network's weights in the data folder, where later labs find them.

    Args:
        name: the network's class, such as "DeeperCNN".
        model: the trained network.
        data: what it was trained on.

    Returns:
        The file. Weights of a fast run, or of stand-in data, are kept apart from the others.

    Example:
        >>> save_trained("BloodMLP", model, blood)  # doctest: +SKIP
    """
    return save_weights(model, trained_file(name, model, data))


def trained(name: str, data: ImageData | None = None) -> nn.Module:
    """A network from an earlier lab, trained on blood cells of 28 pixels.

    Where its lab has not run here, it is trained now as that lab does it, and kept.

    Args:
        name: of a recipe; the labs keep "BloodMLP" (lab 02) and "DeeperCNN" (lab 05).
        data: default ``load_dataset("bloodmnist")``.

    Returns:
        The network in ``eval`` mode, on the CPU; ``network.transform`` turns images, uint8 or in
        [0, 1], into what it takes.

    Raises:
        ValueError: for another name.

    Example:
        >>> network = trained("DeeperCNN")  # doctest: +SKIP
        >>> logits = network(network.transform(blood.test.images[:8]))  # doctest: +SKIP
    """
    recipe = find_recipe(name)
    data = data or load_dataset("bloodmnist")
    model = recipe.network(len(data.classes))

    def train_now() -> nn.Module:
        torch.manual_seed(SEED + settings.seed_offset())
        return train_recipe(name, data)[0]

    time = f"{recipe.time} on two cores"
    file = trained_file(name, model, data)
    model.load_state_dict(kept_or_new(file, name, time, train_now, lambda weights: model))
    model.transform = pixel_transform("half")
    return model.eval()


def kept_or_new(
    file: Path,
    name: str,
    time: str,
    train_now: Callable[[], nn.Module],
    network: Callable[[dict[str, Tensor]], nn.Module],
) -> dict[str, Tensor]:
    """The weights in a file; where there is none, a network is trained now and kept there.

    A message gives its name and the time. The caller's random numbers stay as they were. For
    ``network`` see ``read_weights``.
    """
    if file.exists():
        try:
            return read_weights(file, network)
        except ValueError:
            now = file
            with suppress(OSError):  # a cache that cannot be written
                now = set_aside(file)
            print(f"The weights of {name} were damaged (now {now.name}).", end=" ")
            print(f"It is trained anew, which takes {time}.")
    else:
        print(f"{name} is not trained yet on this machine. Training takes {time}.")
    with torch.random.fork_rng():
        model = train_now()
    try:
        save_weights(model, file)
    except DiskError as error:
        warnings.warn(f"The weights of {name} are not kept. {error}", stacklevel=3)
        return model.cpu().state_dict()
    return read_weights(file, network)


def read_weights(
    file: Path, network: Callable[[dict[str, Tensor]], nn.Module]
) -> dict[str, Tensor]:
    """Read a file of weights, without running anything that may be in it.

    Args:
        file: of ``save_weights``, or of torchvision.
        network: gives the network that the weights are for; it is compared, and not changed.

    Raises:
        ValueError: where the file is damaged, or holds something else, the weights of another
            network, or NaN.
    """
    try:
        weights = torch.load(file, map_location="cpu", weights_only=True)
        numbers = [value for value in weights.values() if value.is_floating_point()]
    except Exception as error:  # torch.load fails in many ways; each means the same to the reader
        raise ValueError(
            f"{file} holds no weights that can be read: delete it, and ask again."
        ) from error
    if not all(value.isfinite().all() for value in numbers):
        raise ValueError(
            f"{file} holds weights that are NaN or infinite: delete it, and ask again."
        )
    try:
        with torch.random.fork_rng():  # the caller's random numbers stay as they were
            expected = _shapes(network(weights).state_dict())
    except (LookupError, ValueError, TypeError):  # it was to be made from weights that are missing
        expected = None
    if _shapes(weights) != expected:
        raise ValueError(f"{file} holds the weights of another network: delete it, and ask again.")
    return weights


def _shapes(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in weights.items()}


def save_weights(model: nn.Module, file: Path) -> Path:
    """Write a network's weights, all or nothing.

    Raises:
        DiskError: when they cannot be written there.
    """
    content = io.BytesIO()  # `torch.save` has words of its own for a disk that is full
    torch.save(model.state_dict(), content)
    with atomic(file) as temporary:
        temporary.write_bytes(content.getbuffer())
    return file


def trained_file(name: str, model: nn.Module, data: ImageData) -> Path:
    """Where weights are kept: another plan of the network and other data have other files."""
    digest = hashlib.sha256(f"{_shapes(model.state_dict())} {data.origin}".encode()).hexdigest()[:8]
    parts = [name, data.title, f"{data.train.images.shape[-1]}px", digest]
    return weights_file(*parts, *(["stand-in"] if data.stand_in else []))


def weights_file(*parts: str) -> Path:
    """The file of kept weights with this name; other seeds and fast mode have other files."""
    offset = settings.seed_offset()
    marks = [*([f"seed{SEED + offset}"] if offset else []), *(["fast"] if settings.fast() else [])]
    return settings.data_dir() / "trained" / f"{'-'.join([*parts, *marks])}.pt"


def checkpoint_file(name: str) -> Path | None:
    """Where a lab keeps the checkpoint of a long training, for ``lk.fit(checkpoint=…)``.

    Args:
        name: of lab and training, "05-SimpleCNN".

    Returns:
        The file, one for each seed and mode. None where nobody sits in front of a notebook: a run
        from start to end trains everything.

    Example:
        >>> checkpoint_file("05-SimpleCNN")
    """
    if front_end() not in ("jupyter", "notebook"):
        return None
    file = weights_file("checkpoint", name)
    if file.exists():
        print(f"Going on from the checkpoint {file}; delete it to train anew.")
    return file
