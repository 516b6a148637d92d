"""Answers to the exercises of lab 08: wrong ones with a word of their message, and other right ones."""


def question(
    text='"Which kind of cell does a photograph show?"',
    who='"a laboratory that counts cells by hand"',
    worst="(data.classes[3], data.classes[6])",
    useful="0.9",
    extra="",
):
    return f"""# Exercise 8.1
question = {{
    "question": {text},
    "who asks": {who},
    "worst mistake": {worst},
    "useful from": {useful},
    {extra}
}}
"""


CARD = {
    "source": '"Acevedo et al., one hospital in Barcelona"',
    "licence": '"CC BY 4.0"',
    "labelled by": '"pathologists of the hospital"',
    "belongs together": '"cells of one patient, not recorded"',
    "cannot show": '"another hospital or ill people"',
    "images": "len(data.train) + len(data.val) + len(data.test)",
    "smallest class": 'data.counts()["all"].iloc[:-1].idxmin()',
    "left out": '(problems["action"] == "left out").sum()',
}


def card(leave="", **changed):
    entries = CARD | {key.replace("_", " "): value for key, value in changed.items()}
    rows = [f'    "{key}": {value},' for key, value in entries.items() if key != leave]
    return "\n".join(["# Exercise 8.2", "card = {", *rows, "}", ""])


def leaks(body):
    lines = "\n".join("    " + line for line in body.strip("\n").splitlines())
    return f"# Exercise 8.3\ndef count_leaks(data):\n{lines}\n"


PARTS = """
t, v, e = ([i.numpy().tobytes() for i in s.images] for s in (data.train, data.val, data.test))
"""


WALK = "return (sum(k in t for k in v) + sum(k in t or k in v for k in e))"


def guesser(body):
    return f"# Exercise 8.4\ndef majority_baseline(train_labels, val_labels):\n    {body}\n"


def candidates(entries, before=""):
    return f"""# Exercise 8.5
{before}
candidates = {{"softmax regression": softmax, "borrowed features": borrowed}}
{entries}
"""


SIMPLE = "lk.models.SimpleCNN(count, channels)"


def choose(body, chosen="choose(on_val)"):
    return f"# Exercise 8.6\ndef choose(results):\n    {body}\n\nchosen = {chosen}\n"


# a kernel in which the test set was not yet used
FRESH = "# Exercise 8.7\ndata.test.answers.clear()\n"
TEST = (
    FRESH
    + "result = lk.evaluate(candidates[chosen], test)\nlow, high = result.accuracy_interval()\n"
)
FULL = (
    'sentence = f"{100 * result.accuracy:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %,'
    ' n = {len(result.labels)})"\n'
)


def recall(body):
    lines = "\n".join("    " + line for line in body.strip("\n").splitlines())
    return f"# Exercise 8.8\ndef recall_with_interval(result, name):\n{lines}\n"


OF = "c = result.classes.index(name)\nof = result.labels == c\n"
HITS = OF + "hits = int((result.predicted[of] == c).sum())\n"

KEYS = """
seen, n = set(), 0
for s in (data.train, data.val, data.test):
    keys = [{key} for i in s.images]
    n += sum(k in seen for k in keys)
    seen |= set(keys)
return n
"""
NEAR = """
parts, n = [s.images{kind} for s in (data.train, data.val, data.test)], 0
for k in (1, 2):
    before = torch.cat(parts[:k])
    for i in parts[k]:
        n += bool(({apart} {limit}).any())
return n
"""
HALF = "a, n = result.accuracy, len(result.labels); h = 1.96 * (a * (1 - a) / n) ** 0.5\n"

