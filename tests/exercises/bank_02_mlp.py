"""Lab 02: usual mistakes, each with a word of the message they must get, and other right ways."""

NETWORK = """# Exercise 2.1
class BloodMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential({layers})
    def forward(self, images):
        {forward}
expected_parameters = {count}
"""
LAYERS = (
    "nn.Flatten(), nn.Linear(2352, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), "
    "nn.Linear(128, 8)"
)


def network(layers=LAYERS, forward="return self.layers(images)", count="636296"):
    return NETWORK.format(layers=layers, forward=forward, count=count)


def loop(body, after="", before="model.train()", end="return total / seen"):
    return f"""# Exercise 2.2
def train_one_epoch(model, loader, criterion, optimizer):
    {before}
    total, seen, batches = 0.0, 0, 0
    for x, y in loader:
        loss = criterion(model(x), y)
        {body}
        total += loss.item() * len(y)
        seen += len(y)
        batches += 1
        {after}
    {end}
"""


def look(eval_mode="model.eval()", context="torch.no_grad()", end="total / seen, right / seen"):
    return f"""# Exercise 2.3
import contextlib
def validate(model, loader, criterion):
    {eval_mode}
    total, right, seen, batches = 0.0, 0, 0, 0
    with {context}:
        for x, y in loader:
            logits = model(x)
            total += criterion(logits, y).item() * len(y)
            right += int((logits.argmax(1) == y).sum())
            seen += len(y)
            batches += 1
    return {end}
"""


LEARN = "optimizer.zero_grad(); loss.backward(); optimizer.step()"
MEAN_OF_MEANS = loop(
    LEARN, "total += loss.item() - loss.item() * len(y)", end="return total / batches"
)
SUM_OF_BATCHES = loop(LEARN, "total += loss.item() - loss.item() * len(y)", end="return total")
UNSCALED = """# Exercise 2.4
a, b, c = blood.loaders(batch_size=64, normalize="none")
lk.seed_everything(42)
net = BloodMLP()
lk.fit(net, a, b, epochs=EPOCHS, precision="fp32", progress=False)
result_unscaled = lk.evaluate(net, {loader})
"""

WRONG = {
    "2.1": [
        (network(forward="self.layers(images)"), "return"),
        (network(LAYERS + ", nn.ReLU()"), "ReLU on the last layer"),
        (network(LAYERS + ", nn.Softmax(1)"), "no logit is negative"),
        (network(LAYERS.replace("nn.ReLU(), ", "")), "linear"),
        (network(LAYERS.replace("256", "200")), "linear layers are"),
        (network(count="602368 + 32768 + 1024"), "recount"),
    ],
    "2.2": [
        (MEAN_OF_MEANS, "mean of the batch means"),
        (SUM_OF_BATCHES, "sum of the batch losses"),
        (loop(LEARN, before="pass"), "model.train()"),
        (loop("loss.backward(); optimizer.step()"), "zero_grad"),
        (loop("optimizer.zero_grad(); loss.backward()"), "did not change"),
        (loop(LEARN, end="pass"), "return"),
    ],
    "2.3": [
        (look(eval_mode="pass"), "eval"),
        (look(context="contextlib.nullcontext()"), "no_grad"),
        (look(end="total / seen"), "loss and accuracy"),
        (look(end="total / seen, 100 * right / seen"), "per cent"),
        (look(end="total / batches, right / seen"), "mean over images"),
    ],
    "2.4": [
        ("# Exercise 2.4\nresult_unscaled = 0.83", "lk.evaluate"),
        ("# Exercise 2.4\nresult_unscaled = result", "first network"),
        (UNSCALED.format(loader="a"), "test"),
    ],
    "2.5": [
        (
            "# Exercise 2.5\nconfused_pairs = [(p, t, n) for t, p, n in result.most_confused(2)]",
            "swapped",
        ),
        ("# Exercise 2.5\nconfused_pairs = result.most_confused(1)", "two pairs"),
        ("# Exercise 2.5\nconfused_pairs = [p[:2] for p in result.most_confused(2)]", "three"),
        (
            "# Exercise 2.5\nm = result.confusion_matrix(); i = int(np.diag(m).argmax())\n"
            "confused_pairs = [(blood.classes[i], blood.classes[i], m[i, i])] * 2",
            "diagonal",
        ),
    ],
    "2.6": [
        (
            "# Exercise 2.6\nm = result.confusion_matrix()\n"
            "recall = np.diag(m) / np.maximum(m.sum(0), 1)\n"
            "precision = np.diag(m) / np.maximum(m.sum(1), 1)",
            "swapped",
        ),
        (
            "# Exercise 2.6\nm = result.confusion_matrix()\n"
            "precision = 100 * np.diag(m) / np.maximum(m.sum(0), 1)\n"
            "recall = 100 * np.diag(m) / np.maximum(m.sum(1), 1)",
            "per cent",
        ),
        ("# Exercise 2.6\nprecision = recall = result.accuracy", "eight"),
    ],
    "2.7": [
        (
            "# Exercise 2.7\nquadrants = {k: len(v) / len(result.labels) for k, v in "
            "result.confidence_quadrants().items()}",
            "shares",
        ),
        (
            "# Exercise 2.7\nquadrants = {k: len(v) for k, v in "
            "result.confidence_quadrants(0.6, 0.6).items()}",
            "images, not",
        ),
        ("# Exercise 2.7\nquadrants = [1, 2, 3, 4]", "dict"),
        ("# Exercise 2.7\nquadrants = {'right': 1}", "keys"),
    ],
    "2.8": [
        (
            "# Exercise 2.8\ndef fit_temperature(logits, labels):\n    grid = np.linspace(0.2, 4, 381)\n"
            "    loss = [nn.functional.cross_entropy(torch.as_tensor(logits * t), "
            "torch.as_tensor(labels)) for t in grid]\n    return grid[int(np.argmin(loss))]",
            "1/T",
        ),
        ("# Exercise 2.8\ndef fit_temperature(logits, labels):\n    return 1.0", "need T near"),
        (
            "# Exercise 2.8\ndef fit_temperature(logits, labels):\n    grid = np.linspace(0.3, 5, 48)\n"
            "    return grid[int(np.argmax([nn.functional.cross_entropy(torch.as_tensor("
            "logits / t), torch.as_tensor(labels)) for t in grid]))]",
            "need T near",
        ),
    ],
}

