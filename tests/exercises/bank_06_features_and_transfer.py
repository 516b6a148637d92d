"""Lab 06: usual mistakes, each with a word of the message they must get, and other right ways."""


def length(expression):
    return f"""# Exercise 6.1
def hog_length(side, cell, block=2, orientations=9):
    return {expression}
"""


def neighbours(body):
    return f"""# Exercise 6.2
def nearest(features, query, k=5):
    {body}
"""


UNIT = "u = features / np.linalg.norm(features, axis=1, keepdims=True); "


def ready(body):
    return f"""# Exercise 6.3
def prepare(train, test, components=None):
    {body}
"""


def probe(
    model="nn.Linear(x.shape[1], 8)",
    step="loss.backward(); optimizer.step()",
    end="return model",
    batches="torch.randperm(len(x)).split(64)",
):
    return f"""# Exercise 6.4
def train_logistic(x, y, epochs=50):
    model = {model}
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(epochs):
        for rows in {batches}:
            loss = nn.CrossEntropyLoss()(model(x[rows]), y[rows])
            optimizer.zero_grad(); {step}
    {end}
"""


SHUFFLED = "torch.randperm(len(x)).split(64)"


def by_hand_adam(rate=1e-3):
    return f"""# Exercise 6.4
def train_logistic(x, y, epochs=50):
    model, step = nn.Linear(x.shape[1], 8), 0
    own = list(model.parameters())
    m, v = ([torch.zeros_like(p) for p in own] for _ in range(2))
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            gradients = torch.autograd.grad(F.cross_entropy(model(x[rows]), y[rows]), own)
            step += 1
            with torch.no_grad():
                for p, g, a, b in zip(own, gradients, m, v):
                    a.lerp_(g, 0.1)
                    b.lerp_(g * g, 0.001)
                    p -= {rate} * (a / (1 - 0.9**step)) / ((b / (1 - 0.999**step)).sqrt() + 1e-8)
    return model
"""


def roc(end="np.array(f), np.array(t)", start="[0.0], [0.0]", at=">=", thresholds=None, by=None):
    thresholds = thresholds or "sorted(set(scores.tolist()), reverse=True)"
    f_by, t_by = by or ("(truth == 0).sum()", "(truth == 1).sum()")
    return f"""# Exercise 6.5
def roc_points(scores, truth):
    f, t = {start}
    for c in {thresholds}:
        yes = scores {at} c
        f.append((yes & (truth == 0)).sum() / {f_by})
        t.append((yes & (truth == 1)).sum() / {t_by})
    return {end}
"""


def block(forward, shortcut=True, last_norm="nn.BatchNorm2d(c_out)"):
    condition = "stride != 1 or c_in != c_out" if shortcut else "True"
    return f"""# Exercise 6.6
class ResidualBlock(nn.Module):
    def __init__(self, c_in, c_out, stride=1):
        super().__init__()
        self.one = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.two = nn.Conv2d(c_out, c_out, 3, 1, 1)
        self.n1, self.n2 = nn.BatchNorm2d(c_out), {last_norm}
        self.short = None
        if {condition}:
            self.short = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride), nn.BatchNorm2d(c_out))
    def forward(self, x):
        f = self.n2(self.two(torch.relu(self.n1(self.one(x)))))
        s = x if self.short is None else self.short(x)
        {forward}
"""


PADDED = "self.two = nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(c_out, c_out, 3))"


def attend(expression, tokens="197"):
    return f"""# Exercise 6.7
def attention(q, k, v):
    return {expression}
vit_tokens = {tokens}
"""


def frozen(rule="i >= n - last", mode=None, chosen="[b for b in blocks if list(b.parameters())]"):
    mode = mode or (
        "[m.eval() for m in model.modules() "
        "if isinstance(m, nn.BatchNorm2d) and not m.weight.requires_grad]"
    )
    return f"""# Exercise 6.8
def freeze(blocks, last):
    chosen = {chosen}
    n = len(chosen)
    for i, b in enumerate(chosen):
        for p in b.parameters():
            p.requires_grad = {rule}
def train_mode(model):
    model.train()
    {mode}
"""


def frozen_body(body):
    return (
        frozen().split("def freeze")[0]
        + f"""def freeze(blocks, last):
    chosen = [b for b in blocks if list(b.parameters())]
    {body}
def train_mode"""
        + frozen().split("def train_mode")[1]
    )


def paired(error, d="np.asarray(b) - np.asarray(a)", t="stats.t.ppf(0.975, len(d) - 1)"):
    return f"""# Exercise 6.9
from scipy import stats
def paired_interval(a, b, test_share):
    d = {d}
    half = {t} * np.sqrt({error})
    return d.mean(), d.mean() - half, d.mean() + half
"""


def cut(body):
    return f"""# Exercise 6.10
def patches(images, size):
    b, c, h, w = images.shape
    g = images.reshape(b, c, h // size, size, w // size, size)
    {body}
"""


def layer(
    one="x = x + self.out(found)",
    two="return x + self.mlp(self.norm2(x))",
    norm="self.norm1(x)",
    heads="self.heads",
):
    return f"""# Exercise 6.11
class EncoderLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
    def forward(self, x):
        start = x
        q, k, v = torch.chunk(self.qkv({norm}), 3, 2)
        q, k, v = (heads_apart(part, {heads}) for part in (q, k, v))
        found = heads_together(attention(q, k, v), {heads})
        {one}
        {two}
"""


