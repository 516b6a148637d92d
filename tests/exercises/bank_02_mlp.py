"""Lab 02: usual mistakes, each with a word of the message they must get, and other right ways.

Each exercise: what it asks, then answers that were written before its check was read.
"""

# 2.1 asks for a class: 2352 -> 256 -> 128 -> 8, ReLU between, logits as they are; and a count.
LAYERS = (
    "nn.Flatten(), nn.Linear(2352, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), "
    "nn.Linear(128, 8)"
)


def network(
    layers=f"nn.Sequential({LAYERS})", forward="return self.layers(x)", count="636296", first=""
):
    return f"""# Exercise 2.1
class BloodMLP(nn.Module):
    def __init__(self):
        {first or "super().__init__()"}
        self.layers = {layers}
    def forward(self, x):
        {forward}
expected_parameters = {count}
"""


def stack(layers):
    return network(f"nn.Sequential({layers})")


# 2.2 asks for one epoch in training mode, a step a batch, the mean loss over images as a number.
LEARN = "optimizer.zero_grad(); loss.backward(); optimizer.step()"


def loop(
    learn=LEARN,
    add="total += loss.item() * len(y)",
    end="return total / seen",
    first="model.train()",
    forward="loss = criterion(model(x), y)",
):
    return f"""# Exercise 2.2
def train_one_epoch(model, loader, criterion, optimizer):
    {first}
    total, seen, batches, losses = 0.0, 0, 0, []
    for x, y in loader:
        {forward}
        {learn}
        {add}
        seen += len(y)
        batches += 1
    {end}
"""


# 2.3 asks for (mean loss, accuracy), in eval mode, without gradients.
def look(
    mode="model.eval()",
    context="torch.no_grad()",
    end="return total / seen, right / seen",
    add="total += criterion(logits, y).item() * len(y)",
    hit="right += int((logits.argmax(1) == y).sum())",
):
    return f"""# Exercise 2.3
import contextlib
def validate(model, loader, criterion):
    {mode}
    total, right, seen, batches, shares = 0.0, 0, 0, 0, 0.0
    with {context}:
        for x, y in loader:
            logits = model(x)
            {add}
            {hit}
            shares += float((logits.argmax(1) == y).float().mean())
            seen += len(y)
            batches += 1
    {end}
"""


# 2.4 asks for network, history and validation predictions of one training on [0, 1].
def unscaled(
    fit="a, b",
    seen="net, b",
    normalize='"none"',
    seed="lk.seed_everything(42)",
    epochs="EPOCHS",
    options='precision="fp32"',
    optimizer="torch.optim.Adam(net.parameters(), lr=1e-3)",
    after="",
):
    return f"""# Exercise 2.4
a, b, c = blood.loaders(batch_size=64, normalize={normalize})
{seed}
net = BloodMLP()
optimizer = {optimizer}
history_unscaled = lk.fit(net, {fit}, epochs={epochs}, optimizer=optimizer, {options})
result_unscaled = lk.evaluate({seen})
model_unscaled = net
{after}
"""


# 2.5 asks for the two largest counts off the diagonal, largest first: (true, predicted, count).
# (Not here: the largest row shares, and the wrong order. On some data these are right by chance.)
def pairs(code):
    return f"""# Exercise 2.5
m = result.confusion_matrix()
np.fill_diagonal(m, 0)
names = blood.classes
{code}
"""


LARGEST = """confused_pairs = []
for _ in range(2):
    t, p = np.unravel_index({matrix}.argmax(), m.shape)
    confused_pairs.append((names[t], names[p], {count}))
    {matrix}[t, p] = 0
"""


# 2.6 asks for two arrays of eight shares from the confusion matrix.
def shares(precision, recall, first=""):
    return f"""# Exercise 2.6
import warnings; warnings.simplefilter("ignore")
m = result.confusion_matrix()
rows, columns = np.maximum(m.sum(1), 1), np.maximum(m.sum(0), 1)
{first}
precision = {precision}
recall = {recall}
"""


# 2.7 asks for a dict of four counts.
def four(high="c >= 0.9", low="c < 0.6", count="(a & b).sum()", right="r", wrong="~r"):
    return f"""# Exercise 2.7
c, r = result.confidence, result.correct
quadrants = {{
    f"{{level}} {{how}}": {count}
    for level, a in (("confident", {high}), ("unsure", {low}))
    for how, b in (("correct", {right}), ("wrong", {wrong}))
}}
"""


# 2.8 asks for the T in [0.3, 5] with the smallest cross-entropy of logits / T.
def grid(of="logits / T", best="argmin", grid="np.linspace(0.3, 5, 471)", end="return grid[place]"):
    return f"""# Exercise 2.8
def fit_temperature(logits, labels):
    grid = {grid}
    losses = [
        nn.functional.cross_entropy(torch.as_tensor({of}), torch.as_tensor(labels)).item()
        for T in grid
    ]
    place = int(np.{best}(losses))
    {end}
"""


# 2.9 asks for the mean over seeds of each scaling's validation curve, and a figure of them.
def curves(
    curve="np.mean([h.column('val_accuracy') for h in hs], axis=0)",
    draw="ax.plot(range(1, len(y) + 1), y, label=name)",
    dress="ax.set(xlabel='epoch', ylabel='accuracy'); ax.legend()",
    figure="f",
):
    return f"""# Exercise 2.9
mean_curves = {{name: {curve} for name, hs in runs.items()}}
f, ax = plt.subplots()
for name, y in mean_curves.items():
    {draw}
{dress}
figure = {figure}
"""


