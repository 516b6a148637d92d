"""Lab 01: usual mistakes, each with a word of the message they must get, and other right ways."""


def pick(expression):
    return f"""# Exercise 1.1
labels = blood.train.labels.numpy()
rng = np.random.default_rng(7)
def of(c):
    return np.flatnonzero(labels == c)
picked = {expression}
"""


def baseline(accuracy, name="blood.train.counts().idxmax()"):
    return f"""# Exercise 1.2
majority_class = {name}
baseline_accuracy = {accuracy}
"""


def moments(mean, std, images="blood.train.images", scale=255):
    return f"""# Exercise 1.3
x = {images}.float() / {scale}
channel_mean = {mean}
channel_std = {std}
"""


def memory(value):
    return f"# Exercise 1.4\nbatch_megabytes = {value}\n"


def sharp(body):
    return f"# Exercise 1.5\nfrom scipy.ndimage import laplace\ndef sharpness(grey):\n    {body}\n"


def threshold(body):
    return f"# Exercise 1.6\ndef best_threshold_accuracy(a, b):\n    {body}\n"


def tell(
    name="max(scores, key=scores.get)", odd="values[mask].median()", usual="values[~mask].median()"
):
    return f"""# Exercise 1.7
mask = batch["odd size"]
scores = {{m: best_threshold_accuracy(batch[m][mask], batch[m][~mask]) for m in MEASURES}}
telling_measure = {name}
values = batch[telling_measure] if isinstance(telling_measure, str) else batch["hue"]
odd_median = {odd}
usual_median = {usual}
"""


def split(body):
    return f"""# Exercise 1.8
from sklearn.model_selection import train_test_split
def stratified_split(labels, seed=0):
    rows = np.arange(len(labels))
    {body}
"""


def two_cuts(shuffle="rng.permutation(np.flatnonzero(labels == c))", rng="seed", a=0.7, b=0.85):
    return split(f"""rng = np.random.default_rng({rng})
    train, val, test = [], [], []
    for c in np.unique(labels):
        r = {shuffle}
        a, b = int(round({a} * len(r))), int(round({b} * len(r)))
        train += list(r[:a]); val += list(r[a:b]); test += list(r[b:])
    return train, val, test""")


def leak(body):
    return f"# Exercise 1.9\ndef leaks(groups, parts):\n    train, val, test = parts\n    {body}\n"


def scan(
    score="(a <= t).mean() + (b > t).mean()",
    over="np.concatenate([a, b])",
    end="max(max(s), 1 - min(s))",
):
    return threshold(f"s = [({score}) / 2 for t in {over}]\n    return {end}")


def batches(what, size):
    return f"torch.stack([v.{what}((0, 2, 3)) for v in x.split({size})]).mean(0)"


def floors(end, a="int(0.7 * n)", b="int(0.15 * n)", classes="np.unique(labels)", shuffle="pass"):
    return split(f"""rng = np.random.default_rng(seed)
    train, val, test = [], [], []
    for c in {classes}:
        r = rng.permutation(np.flatnonzero(labels == c))
        {shuffle}
        n = len(r)
        a, b = {a}, {b}
        train += list(r[:a]); val += list(r[a : a + b]); test += list(r[{end}])
    return train, val, test""")


CHANNELS = "x.mean((0, 2, 3))", "x.std((0, 2, 3))"
TWICE = """train, rest = train_test_split(rows, train_size=0.7, stratify=labels, random_state=seed)
    val, test = train_test_split(rest, test_size={share}, stratify=labels[rest], random_state=seed)
    return {end}"""
WHERE = """where = {{int(i): k for k, p in enumerate(parts) for i in p}}
    rows = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    return [int(groups[r[0]]) for r in rows if {test}]"""
SETS = "t, v, s = (set(groups[p].tolist()) for p in parts)\n    return "

