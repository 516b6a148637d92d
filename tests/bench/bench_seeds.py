"""Over several seeds: the best rung, and whether bf16 and channels-last change the accuracy.

Test images are only reported on; nothing here chooses anything.

    python tests/bench/bench_seeds.py best 3         # SmallResNet, three seeds, eight views
    python tests/bench/bench_seeds.py precision 5    # DeeperCNN in fp32 and bf16, five seeds
"""

import sys
from dataclasses import replace

import numpy as np
from labkit.models.recipes import RECIPES, train_recipe
from scipy import stats

import labkit as lk
from labkit.device import machine

SEED = 42
blood = lk.load_dataset("bloodmnist")


def percent(result: lk.Predictions) -> str:
    low, high = result.accuracy_interval()
    return (
        f"{100 * result.accuracy:.2f} % (95 % interval {100 * low:.1f}–{100 * high:.1f} %), "
        f"macro F1 {result.macro_f1:.3f}"
    )


def best(seeds: int) -> None:
    """Train the best rung with each seed and print test accuracy, plain and with eight views."""
    test = blood.loaders(batch_size=128)[2]
    reached = []
    for seed in range(SEED, SEED + seeds):
        seed = lk.seed_everything(seed)
        model, history = train_recipe("SmallResNet", blood, progress=False)
        plain = lk.evaluate(model, test)
        views = lk.evaluate(lk.models.EightViews(model), test)
        reached.append(100 * views.accuracy)
        print(
            f"seed {seed}: plain {percent(plain)}; eight views {percent(views)}; "
            f"{sum(history.column('seconds')):.0f} s",
            flush=True,
        )
    print(f"mean of {seeds} seeds, eight views: {np.mean(reached):.2f} %, n = {len(blood.test):,}")


def trained_in(precision: str, seed: int) -> lk.Predictions:
    lk.seed_everything(seed)
    RECIPES["DeeperCNN"] = replace(RECIPES["DeeperCNN"], precision=precision)
    model, _ = train_recipe("DeeperCNN", blood, progress=False)
    return lk.evaluate(model, blood.loaders(batch_size=128)[2])


def precision(seeds: int) -> None:
    """Train DeeperCNN in fp32 and bf16 with each seed; paired tests on the same images.

    As lab 05 trains it, with a learning rate that falls to zero: at a constant rate the accuracy
    after the last epoch jumps by points from seed to seed, in either precision.
    """
    differences = []
    for seed in range(SEED, SEED + seeds):
        fp32, bf16 = (trained_in(name, seed) for name in ("fp32", "bf16"))
        only_fp32, only_bf16, p = lk.mcnemar(fp32, bf16)
        differences.append(100 * (bf16.accuracy - fp32.accuracy))
        print(
            f"seed {seed}: fp32 {100 * fp32.accuracy:.2f} %, bf16 {100 * bf16.accuracy:.2f} %; "
            f"McNemar: only fp32 right {only_fp32}, only bf16 right {only_bf16}, p = {p:.2g}",
            flush=True,
        )
    mean, error = np.mean(differences), stats.sem(differences)
    half = stats.t.ppf(0.975, seeds - 1) * error
    print(
        f"bf16 minus fp32 over {seeds} seeds: {mean:+.2f} points "
        f"(95 % interval {mean - half:+.2f} to {mean + half:+.2f}), n = {len(blood.test):,}"
    )


if __name__ == "__main__":
    print(f"{machine()}; {blood.origin}")
    {"best": best, "precision": precision}[sys.argv[1]](int(sys.argv[2]))