WRONG = {
    "2.1": [
        (
            "# Exercise 2.1 - the network\nimport torch.nn.functional as F\nclass BloodMLP(nn.Module):\n    def __init__(self):\n        super().__init__()\n        s=(2352,128,256,8)\n        self.w=nn.ParameterList([nn.Parameter(torch.randn(o,i)/i**.5) for i,o in zip(s,s[1:])])\n        self.b=nn.ParameterList([nn.Parameter(torch.zeros(o)) for o in s[1:]])\n    def forward(self, images):\n        x=images.flatten(1)\n        for n,(w,b) in enumerate(zip(self.w,self.b)):\n            x=F.linear(x,w,b)\n            if n<2:\n                x=torch.relu(x)\n        return x\nexpected_parameters = 2353*128+129*256+257*8\n",
            "parameters: see the arrows",
        ),
        (
            "# Exercise 2.1 - the network\nimport torch.nn.functional as F\nclass BloodMLP(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(2352,256), nn.ReLU(), nn.Linear(256,128), nn.ReLU(), nn.Linear(128,8))\n    def forward(self, images):\n        z=self.layers(images)\n        return z if self.training else z.softmax(1)\nexpected_parameters = 636296\n",
            "after eval()",
        ),
        (
            "# Exercise 2.1 - the network\nlayers = nn.Sequential(nn.Flatten(), nn.Linear(2352,256), nn.ReLU(), nn.Linear(256,128), nn.ReLU(), nn.Linear(128,8))\nclass BloodMLP(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.layers=layers\n    def forward(self,x):\n        return self.layers(x)\nexpected_parameters=636296\n",
            "share their layers",
        ),
        (
            "# Exercise 2.1 - the network\nclass BloodMLP(nn.Module):\n    def __init__(self, layers=nn.Sequential(nn.Flatten(), nn.Linear(2352,256), nn.ReLU(), nn.Linear(256,128), nn.ReLU(), nn.Linear(128,8))):\n        super().__init__()\n        self.layers=layers\n    def forward(self,x):\n        return self.layers(x)\nexpected_parameters=636296\n",
            "share their layers",
        ),
        (
            "# Exercise 2.1 - the network\nimport torch.nn.functional as F\nclass BloodMLP(nn.Module):\n    def __init__(self):\n        super().__init__()\n        s=(2352,256,128,8)\n        self.w=nn.ParameterList([nn.Parameter(torch.randn(o,i)/i**.5) for i,o in zip(s,s[1:])])\n        self.b=nn.ParameterList([nn.Parameter(torch.zeros(o)) for o in s[1:]])\n    def forward(self, images):\n        x=images.flatten(1)\n        for n,(w,b) in enumerate(zip(self.w,self.b)):\n            x=F.linear(x,w,b)\n            if n<2:\n                x=F.gelu(x)\n        return x\nexpected_parameters = 636296\n",
            "another function than relu",
        ),
        (
            "# Exercise 2.1 - the network\nimport torch.nn.functional as F\nclass BloodMLP(nn.Module):\n    def __init__(self):\n        super().__init__()\n        s=(2352,256,128,8)\n        self.w=nn.ParameterList([nn.Parameter(torch.randn(o,i)/i**.5) for i,o in zip(s,s[1:])])\n        self.b=nn.ParameterList([nn.Parameter(torch.randn(o)) for o in s[1:]])\n    def forward(self, images):\n        x=images.flatten(1)\n        for n,(w,b) in enumerate(zip(self.w,self.b)):\n            x=F.linear(x,w,b)\n            if n<2:\n                x=torch.tanh(x)\n        return x\nexpected_parameters = 636296\n",
            "another function than relu",
        ),
        (network(forward="self.layers(x)"), "return"),
        (stack(LAYERS.replace("Linear(2352, ", "LazyLinear(")), "lazy layer"),
        (stack(LAYERS + ", nn.ReLU()"), "ReLU on the last layer"),
        (stack(LAYERS + ", nn.Softmax(1)"), "leave the softmax out"),
        (stack(LAYERS + ", nn.LogSoftmax(1)"), "log-softmax"),
        (stack(LAYERS + ", nn.Tanh()"), "changed behind the last layer"),
        (stack(LAYERS.replace("nn.ReLU(), ", "")), "no ReLU between layer 1"),
        (stack(LAYERS.replace("128), nn.ReLU()", "128)")), "no ReLU between layer 2"),
        (stack(LAYERS.replace("ReLU", "Sigmoid")), "does not get the ReLU"),
        (stack(LAYERS.replace("nn.Linear(128", "nn.Dropout(0.5), nn.Linear(128")), "between"),
        (stack("nn.ReLU(), " + LAYERS), "negative pixels"),
        (stack(LAYERS.replace("256", "200")), "see the arrows"),
        (stack(LAYERS.replace("nn.Flatten(), ", "")), "flatten each image"),
        (stack(LAYERS.replace("Linear(256, 128)", "Linear(200, 128)")), "do not fit"),
        (stack(LAYERS.replace("8)", "8, bias=False)")), "biases"),
        (
            network(f"[{LAYERS}]", "\n        for f in self.layers: x = f(x)\n        return x"),
            "list",
        ),
        (network(first="pass"), "super().__init__()"),
        (stack(LAYERS + ", nn.Sigmoid()"), "or a sigmoid"),
        (network(forward="return self.layers(x.view(64, 3, 28, 28))"), "any number"),
        (network(forward="return self.layers(x).squeeze()"), "one image"),
        (network(forward="x -= x.mean()\n        return self.layers(x)"), "unchanged"),
        (network(forward="return self.layers(x).detach()"), "no gradient reaches the weights"),
        (network(forward="with torch.no_grad(): return self.layers(x)"), "no gradient reaches"),
        (network(first="super().__init__(); self.more = nn.Linear(8, 8)"), "more.weight"),
        (network(forward="return self.layers(x / 255)"), "unchanged"),
        (network().replace("forward(self, x)", "foward(self, x)"), "no method named forward"),
        (network(count="602368 + 32768 + 1024 - 256"), "bias"),
        (network(count="602368"), "add up"),
        (network(count="'636,296'"), "a text"),
        (f"# Exercise 2.1\nBloodMLP = nn.Sequential({LAYERS})\nexpected_parameters = 1", "class"),
        (network().replace("__init__(self)", "_init_(self)"), "two underscores"),
        (network().replace("self.layers =", "layers ="), "PyTorch finds no layers"),
        (network(count="(602368, 32896, 1032)"), "shape"),
        (network(count="None"), "None"),
        (stack(LAYERS.replace("nn.ReLU()", "nn.ReLU")), "nn.ReLU()"),
        (network().replace("forward(self, x)", "forward(x)"), "`self`"),
        (
            stack(LAYERS.replace("nn.Linear(256, 128), nn.ReLU(), nn.Linear(128", "nn.Linear(256")),
            "see the arrows",
        ),
    ],
    "2.2": [
        (
            "# Exercise 2.2 - the training loop\ndef train_one_epoch(model, loader, criterion, optimizer):\n    model.training = True\n    total, n = 0.0, 0\n    for images, labels in loader:\n        loss = criterion(model(images), labels)\n        optimizer.zero_grad()\n        loss.backward()\n        optimizer.step()\n        total += loss.item() * len(labels)\n        n += len(labels)\n    return total / n\n",
            "with all its layers",
        ),
        (loop(add="total += loss.item()", end="return total / batches"), "batch means"),
        (loop(add="total += loss.item()", end="return total"), "sum of the batch losses"),
        (loop(add="total += loss.item()"), "multiply it by len(labels)"),
        (loop(end="return total"), "sum over images"),
        (loop(end="return str(total / seen)"), "one number"),
        (loop().replace("model(x)", "net(x)"), "another network"),
        (loop().replace("in loader:", "in enumerate(loader):"), "without enumerate"),
        (loop(end="return total / len(loader)"), "not of batches"),
        (loop(add="total += 4 * loss.item()"), "last batch is smaller"),
        (loop(end="return loss.item()"), "last batch"),
        (loop(add="total += criterion(model(x), y).item() * len(y)"), "before"),
        (loop(first="pass"), "model.train()"),
        (loop(first="model.eval()"), "model.train()"),
        (loop("loss.backward(); optimizer.step()"), "zero_grad"),
        (loop("loss.backward(); optimizer.zero_grad(); optimizer.step()"), "between backward()"),
        (loop("optimizer.zero_grad(); optimizer.step(); loss.backward()"), "after backward()"),
        (loop("optimizer.zero_grad(); loss.backward()"), "no step()"),
        (loop("optimizer.zero_grad(); optimizer.step()"), "backward() is missing"),
        (
            loop(
                "torch.optim.SGD(model.parameters(), lr=0.1)\n        "
                + LEARN.replace("optimizer", "own"),
                first="model.train(); own = torch.optim.SGD(model.parameters(), lr=0.1)",
            ),
            "makes no step",
        ),
        (loop(forward="loss = criterion(y, model(x))"), "swapped"),
        (loop(forward="loss = criterion(model(x).softmax(1), y)"), "softmax"),
        (loop(forward="loss = nn.CrossEntropyLoss()(model(x), y)"), "`criterion`"),
        (loop(add="total += loss * len(y)"), "loss.item()"),
        (loop(end="pass"), "return"),
        (loop(end="return total / seen, seen"), "one number"),
        (loop(add="total += loss.item() * len(y); return total / len(y)"), "inside the loop"),
        (loop(end="optimizer.step()\n    return total / seen"), "inside the loop"),
        (loop(forward="\n        with torch.no_grad(): loss = criterion(model(x), y)"), "no_grad"),
        (loop(forward="loss = criterion(model(x).argmax(1), y)"), "logits, eight numbers"),
        (loop(forward="loss = criterion(x, y)"), "logits, eight numbers"),
        (loop(forward="loss = criterion(model(x), y.float())"), "whole numbers"),
        (loop(forward="loss = criterion(model(images), labels)"), "`loader`"),
        (loop().replace("in loader", "in train"), "`loader`"),
        (loop("optimizer.zero_grad(); loss.backward; optimizer.step()"), "parentheses"),
        (loop("optimizer.zero_grad(); loss.backward(); optimizer.step"), "parentheses"),
        (loop(add="total += 64 * loss.item()"), "not every batch"),
        (loop(add="total += loss.item() * len(loader)"), "counts the batches"),
        (loop("z.backward()", forward="z = model(x); loss = criterion(z, y)"), "single number"),
        (
            loop(
                "pass",
                add="losses.append(loss)",
                end="\n    optimizer.zero_grad(); "
                "sum(losses).backward(); optimizer.step(); return 1.0",
            ),
            "inside the loop",
        ),
    ],
    "2.3": [
        (look(mode="pass"), "eval"),
        (look(mode="model.train()"), "eval"),
        (look(context="contextlib.nullcontext()"), "no_grad"),
        (look(end="pass"), "return loss and accuracy"),
        (look(end="return total / seen"), "two numbers"),
        (look(end="return {'loss': total / seen, 'accuracy': right / seen}"), "two numbers"),
        (look(end="return right / seen, total / seen"), "swapped"),
        (look(end="return total / seen, 100 * right / seen"), "per cent"),
        (look(end="return total / seen, right"), "count"),
        (look(end="return total / seen, shares / batches"), "batches' shares"),
        (look(end="return total / seen, shares / seen"), "divided by the number of images"),
        (look(end="return str(total / seen), str(right / seen)"), "numbers"),
        (look().replace("model(x)", "net(x)"), "another network"),
        (look(end="return total / seen, 1 - right / seen"), "wrong answers"),
        (look(end="return total / seen, right / len(loader)"), "not of batches"),
        (
            look(
                add="total += criterion(logits, y).item()",
                end="return total / batches, right / seen",
            ),
            "batch means",
        ),
        (look(add="total += criterion(logits, y).item()"), "multiply it by len(labels)"),
        (look(end="return total / batches, right / seen"), "not of batches"),
        (look(add="total += criterion(logits.softmax(1), y).item() * len(y)"), "softmax"),
        (look(add="total += criterion(y, logits).item() * len(y)"), "swapped"),
        (look(hit="right += int((logits.argmax(0) == y).sum())"), "argmax(1)"),
        (look(hit="right += int((logits.argmax() == y).sum())"), "argmax(dim=1)"),
        (look(hit="right += int((logits.max(1)[0] == y).sum())"), "accuracy is 0"),
        (look(hit="right += (logits.max(1) == y).sum()"), ".argmax(1)"),
        (look(hit="right += (logits.argmax(1) == y)", end="return total / seen, right"), ".sum()"),
        (look(hit="right += (logits.argmax(1) == y).mean()"), ".float().mean()"),
        (look(hit="right = int((logits.argmax(1) == y).sum())"), "+="),
        (look(end="return total / seen, right // seen"), "//"),
        (look(end="        return total / seen, right / seen"), "`return` stands inside"),
        (look(context="torch.no_grad"), "parentheses"),
        (
            look(
                mode="model.eval(); torch.set_grad_enabled(False)",
                context="contextlib.nullcontext()",
            ),
            "gradients are still off",
        ),
        (look(mode="model.eval(); model.requires_grad_(False)"), "freezes"),
        (look().replace("in loader", "in list(loader)[:1]"), "first batch alone"),
        (look().replace("in loader", "in test"), "`loader`"),
        (
            look(
                hit="right = int((logits.argmax(1) == y).sum())",
                end="return total / seen, right / len(y)",
            ),
            "last batch",
        ),
    ],
    "2.4": [
        ("# Exercise 2.4\nmodel_unscaled = history_unscaled = result_unscaled = 0.8", "network"),
        (
            "# Exercise 2.4\na, b, c = blood.loaders(normalize='none')\nmodel_unscaled = model\n"
            "history_unscaled = history\nresult_unscaled = lk.evaluate(model, b)",
            "first network",
        ),
        (unscaled(seed="lk.seed_everything(0)"), "seed"),
        (unscaled(seed="pass"), "seed"),
        (unscaled(epochs="1"), "just as long"),
        (unscaled(seen="net, a"), "validation images"),
        (unscaled(seen="net, c"), "validation images"),
        (unscaled(seen="net, val"), "normalize="),
        (unscaled(seen="model, b"), "this network"),
        (unscaled(fit="train, b"), "[-1, 1]"),
        (unscaled(normalize='"half"'), "new training loader"),
        (unscaled(normalize='"per_image"'), "normalize="),
        (unscaled(fit="a, val"), "validation loader"),
        (unscaled(optimizer="torch.optim.SGD(net.parameters(), lr=1e-3)"), "optimizer"),
        (unscaled(optimizer="torch.optim.Adam(net.parameters(), lr=1e-2)"), "learning rate"),
        (unscaled(after="model = net"), "model = first_network"),
        (unscaled(after="first_network = net"), "model = first_network"),
        (unscaled(after="history = history_unscaled"), "history = first_history"),
        (
            unscaled(optimizer="torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=0.1)"),
            "the weight decay is 0.1, and was none",
        ),
        (
            unscaled(
                options='precision="fp32", '
                "scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)"
            ),
            "the scheduler is CosineAnnealingLR, and was none",
        ),
        (unscaled(after="train, val, test = a, b, c"), "overwritten `val`"),
        (unscaled(after="result_unscaled = result_unscaled.accuracy"), "lk.evaluate"),
        (unscaled(after="history_unscaled = history_unscaled[-1]"), "lk.fit"),
        (unscaled(after="model_unscaled = BloodMLP()"), "something else"),
        (
            unscaled(
                options='precision="fp32", criterion=nn.CrossEntropyLoss(label_smoothing=0.1)'
            ),
            "loss",
        ),
    ],
    "2.5": [
        (pairs("confused_pairs = [(p, t, n) for t, p, n in result.most_confused(2)]"), "swapped"),
        (pairs("confused_pairs = result.most_confused(1)"), "two pairs"),
        (pairs("confused_pairs = result.most_confused(3)"), "two pairs"),
        (pairs("confused_pairs = [p[:2] for p in result.most_confused(2)]"), "three parts"),
        (pairs("confused_pairs = [(p[:2], p[2]) for p in result.most_confused(2)]"), "three parts"),
        (
            pairs("m = result.confusion_matrix()\n" + LARGEST.format(matrix="m", count="m[t, p]")),
            "diagonal",
        ),
        (pairs("confused_pairs = [result.most_confused(1)[0]] * 2"), "twice"),
        (pairs("confused_pairs = on_validation.most_confused(2)"), "validation"),
        (
            pairs("confused_pairs = [(t.upper(), p, n) for t, p, n in result.most_confused(2)]"),
            "there is no class",
        ),
        (
            pairs(
                "confused_pairs = [(t, p, n / len(result.labels)) for t, p, n in "
                "result.most_confused(2)]"
            ),
            "count images",
        ),
        (
            pairs(
                "confused_pairs = [(names[t], names[p], m[t, p]) for t, p in "
                "np.argwhere((m > 0) & (m < np.sort(m.ravel())[-3]))[:2]]"
            ),
            "larger",
        ),
        (pairs("confused_pairs = 'monocyte'"), "list"),
        (
            pairs("confused_pairs = [(n, t, p) for t, p, n in result.most_confused(2)]"),
            "begins with",
        ),
        (
            pairs("confused_pairs = [(t, p, str(n)) for t, p, n in result.most_confused(2)]"),
            "a text",
        ),
        (
            pairs(
                "confused_pairs = [(names.index(t), names.index(p), n) "
                "for t, p, n in result.most_confused(2)]"
            ),
            "no name",
        ),
        (pairs("confused_pairs = result.most_confused(2)[::-1]"), "largest comes first"),
        (
            pairs("s = np.triu(m + m.T)\n" + LARGEST.format(matrix="s", count="s[t, p]")),
            "both directions",
        ),
    ],
    "2.6": [
        (shares("np.diag(m) / rows", "np.diag(m) / columns"), "swapped"),
        (shares("100 * np.diag(m) / columns", "100 * np.diag(m) / rows"), "per cent"),
        (shares("np.diag(m) / columns", "np.diag(m) / rows", "np.fill_diagonal(m, 0)"), "fresh"),
        (
            shares(
                "np.append(np.diag(m)[:7] / columns[:7], np.array([0.0]) / 0)", "np.diag(m) / rows"
            ),
            "0/0",
        ),
        (shares("result.accuracy", "result.accuracy"), "eight"),
        (shares("result.report()['precision']", "result.report()['recall']"), "eight"),
        (shares("np.diag(m) / m.sum()", "np.diag(m) / m.sum()"), "all images"),
        (shares("np.diag(m) / rows", "np.diag(m) / rows"), "precision"),
        (shares("np.diag(m) / columns", "np.diag(m) / columns"), "recall"),
        (shares("m.sum(1) / columns", "np.diag(m) / rows"), "above 1"),
        (shares("result.report()['f1'][:8]", "np.diag(m) / rows"), "precision"),
        (shares("1 - np.diag(m) / columns", "np.diag(m) / rows"), "wrong answers"),
        (shares("np.sort(np.diag(m) / columns)", "np.diag(m) / rows"), "another order"),
        (shares("np.diag(m) // columns", "np.diag(m) // rows"), "//"),
        (shares("np.diag(m) / columns", "(np.diag(m) / rows).round(1)"), "two decimals"),
        (shares("np.diag(m) / columns", "None"), "None"),
        (shares("np.diag(m) / columns", "[f'{x:.0%}' for x in np.diag(m) / rows]"), "texts"),
        (
            shares(
                "np.diag(s) / np.maximum(s.sum(0), 1)",
                "np.diag(s)",
                "s = result.confusion_matrix('true')",
            ),
            "matrix of shares",
        ),
        (
            shares(
                "np.diag(m) / columns",
                "np.diag(m) / rows",
                "m = on_validation.confusion_matrix()"
                "\nrows, columns = np.maximum(m.sum(1), 1), np.maximum(m.sum(0), 1)",
            ),
            "validation",
        ),
    ],
    "2.7": [
        (four(count="(a & b).mean()"), "shares"),
        (four(count="100 * (a & b).mean()"), "per cent"),
        (four(count="(a & b)"), "mask"),
        (four(count="str((a & b).sum())"), "write a number"),
        (
            four() + "quadrants = dict(zip(quadrants, [*quadrants.values()][::-1]))",
            "under the wrong keys",
        ),
        (four(count="a.sum()"), "join with right or wrong"),
        (four(low="c < 0.9"), "below 0.6"),
        (four(high="c >= 0.6"), "at least 0.9"),
        (four(right="~r", wrong="r"), "swapped"),
        (four(count="(a | b).sum()"), "join the two masks"),
        (four(count="(a & b).size"), "length of the mask"),
        (four(high="c >= 90", low="c < 60"), "lies in [0, 1]"),
        ("# Exercise 2.7\nquadrants = [1, 2, 3, 4]", "dict"),
        ("# Exercise 2.7\nquadrants = {'right': 1}", "keys"),
        ("# Exercise 2.7\nquadrants = result.confidence_quadrants()", "not their rows"),
        (four(count="np.flatnonzero(a & b)"), "not their rows"),
        (
            "# Exercise 2.7\nquadrants = {k: len(v) for k, v in "
            "on_validation.confidence_quadrants().items()}",
            "validation",
        ),
    ],
    "2.8": [
        (
            "# Exercise 2.8 - temperature scaling\ndef fit_temperature(logits, labels):\n    grid = np.linspace(0.05, 5, 991)\n    losses = [nn.functional.cross_entropy(torch.as_tensor(logits / T), torch.as_tensor(labels)).item() for T in grid]\n    return grid[np.argmin(losses)]\n",
            "must stay in [0.3, 5]",
        ),
        (
            "# Exercise 2.8 - temperature scaling\ndef fit_temperature(logits, labels):\n    grid = np.linspace(0.3, 5, 471)\n    y = np.eye(6)[labels]\n    losses = []\n    for T in grid:\n        z = logits / T\n        p = np.exp(z - z.max(1, keepdims=True)); p /= p.sum(1, keepdims=True)\n        losses.append(-(y * np.log(p + 1e-300)).sum(1).mean())\n    return grid[np.argmin(losses)]\n",
            "broadcast",
        ),
        (
            "# Exercise 2.8 - temperature scaling\ndef fit_temperature(logits, labels):\n    grid = np.linspace(0.5, 5, 451)\n    losses = [nn.functional.cross_entropy(torch.as_tensor(logits / T), torch.as_tensor(labels)).item() for T in grid]\n    return grid[np.argmin(losses)]\n",
            "near t = 0.36",
        ),
        (grid(of="logits * T", grid="np.linspace(0.2, 4, 381)"), "1/T"),
        (grid(end="return min(losses)"), "return its T"),
        (grid(end="return place"), "a place in the grid"),
        (grid(end="return str(grid[place])"), "one number"),
        (
            grid(of="logits / T").replace("torch.as_tensor(logits / T)", "logits / T"),
            "torch.as_tensor",
        ),
        (grid(end="return grid[place], losses[place]"), "one number"),
        (grid(end="pass"), "return T"),
        (grid(best="argmax"), "end of the range"),
        (
            "# Exercise 2.8\ndef fit_temperature(logits, labels):\n"
            "    grid = np.linspace(0.3, 5, 471)\n"
            "    return max(grid, key=lambda T: ((logits / T).argmax(1) == labels).mean())",
            "end of the range",
        ),
        (grid(of="torch.as_tensor(logits / T).softmax(1)"), "another softmax"),
        (grid(grid="np.linspace(1, 5, 401)"), "near T"),
        (grid(grid="np.linspace(0.3, 50, 4971)"), "[0.3, 5]"),
        (grid().replace("    grid =", "    logits /= 2; logits *= 1.0\n    grid ="), "changes"),
        (
            grid().replace(
                "    grid =", "    logits, labels = result.logits, result.labels\n    grid ="
            ),
            "near T",
        ),
        ("# Exercise 2.8\ndef fit_temperature(logits, labels):\n    return 1.0", "near T"),
        (grid(of="logits.reshape(-1, 8) / T"), "logits.reshape(-1, 8)"),
        (
            grid().replace(
                "    grid =", "    logits, labels = logits[:100], labels[:100]\n    grid ="
            ),
            "near T",
        ),
        *(  # other measures: the Brier score, the mean confidence, weighted classes
            (
                "# Exercise 2.8\ndef fit_temperature(logits, labels):\n"
                "    x, y = torch.as_tensor(logits), torch.as_tensor(labels)\n"
                "    one, w = torch.eye(x.shape[1])[y], 1 / torch.bincount(y).double()\n"
                "    def measure(z):\n"
                f"        return {measure}\n"
                "    return min(np.linspace(0.3, 5, 471), key=lambda T: float(measure(x / T)))",
                "near T",
            )
            for measure in (
                "((z.softmax(1) - one) ** 2).mean()",
                "abs(z.softmax(1).amax(1).mean() - (z.argmax(1) == y).double().mean())",
                "nn.functional.cross_entropy(z, y, weight=w)",
            )
        ),
    ],
    "2.9": [
        (
            "# Exercise 2.9 - learning curves\nmean_curves = {name: np.mean([h.column('val_accuracy') for h in hs], axis=0) for name, hs in runs.items()}\nfigure, ax = plt.subplots()\nfor name, curve in mean_curves.items():\n    ax.plot(range(1, len(curve) + 1), curve, label=name)\nax.set(xlabel='validation accuracy', ylabel='epoch')\nax.legend()\n",
            "swapped",
        ),
        (
            "# Exercise 2.9 - learning curves\nmean_curves = {name: np.mean([h.column('val_accuracy') for h in hs], axis=0) for name, hs in runs.items()}\nfigure, axes = plt.subplots(2, 2)\nfor ax, c, n in zip(axes.flat, mean_curves.values(), sorted(mean_curves, reverse=True)):\n    ax.plot(c)\n    ax.set(title=n, xlabel='epoch', ylabel='accuracy')\n",
            "shows another curve",
        ),
        (curves("np.mean([h.column('val_accuracy') for h in hs])", "ax.plot([y])"), "epochs"),
        (curves("np.mean([h.column('val_accuracy') for h in hs], axis=1)"), "over the seeds"),
        (curves("hs[0].column('val_accuracy')"), "one seed"),
        (curves("np.mean([h.column('train_accuracy') for h in hs], axis=0)"), "train_accuracy"),
        (curves("np.mean([h.column('val_loss') for h in hs], axis=0)"), "val_loss"),
        (curves("100 * np.mean([h.column('val_accuracy') for h in hs], axis=0)"), "per cent"),
        (curves("np.sum([h.column('val_accuracy') for h in hs], axis=0)"), "sum"),
        (curves("np.array([h.column('val_accuracy') for h in hs])", "ax.plot(y.T)"), "all seeds"),
        (curves().replace("in runs.items()}", "in list(runs.items())[:1]}"), "keys"),
        (curves(dress="ax.legend()"), "axes"),
        (curves(dress="ax.set(xlabel='epoch', ylabel='accuracy')"), "legend"),
        (curves(draw="ax.plot(range(1, len(y) + 1), y)"), "its own label="),
        (curves(draw="ax.plot(range(1, len(y) + 1), y, label='mean')"), "its own label="),
        (curves(draw="ax.plot(runs[name][0].column('val_loss'), label=name)"), "no line"),
        (curves(figure="mean_curves"), "Matplotlib"),
        (curves(figure="plt.figure()"), "empty"),
        (curves("hs", "pass"), "list of numbers"),
        (curves(dress="ax.set(xlabel='epoch', ylabel=' '); ax.legend()"), "axes"),
        (
            curves(dress="ax.set(xlabel='epoch', ylabel='share'); ax.legend(list(runs)[::-1])"),
            "another line",
        ),
        (  # the names go to the first four lines, of which three are seeds of one scaling
            curves(
                draw="ax.plot(y); [ax.plot(h.column('val_accuracy'), lw=0.5) for h in runs[name]]",
                dress="plt.xlabel('epoch'); plt.ylabel('accuracy'); plt.legend(list(runs))",
            ),
            "another line",
        ),
    ],
}