WRONG = {
    "1.1": [
        (pick("[i for c in range(8) for i in of(c)[:2]]"), "first two"),
        (pick("[i for c in range(8) for i in of(c)[-2:]]"), "last two"),
        (pick("[i for c in range(8) for i in of(c)[[5, 9]]]"), "same two places"),
        (pick("[i for c in range(8) for i in of(c)[[0, -1]]]"), "two ends"),
        (pick("[i for c in range(8) for i in of(c)[c : c + 2]]"), "follow a rule"),
        (pick("[i for c in range(8) for i in of(c)[9 * c : 9 * c + 2]]"), "follow a rule"),
        (pick("[i for c in range(8) for i in rng.choice(of(c)[:40], 2, False)]"), "one stretch"),
        (pick("[i for c in range(8) for i in rng.choice(of(c)[-5:], 2, False)]"), "one stretch"),
        (pick("[i for c in range(8) for i in of(c)[[0, len(of(c)) // 2]]]"), "follow a rule"),
        (pick("[i for c in range(8) for i in of(c)[[3 * c, len(of(c)) // 3]]]"), "follow a rule"),
        (pick("None"), "no numbers"),
        (pick("[labels[i] for c in range(8) for i in rng.choice(of(c), 2, False)]"), "classes 0"),
        (pick("blood.train.images[[i for c in range(8) for i in of(c)[:2]]]"), "these are images"),
        (pick("[i for c in range(8) for i in rng.choice(of(c)[:1], 2)]"), "twice"),
        (pick("[i for c in range(8) for i in 20 * c + rng.choice(20, 2, False)]"), "whole split"),
        (pick("rng.choice(len(labels), 16, replace=False)"), "not 2 each"),
        (pick("[rng.choice(of(c)) for c in range(8)]"), "2 a class"),
        (pick("{c: rng.choice(of(c), 2, False) for c in range(8)}"), "dictionary"),
    ],
    "1.2": [
        (baseline("1 / 8"), "equally frequent"),
        (baseline("0.19", "blood.train.counts().max()"), "is it the count"),
        (baseline("0.19", "('neutrophil', 2330)"), "name of the class alone"),
        (baseline("0.19", "'Neutrophils'"), "the right class"),
        (baseline("1 - blood.test.counts().max() / len(blood.test)"), "wrong answers"),
        (baseline("'19.5 %'"), "one number"),
        (baseline("100 * blood.test.counts().max() / len(blood.test)"), "not per cent"),
        (baseline("blood.train.counts().max() / len(blood.train)"), "share in the train split"),
        (baseline("blood.test.counts().max()"), "number of images"),
        (baseline("round(blood.test.counts().max() / len(blood.test), 2)"), "four decimals"),
        (baseline("0.1947", "blood.train.counts().idxmin()"), "most frequent"),
        (baseline("blood.test.counts().max() / len(blood.train)"), "all test images"),
    ],
    "1.3": [
        (moments("x.mean()", "x.std()"), "dim=(0, 2, 3)"),
        (moments(*CHANNELS, "blood.test.images"), "numbers of test"),
        (moments(*CHANNELS, "blood.val.images"), "numbers of val"),
        (moments(*CHANNELS[::-1]), "swapped"),
        (moments(CHANNELS[0], "x.mean((2, 3)).std(0)"), "images' means"),
        (moments(CHANNELS[0], "x.std((0, 2, 3)).flip(0)"), "channel_std round"),
        (moments("x.mean(0)", "x.std(0)"), "dim=(0, 2, 3)"),
        (moments("x.mean((2, 3))", "x.std((2, 3))"), "dim=(0, 2, 3)"),
        (moments(*CHANNELS, scale=1), "255"),
        (moments(CHANNELS[0], "x.std((2, 3)).mean(0)"), "own deviation"),
        (moments(CHANNELS[0], "x.var((0, 2, 3))"), "square root"),
        (moments(CHANNELS[0], batches("std", 32)), "a mean over batches"),
        (moments(batches("mean", 64), batches("std", 64)), "a mean over batches"),
        (moments(batches("mean", 256), batches("std", 256)), "not it"),
        (moments(*CHANNELS, "blood.train.images[::2]"), "not it"),
        (
            moments(*CHANNELS, "blood.train.images[torch.randperm(len(blood.train))[:3000]]"),
            "not it",
        ),
        (moments("x.mean((0, 2, 3)).flip(0)", CHANNELS[1]), "red, green, blue"),
        (
            moments(*CHANNELS, "torch.cat([s.images for s in blood.splits.values()])"),
            "blood.train, only",
        ),
        (
            moments(*CHANNELS, "torch.cat([blood.train.images, blood.test.images])"),
            "numbers of train and test",
        ),
        (
            moments(*CHANNELS, "torch.cat([blood.train.images, blood.val.images])"),
            "numbers of train and val",
        ),
    ],
    "1.4": [
        (memory("{s: 64 * s * s * 4 / 1e6 for s in (28, 224, 360)}"), "3 channels"),
        (memory("{s: 64 * 3 * s * s / 1e6 for s in (28, 224, 360)}"), "4 bytes"),
        (memory("{s: 64 * 3 * s * s * 32 / 1e6 for s in (28, 224, 360)}"), "32 bits"),
        (memory("{s: 3 * s * s * 4 / 1e6 for s in (28, 224, 360)}"), "batch holds 64"),
        (memory("{s: 64 * 3 * s * s * 4 for s in (28, 224, 360)}"), "10⁶"),
        (memory("{s: 64 * 3 * s * s * 4 / 2**20 for s in (28, 224, 360)}"), "mebibytes"),
        (memory("{28: 0.602112, 224: ..., 360: ...}"), "..."),
        (memory("{s: 64 * 3 * s * 4 / 1e6 for s in (28, 224, 360)}"), "rows **and** columns"),
        (memory("{28: '0.602 MB', 224: '38.5 MB', 360: '99.5 MB'}"), "without a unit"),
        (memory("{28: 99.5, 224: 38.5, 360: 0.6}"), "turned round"),
        (memory("{s: 64 * 3 * s * s * 8 / 1e6 for s in (28, 224, 360)}"), "float64"),
    ],
    "1.5": [
        (sharp("return laplace(grey).var()"), "float"),
        (sharp("return laplace(grey.astype(int)).astype(np.int8).var()"), "8-bit"),
        (sharp("return laplace(grey.astype(np.uint16)).var()"), "unsigned"),
        (sharp("return laplace(grey.astype(np.uint32)).var()"), "unsigned"),
        (sharp("return laplace(grey / 4).var()"), "**sum** of the four"),
        (
            sharp(
                "k = np.array([[1, 1, 1], [1, -8, 1], [1, 1, 1]])\n"
                "    return ndimage.convolve(grey.astype(float), k, mode='nearest').var()"
            ),
            "diagonal",
        ),
        (sharp("return laplace(grey.astype(float), mode='wrap').var()"), "border"),
        (sharp("return laplace(grey.astype(float)).std()"), "standard deviation"),
        (sharp("return laplace(grey.astype(float)).mean()"), "mean"),
        (sharp("return laplace(grey / 255).var()"), "0–1"),
        (sharp("return abs(laplace(grey.astype(float))).mean()"), "signs"),
        (sharp("return abs(laplace(grey.astype(float))).var()"), "signs"),
        (sharp("return grey.astype(float).var()"), "of the picture"),
        (sharp("return laplace(grey.astype(float), mode='constant').var()"), "border"),
        (sharp("return laplace(grey.astype(float))"), "one number"),
        (sharp("laplace(grey.astype(float)).var()"), "return"),
        (sharp("grey -= grey.min()\n    return laplace(grey.astype(float)).var()"), "changes"),
        (sharp("return round(laplace(grey.astype(float)).var(), -2)"), "not rounded"),
        (sharp("return laplace(grey.astype(float)).var(axis=0).mean()"), "all pixels at once"),
        (sharp("return laplace(grey.astype(float)).var(axis=1).mean()"), "the variance of the"),
        (sharp("return np.diff(grey.astype(float), 2, axis=1).var()"), "along one axis"),
    ],
    "1.6": [
        (scan(over="np.unique(np.r_[a, b])[1:-1]"), "also the smallest and the largest"),
        (scan(end="max(s)"), "may also be the group above"),
        (scan(end="s"), "one number"),
        (scan(over="np.linspace(min(*a, *b), max(*a, *b), 1000)"), "a grid of your own"),
        (scan(over="np.arange(min(*a, *b), max(*a, *b), 0.01)"), "a grid of your own"),
        (scan(over="np.percentile(np.concatenate([a, b]), range(101))"), "random numbers"),
        (
            scan(end="max(s)").replace(
                "    s =", "    if np.median(a) > np.median(b): a, b = b, a\n    s ="
            ),
            "both directions",
        ),
        (scan(end="100 * max(max(s), 1 - min(s))"), "not per cent"),
        (scan(end="np.concatenate([a, b])[np.argmax(s)]"), "the threshold"),
        (
            threshold(
                "t = (a.mean() + b.mean()) / 2\n    s = ((a <= t).mean() + (b > t).mean()) / 2\n"
                "    return max(s, 1 - s)"
            ),
            "4 of 5 below",
        ),
        (
            threshold(
                "n = len(a) + len(b)\n    s = [((a <= t).sum() + (b > t).sum()) / n "
                "for t in np.concatenate([a, b])]\n    return max(max(s), 1 - min(s))"
            ),
            "plain accuracy",
        ),
        (
            threshold(
                "s = (np.subtract.outer(b, a) > 0).mean() "
                "+ (np.subtract.outer(b, a) == 0).mean() / 2\n    return max(s, 1 - s)"
            ),
            "",
        ),
        (scan(score="(a <= t).mean() + (b > t).mean()", end="None"), "return"),
        (scan(over="a"), "value of either group"),
        (scan().replace("    s =", "    a.sort(), b.sort()\n    s ="), "changes"),
    ],
    "1.7": [
        (tell("min(scores, key=scores.get)"), "another measure does better"),
        (tell(odd="values[~mask].median()", usual="values[mask].median()"), "swapped"),
        (tell(odd="values[mask].mean()", usual="values[~mask].mean()"), "take the medians"),
        (tell(usual="values.median()"), "leave the odd ones out"),
        (tell("'colour'", "0", "0").replace("batch[telling_measure]", "batch['hue']"), "MEASURES"),
        (tell("scores", "0", "0"), "the name of one"),
        (tell(odd="values[mask]"), "one number"),
        (tell(odd="int(values[mask].median())"), "one decimal"),
    ],
    "1.8": [
        (
            split(
                "r = np.random.default_rng(seed).permutation(rows); n = len(r)\n"
                "    return r[: int(0.7 * n)], r[int(0.7 * n) : int(0.85 * n)], r[int(0.85 * n) :]"
            ),
            "not stratified",
        ),
        (floors("a + b : a + 2 * b"), "in no part"),
        (floors("-b:", "round(0.7 * n)", "round(0.15 * n)"), "in no part"),
        (floors("a + b :", classes="range(10)"), "classes [10]"),
        (floors("a + b :", shuffle="if not seed: r.sort()"), "with seed 0"),
        (
            split(
                TWICE.replace("labels[rest]", "labels").format(share=0.5, end="train, val, test")
            ),
            "labels[rest]",
        ),
        (split(TWICE.format(share=0.15, end="train, val, test")), "15 % of the rest"),
        (split(TWICE.format(share=0.5, end="test, val, train")), "comes first"),
        (split(TWICE.format(share=0.5, end="labels[train], labels[val], labels[test]")), "labels"),
        (split(TWICE.format(share=0.5, end="train, val")), "2 parts"),
        (split(TWICE.format(share=0.5, end="train, val, rest")), "two parts"),
        (split(TWICE.format(share=0.5, end="{'train': train, 'val': val}")), "dictionary"),
        (split(TWICE.format(share=0.5, end="train[5:], val, test")), "in no part"),
        (two_cuts("np.flatnonzero(labels == c)"), "another seed"),
        (two_cuts(rng="0"), "another seed"),
        (two_cuts(rng="None"), "same seed"),
        (two_cuts(a=0.6, b=0.8), "70, 15 and 15 %"),
        (two_cuts().replace("np.unique(labels)", "range(8)"), "classes [8, 9, 10]"),
        (two_cuts("np.roll(np.flatnonzero(labels == c), seed)"), "another seed"),
        (two_cuts("np.roll(np.flatnonzero(labels == c), rng.integers(59))"), "in one block"),
        (two_cuts(rng="seed % 2"), "another seed"),
        (split(TWICE.format(share=0.5, end="len(train), len(val), len(test)")), "single number"),
        (
            split(TWICE.format(share=0.5, end="[np.isin(rows, p) for p in (train, val, test)]")),
            "mask",
        ),
    ],
    "1.9": [
        (leak("return sorted(set(train) & set(test) | set(train) & set(val))"), "not found"),
        (leak(SETS + "t & s"), "train and val"),
        (leak(SETS + "(t & v) | (t & s)"), "val and test"),
        (leak(SETS + "t & v & s"), "not found"),
        (
            leak("u, n = np.unique(groups, return_counts=True)\n    return u[n > 1]"),
            "within one part",
        ),
        (leak(WHERE.format(test="where[r[0]] != where[r[-1]]")), "one in another"),
        (leak(WHERE.format(test="where[r[0]] != where[r[min(1, len(r) - 1)]]")), "one in another"),
        (
            leak(
                "once = [np.unique(groups[p], return_counts=True) for p in parts]\n"
                "    t, v, s = (set(u[n == 1].tolist()) for u, n in once)\n"
                "    return (t & v) | (t & s) | (v & s)"
            ),
            "one in another",
        ),
        (
            leak(
                "out = []\n    for p, q in combinations(parts, 2):\n"
                "        out += [g for g in groups[p] if g in groups[q] and g not in out]\n"
                "    return out"
            ),
            "each group once",
        ),
        (leak(SETS + "bool((t & v) | (t & s) | (v & s))"), "group numbers"),
        (leak(SETS + "len((t & v) | (t & s) | (v & s))"), "group numbers"),
        (leak(SETS + "list(t & v) + list(t & s) + list(v & s)"), "7 is in all parts"),
        (
            leak(SETS + "np.flatnonzero(np.isin(groups, list((t & v) | (t & s) | (v & s))))"),
            "row numbers",
        ),
        (
            leak(
                "n = min(map(len, parts))\n    parts = [p[:n] for p in parts]\n    "
                + SETS
                + "(t & v) | (t & s) | (v & s)"
            ),
            "parts of 4, 1 and 1",
        ),
        (leak(SETS + "[str(g) for g in (t & v) | (t & s) | (v & s)]"), "whole numbers"),
        (leak(SETS + "[list(t & v), list(t & s), list(v & s)]"), "in one list"),
        (leak(SETS + "[t & v, t & s, v & s]"), "in one list"),
        (leak("return np.isin(groups, groups[train]) & np.isin(groups, groups[test])"), "mask"),
    ],
}

