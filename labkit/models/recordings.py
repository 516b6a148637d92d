"""Recordings: trainings that a lab shows instead of running them, each a JSON of a few KB.

``labkit results --record NAME`` makes one, with the recipe that the lab trains anew with.
"""

import json
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labkit import settings
from labkit.data.image_data import ImageData
from labkit.data.load import load_dataset
from labkit.data.origin import Origin
from labkit.device import get_device, processor, seed_everything
from labkit.files import atomic
from labkit.liveplot.plot import LivePlot
from labkit.metrics import Predictions
from labkit.models.mlp import count_parameters
from labkit.models.recipes import find_recipe, train_recipe
from labkit.models.residual import EightViews
from labkit.models.weights import SEED, checkpoint_file
from labkit.training.fit import evaluate
from labkit.training.history import History

FOLDER = Path(__file__).parent.parent / "recordings"


@dataclass(frozen=True)
class Recording:
    """A training, and what the network then said of the test images.

    Args:
        name: of its recipe.
        recipe: the recipe in words.
        parameters: numbers that were learnt.
        history: every epoch.
        test: the class that each test image was given. Of the probabilities nothing is kept:
            do not ask for confidence or calibration.
        made: where and when: ``seed``, ``processor``, ``seconds``, ``date``, ``commit`` of the
            course, ``versions`` of the libraries.
        anew: whether it was trained just now, and is no recording.
    """

    name: str
    recipe: str
    parameters: int
    history: History
    test: Predictions
    made: dict
    anew: bool = False

    def __str__(self) -> str:
        made, how = self.made, "Trained here just now" if self.anew else "A recording"
        return (
            f"{how}: {self.name}, {len(self.history)} epochs in {made['seconds']:,.0f} s on "
            f"{made['processor']} ({self.history.setup['device']}), seed {made['seed']}, "
            f"{made['date']}, commit {made['commit']}.\n"
            f"Data: {self.test.origin}.\nRecipe: {self.recipe}."
        )


def file_of(name: str, seed: int = SEED, folder: Path = FOLDER) -> Path:
    """The file of a recording: "widecnn-sgd-seed42.json" of "WideCNN, SGD"."""
    return folder / f"{name.lower().replace(', ', '-').replace(' ', '-')}-seed{seed}.json"


def recorded(
    name: str, data: ImageData, anew: bool = False, seed: int = SEED, quiet: bool = False
) -> Recording:
    """Read a recording, or train its recipe now; say which of the two it was.

    Args:
        name: of the recipe.
        data: to train on, where it is trained.
        anew: train now, with the same recipe and seed, instead of reading. So is what was not
            recorded.
        seed: of the recording; ``LABKIT_SEED`` is added where that seed was recorded.
        quiet: say nothing.

    Returns:
        The training; its history and its test predictions can be drawn as any others.

    Raises:
        ValueError: for a name that is no recipe.

    Example:
        >>> vgg = recorded("VGG16", blood)  # doctest: +SKIP
    """
    find_recipe(name)
    file, asked = file_of(name, seed), file_of(name, seed + settings.seed_offset())
    if anew or not (file.exists() or asked.exists()):
        checkpoint = checkpoint_file(f"05-{asked.stem}")
        plot = LivePlot(data.classes)
        found = train_and_test(name, data, seed, checkpoint=checkpoint, callbacks=[plot])
    else:
        found = read(asked if asked.exists() else file)
    if not quiet:
        print(found)
    return found


def train_and_test(name: str, data: ImageData, seed: int = SEED, **options: Any) -> Recording:
    """Train a recipe (options as of ``train_recipe``), and name the class of each test image."""
    recipe, seed = find_recipe(name), seed_everything(seed)
    model, history = train_recipe(name, data, **options)
    judge = EightViews(model) if recipe.eight_views else model
    test = evaluate(judge, data.loaders(batch_size=256)[2])
    device = get_device()
    threads = f", {torch.get_num_threads()} threads" if device.type != "cuda" else ""
    made = {
        "seed": seed,
        "processor": processor(device) + threads,
        "seconds": round(sum(history.column("seconds")), 1),
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit_of_course(),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
    }
    return Recording(name, str(recipe), count_parameters(model), history, test, made, True)


def record(name: str, seed: int = SEED, folder: Path = FOLDER, commit: str = "") -> Path:
    """Train a recipe in full on BloodMNIST, on the device there is, and write its recording.

    Args:
        name: of the recipe.
        seed: of the training.
        folder: for the file.
        commit: of the course, where this is no git checkout.

    Returns:
        The file.

    Raises:
        ValueError: for an unknown recipe; where stand-in data or a fast training would be shipped.
    """
    find_recipe(name)  # before the data are fetched
    data = load_dataset("bloodmnist")
    if folder == FOLDER and (settings.fast() or data.stand_in):
        mode = "fast" if settings.fast() else "full"
        raise ValueError(
            "A recording for the labs needs full mode and the real data: unset LABKIT_FAST and see "
            f"`labkit doctor`, or give another folder (now {mode} mode; data: {data.origin})."
        )
    training = train_and_test(name, data, seed)
    if commit:
        training.made["commit"] = commit
    file = file_of(name, training.made["seed"], folder)
    with atomic(file) as temporary:
        temporary.write_text(_to_json(training), encoding="utf-8")
    return file


def write_recordings(names: Sequence[str], seeds: int = 1) -> None:
    """Record each recipe with so many seeds, the labs' own first, and print the files."""
    for name in names:
        for seed in range(SEED, SEED + seeds):
            print(record(name, seed), flush=True)


def read(file: Path) -> Recording:
    """Read the file of a recording."""
    kept = json.loads(file.read_text(encoding="utf-8"))
    columns = kept["history"]
    epochs = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    classes, origin = tuple(kept["classes"]), Origin(kept["data"])
    history = History(epochs, classes, origin, kept["planned_epochs"], kept["setup"])
    history.kept_epoch = kept["kept_epoch"]
    logits = np.eye(len(classes))[_classes_of(kept["predicted"])]
    test = Predictions(logits, _classes_of(kept["labels"]), classes, origin)
    return Recording(kept["name"], kept["recipe"], kept["parameters"], history, test, kept["made"])


def _to_json(training: Recording) -> str:
    history, test = training.history, training.test
    columns = {name: [_short(v) for v in history.column(name)] for name in history[0]}
    kept = {
        "name": training.name,
        "recipe": training.recipe,
        "parameters": training.parameters,
        "data": str(test.origin),
        "made": training.made,
        "setup": history.setup,
        "planned_epochs": history.planned_epochs,
        "kept_epoch": history.kept_epoch,
        "classes": test.classes,
        "history": columns,
        # of each test image, the class it was given and the true one, a digit each
        "predicted": "".join(map(str, test.predicted)),
        "labels": "".join(map(str, test.labels)),
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in kept.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.4g}")


def _classes_of(digits: str) -> np.ndarray:
    return np.array([int(digit) for digit in digits])


def commit_of_course() -> str:
    """The short hash of the course's commit; "unknown" outside a git checkout."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        ran = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return ran.stdout.strip() or "unknown"