S = "q @ k.transpose(1, 2)"
RIGHT_ERROR = "(1 / len(d) + test_share) * d.var(ddof=1)"
FIT_BOTH = (
    "both = np.concatenate([train, test]); p = PCA(components).fit(both) if components else None\n"
    "    both = p.transform(both) if p else both\n"
    "    both = StandardScaler().fit_transform(both); return both[:len(train)], both[len(train):]"
)
FIT_EACH = (
    "if components:\n        p = PCA(components, random_state=0).fit(train)\n"
    "        train, test = p.transform(train), p.transform(test)\n"
    "    return StandardScaler().fit_transform(train), StandardScaler().fit_transform(test)"
)
NO_SCALE = (
    "if components:\n        p = PCA(components, random_state=0).fit(train)\n"
    "        train, test = p.transform(train), p.transform(test)\n    return train, test"
)
NO_PCA = "s = StandardScaler().fit(train); return s.transform(train), s.transform(test)"
BY_HAND = (
    "if components:\n        centre = train.mean(0)\n"
    "        axes = np.linalg.svd(train - centre, full_matrices=False)[2][:components].T\n"
    "        train, test = (train - centre) @ axes, (test - centre) @ axes\n"
    "    m, s = train.mean(0), train.std(0) + 1e-8\n    return (train - m) / s, (test - m) / s"
)
STILL_SEVEN = (
    "if components:\n        p = PCA(components, random_state=0).fit(train)\n"
    "        train, test = p.transform(train), p.transform(test)\n"
    "    m, s, out = train.mean(0), train.std(0), []\n"
    "    for part in (train, test):\n"
    "        else_ = part\n"
    "        out.append(np.where(s > 0, (part - m) / np.where(s > 0, s, 1), else_))\n"
    "    return out"
)
PIPELINE = (
    "from sklearn.pipeline import make_pipeline\n"
    "    steps = [PCA(components, svd_solver='full')] if components else []\n"
    "    pipe = make_pipeline(*steps, StandardScaler()).fit(train)\n"
    "    return [pipe.transform(train), pipe.transform(test)]"
)