RIGHT = {
    "2.1": [
        "# Exercise 2.1\nBloodMLP = lk.models.BloodMLP\nexpected_parameters = 636_296",
        """# Exercise 2.1
class BloodMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = nn.Linear(2352, 256), nn.Linear(256, 128), nn.Linear(128, 8)
    def forward(self, x):
        x = torch.relu(self.one(x.flatten(1)))
        return self.three(torch.relu(self.two(x)))
expected_parameters = sum(p.numel() for p in BloodMLP().parameters())
""",
    ],
    "2.2": [
        loop("model.zero_grad(); loss.backward(); optimizer.step()"),
        loop("loss.backward(); optimizer.step(); optimizer.zero_grad()"),
        loop(LEARN, end="return torch.tensor(total / seen)"),
    ],
    "2.3": [
        look(context="torch.inference_mode()"),
        look(eval_mode="model.train(False)", end="[total / seen, torch.tensor(right / seen)]"),
    ],
    "2.4": [
        UNSCALED.format(loader="c"),
        UNSCALED.format(loader="c").replace('"none"', "(0.0, 1.0)"),
    ],
    "2.5": [
        "# Exercise 2.5\nconfused_pairs = result.most_confused(2)",
        "# Exercise 2.5\nconfused_pairs = [[blood.classes.index(t), blood.classes.index(p), n] "
        "for t, p, n in result.most_confused(2)]",
    ],
    "2.6": [
        "# Exercise 2.6\nr = result.report().iloc[:8]\nprecision, recall = r['precision'], r['recall']",
        "# Exercise 2.6\nfrom sklearn.metrics import precision_recall_fscore_support as prf\n"
        "p, r, _, _ = prf(result.labels, result.predicted, labels=range(8), zero_division=0)\n"
        "precision, recall = list(p), torch.tensor(r)",
    ],
    "2.7": [
        "# Exercise 2.7\nquadrants = result.confidence_quadrants()",
        "# Exercise 2.7\nquadrants = {k: torch.tensor(len(v)) for k, v in "
        "result.confidence_quadrants(0.9, 0.6).items()}",
    ],
    "2.8": [
        "# Exercise 2.8\nfrom scipy.optimize import minimize_scalar\n"
        "def fit_temperature(logits, labels):\n"
        "    f = lambda t: float(nn.functional.cross_entropy(torch.as_tensor(logits / t), "
        "torch.as_tensor(labels)))\n"
        "    return minimize_scalar(f, bounds=(0.3, 5), method='bounded').x",
        "# Exercise 2.8\ndef fit_temperature(logits, labels):\n    grid = np.geomspace(0.3, 5, 300)\n"
        "    loss = [nn.functional.cross_entropy(torch.tensor(logits / t), torch.tensor(labels)) "
        "for t in grid]\n    return torch.tensor(grid[int(np.argmin(loss))])",
    ],
}