WRONG = {
    "8.1": [
        (question(useful="None"), "is a number"),
        (question(text='"Which kind of cell does a photograph show"'), "question mark"),
        (question(text='"Which cell?"'), "whole sentence"),
        (question(who='"me"'), "say who"),
        (question(worst="(3, 6)"), "no class of these data"),
        (question(worst='("immature granulocytes", "neutrophil")'), "no class of these data"),
        (question(worst="(data.classes[3], data.classes[3])"), "the same"),
        (question(worst="data.classes[3]"), "is a pair"),
        (question(useful="90"), "per cent"),
        (question(useful="0.1"), "most frequent class"),
        (question(useful="1.0"), "always right"),
        (question(useful="..."), "still holds"),
        (question(useful='"90 %"'), "is a number"),
        (question(useful='float("nan")'), "NaN"),
        ('# Exercise 8.1\nquestion = "Which kind of cell is this?"\n', "dictionary"),
        (question(text='"? ? ?"'), "whole sentence"),
        (question(who='"- - -"'), "say who"),
        (question(text='"Immunohistochemistry?"'), "whole sentence"),
        (question(text='"どの種類?"'), "whole sentence"),
    ],
    "8.2": [
        (card(images='str(data.counts().loc["all classes", "all"])'), "not the text"),
        (card(left_out='"1"'), "not the text"),
        (card(smallest_class='data.counts()["all"].iloc[:-1].idxmin'), "one name, not method"),
        (card(images="len(data.train)"), "training part only"),
        (card(images='data.counts()["all"].sum()'), "there are"),
        (card(images="data.counts().to_numpy().sum()"), "more than once"),
        (card(smallest_class='data.counts()["all"].iloc[:-1].min()'), "is a name"),
        (card(smallest_class='data.counts()["all"].iloc[:-1].idxmax()'), "has fewer"),
        (card(smallest_class='"all classes"'), "no class of these data"),
        (card(left_out="len(problems)"), "some of these files were kept"),
        (card(left_out="-1"), "were not read"),
        (card(left_out='problems["action"] == "left out"'), "one number"),
        (card(leave="licence"), "'licence' is missing"),
        (card(cannot_show='"nothing"'), "'cannot show' needs a text"),
        (card(belongs_together="..."), "still holds"),
        (card(belongs_together='"? ..."'), "'belongs together' needs a text"),
        (card(labelled_by='"-"'), "'labelled by' needs a text"),
        (
            card(smallest_class='(a := data.counts()["all"].iloc[:-1]).index[a == a.min()]'),
            "one name, not Index",
        ),
        (
            card(smallest_class='data.counts()["all"].iloc[:-1].nsmallest(1)'),
            "one name, not Series",
        ),
        (card(source='"写真"'), "'source' needs a text"),
    ],
    "8.3": [
        (leaks(KEYS.format(key="i.float().mean(0).numpy().tobytes()")), "same grey"),
        (leaks(PARTS + WALK.replace("return (", "return str(")), "not the text"),
        (
            leaks("""
near = lambda a, b: int((torch.cdist(a.float().flatten(1), b.float().flatten(1)).amin(1) == 0).sum())
t, v, e = data.train.images, data.val.images, data.test.images
return near(v, t) + near(e, torch.cat([t, v]))
"""),
            "torch.cdist, too",
        ),
        (leaks("pass"), "return"),
        (leaks(PARTS + "return len(set(t) & set(e)) + len(set(t) & set(v))"), "compared with val"),
        (
            leaks(PARTS + "return len(set(t) & set(e)) + len(set(v) & set(e))"),
            "compared with train",
        ),
        (leaks(PARTS + "a = t + v + e\nreturn len(a) - len(set(a))"), "inside one part"),
        (
            leaks(
                PARTS
                + "return sum(a == b for a in v + e for b in t) + sum(a == b for a in e for b in v)"
            ),
            "images, not pairs",
        ),
        (
            leaks(
                PARTS + "return len(set(t) & set(e)) + len(set(t) & set(v)) + len(set(v) & set(e))"
            ),
            "are two",
        ),
        (
            leaks("""
seen, n = set(), 0
for s in (data.train, data.val, data.test):
    keys = [float(i.float().mean()) for i in s.images]
    n += sum(k in seen for k in keys)
    seen |= set(keys)
return n
"""),
            "same mean",
        ),
        (
            leaks("""
seen, n = set(), 0
for s in (data.train, data.val, data.test):
    keys = [i[:, 0].numpy().tobytes() for i in s.images]
    n += sum(k in seen for k in keys)
    seen |= set(keys)
return n
"""),
            "part of the pixels",
        ),
        (
            leaks("""
seen, n = set(), 0
for s in (data.train, data.val, data.test):
    keys = [(i.numpy().tobytes(), int(y)) for i, y in zip(s.images, s.labels)]
    n += sum(k in seen for k in keys)
    seen |= set(keys)
return n
"""),
            "leak",
        ),
        (leaks(PARTS + "return [k for k in v + e if k in t]"), "one number"),
        (leaks(PARTS.replace("i.numpy()", "i[0].numpy()") + WALK), "all colours"),
        (leaks(PARTS.replace("i.numpy().tobytes()", "str(i)") + WALK), "all colours"),
        (leaks(PARTS + WALK + " / len(v + e)"), "how many images"),
        (
            leaks(
                PARTS
                + "return sum(k in t for k in v) + sum(k in t for k in e) + sum(k in v for k in e)"
            ),
            "is one leak",
        ),
        (
            leaks(
                PARTS
                + "seen, n = set(t), sum(k in t or k in v for k in e)\nfor k in v:\n    n += k in seen\n    seen.add(k)\nreturn n"
            ),
            "inside one part",
        ),
        (leaks(KEYS.replace("{key}", "tuple(i.sum(1).flatten().tolist())")), "same mean"),
        (leaks(KEYS.replace("{key}", "i[1].numpy().tobytes()")), "all colours"),
        (
            leaks(
                NEAR.format(kind="", apart="((before - i) ** 2).flatten(1).sum(1)", limit="== 0")
            ),
            "uint8 differences wrap",
        ),
        (
            leaks(
                NEAR.format(
                    kind=".float()", apart="(before - i).abs().flatten(1).mean(1)", limit="< 1e-4"
                )
            ),
            "one pixel differs",
        ),
    ],
    "8.4": [
        (
            guesser("return float((val_labels == np.bincount(val_labels).argmax()).mean())")
            .replace("val_labels ==", "np.asarray(val_labels) ==")
            .replace("bincount(val_labels)", "bincount(np.asarray(val_labels))"),
            "knows training",
        ),
        (
            guesser("n = np.bincount(np.asarray(train_labels)); return n.max() / n.sum()"),
            "share in training",
        ),
        (guesser("return 1 / len(np.unique(np.asarray(train_labels)))"), "at random"),
        (guesser("return np.bincount(np.asarray(train_labels)).argmax()"), "class or a count"),
        (
            guesser(
                "k = np.bincount(np.asarray(train_labels)).argmax(); return 100 * (np.asarray(val_labels) == k).mean()"
            ),
            "per cent",
        ),
        (
            guesser(
                "k = np.bincount(np.asarray(train_labels)).argmax(); np.asarray(val_labels) == k"
            ),
            "return",
        ),
        (
            guesser(
                "k = np.bincount(np.asarray(train_labels)).argmax(); return np.asarray(val_labels) == k"
            ),
            "one number",
        ),
        (
            guesser(
                "k = np.bincount(np.asarray(train_labels)).argmax(); return int((np.asarray(val_labels) == k).sum())"
            ),
            "share from 0 to 1",
        ),
        (
            guesser("return float((np.asarray(val_labels) == int(train_labels[0])).mean())"),
            "class 9",
        ),
        (
            guesser(
                "n = np.unique(np.asarray(train_labels), return_counts=True)[1]; return (np.asarray(val_labels) == n.argmax()).mean()"
            ),
            "class 9",
        ),
        (
            guesser(
                "t = list(map(int, train_labels)); return (np.asarray(val_labels) == max(range(8), key=t.count)).mean()"
            ),
            "class 9",
        ),
        (
            guesser(
                "k = np.bincount(np.asarray(train_labels)).argmax(); return round((np.asarray(val_labels) == k).mean(), 2)"
            ),
            "do not round",
        ),
        (
            guesser(
                "a = np.asarray(train_labels); a.sort(); u, i = np.unique(a, return_index=True); return (np.asarray(val_labels) == u[np.diff([*i, len(a)]).argmax()]).mean()"
            ),
            "changes the labels",
        ),
    ],
    "8.5": [
        (candidates(""), "at least 3"),
        (candidates('candidates["CNN"] = lk.models.SimpleCNN'), "is a class"),
        (
            candidates(
                'candidates["CNN"] = lk.fit(lk.models.SimpleCNN(count, channels), train, val, epochs=1)'
            ),
            "is a history",
        ),
        (candidates('candidates["again"] = softmax'), "same model under two names"),
        (
            candidates('candidates["CNN"] = lk.models.SimpleCNN(count + 1, channels)'),
            "your data need",
        ),
        (
            candidates('candidates["CNN"] = lk.models.SimpleCNN(count, channels + 1)'),
            "cannot take a batch",
        ),
        (
            candidates(
                'candidates["other seed"] = train_candidate(lk.models.SoftmaxRegression(count, channels, side), lr=1e-4)'
            ),
            "is no other model",
        ),
        (candidates(f'candidates["CNN"] = {SIMPLE}'), "has not been trained"),
        (
            candidates(
                f'candidates["CNN"] = net\ntrain_candidate({SIMPLE}, epochs=1)', f"net = {SIMPLE}"
            ),
            "has not been trained",
        ),
        (
            candidates(
                'candidates["MLP"] = train_candidate(net, epochs=1, lr=1e-4)',
                "net = nn.Sequential(nn.Flatten(), nn.Linear(channels * side**2, 16), nn.ReLU(), nn.Linear(16, count))",
            ),
            "add a convolutional network",
        ),
        (candidates('candidates["CNN"] = lk.evaluate(softmax, val)'), "must be a network"),
        (
            "# Exercise 8.5\ncandidates = [softmax, borrowed, lk.models.SimpleCNN(count, channels)]\n",
            "dictionary",
        ),
        (
            candidates(
                'candidates["zero"] = net',
                f"net = {SIMPLE}\nfor p in net.parameters(): nn.init.zeros_(p)",
            ),
            "same logits for every image",
        ),
        (candidates(f"candidates[3] = train_candidate({SIMPLE}, epochs=1)"), "is no text"),
        (
            candidates(
                'candidates["my own"] = train_candidate(net, epochs=1)',
                "net = nn.Sequential(nn.Conv2d(channels, 8, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, count), nn.Softmax(1))",
            ),
            "probabilities",
        ),
        (
            candidates(
                "candidates['two layers'] = other",
                """other = Borrowed(backbone, nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, count)))
other = other.to(lk.get_device()).eval()
lk.fit(other.head, kept_train, kept_val, epochs=2)""",
            ),
            "under another head",
        ),
    ],
    "8.6": [
        (
            choose(
                "return max(results, key=lambda n: results[n].accuracy - 1e-6 * results[n].loss)"
            ),
            "add nothing to the accuracy",
        ),
        (choose("return min(results, key=lambda n: results[n].accuracy)"), "worst model"),
        (choose("return max(results)"), "alphabet"),
        (choose("return max(r.accuracy for r in results.values())"), "name, not a number"),
        (choose("return max(results.values(), key=lambda r: r.accuracy)"), "not the predictions"),
        (choose("return min(results, key=lambda n: results[n].loss)"), "accuracy comes first"),
        (choose("return max(results, key=lambda n: results[n].macro_f1)"), "equal accuracy"),
        (
            choose("return max(results, key=lambda n: (results[n].macro_f1, -results[n].loss))"),
            "macro F1",
        ),
        (choose("return max(results, key=lambda n: results[n].accuracy)"), "equal accuracy"),
        (
            choose("return max(results, key=lambda n: (results[n].accuracy, results[n].loss))"),
            "lowest loss decides",
        ),
        (choose("max(results, key=lambda n: results[n].accuracy)"), "return"),
        (
            choose(
                "return max(results, key=lambda n: (round(results[n].accuracy, 2), -results[n].loss))"
            ),
            "do not round",
        ),
        (
            choose("return max((r.accuracy, -r.loss, n) for n, r in results.items())"),
            "name alone",
        ),
        (
            choose("return max(on_val, key=lambda n: (on_val[n].accuracy, -on_val[n].loss))"),
            "no name in the dictionary",
        ),
        (
            choose(
                "r = [(v.accuracy, -v.loss, k) for k, v in results.items()]; results.clear(); return max(r)[2]",
                "choose(dict(on_val))",
            ),
            "changes the dictionary",
        ),
        (  # the loss of any two that are equal, wherever they stand
            choose(
                "a = [r.accuracy for r in results.values()]; return max(results, key=lambda n: results[n].accuracy) if len(set(a)) == len(a) else min(results, key=lambda n: results[n].loss)"
            ),
            "accuracy comes first",
        ),
        (  # the loss of the best is not remembered
            choose(
                """best, top, loss = None, -1, 1.0
    for n, r in results.items():
        if r.accuracy > top or (r.accuracy == top and r.loss < loss):
            best, top = n, r.accuracy
    return best"""
            ),
            "lowest loss decides",
        ),
        (
            choose(
                "return max(results, key=lambda n: (results[n].accuracy, -results[n].loss))", "..."
            ),
            "is still",
        ),
        (
            choose(
                "return max(results, key=lambda n: (results[n].accuracy, -results[n].loss))",
                "min(on_val, key=lambda n: on_val[n].accuracy)",
            ),
            "on validation data it is",
        ),
        (
            choose(
                "return max(results, key=lambda n: (results[n].accuracy, -results[n].loss))",
                "candidates[choose(on_val)]",
            ),
            "one of the names",
        ),
        (
            choose(
                "return max(results, key=lambda n: (round(results[n].accuracy, 4), -results[n].loss))"
            ),
            "do not round",
        ),
    ],
    "8.7": [
        (
            FRESH
            + "result = lk.evaluate(candidates[chosen], val)\nlow, high = result.accuracy_interval()\n"
            + FULL,
            "validation split",
        ),
        (
            FRESH
            + "result = lk.evaluate(candidates[chosen], train)\nlow, high = result.accuracy_interval()\n"
            + FULL,
            "whole test split",
        ),
        (
            FRESH
            + "tried = {n: lk.evaluate(m, test) for n, m in candidates.items()}\nresult = tried[chosen]\nlow, high = result.accuracy_interval()\n"
            + FULL,
            "the test set chose",
        ),
        (
            FRESH
            + "result = lk.evaluate(candidates[min(on_val, key=lambda n: on_val[n].accuracy)], test)\nlow, high = result.accuracy_interval()\n"
            + FULL,
            "chosen model's answers",
        ),
        (
            FRESH
            + "result = lk.evaluate(candidates[chosen], test).accuracy\nsentence = f'{result}'\n",
            "lk.evaluate gives",
        ),
        (
            TEST
            + "sentence = f'test accuracy {100 * result.accuracy:.1f} %, n = {len(result.labels)}'\n",
            "interval",
        ),
        (
            TEST
            + "sentence = f'{100 * result.accuracy:.1f} % ({100 * low:.1f}-{100 * high:.1f} %)'\n",
            "lacks n",
        ),
        (
            TEST
            + "sentence = f'between {100 * low:.1f} and {100 * high:.1f} %, n = {len(result.labels)}'\n",
            "lacks the accuracy",
        ),
        (TEST + "sentence = (result.accuracy, low, high)\n", "must be a text"),
        (
            TEST
            + "sentence = f'Accuracy {result.accuracy:.3f}, 95 % interval [{low:.3f}, {high:.3f}], {len(result.labels):,} images'\n",
            "as a share",
        ),
        (TEST + "low, high = 0.0, 1.0\n" + FULL, "interval of this result"),
        (TEST + "low, high = high, low\n" + FULL, "wrong way round"),
        (
            TEST + HALF + "sentence = f'{100 * a:.1f} % ± {50 * h:.1f} %, n = {n}'\n",
            "interval of this result",
        ),
    ],
    "8.8": [
        (
            recall(HITS + "return [lk.statistics.wilson_interval(hits, int(of.sum()))]"),
            "holds a list",
        ),
        (
            recall(
                HITS
                + "share, *ends = lk.statistics.wilson_interval(hits, int(of.sum()))\nreturn share, ends"
            ),
            "(recall, low, high)",
        ),
        (
            recall(
                HITS
                + "return lk.statistics.wilson_interval(hits, int((result.predicted == c).sum()))"
            ),
            "precision",
        ),
        (
            recall(HITS + "return lk.statistics.wilson_interval(hits, len(result.labels))"),
            "images of this class",
        ),
        (recall("return (result.accuracy, *result.accuracy_interval())"), "all classes"),
        (
            recall(
                HITS
                + "p, low, high = lk.statistics.wilson_interval(hits, int(of.sum()))\nreturn low, p, high"
            ),
            "order",
        ),
        (
            recall(
                HITS
                + "p, low, high = lk.statistics.wilson_interval(hits, int(of.sum()))\nreturn p, high, low"
            ),
            "swapped",
        ),
        (
            recall(
                HITS
                + "p = hits / of.sum(); h = 1.96 * (p * (1 - p) / of.sum()) ** 0.5\nreturn p, p - h, p + h"
            ),
            "normal interval",
        ),
        (recall(HITS + "return hits / of.sum()"), "three numbers"),
        (
            recall(
                HITS.replace("result.classes", "sorted(result.classes)")
                + "return lk.statistics.wilson_interval(hits, int(of.sum()))"
            ),
            "were found",
        ),
        (
            recall(
                HITS
                + "return [100 * x for x in lk.statistics.wilson_interval(hits, int(of.sum()))]"
            ),
            "per cent",
        ),
        (recall(HITS + "lk.statistics.wilson_interval(hits, int(of.sum()))"), "return"),
        (
            recall(
                HITS.replace("result.classes", "data.classes")
                + "return lk.statistics.wilson_interval(hits, int(of.sum()))"
            ),
            "not data.classes",
        ),
        (
            recall(
                HITS.replace("result.classes.index(name)", "name")
                + "return lk.statistics.wilson_interval(hits, int(of.sum()))"
            ),
            "not with the name",
        ),
    ],
}