WRONG = {
    "6.1": [
        (length("(side // cell) ** 2 * block ** 2 * orientations"), "35 places"),
        (length("(side // cell // block) ** 2 * block ** 2 * orientations"), "overlap"),
        (length("(side // cell - block + 1) ** 2 * orientations"), "2 x 2 histograms"),
        (length("(side // cell - block + 1) ** 2 * block ** 2"), "9 orientations"),
        (length("(side / cell - block + 1) ** 2 * block ** 2 * orientations"), "22.5"),
        (length("(side // cell - 1) ** 2 * 4 * 9"), "use `block`"),
        (length("None"), "gives None"),
        (length("(round(side / cell) - block + 1) ** 2 * block ** 2 * orientations"), "round down"),
        (length("(-(-side // cell) - block + 1) ** 2 * block ** 2 * orientations"), "round down"),
        (length("44100"), "1,764"),
        (length("(side // cell) ** 2 * orientations"), "overlap"),
        (length("'44100'"), "numbers"),
        (
            length(
                "((side // cell - block) // max(1, block // 2) + 1)**2 * block**2 * orientations"
            ),
            "by one cell",
        ),
    ],
    "6.2": [
        (
            neighbours(
                "u = features / np.linalg.norm(features, axis=0); c = u @ u[query]; c[query] = -9; "
                "return np.argsort(-c)[:k]"
            ),
            "axis=1",
        ),
        (
            neighbours(
                "u = features / abs(features).sum(1)[:, None]; c = u @ u[query]; c[query] = -9; "
                "return np.argsort(-c)[:k]"
            ),
            "sum of squares",
        ),
        (neighbours(UNIT + "return np.argsort(-(u @ u[query]))[:k]"), "own neighbours"),
        (neighbours(UNIT + "return np.argsort(u @ u[query])[:k]"), "least alike"),
        (
            neighbours(
                "d = np.linalg.norm(features - features[query], axis=1); return np.argsort(d)[1:k + 1]"
            ),
            "by distance",
        ),
        (
            neighbours(
                "c = features @ features[query]; c[query] = -np.inf; return np.argsort(-c)[:k]"
            ),
            "both",
        ),
        (neighbours("return None"), "return k row"),
        (
            neighbours(UNIT + "c = abs(u @ u[query]); c[query] = -9; return np.argsort(-c)[:k]"),
            "the opposite",
        ),
        (
            neighbours(
                "c = np.corrcoef(features)[query]; c[query] = -9; return np.argsort(-c)[:k]"
            ),
            "mean was subtracted",
        ),
        (
            neighbours(UNIT + "c = u @ u[query]; c[query] = -9; return np.sort(c)[::-1][:k]"),
            "cosines",
        ),
        (
            neighbours(UNIT + "c = np.delete(u @ u[query], query); return np.argsort(-c)[:k]"),
            "shifts",
        ),
        (
            neighbours(UNIT + "c = u @ u[query]; c[query] = -9; return np.argsort(-c)[:5]"),
            "came back",
        ),
        (
            neighbours(UNIT + "c = u @ u[query]; c[query] = -9; return sorted(np.argsort(-c)[:k])"),
            "sort them",
        ),
        (
            neighbours(
                "features /= np.linalg.norm(features, axis=1, keepdims=True); "
                "c = features @ features[query]; c[query] = -9; return np.argsort(-c)[:k]"
            ),
            "copy",
        ),
        (
            neighbours(UNIT + "return np.argsort(-(u @ u[query]))[1:k + 1]"),
            "leave out the query only",
        ),
        (
            neighbours(UNIT + "return np.argsort(u @ u[query])[::-1][1:k + 1]"),
            "leave out the query only",
        ),
        (
            neighbours(UNIT + "c = u @ u[query]; c[c > 0.9999] = -9; return np.argsort(-c)[:k]"),
            "leave out the query only",
        ),
        (
            neighbours(UNIT + "c = u @ u[query]; c[query] = -9; return np.argpartition(-c, k)[:k]"),
            "not sorted",
        ),
        (
            neighbours(UNIT + "c = u @ u[query]; c[query] = -9; return np.argsort(c)[:k]"),
            "small to large",
        ),
        (
            neighbours(
                "u = features / (features ** 2).sum(1)[:, None]; c = u @ u[query]; c[query] = -9; "
                "return np.argsort(-c)[:k]"
            ),
            "root is missing",
        ),
        (
            neighbours(
                UNIT + "o = np.argsort(-(u @ u[query])); "
                "return [i for i in o if (features[i] != features[query]).any()][:k]"
            ),
            "leave out the query only",
        ),
    ],
    "6.3": [
        (ready(FIT_BOTH), "leak"),
        (ready(FIT_EACH), "fitted on itself"),
        (ready(NO_SCALE), "mean 0"),
        (ready(NO_PCA), "shapes"),
        (ready("return train"), "return train and test"),
        (
            ready(
                "if components:\n        p = PCA(components).fit(train)\n"
                "        train, test = p.transform(train), p.transform(test)\n"
                "    m, s = train.mean(0), train.std(0)\n"
                "    return (train - m) / s, (test - m) / s"
            ),
            "never changes",
        ),
        (
            ready(
                "p = PCA(components, random_state=0).fit(train)\n"
                "    train, test = p.transform(train), p.transform(test)\n"
                "    s = StandardScaler().fit(train); return s.transform(train), s.transform(test)"
            ),
            "only scaled",
        ),
        (
            ready(
                "s = StandardScaler().fit(train); train, test = s.transform(train), s.transform(test)\n"
                "    if components:\n        p = PCA(components, random_state=0).fit(train)\n"
                "        train, test = p.transform(train), p.transform(test)\n"
                "        s = StandardScaler().fit(train); train, test = s.transform(train), s.transform(test)\n"
                "    return train, test"
            ),
            "before PCA",
        ),
        (ready(FIT_EACH.replace("StandardScaler().fit_transform(test)", "test")), "test part"),
        (ready("train -= train.mean(0)\n    " + BY_HAND), "array that it is given"),
        (
            ready(
                BY_HAND.replace(
                    "test = (train - centre) @ axes, (test - centre)",
                    "test = (train - centre) @ axes, test",
                )
            ),
            "test part",
        ),
        (ready(STILL_SEVEN), "is kept, and becomes 0"),
        (ready(STILL_SEVEN.replace("else_ = part", "else_ = 1")), "is kept, and becomes 0"),
        (
            ready("s = train.std(0) > 0; train, test = train[:, s], test[:, s]\n    " + PIPELINE),
            "is kept, and becomes 0",
        ),
        (ready(PIPELINE.replace("PCA(components", "PCA(2")), "(80, 3)"),
        (
            ready(
                "if components:\n        train = PCA(components).fit_transform(train)\n"
                "    s = StandardScaler().fit(train); return s.transform(train), s.transform(test)"
            ),
            "does `test` pass through",
        ),
    ],
    "6.4": [
        (probe("nn.Linear(x.shape[1], 8, bias=False)"), "104 parameters"),
        (probe().replace("1e-3)", "1e-3, weight_decay=0.1)"), "weight_decay"),
        (
            probe(step="loss.backward(); optimizer.zero_grad(); optimizer.step()"),
            "there is no gradient",
        ),
        (probe(end="return float(loss)"), "return the trained layer"),
        (probe("nn.Sequential(nn.Linear(x.shape[1], 8), nn.Softmax(1))"), "softmax"),
        (probe("nn.Sequential(nn.Linear(x.shape[1], 8), nn.LogSoftmax(1))"), "softmax"),
        (probe(step="loss.backward()"), "is step() called"),
        (probe().replace("optimizer.zero_grad(); ", ""), "zero_grad() is missing"),
        (probe().replace("(model(x[rows]), y", "(model(x[rows]).softmax(1), y"), "takes logits"),
        (probe().replace("torch.optim.Adam(", "torch.optim.SGD("), "asks for Adam"),
        (probe().replace("1e-3", "1.0"), "learning rate"),
        (probe(batches="torch.arange(len(x)).split(64)"), "not shuffled"),
        (probe(batches="[torch.randperm(len(x))]"), "asks for 64"),
        (probe(batches="torch.randperm(len(x)).split(64)[:-1]"), "left out"),
        (
            probe()
            .replace(
                "    for _ in range", "    o = torch.randperm(len(x)).split(64)\n    for _ in range"
            )
            .replace("in torch.randperm(len(x)).split(64):", "in o:"),
            "shuffled only once",
        ),
        (probe("nn.Linear(x.shape[1], 2)"), "out of bounds"),
        (probe("nn.Linear(512, 8)"), "in `train_logistic`"),
        (
            probe("nn.Sequential(nn.Linear(x.shape[1], 9), nn.ReLU(), nn.Linear(9, 8))"),
            "one linear layer",
        ),
        (probe().replace("model.parameters()", "[model.weight]"), "weight and bias"),
        (
            probe().replace("model.parameters(), 1e-3", "model.parameters(), 1e-3, maximize=True"),
            "to other weights",
        ),
        (
            probe().replace(
                "        for rows",
                "        optimizer = torch.optim.Adam(model.parameters(), 1e-3)\n        for rows",
            ),
            "one optimiser",
        ),
        (
            probe().replace(
                "        for rows",
                "        model = nn.Linear(x.shape[1], 8)\n"
                "        optimizer = torch.optim.Adam(model.parameters(), 1e-3)\n        for rows",
            ),
            "one layer",
        ),
        (probe(step="loss.backward; optimizer.step()"), "there is no gradient"),
        (
            probe().replace("CrossEntropyLoss()", "CrossEntropyLoss(label_smoothing=0.1)"),
            "plain cross-entropy",
        ),
        (probe(batches="torch.randint(len(x), (len(x),)).split(64)"), "do not draw"),
        (probe("nn.Linear(x.shape[1], int(y.max()) + 1)"), "absent from y"),
        (probe("nn.Linear(x.shape[1], 8); x = (x - x.mean(0)) / x.std(0)"), "as it comes"),
        (probe("nn.Linear(x.shape[1], 8); x -= x.mean(0)"), "x was changed"),
        (
            probe()
            .replace(
                "    for _ in", "    import random\n    o = list(" + SHUFFLED + ")\n    for _ in"
            )
            .replace(
                "        for rows in " + SHUFFLED,
                "        random.shuffle(o)\n        for rows in o",
            ),
            "order of all rows",
        ),
        (
            probe()
            .replace("    for _ in", "    o = " + SHUFFLED + "\n    for _ in")
            .replace("in " + SHUFFLED, "in [r[torch.randperm(len(r))] for r in o]"),
            "order of all rows",
        ),
        (
            probe().replace(
                "Loss()", "Loss(weight=1 / (1 + torch.bincount(y, minlength=8)).float())"
            ),
            "plain cross-entropy",
        ),
        (probe().replace("1e-3)", "1e-3, amsgrad=True)"), "Adam as it comes"),
        (probe().replace("1e-3)", "1e-3, betas=(0.5, 0.999))"), "Adam as it comes"),
        (probe().replace("1e-3)", "1e-3, eps=1e-3)"), "Adam as it comes"),
        (
            probe(step="loss.backward()").replace("model(x[rows])", "x[rows] @ model.weight.T"),
            "is step() called",
        ),
        (  # another learning rate, in a form whose batches are not seen
            by_hand_adam(1e-2).replace("model(x[rows])", "torch.vmap(model)(x[rows])"),
            "come to a loss",
        ),
    ],
    "6.5": [
        (roc(by=("(truth == 1).sum()", "(truth == 0).sum()")), "own group"),
        (roc(by=("(truth == 0).sum()", "yes.sum()")), "must rise"),
        (roc("np.array(t), np.array(f)"), "swapped"),
        (roc(start="[], []"), "first point"),
        (roc(at=">"), "last point"),
        (roc(thresholds="sorted(scores.tolist(), reverse=True)"), "different scores"),
        (roc(by=("len(truth)", "len(truth)")), "own group"),
        (roc("np.array(f)"), "two arrays"),
        (roc(thresholds="np.unique(scores)"), "must rise"),
        (
            "# Exercise 6.5\nfrom sklearn.metrics import roc_curve\n"
            "def roc_points(scores, truth):\n    return roc_curve(truth, scores)[:2]",
            "drop_intermediate",
        ),
        (roc(thresholds="np.unique(scores.round(2))[::-1]"), "different scores"),
        (roc().replace("f, t =", "scores.sort(); f, t ="), "array that it is given"),
        (roc(at="<="), ">= the threshold"),
        (roc(by=("yes.sum()", "yes.sum()")), "own group"),
        (roc("100 * np.array(f), 100 * np.array(t)"), "per cent"),
    ],
    "6.6": [
        (
            block("return torch.relu(f + s)").replace(
                "nn.Conv2d(c_in, c_out, 1, stride)",
                "nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(c_in, c_out, 1)",
            ),
            "no pooling before it",
        ),
        (
            block("return torch.relu(f + s)").replace("stride != 1 or c_in", "c_in"),
            "where the shape changes",
        ),
        (block("return torch.relu(f - s)"), "as in the text"),
        (block("torch.relu(f + s)"), "return"),
        (block("return torch.relu(f)"), "add the input"),
        (block("return f + s"), "ReLU after the sum"),
        (block("return torch.relu(torch.relu(f) + s)"), "only add"),
        (block("return torch.relu(f + s)", last_norm="nn.Identity()"), "batch normalisation"),
        (block("return torch.relu(f + s)", shortcut=False), "else none"),
        (
            block("return torch.relu(f + s)")
            .replace("3, stride, 1,", "3, 1, 1,")
            .replace("c_out, c_out, 3, 1,", "c_out, c_out, 3, stride,"),
            "first convolution only",
        ),
        (
            block("return torch.relu(f + s)").replace(
                "1, stride), nn.BatchNorm2d(c_out))", "1, stride))"
            ),
            "behind the shortcut",
        ),
        (
            block("return torch.relu(f + s)").replace(
                "torch.relu(self.n1(self.one(x)))", "self.n1(self.one(x))"
            ),
            "inside F",
        ),
        (
            block("return torch.relu(f + s)").replace("self.n1(self.one(x))", "self.one(x)"),
            "behind the first",
        ),
        (block("return torch.relu(f + torch.relu(s))"), "of its own"),
        (
            block("return torch.relu(f + s)").replace("stride != 1 or", "stride == 2 or"),
            "where the shape changes",
        ),
        (
            block("return torch.relu(f + s)").replace("c_in != c_out", "c_in < c_out"),
            "where the shape changes",
        ),
        (
            block("return torch.relu(f + s)").replace("3, stride, 1, bias", "3, stride, bias"),
            "padding=1",
        ),
        (
            block("return torch.relu(f + s)").replace(", bias=False", ""),
            "has a bias",
        ),
        (block("return torch.relu(f + s)").replace("self.n2(self", "self.n1(self"), "used twice"),
        (
            block("return torch.relu(F.dropout(f, 0.2) + s)"),
            "as in the text",
        ),
        (block("return torch.relu(f.detach() + s)"), "does not arrive"),
        (
            block("return torch.relu(f + s)")
            .replace("self.one = nn.C", "self.parts = [nn.C")
            .replace("bias=False)", "bias=False)]")
            .replace("self.one(", "self.parts[0]("),
            "into a list",
        ),
        (
            block("return torch.relu(f + s)").replace("3, stride, 1,", "3, stride, 2, 2,"),
            "padded by zeros",
        ),
        (
            block("return torch.relu(f + s)").replace("False)", "False, padding_mode='reflect')"),
            "padded by zeros",
        ),
        (
            block("return torch.relu(f + s)").replace("self.one(x)", "self.one(x.detach())"),
            "only in part",
        ),
        (block("return torch.relu(f + s.detach())"), "only in part"),
        (block("return torch.relu(f + s)").replace("c_in, c_out, 3", "4, c_out, 3"), "do not fit"),
        (
            block("return torch.relu(f + s)", last_norm="nn.BatchNorm2d(c_out, affine=False)"),
            "affine=true",
        ),
    ],
    "6.7": [
        (attend(f"({S} / v.shape[-1] ** 0.5).softmax(-1) @ v"), "not that of a value"),
        (
            attend(f"torch.zeros_like(q) + ({S} / q.shape[-1] ** 0.5).softmax(-1) @ v"),
            "v (3, 7, 4)",
        ),
        (attend(f"({S} / q.shape[-1] ** 0.5).softmax(0) @ v"), "over the images"),
        (attend(f"({S}).softmax(-1) / q.shape[-1] ** 0.5 @ v"), "before the softmax"),
        (
            attend("(k @ q.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1) @ v"),
            "queries meet keys",
        ),
        (attend(f"({S} / q.shape[-1] ** 0.5).softmax(-1) @ k"), "collect values"),
        (attend(f"({S}).softmax(-1) @ v"), "not scaled"),
        (attend(f"({S} / q.shape[-1] ** 0.5).softmax(1) @ v"), "over the queries"),
        (attend(f"({S} / q.shape[-1]).softmax(-1) @ v"), "not by d"),
        (attend(f"({S} / q.shape[-1] ** 0.5) @ v"), "softmax is missing"),
        (attend(f"({S} / q.shape[-1] ** 0.5).softmax(-1) @ v", "196"), "196 patches"),
        (attend(f"({S} / q.shape[-1] ** 0.5).softmax(-1) @ v", "14 + 1"), "14 patches"),
        (attend("q"), "differ"),
        (attend(f"({S} / 4).softmax(-1) @ v"), "last dimension"),
        (attend(f"({S} / q.shape[1] ** 0.5).softmax(-1) @ v"), "number of tokens"),
        (attend(f"({S} * q.shape[-1] ** 0.5).softmax(-1) @ v"), "do not multiply"),
        (attend("F.scaled_dot_product_attention(q, k, v)"), "ready-made"),
        (attend("torch.nn.functional.scaled_dot_product_attention(q, k, v)"), "ready-made"),
        (
            attend(f"({S} / q.shape[-1] ** 0.5).softmax(-1) @ v.detach() + 0 * v.detach()")
            .replace("q @", "q.detach() @")
            .replace("k.tr", "k.detach().tr"),
            "no gradient",
        ),
        (
            attend(
                "torch.from_numpy((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1).numpy() @ v.numpy())"
            ),
            "no gradient",
        ),
        (
            attend(f"({S}).softmax(-1) @ v").replace(
                "    return", "    q /= q.shape[-1] ** 0.5\n    return"
            ),
            "was changed",
        ),
        (attend("(q @ k / q.shape[-1] ** 0.5).softmax(-1) @ v"), "k.transpose(1, 2)"),
        (attend("(q @ k.T / q.shape[-1] ** 0.5).softmax(-1) @ v"), "k.transpose(1, 2)"),
        (
            attend("(q @ k.reshape(len(k), k.shape[2], -1) / q.shape[-1] ** 0.5).softmax(-1) @ v"),
            "reshape does not",
        ),
        (attend(f"({S} / q.shape[-1] ** 0.5).softmax(-1).detach() @ v"), "only in part"),
        (attend(f"(q.detach() {S[2:]} / q.shape[-1] ** 0.5).softmax(-1) @ v"), "only in part"),
        (attend(f"({S} / q.shape[-1] ** 0.5).softmax(-1) @ v", "'197'"), "must give numbers"),
    ],
    "6.8": [
        (frozen("i >= n - k").replace("blocks, last)", "blocks, k)"), "argument 'last'"),
        (frozen("i >= last"), "should learn"),
        (frozen("i < n - last"), "should learn"),
        (frozen("i < last"), "wrong way round"),
        (frozen("False"), "nothing learns"),
        (frozen("p.requires_grad and i >= n - last"), "arrived frozen"),
        (frozen("i >= n - last or p.requires_grad"), "everything learns"),
        (frozen(chosen="list(blocks)"), "do not count"),
        (
            frozen_body(
                "ps = list(blocks.parameters())\n"
                "    for i, p in enumerate(ps): p.requires_grad = i >= len(ps) - last"
            ),
            "count blocks",
        ),
        (
            frozen_body(
                "for b in chosen[:-last]: b.requires_grad_(False)\n"
                "    for b in chosen[-last:]: b.requires_grad_(True)"
            ),
            "whole list",
        ),
        (frozen_body("for b in chosen[:-last]: b.requires_grad_(False)"), "arrived frozen"),
        (
            frozen_body(
                "blocks.requires_grad_(False)\n"
                "    for b in chosen[len(chosen) - last:]: b[0].requires_grad_(True)"
            ),
            "learns in part",
        ),
        (
            frozen(
                mode="[m.eval() for m in model.modules() if not any(p.requires_grad for p in m.parameters())]"
            ),
            "is in eval(), too",
        ),
        (
            frozen(
                mode="[m.eval() for m in model if isinstance(m, nn.BatchNorm2d) and not m.weight.requires_grad]"
            ),
            "inside a block",
        ),
        (frozen("i >= n - last if last else True"), "whole list"),
        (frozen(mode="pass"), "must be in eval"),
        (frozen(mode="model.eval()"), "whole model is in eval"),
        (
            frozen(mode="[m.eval() for m in model.modules() if isinstance(m, nn.BatchNorm2d)]"),
            "that learns",
        ),
        (
            frozen_body(
                "for i, b in enumerate(chosen):\n"
                "        for c in b.children(): c.requires_grad_(i >= len(chosen) - last)"
            ),
            "should learn",
        ),
        (
            frozen_body(
                "blocks = copy.deepcopy(blocks); blocks.requires_grad_(False)\n"
                "    blocks[4].requires_grad_(True); return blocks"
            ),
            "a copy",
        ),
        (
            frozen(
                mode="[m.eval() for b in model.children() for m in b.children() "
                "if isinstance(m, nn.BatchNorm2d) and not m.weight.requires_grad]"
            ),
            "inside a block",
        ),
        (
            frozen(
                mode="[m.eval() for b in model for m in b.modules() "
                "if isinstance(m, nn.BatchNorm2d) and not m.weight.requires_grad]"
            ),
            "any network",
        ),
        (frozen("i >= 3 - last"), "should learn"),
        (
            frozen_body(
                "for i, b in enumerate(chosen):\n        for m in b.modules():\n"
                "            if isinstance(m, nn.Conv2d | nn.BatchNorm2d):\n"
                "                m.requires_grad_(i >= len(chosen) - last)"
            ),
            "nothing learns",
        ),
        (
            frozen(
                mode="[m.eval() for m in model.modules() "
                "if list(m.parameters()) and not any(p.requires_grad for p in m.parameters())]"
            ),
            "is in eval(), too",
        ),
        (
            frozen(
                mode="[m.eval() for m in model.modules() "
                "if hasattr(m, 'weight') and not m.weight.requires_grad]"
            ),
            "conv2d is in eval(), too",
        ),
        (
            frozen(
                mode="[m.eval() for m in model.modules() "
                "if isinstance(m, nn.BatchNorm2d) and not m.bias.requires_grad]"
            ),
            "that learns",
        ),
    ],
    "6.9": [
        (paired(RIGHT_ERROR, t="stats.t.ppf(0.95, len(d) - 1)"), "0.975"),
        (paired(f"({RIGHT_ERROR}) ** 2"), "square root"),
        (paired(RIGHT_ERROR).replace("d.mean() - half,", "half,"), "low end"),
        (
            paired(RIGHT_ERROR).replace("d.mean() - half, d.mean() + half", "d.min(), d.max()"),
            "different distances",
        ),
        (
            paired(RIGHT_ERROR).replace(
                "d.mean() - half, d.mean() + half", "d.mean() + half, d.mean() - half"
            ),
            "low end",
        ),
        (paired("d.var(ddof=1) / len(d)"), "independent"),
        (paired(RIGHT_ERROR, d="np.asarray(a) - np.asarray(b)"), "sign"),
        (paired(RIGHT_ERROR, t="1.959964"), "1.96"),
        (paired("(1 / len(d) + 0.25) * d.var(ddof=1)"), "test_share"),
        (paired("(1 / 5 + test_share) * d.var(ddof=1)"), "len(d)"),
        (paired("(1 / len(d) + test_share) * d.var()"), "ddof"),
        (paired("(1 / len(d) + test_share) * (a.var(ddof=1) + b.var(ddof=1))"), "not paired"),
        (paired(RIGHT_ERROR, d="np.abs(b - a)"), "with their signs"),
        (paired(RIGHT_ERROR, d="np.sort(b) - np.sort(a)"), "pairs are torn"),
        (
            paired(RIGHT_ERROR).replace("    d =", "    a.sort(); b.sort()\n    d ="),
            "that it is given",
        ),
        (paired(RIGHT_ERROR, t="stats.t.ppf(0.975, len(d))"), "not k"),
        (paired(RIGHT_ERROR, t="1"), "half the interval is"),
        (
            paired(RIGHT_ERROR).replace(
                "d.mean(), d.mean() - half, d.mean() + half",
                "d.mean(), (d.mean() - half, d.mean() + half)",
            ),
            "three numbers",
        ),
    ],
    "6.10": [
        (cut("return images.reshape(b, -1, c * size * size)"), "one reshape"),
        (cut("return g.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, c * size * size)"), "colours"),
        (cut("return g.permute(0, 4, 2, 1, 3, 5).reshape(b, -1, c * size * size)"), "columns"),
        (cut("return g.permute(0, 2, 4, 1, 5, 3).reshape(b, -1, c * size * size)"), "on its side"),
        (cut("return F.unfold(images, size, stride=size)"), "swapped"),
        (cut("return g.permute(0, 2, 4, 1, 3, 5)"), "give (2, 6, 12), not"),
        (cut("return F.unfold(images, size).transpose(1, 2)"), "not (2, 15, 12)"),
        (cut("g.permute(0, 2, 4, 1, 3, 5)"), "return"),
        (
            cut("return g.permute(0, 2, 4, 1, 3, 5).reshape(b, -1, 3 * size * size)"),
            "give (2, 6, 4)",
        ),
        (
            cut("return g.permute(0, 2, 4, 1, 3, 5).reshape(b, -1, c * size * size).flip(1)"),
            "other places",
        ),
        (
            cut("return F.unfold(images, size, stride=size).transpose(1, 2).numpy()"),
            "return a tensor",
        ),
        (cut("return F.unfold(images / 255, size, stride=size).mT"), "change none"),
        (
            cut("pass").replace("c, h // size, size, w // size", "3, h // size, size, h // size"),
            "images.shape",
        ),
        (
            cut("return g.permute(0, 2, 4, 1, 3, 5).reshape(b, -1, c * size * size)").replace(
                "shape\n", "shape; b = 2\n", 1
            ),
            "images.shape",
        ),
    ],
    "6.11": [
        (layer().replace("q, k, v = torch.chunk", "k, q, v = torch.chunk"), "in this order"),
        (layer("start = self.norm1(x); x = start + self.out(found)"), "as they came"),
        (layer(two="return x + self.mlp(self.norm1(x))"), "norm2"),
        (layer(norm="self.norm2(x)"), "norm1 belongs"),
        (layer(one="x = self.out(found)"), "attention found is not added"),
        (layer(two="return self.mlp(self.norm2(x))"), "small network gives is not added"),
        (layer(one="x = self.out(found)", two="return self.mlp(self.norm2(x))"), "neither part"),
        (layer(norm="x"), "first norm"),
        (layer(two="return x + self.mlp(x)"), "second norm"),
        (layer(norm="x", two="return x + self.mlp(x)"), "both norms"),
        (layer(two="return x + self.mlp(self.norm2(start))"), "starts from"),
        (layer(one="x = x + found"), "`out` is missing"),
        (layer(heads="1"), "heads are not apart"),
        (layer(heads="3"), "self.heads"),
        (layer(two="return x"), "small network is missing"),
        (
            layer(
                norm="x",
                one="x = self.norm1(x + self.out(found))",
                two="return self.norm2(x + self.mlp(x))",
            ),
            "after the sums",
        ),
        (layer(one="x += self.out(found)"), "input was changed"),
        (layer(two="x + self.mlp(self.norm2(x))"), "return"),
        (layer(two="return (x + self.mlp(self.norm2(x)))[:, 0]"), "must stay"),
        (layer(heads="4"), "self.heads"),
        (layer().replace("q, k, v = torch.chunk", "q, v, k = torch.chunk"), "then keys"),
        (layer(two="return start + self.mlp(self.norm2(x))"), "not to the input"),
        (
            layer(
                norm="self.norm1(x + self.mlp(self.norm2(x)))",
                one="x = x + self.mlp(self.norm2(x))",
                two="return x + self.out(found)",
            ),
            "attention comes first",
        ),
        (layer().replace("3, 2)", "3, 1)"), "along the last dimension"),
        (layer(one="x = x + self.out(found).detach()"), "does not arrive"),
        (
            layer(two="return x + F.dropout(self.mlp(self.norm2(x)), 0.1, self.training)"),
            "other numbers",
        ),
        (layer(one="x = x.detach() + self.out(found)"), "only in part"),
        (layer(two="return x.detach() + self.mlp(self.norm2(x))"), "only in part"),
        (layer().replace("attention(q, k", "attention(q.detach(), k"), "only in part"),
        (layer().replace("3, 2)", "3)"), "along the last dimension"),
    ],
}