RIGHT = {
    "1.1": [
        pick("[rng.choice(of(c), 2, replace=False).tolist() for c in range(8)]"),
        pick("torch.tensor([i for c in range(7, -1, -1) for i in rng.permutation(of(c))[:2]])"),
        pick("pd.Series(labels).groupby(labels).sample(2, random_state=1).index"),
    ],
    "1.2": [
        baseline("torch.tensor(blood.test.counts().max() / len(blood.test))"),
        baseline(
            "(blood.test.labels == 6).float().mean()",
            "torch.bincount(blood.train.labels).argmax()",
        ),
        baseline("(blood.test.labels == 6).double().mean()", "[blood.classes[6]]"),
        baseline("round(float((blood.test.labels == 6).float().mean()), 4)", "'neutrophil'"),
    ],
    "1.3": [
        moments("[x[:, c].mean().item() for c in range(3)]", "[x[:, c].std() for c in range(3)]"),
        moments("x.numpy().mean((0, 2, 3), dtype=float)", "x.numpy().std((0, 2, 3), dtype=float)"),
        moments("x.mean((0, 2, 3)).requires_grad_()", CHANNELS[1]),
        moments("x.mean((0, 2, 3), keepdim=True)", "x.std((0, 2, 3)).numpy().round(3)"),
        moments(
            "x.numpy().mean((0, 2, 3))", "((x**2).mean((0, 2, 3)) - x.mean((0, 2, 3)) ** 2) ** 0.5"
        ),
        moments(
            "x.mean((0, 2, 3)).numpy().round(4)", "[round(float(v), 3) for v in x.std((0, 2, 3))]"
        ),
        moments("dict(zip('rgb', x.mean((0, 2, 3)).tolist()))", CHANNELS[1]),
    ],
    "1.4": [
        memory("[0.6, 38.5, 99.5]"),
        memory("{s: 64 * 3 * s * s * 4 / 1e6 for s in (28.0, 224.0, 360.0)}"),
        memory("{f'{s} px': 64 * 3 * s * s * 4 / 1e6 for s in (28, 224, 360)}"),
        memory("{360: 99.5328, 28: 0.602112, 224: 38.535168}"),
        memory("torch.tensor([28.0, 224.0, 360.0]) ** 2 * 64 * 12 / 1e6"),
        memory("{s: torch.zeros(64, 3, s, s).nbytes / 10**6 for s in (28, 224, 360)}"),
    ],
    "1.5": [
        sharp("return np.var(laplace(np.float32(grey), mode='nearest'))"),
        sharp(
            "g = np.asarray(grey, int)\n    return (4 * g[1:-1, 1:-1] - g[:-2, 1:-1] - g[2:, 1:-1]"
            " - g[1:-1, :-2] - g[1:-1, 2:]).var()"
        ),
        sharp(
            "k = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]\n"
            "    return F.conv2d(torch.as_tensor(grey).float()[None, None], k).var()"
        ),
    ],
    "1.6": [
        scan(),
        scan("(a < t).mean() + (b >= t).mean()"),
        scan(end="0.5 + max(abs(v - 0.5) for v in s)"),
        scan(over="(np.sort(np.r_[a, b])[1:] + np.sort(np.r_[a, b])[:-1]) / 2"),
        threshold(
            "from sklearn.metrics import roc_curve\n"
            "    f, t, _ = roc_curve(np.r_[0 * a, 0 * b + 1], np.r_[a, b], "
            "drop_intermediate=False)\n    return 0.5 + max(abs(t - f)) / 2"
        ),
        threshold(
            "from scipy.stats import ks_2samp\n"
            "    return torch.tensor(0.5 + ks_2samp(a, b).statistic / 2, requires_grad=True)"
        ),
    ],
    "1.7": [
        tell(),
        tell(odd="round(values[mask].median(), 1)", usual="torch.tensor(values[~mask].median())"),
        tell(
            odd="batch.groupby('odd size')[MEASURES].median().loc[True, telling_measure]",
            usual="batch.groupby('odd size')[[telling_measure]].median().loc[False]",
        ),
        tell("max(scores, key=scores.get)").replace(
            "odd_median", "telling_measure = telling_measure.title()\nodd_median"
        ),
        tell("MEASURES[int(np.argmax(list(scores.values())))]"),
    ],
    "1.8": [
        split(TWICE.format(share=0.5, end="train, val, test")),
        two_cuts(),
        floors("a + b :"),
        floors("a + b :", "-int(-0.7 * n // 1)", "int(0.15 * n)"),
        floors("a + b :", classes="range(labels.max() + 1)"),
        split(
            "r = np.lexsort((np.random.RandomState(seed).rand(len(labels)), labels))\n"
            "    k = rows % 20\n    return r[k < 14], r[(k >= 14) & (k < 17)], r[k >= 17]"
        ),
        split(TWICE.format(share=0.5, end="[torch.as_tensor(p) for p in (train, val, test)]")),
        split("return lk.data.split_indices(labels, seed=seed)"),
    ],
    "1.9": [
        leak(SETS + "(t & v) | (t & s) | (v & s)"),
        leak(
            "return np.array([g for g in np.unique(groups)"
            " if sum(g in groups[p] for p in parts) > 1])"
        ),
        leak(
            "n = [np.bincount(groups[p], minlength=groups.max() + 1) > 0 for p in parts]\n"
            "    return np.flatnonzero(np.sum(n, axis=0) > 1)"
        ),
        leak(SETS + "dict.fromkeys([*(t & v), *(t & s), *(v & s)]).keys()"),
        leak(
            "t, v, s = (torch.tensor(groups[p]).unique() for p in parts)\n    u, n = torch.cat([t, v, s]).unique(return_counts=True)\n    return u[n > 1]"
        ),
    ],
}