RIGHT = {
    "2.1": [
        "# Exercise 2.1 - the network\nimport torch.nn.functional as F\nclass BloodMLP(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.w1=nn.Parameter(torch.randn(256,3,28,28)/50)\n        self.b1=nn.Parameter(torch.zeros(256))\n        self.b=nn.Linear(256,128)\n        self.c=nn.Linear(128,8)\n    def forward(self, images):\n        x=torch.einsum('bchw,ochw->bo', images, self.w1)+self.b1\n        x=torch.where(x>0,x,torch.zeros_like(x))\n        x=torch.maximum(self.b(x),torch.tensor(0.0))\n        return self.c(x)\nexpected_parameters = 636296\n",
        "# Exercise 2.1 - the network\nimport torch.nn.functional as F\nclass BloodMLP(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.conv=nn.Conv2d(3,256,28)\n        self.b=nn.Linear(256,128)\n        self.c=nn.Linear(128,8)\n    def forward(self, images):\n        x=self.conv(images).flatten(1).relu()\n        return self.c(self.b(x).relu())\nexpected_parameters = 636296\n",
        "# Exercise 2.1 - the network\nclass Block(nn.Module):\n    def __init__(self,i,o):\n        super().__init__()\n        self.l=nn.Linear(i,o)\n    def forward(self,x):\n        return self.l(x)*(self.l(x)>0)\nclass BloodMLP(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.n=nn.Sequential(nn.Flatten(),Block(2352,256),Block(256,128),nn.Linear(128,8))\n    def forward(self,x):\n        return self.n(x)\nexpected_parameters=636_296\n",
        "# Exercise 2.1 - the network\nimport torch.nn.functional as F\nclass BloodMLP(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a=nn.Linear(2352,256)\n        self.b=nn.Linear(256,128)\n        self.c=nn.Linear(128,8)\n    def forward(self, images):\n        x=F.relu(F.linear(images.flatten(1), self.a.weight, self.a.bias))\n        return self.c(F.relu(self.b(x)))\nexpected_parameters = 636296\n",
        "# Exercise 2.1\nBloodMLP = lk.models.BloodMLP\nexpected_parameters = 636_296",
        stack(LAYERS).replace("636296", "[636296]"),
        f"""# Exercise 2.1
class BloodMLP(nn.Sequential):
    def __init__(self):
        super().__init__({LAYERS})
expected_parameters = np.array([602368 + 32896 + 1032])
""",
        """# Exercise 2.1
class BloodMLP(nn.Module):
    def __init__(self, inputs=2352):
        super().__init__()
        self.three, self.two = nn.Linear(128, 8), nn.Linear(256, 128)
        self.one = nn.Linear(inputs, 256)
    def forward(self, x):
        x = torch.relu(self.one(x.flatten(1)))
        return self.three(nn.functional.relu(self.two(x)))
expected_parameters = sum(p.numel() for p in BloodMLP().parameters())
""",
        stack(LAYERS.replace("nn.ReLU()", "nn.ReLU(inplace=True)")),
        network(
            f"nn.ModuleList([{LAYERS}])",
            "\n        for f in self.layers: x = f(x)\n        return x",
            count="torch.tensor(636296.0, requires_grad=True)",
        ),
        network(
            f"nn.Sequential({LAYERS.removeprefix('nn.Flatten(), ')})",
            "return self.layers(x.permute(0, 2, 3, 1).reshape(-1, 28 * 28 * 3))",
            count="np.int64(2353 * 256 + 257 * 128 + 129 * 8)",
        ),
        """# Exercise 2.1
class BloodMLP(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = [2352, 256, 128, 8]
        self.w = nn.ParameterList(torch.randn(a, b) / a**0.5 for a, b in zip(sizes, sizes[1:]))
        self.b = nn.ParameterList(torch.zeros(b) for b in sizes[1:])
    def forward(self, x):
        x = x.view(len(x), -1)
        for n, (w, b) in enumerate(zip(self.w, self.b)):
            x = x @ w + b
            x = x.clamp(min=0) if n < 2 else x
        return x
expected_parameters = 636296.0
""",
    ],
    "2.2": [
        "# Exercise 2.2 - the training loop\ndef train_one_epoch(model, loader, criterion, optimizer):\n    model.train()\n    total, n = 0.0, 0\n    for images, labels in loader:\n        loss = criterion(model(images), nn.functional.one_hot(labels, 8).float())\n        optimizer.zero_grad()\n        loss.backward()\n        optimizer.step()\n        total += loss.item() * len(labels)\n        n += len(labels)\n    return total / n\n",
        loop("model.zero_grad(); loss.backward(); optimizer.step()"),
        loop("loss.backward(); optimizer.step(); optimizer.zero_grad()"),
        loop("optimizer.zero_grad(set_to_none=False); loss.backward(); optimizer.step()"),
        loop(end="return torch.tensor(total / seen)"),
        loop(forward="loss = criterion(model.forward(x), y)"),
        loop(
            "pass",
            forward="\n        def again(): optimizer.zero_grad(); loss = criterion(model(x), y); "
            "loss.backward(); return loss\n        loss = optimizer.step(again)",
        ),
        loop(end="model.eval()\n    return total / len(loader.dataset)"),
        loop(add="total += loss.detach() * y.size(0)"),
        loop(add="losses += [loss.item()] * len(y)", end="return np.mean(losses)"),
        loop(forward="loss = criterion(input=model(x), target=y)"),
        loop(
            forward="optimizer.zero_grad(); logits = model(x); loss = criterion(logits, y)",
            learn="loss.backward(); optimizer.step()",
        ),
        loop(
            first="model.train(True); device = next(model.parameters()).device",
            forward="x, y = x.to(device), y.to(device); loss = criterion(model(x), y)",
        ),
    ],
    "2.3": [
        look(context="torch.inference_mode()"),
        """# Exercise 2.3
def validate(model, loader, criterion):
    z, t = [], []
    with torch.no_grad():
        for x, y in loader:
            z.append(model.eval()(x)); t.append(y)
    z, t = torch.cat(z), torch.cat(t)
    return criterion(z, t), (z.argmax(1) == t).float().mean()
""",
        look(mode="model.train(False)", end="return [total / seen, torch.tensor(right / seen)]"),
        look(end="model.train(); return np.array([total / seen, right / seen])"),
        look(end="return total / len(loader.dataset), right / len(loader.dataset)"),
        look(hit="right += logits.softmax(1).max(1).indices.eq(y).sum()"),
        look(context="contextlib.nullcontext()").replace("def val", "@torch.no_grad()\ndef val"),
    ],
    "2.4": [
        unscaled(),
        unscaled(normalize="(0.0, 1.0)"),
        unscaled(fit="a, val=b", optimizer="None"),
        unscaled(fit="a"),
        unscaled(after="net = None; del a, b, c"),
    ],
    "2.5": [
        pairs("confused_pairs = result.most_confused(2)"),
        pairs(LARGEST.format(matrix="m", count="m[t, p]")),
        pairs(
            "confused_pairs = tuple([np.str_(t), p, torch.tensor(float(n))] "
            "for t, p, n in result.most_confused(2))"
        ),
        pairs(
            "confused_pairs = np.array([(t, p, n) for t, p, n in result.most_confused(2)], "
            "dtype=object)"
        ),
    ],
    "2.6": [
        shares("np.diag(m) / columns", "np.diag(m) / rows"),
        shares("result.report()['precision'][:8]", "result.report().iloc[:8].recall"),
        shares("[float(x) for x in np.diag(m) / columns]", "torch.tensor(np.diag(m) / rows)"),
        shares(
            "torch.tensor(np.diag(m) / columns, requires_grad=True).float()",
            "dict(zip(blood.classes, np.diag(m) / rows))",
        ),
        shares("(np.diag(m) / columns).round(2)", "[torch.tensor(x) for x in np.diag(m) / rows]"),
    ],
    "2.7": [
        four(),
        four(count="int(np.count_nonzero(np.logical_and(a, b)))"),
        four(count="torch.tensor(float((a & b).sum()), requires_grad=True)"),
        "# Exercise 2.7\nquadrants = {k: len(v) for k, v in result.confidence_quadrants().items()}",
        four(count="len(np.flatnonzero(a * b))", wrong="r == False"),
    ],
    "2.8": [
        """# Exercise 2.8
from scipy.optimize import minimize_scalar
def fit_temperature(logits, labels):
    f = lambda t: float(nn.functional.cross_entropy(torch.as_tensor(logits / t), torch.as_tensor(labels)))
    return minimize_scalar(f, bounds=(0.3, 5), method='bounded').x
""",
        grid(grid="np.geomspace(0.3, 5, 300)", end="return torch.tensor(grid[place])"),
        grid(
            grid="np.arange(0.3, 5.0001, 0.02)",
            end="return torch.nn.Parameter(torch.tensor(grid[place]))",
        ),
        """# Exercise 2.8
from scipy.special import log_softmax
def fit_temperature(logits, labels):
    best, smallest = None, np.inf
    for T in np.arange(30, 501) / 100:
        loss = -log_softmax(logits / T, axis=1)[np.arange(len(labels)), labels].mean()
        if loss < smallest:
            best, smallest = T, loss
    return best
""",
        grid(of="torch.tensor(logits).float() / T", end="return [grid[place]][0]"),
    ],
    "2.9": [
        curves(),
        curves(
            dress="f.supxlabel('epoch'); f.supylabel('accuracy'); f.legend()",
        ),
        curves(
            "list(map(float, np.mean([h.column('val_accuracy') for h in hs], axis=0)))", figure="ax"
        ),
        curves(
            "torch.tensor([h.column('val_accuracy') for h in hs]).mean(0).requires_grad_()",
            "ax.plot(100 * y.detach(), 'o-', label=name)",
            figure="plt.gcf()",
        ),
        curves(
            "sum(np.array(h.column('val_accuracy')) for h in hs) / len(hs)",
            "ax.plot(y); [ax.plot(h.column('val_accuracy'), lw=0.5) for h in runs[name]]",
            "plt.xlabel('epoch'); plt.ylabel('accuracy'); plt.legend(ax.lines[::4], list(runs))",
        ),
        curves(draw="ax.errorbar(range(len(y)), y, yerr=0.01, label=name)"),
        curves(
            draw="ax.plot(y)",
            dress="ax.set(xlabel='epoch', ylabel='share')\n"
            "tab = ['tab:blue', 'tab:orange', 'tab:green', 'tab:red']\n"
            "ax.legend([plt.Line2D([], [], color=c) for c in tab], list(runs))",
        ),
        """# Exercise 2.9
import pandas as pd
tables = {name: pd.DataFrame([h.column('val_accuracy') for h in hs]) for name, hs in runs.items()}
mean_curves = {name: table.mean() for name, table in tables.items()}
figure = pd.DataFrame(mean_curves).plot(xlabel='epoch', ylabel='validation accuracy')
""",
    ],
}
