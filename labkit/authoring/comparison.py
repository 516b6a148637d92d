"""``docs/comparison.md``: all approaches of the course beside each other, from measured results."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from labkit import models
from labkit.models.recipes import RECIPES
from labkit.models.recordings import file_of, read

_HEAD = """# All approaches side by side

For students who ask "which one should I take?". Accuracies and seconds come from
`solutions/results.json`, which `make results` writes together with this page, or from a recording;
parameters come from the networks. Nobody types a number. The last two columns are our judgement.
Each table has its own data: compare within a table only.

The interval (95 %) is that of the first seed: what its n test images can tell, or, for
cross-validation, what its folds can. Where several seeds were run, the lowest and highest stand
behind it. Seconds are a rough guide: the first seed's training on the machine that
[RESULTS.md](../RESULTS.md) names for the lab, or, for a recording, on the processor that stands
beside them or in its note there. "lab" means that only the time of the whole lab was measured.
Epochs differ from row to row, so neither accuracies nor seconds compare the networks alone.
"""
_FOOT = """
**How to choose.** Begin with the cheapest model that could do. With few images try borrowed
features first: they have few settings to get wrong. With thousands, a small network can learn
filters of its own. Take the next larger one only if its gain on **validation** data is larger than
the spread of the seeds. [Lab 08](../notebooks/08_your_own_data.ipynb) goes this way with data of
your own.
"""


@dataclass(frozen=True)
class Approach:
    """One row: which result it is, and what numbers cannot say."""

    name: str
    lab: str  # that measures it
    pattern: str  # finds it in a result's label and note; or the name of a recording
    needs: str
    when: str  # to use it
    network: Callable[[], nn.Module] | None = None  # its parameters count, where no note says them


APPROACHES = (
    Approach(
        *("Always the most frequent class", "01_data_exploration", "baseline"),
        *("labels", "always, first: the number to beat"),
    ),
    Approach(
        *("Softmax regression", "00_foundations", "softmax"),
        *("pixels", "as a first model; where its weights are to be looked at"),
        partial(models.SoftmaxRegression, 10, 1),
    ),
    Approach(
        *("MLP in NumPy", "04_numpy_framework", "NumPy"),
        *("NumPy", "to understand what a library does; never in earnest"),
    ),
    Approach(
        *("MLP (`BloodMLP`)", "02_mlp", "test accuracy"),
        *("thousands of images", "when nothing is known about the picture's order"),
        models.BloodMLP,
    ),
    Approach(
        *("Small CNN (`SimpleCNN`)", "05_cnn_ladder", r"\bSimpleCNN"),
        *("thousands of images", "as the first network for pictures"),
        models.SimpleCNN,
    ),
    Approach(
        *("CNN with batch normalisation (`DeeperCNN`)", "05_cnn_ladder", r"\bDeeperCNN"),
        *("thousands of images", "as a plain next step, with class weights and augmentation"),
        models.DeeperCNN,
    ),
    Approach(
        *("Narrow CNN (`LightCNN`)", "05_cnn_ladder", "LightCNN, Adam"),
        *("thousands of images", "where parameters are dear"),
    ),
    Approach(
        *("Wide CNN (`WideCNN`)", "05_cnn_ladder", "WideCNN, Adam"),
        *("thousands of images; patience or a GPU", "when a narrow one has proved too small"),
    ),
    Approach(
        *("VGG16, from random weights", "05_cnn_ladder", "VGG16"),
        *("patience or a GPU; more images than these", "to see what size alone does not buy"),
    ),
    Approach(
        *("Small CNN, trained for a minute", "05_cnn_ladder", "challenge"),
        *("a minute; classes that no turn changes", "when time is short"),
    ),
    Approach(
        *("Residual network, eight views (`SmallResNet`)", "05_cnn_ladder", "best rung"),
        *("patience or a GPU; classes that no turn changes", "when every tenth of a point counts"),
        models.SmallResNet,
    ),
    Approach(
        *("Logistic regression on borrowed features", "06_features_and_transfer", "logistic"),
        *("a pretrained network", "with few images and no GPU: the first thing to try"),
        partial(nn.Linear, 512, 8),
    ),
    Approach(
        *("Fine-tuned network", "06_features_and_transfer", "(?i)^(?!logistic).*fine-tuned"),
        *("a pretrained network, patience", "when it beats borrowed features in a paired test"),
    ),
    Approach(
        *("The best of several on data of one's own", "08_your_own_data", "chosen on validation"),
        *("a question, a clean split", "in your own project"),
    ),
)


def comparison_page(measured: dict[str, dict]) -> str:
    """The page, from what `make results` has measured.

    Args:
        measured: for each lab ``{"machine": where, "runs": one report a seed, the first first}``.

    Returns:
        Markdown: a table for each data set. An approach without a result is named at the end.

    Example:
        >>> "Not measured yet: Always the most frequent class (lab 01)" in comparison_page({})
        True
    """
    tables: dict[str, list[str]] = {}
    missing = []
    for approach in APPROACHES:
        runs = measured.get(approach.lab, {}).get("runs", [])
        results = [(found, run) for run in runs if (found := _find(approach, run))]
        if runs and not results and approach.pattern in RECIPES:
            results = [(_recorded(approach.pattern), runs[0])]
        if results:
            first = results[0][0]
            data = f"{first['origin']}, n = {first['n']:,}"
            tables.setdefault(data, []).append(_row(approach, results))
        else:
            missing.append(f"{approach.name} (lab {approach.lab[:2]})")
    columns = (
        "Approach | Lab | Accuracy % (interval) | Parameters | Seconds | Needs | When to use it"
    )
    parts = [_HEAD]
    for data, rows in tables.items():
        parts += [f"\n## {data}\n", f"| {columns} |", "|---" * 7 + "|", *rows]
    if missing:
        parts.append(f"\nNot measured yet: {', '.join(missing)}.")
    return "\n".join([*parts, _FOOT])


def _find(approach: Approach, run: dict) -> dict | None:
    said = [(f"{result['label']} · {result.get('note', '')}", result) for result in run["results"]]
    return next((result for text, result in said if re.search(approach.pattern, text)), None)


def _recorded(name: str) -> dict:
    training = read(file_of(name))
    test, made = training.test, training.made
    low, high = test.accuracy_interval()
    found = {"accuracy": test.accuracy, "low": low, "high": high, "n": len(test.labels)}
    return found | {
        "origin": str(test.origin),
        "note": f"{training.parameters:,} parameters",
        "seconds": f"{made['seconds']:.0f} on {made['processor']}, {len(training.history)} epochs",
    }


def _row(approach: Approach, results: list[tuple[dict, dict]]) -> str:
    first, run = results[0]
    accuracy, low, high = (100 * first[key] for key in ("accuracy", "low", "high"))
    said = f"{accuracy:.1f} ({low:.1f}–{high:.1f})"
    if len(results) > 1:
        each = [100 * result["accuracy"] for result, _ in results]
        said += f"; {len(each)} seeds {min(each):.1f}–{max(each):.1f}"
    trained = _number(r"([\d.,]+) s\b", first)
    seconds = f"{trained:.0f}" if trained else f"lab {run['seconds']:.0f}"
    seconds = first.get("seconds", seconds)
    count = _number(r"([\d,]+) parameters", first)
    if count is None and approach.network:
        count = models.count_parameters(approach.network())
    parameters = f"{count:,.0f}" if count else "–"
    cells = (approach.name, approach.lab[:2], said, parameters, seconds)
    return "| " + " | ".join((*cells, approach.needs, approach.when)) + " |"


def _number(pattern: str, result: dict) -> float | None:
    """A number that the result's note states, such as its seconds."""
    match = re.search(pattern, result.get("note", ""))
    return float(match[1].replace(",", "")) if match else None
