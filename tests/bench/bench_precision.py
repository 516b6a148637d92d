"""Does bf16 change the accuracy? DeeperCNN in fp32 and in bf16, with several seeds.

As lab 05 trains it, with a learning rate that falls to zero: at a constant rate the accuracy after
the last epoch jumps by points from seed to seed, in either precision. Paired tests on the same test
images, which are only reported on.

    python tests/bench/bench_precision.py 5
"""

import sys

import numpy as np
from scipy import stats

import labkit as lk
from labkit.device import machine
from labkit.models.recipes import train_recipe

SEED = 42
blood = lk.load_dataset("bloodmnist")


def trained_in(precision: str, seed: int) -> lk.Predictions:
    lk.seed_everything(seed)
    model, _ = train_recipe("DeeperCNN", blood, precision, progress=False)
    return lk.evaluate(model, blood.loaders(batch_size=128)[2])


def main(seeds: int) -> None:
    """Train in both precisions with each seed, and print each difference and their mean."""
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
    main(int(sys.argv[1]))