RIGHT = {
    "8.1": [
        question(worst="[data.classes[0], data.classes[1]]", useful="np.float64(0.95)"),
        question(text='"Is the cell in this picture mature, and if not, which kind is it?"'),
        question(extra='"done today": "by eye, 95 % right",'),
        question(useful="0.51"),
        question(text='"Is it mature? (64 pixels a side)"', useful="torch.tensor(0.8)"),
        question(worst="np.array(data.classes)[[3, 6]]", useful="np.array(0.9)"),
        question(text='"Is this cell a sick one？"'),
        question(text='"この白血球はどの種類ですか？"', who='"検査技師が塗抹標本を仕分けるため"'),
        question(worst="pd.Series(data.classes[:2])"),
    ],
    "8.2": [
        card(),
        card(images="sum(len(s) for s in data.splits.values())"),
        card(
            images='data.counts().loc["all classes", "all"]',
            left_out='int(problems.action.eq("left out").sum())',
        ),
        card(licence='"unknown"', left_out='len(problems[problems["action"] == "left out"])'),
        card(
            labelled_by='"pathologists"', cannot_show='"rare diseases"', source='"Barcelona, 2020"'
        ),
        card(belongs_together='"patients: unknown"', images="torch.tensor(len(images))"),
        card(source='"巴塞罗那医院的照片"'),
    ],
    "8.3": [
        leaks(PARTS + "return sum(k in set(t) for k in v) + sum(k in set(t) | set(v) for k in e)"),
        leaks("return len(lk.data.find_leaks(data))"),
        leaks("""
import hashlib
place = lambda s: [hashlib.sha256(np.ascontiguousarray(i)).hexdigest() for i in s.images]
t, v, e = place(data.train), place(data.val), place(data.test)
return np.isin(v, t).sum() + np.isin(e, t + v).sum()
"""),
        leaks(PARTS + "return np.int64(sum(k in t for k in v) + sum(k in t or k in v for k in e))"),
        leaks(
            NEAR.format(
                kind=".float()", apart="(before - i).abs().flatten(1).amax(1)", limit="== 0"
            )
        ),
    ],
    "8.4": [
        guesser(
            "k = torch.as_tensor(train_labels).bincount().argmax(); return (torch.as_tensor(val_labels) == k).float().mean()"
        ),
        guesser(
            "from collections import Counter; k = Counter(list(map(int, train_labels))).most_common(1)[0][0]; return sum(int(y) == k for y in val_labels) / len(val_labels)"
        ),
        guesser(
            "values, n = np.unique(train_labels, return_counts=True); return np.mean(np.asarray(val_labels) == values[n.argmax()])"
        ),
        guesser(
            "k = torch.mode(torch.as_tensor(train_labels)).values; return float((torch.as_tensor(val_labels) == k).double().mean())"
        ),
    ],
    "8.5": [
        candidates(f'candidates["CNN"] = train_candidate({SIMPLE}, epochs=1)'),
        "# Exercise 8.5\ncandidates = {'softmax': softmax}\n"
        f"candidates['plain'] = train_candidate({SIMPLE}, epochs=1)\n"
        f"candidates['flips'] = train_candidate({SIMPLE}, lk.Augment(flip=True), 1)\n",
        candidates(
            'candidates["by hand"] = net', f"net = {SIMPLE}\nlk.fit(net, train, val, epochs=1)"
        ),
        candidates(
            'candidates |= {"a": a, "b": b}',
            "a = train_candidate(lk.models.LightCNN(count, channels), lk.Augment(flip=True), 1)\nb = train_candidate(lk.models.SimpleCNN(count, channels), epochs=1)",
        ),
        candidates(
            'candidates["my own"] = net',
            "net = nn.Sequential(nn.Conv2d(channels, 8, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, count))\nnet = train_candidate(net, epochs=1)",
        ),
        candidates(
            "candidates['own kernels'] = train_candidate(Own(), epochs=1)",
            """class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernels = nn.Parameter(torch.randn(8, channels, 5, 5) * 0.1)
        self.out = nn.Linear(8, count)
    def forward(self, x):
        return self.out(nn.functional.conv2d(x, self.kernels, stride=2).relu().mean((2, 3)))
""",
        ),
    ],
    "8.6": [
        choose("return sorted(results, key=lambda n: (-results[n].accuracy, results[n].loss))[0]"),
        choose(
            "top = max(r.accuracy for r in results.values()); return min((n for n in results if results[n].accuracy == top), key=lambda n: results[n].loss)"
        ),
        choose(
            "t = pd.DataFrame({n: {'a': r.accuracy, 'l': r.loss} for n, r in results.items()}).T; return t.sort_values(['a', 'l'], ascending=[False, True]).index[0]"
        ),
        choose("return max(results, key=lambda n: (results[n].correct.sum(), -results[n].loss))"),
    ],
    "8.7": [
        TEST + FULL,
        TEST
        + "sentence = f'Accuracy {result.accuracy:.1%}, 95 % interval [{low:.3f}, {high:.3f}], {len(result.labels):,} images'\n",
        TEST + FULL + "result = lk.evaluate(candidates[chosen], test)\n",
        TEST + "sentence = repr(result)\n",
        TEST + FULL + "sentence = sentence.replace('.', ',')\n",
        TEST
        + HALF
        + "sentence = f'Accuracy {100 * a:.1f} % ± {100 * h:.1f} % (95 % interval), n = {n}'\n",
        TEST + HALF + "sentence = f'Accuracy {a:.1%} +/- {h:.3f}, n = {n}'\n",
        TEST
        + HALF
        + "sentence = f'Accuracy {a:.0%}, 95 % [{100 * low:.0f},{100 * high:.0f}], n={n}'\n",
        TEST
        + HALF
        + "sentence = f'{100 * a:.1f} %, upper end {100 * high:.1f}, lower {100 * low:.1f}, n = {n}'\n",
    ],
    "8.8": [
        recall(HITS + "return torch.tensor(lk.statistics.wilson_interval(hits, int(of.sum())))"),
        recall(
            HITS + "return pd.Series(lk.statistics.wilson_interval(hits, len(of[of])), [*'rlh'])"
        ),
        recall(HITS + "return tuple(lk.statistics.wilson_interval(hits, int(of.sum())))"),
        recall("""
row = result.confusion_matrix()[result.classes.index(name)]
hits, n = row[result.classes.index(name)], row.sum()
z, p = 1.959964, hits / n
middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
return np.array([p, (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)])
"""),
        recall("""
from scipy.stats import binomtest
mask = result.labels == result.classes.index(name)
found = binomtest(int(result.correct[mask].sum()), int(mask.sum())).proportion_ci(method="wilson")
return [result.report().loc[name, "recall"], found.low, found.high]
"""),
    ],
}