RIGHT = {
    "6.1": [
        length("float((side // cell - block + 1) ** 2 * block ** 2 * orientations)"),
        length("int((side // cell - (block - 1)) ** 2) * orientations * block * block"),
        length("np.int64((side // cell + 1 - block) ** 2 * (orientations * block ** 2))"),
    ],
    "6.2": [
        neighbours(
            "c = [f @ features[query] / np.linalg.norm(f) if i != query else -1e9 "
            "for i, f in enumerate(features)]; return list(np.argsort(c)[::-1][:k])"
        ),
        neighbours(
            UNIT + "o = np.argsort(-(u @ u[query])); return torch.tensor(o[o != query][:k])"
        ),
        "# Exercise 6.2\nfrom sklearn.neighbors import NearestNeighbors\n"
        "def nearest(features, query, k=5):\n"
        "    near = NearestNeighbors(n_neighbors=k + 1, metric='cosine').fit(features)\n"
        "    found = near.kneighbors(features[[query]], return_distance=False)[0]\n"
        "    return found[found != query][:k]",
    ],
    "6.3": [
        ready(
            "if components:\n        p = PCA(components).fit(train)\n"
            "        train, test = p.transform(train), p.transform(test)\n"
            "    m, s = train.mean(0), train.std(0, ddof=1)\n"
            "    s[s == 0] = 1\n"
            "    return torch.tensor((train - m) / s), torch.tensor((test - m) / s)"
        ),
        ready(BY_HAND),
        ready(PIPELINE),
        ready(
            PIPELINE.replace(
                "return [",
                "return torch.tensor(pipe.transform(train)), torch.tensor(pipe.transform(test)) #",
            )
        ),
        ready(
            PIPELINE.replace(
                "pipe.transform(test)]", "torch.tensor(pipe.transform(test), requires_grad=True)]"
            )
        ),
    ],
    "6.4": [
        probe()
        .replace("    for _ in", "    torch.set_grad_enabled(False)\n    for _ in", 1)
        .replace(
            "loss = nn.CrossEntropyLoss()(model(x[rows]), y[rows])",
            "e = (model(x[rows]).softmax(1) - F.one_hot(y[rows], 8)) / len(rows)",
        )
        .replace(
            "optimizer.zero_grad(); loss.backward()",
            "model.weight.grad, model.bias.grad = e.T @ x[rows], e.sum(0)",
        )
        .replace("    return", "    torch.set_grad_enabled(True)\n    return"),
        probe("nn.Linear(x.shape[1], 8).double()")
        .replace("model(x[rows])", "model(x[rows].double())")
        .replace("return model", "return model.float()"),
        probe("nn.Sequential(nn.Linear(x.shape[1], 8))"),
        probe().replace("nn.CrossEntropyLoss()(", "nn.CrossEntropyLoss(reduction='sum')("),
        probe().replace(
            "nn.CrossEntropyLoss()(model(x[rows])", "F.nll_loss(model(x[rows]).log_softmax(1)"
        ),
        probe(batches="DataLoader(torch.arange(len(x)), 64, shuffle=True)"),
        probe("nn.Linear(x.shape[1], 8); nn.init.zeros_(model.weight)"),
        probe().replace("model(x[rows])", "F.linear(x[rows], model.weight, model.bias)"),
        """# Exercise 6.4
def train_logistic(x, y, epochs=50):
    model = nn.Linear(x.shape[1], 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for a, b in DataLoader(TensorDataset(x, y), 64, shuffle=True):
            def loss():
                optimizer.zero_grad()
                value = F.cross_entropy(model(a), b)
                value.backward()
                return value
            optimizer.step(loss)
    return model
""",
        by_hand_adam(),
        probe().replace("model(x[rows])", "x[rows] @ model.weight.T + model.bias"),
        probe().replace("model(x[rows])", "torch.addmm(model.bias, x[rows], model.weight.t())"),
        """# Exercise 6.4
class Layer(nn.Linear):
    def forward(self, z):
        return z.matmul(self.weight.mT) + self.bias
def train_logistic(x, y, epochs=50):
    model = Layer(x.shape[1], 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            hits = (model(x).argmax(1) == y).float().mean()  # a look at all rows
            optimizer.step()
    return model
""",
        """# Exercise 6.4
def train_logistic(x, y, epochs=50):
    w, b = torch.zeros(x.shape[1], 8, requires_grad=True), torch.zeros(8, requires_grad=True)
    optimizer = torch.optim.Adam([w, b], lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            loss = F.cross_entropy(x[rows] @ w + b, y[rows])
            optimizer.zero_grad(); loss.backward(); optimizer.step()
    model = nn.Linear(x.shape[1], 8)
    with torch.no_grad():
        model.weight.copy_(w.T); model.bias.copy_(b)
    return model
""",
        """# Exercise 6.4
def train_logistic(x, y, epochs=50):
    model = nn.Linear(x.shape[1], 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            with torch.no_grad():
                a = x[rows]
                d = model(a).softmax(1) - F.one_hot(y[rows], 8)
                model.weight.grad, model.bias.grad = d.T @ a / len(a), d.mean(0)
            optimizer.step()
    return model
""",
        """# Exercise 6.4
def train_logistic(x, y, epochs=50):
    model = nn.Linear(x.shape[1], 8)
    own = dict(model.named_parameters())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    def loss_of(p, a, b):
        return F.cross_entropy(torch.func.functional_call(model, p, (a,)), b)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            now = {k: v.detach() for k, v in own.items()}
            for k, g in torch.func.grad(loss_of)(now, x[rows], y[rows]).items():
                own[k].grad = g
            optimizer.step()
    return model
""",
        by_hand_adam().replace("model(x[rows])", "torch.vmap(model)(x[rows])"),
    ],
    "6.5": [
        """# Exercise 6.5
def roc_points(scores, truth):
    from sklearn.metrics import roc_curve
    return roc_curve(truth, scores, drop_intermediate=False)[:2]
""",
        "# Exercise 6.5\nfrom sklearn.metrics import roc_curve\n"
        "def roc_points(scores, truth):\n"
        "    return roc_curve(truth, scores, drop_intermediate=False)[:2]",
        roc("f, t"),
        roc("np.stack([f, t])"),
        roc("torch.tensor(f), torch.tensor(t)", by=("(1 - truth).sum()", "truth.sum()")),
        """# Exercise 6.5
def roc_points(scores, truth):
    at = np.r_[np.inf, np.unique(scores)[::-1]]
    yes = scores >= at[:, None]
    return (yes[:, truth == side].mean(1) for side in (0, 1))
""",
        roc("torch.tensor(f, requires_grad=True), torch.tensor(t)"),
    ],
    "6.6": [
        block("return torch.relu(f + s)"),
        block("return (s + f).clamp(min=0)"),
        "# Exercise 6.6\nfrom torchvision.models.resnet import BasicBlock\n"
        "def ResidualBlock(a, b, stride=1):\n"
        "    down = nn.Sequential(nn.Conv2d(a, b, 1, stride), nn.BatchNorm2d(b))\n"
        "    return BasicBlock(a, b, stride, down if stride > 1 or a != b else None)",
        block("return torch.relu(f + s)")
        .replace("self.one = nn.Conv2d(", "self.one = nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(")
        .replace("stride, 1, bias=False)", "stride, bias=False))")
        .replace("self.two = nn.Conv2d(c_out, c_out, 3, 1, 1)", PADDED),
    ],
    "6.7": [
        attend(f"F.softmax({S} / q.shape[-1] ** 0.5, -1) @ v", "1 + (224 // 16) * (224 // 16)"),
        attend("torch.softmax(torch.bmm(q, k.mT) / np.sqrt(q.shape[2]), 2) @ v", "14 ** 2 + 1"),
        attend(
            "torch.einsum('bnm,bmd->bnd', (torch.einsum('bnd,bmd->bnm', q, k) "
            "* q.size(-1) ** -0.5).softmax(2), v)",
            "torch.tensor(197)",
        ),
    ],
    "6.8": [
        frozen("bool(i + last >= n)"),
        frozen(
            mode="[m.train(m.weight.requires_grad) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]"
        ),
        frozen_body(
            "blocks.requires_grad_(False)\n"
            "    for b in chosen[len(chosen) - last:]: b.requires_grad_(True)\n    return blocks"
        ),
        "# Exercise 6.8\nfrom labkit.models.transfer import freeze\n"
        "def train_mode(model):\n    return model.train()",
        frozen_body(
            "return [b.requires_grad_(i >= len(chosen) - last) for i, b in enumerate(chosen)]"
        ),
    ],
    "6.9": [
        paired(RIGHT_ERROR),
        paired(RIGHT_ERROR).replace(
            "return d.mean(), d.mean() - half, d.mean() + half",
            "return torch.tensor([d.mean(), d.mean() - half, d.mean() + half])",
        ),
        "# Exercise 6.9\ndef paired_interval(a, b, test_share):\n"
        "    return lk.statistics.mean_interval(b - a, test_share)",
        paired(RIGHT_ERROR).replace(
            "return d.mean(), d.mean() - half, d.mean() + half",
            "return map(float, (d.mean(), d.mean() - half, d.mean() + half))",
        ),
    ],
    "6.10": [
        cut("return F.unfold(images, size, stride=size).transpose(1, 2)"),
        cut("return torch.einsum('bcisjt->bijcst', g).flatten(3).flatten(1, 2)"),
        cut(
            "p = images.unfold(2, size, size).unfold(3, size, size)\n"
            "    return p.permute(0, 2, 3, 1, 4, 5).reshape(b, -1, c * size ** 2)"
        ),
        cut(
            "rows = [images[:, :, i:i + size, j:j + size].reshape(b, -1)\n"
            "            for i in range(0, h, size) for j in range(0, w, size)]\n"
            "    return torch.stack(rows, 1)"
        ),
    ],
    "6.11": [
        layer(),
        layer(one="h = start + self.out(found)", two="return self.mlp(self.norm2(h)) + h"),
        layer(
            one="x = torch.add(self.out(found), x)",
            two="y = self.norm2(x)\n        for part in self.mlp: y = part(y)\n        return y + x",
        ),
    ],
}
