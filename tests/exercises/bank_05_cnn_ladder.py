"""Lab 05: usual mistakes, each with a word of the message they must get, and other right ways."""


def shapes(
    formula="(side + 2 * padding - kernel) // stride + 1", trace="[28, 27, 13]", count="1373"
):
    return f"""# Exercise 5.2
def out_side(side, kernel, padding=0, stride=1):
    return {formula}
trace = {trace}
one_filter_parameters = {count}
"""


def score(body="return (logits.argmax(1) == labels).float().mean()", evenly="1 / 8", largest=None):
    largest = (
        largest or "float((blood.test.labels == blood.train.labels.mode().values).float().mean())"
    )
    return f"""# Exercise 5.3
def accuracy(logits, labels):
    {body}
guess_evenly = {evenly}
guess_largest = {largest}
"""


UNCHANGED = (
    "nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), "
    "nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2), "
    "nn.Flatten(), nn.Dropout(0.2), nn.Linear(800, 128), nn.ReLU(), nn.Linear(128, 8)"
)
NORMED = UNCHANGED.replace("32, 3), ", "32, 3), nn.BatchNorm2d(32), ")
DROPPED = UNCHANGED.replace("nn.Linear(128, 8)", "nn.Dropout(0.3), nn.Linear(128, 8)")
THREE = UNCHANGED.replace("nn.Linear(128, 8)", "nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 8)")
STRIDED = (
    UNCHANGED.replace("nn.MaxPool2d(2), ", "")
    .replace(", 3), ", ", 3, stride=2), ")
    .replace("800", "1152")
)


def variants(norm=NORMED, drop=DROPPED, three=THREE, strided=STRIDED, guess="'same'", more=""):
    made = zip(
        ("second_norm", "head_dropout", "third_linear", "strided"),
        (norm, drop, three, strided),
        strict=True,
    )
    functions = "\n".join(f"def {name}():\n    return nn.Sequential({x})" for name, x in made)
    return f"""# Exercise 5.5
{functions}
hypotheses = dict.fromkeys(
    ["second_norm", "head_dropout", "third_linear", "strided", "rate 1e-4", "rate 5e-5"], {guess})
{more}
"""


def by_hand(
    value="(image[:, i : i + h, j : j + w] * weight[k]).sum() + bias[k]",
    rows="image.shape[1] - h + 1",
    columns="image.shape[2] - w + 1",
    end="return out",
):
    return f"""# Exercise 5.1
def convolve(image, weight, bias):
    K, C, h, w = weight.shape
    H, W = {rows}, {columns}
    out = torch.zeros(K, H, W)
    for k in range(K):
        for i in range(H):
            for j in range(W):
                out[k, i, j] = {value}
    {end}
"""


def field(body):
    return f"""# Exercise 5.4
def receptive_field(layers):
    field, step = 1, 1
    {body}
"""


def sharp(
    body="return nn.functional.conv2d(grey, kernel).flatten(1).var(1)",
    names="['rotation within 15°']",
):
    return f"""# Exercise 5.8
def sharpness(images):
    grey = 255 * images.mean(1, keepdim=True)
    kernel = torch.tensor([[[[0., 1, 0], [1, -4, 1], [0, 1, 0]]]])
    {body}
blurring = {names}
"""


def sixty(
    layers="nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(1152, 8)",
    until="time.perf_counter() - start < seconds",
    end="return model.eval()",
):
    return f"""# Exercise 5.14
def challenge(train, seconds):
    start = time.perf_counter()
    model = nn.Sequential({layers}).to(lk.get_device())
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    while {until}:
        for images, labels in train.loader(64, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            if not {until}:
                break
    {end}
"""


BLOCKS = (
    "nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), "
    "nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), "
    "nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)"
)
HEAD = (
    "nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.5), "
    "nn.Linear(64, 8)"
)


def simple(blocks=BLOCKS, head=HEAD, forward="return self.classifier(self.features(images))"):
    return f"""# Exercise 5.6
class SimpleCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential({blocks})
        self.classifier = nn.Sequential({head})
    def forward(self, images):
        {forward}
"""


def weigh(body):
    return f"# Exercise 5.7\ndef class_weights(labels, num_classes):\n    n = torch.bincount(labels, minlength=num_classes)\n    {body}\n"


FOUR = "[(n, o) for o in ('Adam', 'SGD') for n in ('WideCNN', 'LightCNN')]"


def apart(
    plan=FOUR,
    width="(a['WideCNN', 'SGD'] + a['WideCNN', 'Adam'] - a['LightCNN', 'SGD'] - a['LightCNN', 'Adam']) / 2",
    more="",
):
    return f"""# Exercise 5.9
plan = {plan}
def effects(a):
    width = {width}
    optimizer = np.mean([a[n, 'Adam'] - a[n, 'SGD'] for n in ('LightCNN', 'WideCNN')])
    {more}
    return {{"width": width, "optimizer": optimizer}}
"""


def room(
    pad="return nn.functional.pad(images, 4 * [(32 - images.shape[-1]) // 2])",
    small="[28, 14, 7, 3, 1, 0]",
):
    return f"""# Exercise 5.10
sides_28 = {small}
sides_32 = [32, 16, 8, 4, 2, 1]
def pad_to_32(images):
    {pad}
"""


def mend(
    end="",
    optimizer="model",
    look="model.eval()",
    train="model.train()",
    result="right / seen",
    context="torch.no_grad()",
):
    return f"""# Exercise 5.11
import contextlib
class MendedCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(), nn.Dropout(0.5), nn.Linear(128, 8){end})
    def forward(self, images):
        return self.layers(images)
def train_mended(model, train, val, epochs):
    optimizer = torch.optim.Adam({optimizer}.parameters(), lr=1e-3)
    for _ in range(epochs):
        {train}
        for x, y in train:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    {look}
    right = seen = 0
    with {context}:
        for x, y in val:
            right += int((model(x).argmax(1) == y).sum())
            seen += len(y)
    return {result}
"""


def best_epoch():
    start, loop = mend(look="pass").split("    for _ in range(epochs):\n")
    loop, look = loop.split("    pass\n")
    look = "    model.eval()\n" + look.replace("return right / seen", "best.append(right / seen)")
    look = "".join(f"    {line}\n" for line in look.splitlines())
    return f"{start}    best = []\n    for _ in range(epochs):\n{loop}{look}    return max(best)\n"


CONV = "nn.Conv2d(channels, channels, 3, padding=1, bias=False)"
NORM = "nn.BatchNorm2d(channels)"


def block(
    layers=f"{CONV}, {NORM}, nn.ReLU(), {CONV}, {NORM}",
    forward="return (x + self.change(x)).relu()",
):
    return f"""# Exercise 5.12
class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.change = nn.Sequential({layers})
    def forward(self, x):
        {forward}
"""


def views(end, list_of="[t.flip(3) if f else t for t in turns for f in (0, 1)]"):
    return f"""# Exercise 5.13
def eight_views(model, images):
    turns = [images.rot90(k, (2, 3)) for k in range(4)]
    logits = torch.stack([model(v) for v in {list_of}])
    {end}
"""


WRONG = {
    "5.1": [
        (by_hand("(image[:, i : i + h, j : j + w] * weight[k]).sum()"), "bias is missing"),
        (by_hand("(image[:, i : i + h, j : j + w] * weight[k] + bias[k]).sum()"), "each weight"),
        (by_hand("(image[:, i : i + h, j : j + w] * weight[k].flip((1, 2))).sum() + bias[k]"), "turned round"),
        (by_hand("(image[:, i : i + h, j : j + w] * weight[k]).mean() + bias[k]"), "take the sum"),
        (by_hand("(image[0, i : i + h, j : j + w] * weight[k, 0]).sum() + bias[k]"), "only the first channel"),
        (by_hand("(image[:, i : i + h, j : j + w] * weight[k]).sum() - bias[k]"), "subtracted"),
        (by_hand(rows="image.shape[1] - h", columns="image.shape[2] - w"), "last place is missing"),
        (by_hand(end="return out.transpose(1, 2)"), "swapped"),
        (by_hand(end="out"), "return"),
        (by_hand(end="return out[0]"), "(K, H', W')"),
        (by_hand(end="return out[None]"), "not (1, 3, 5, 3)"),
        (by_hand(end="return nn.functional.conv2d(image[None], weight, bias)[0]"), "without PyTorch's conv2d"),
        (by_hand(end="p = image.unfold(1, h, 1).unfold(2, w, 1); return torch.einsum('cijuv,kcuv->kij', p, weight) + bias[:, None, None]"), "without PyTorch's unfold"),
        (by_hand("(image[:, i : i + h, j : j + w] * weight[k]).sum(0).max() + bias[k]"), "other numbers"),
        (by_hand().replace("    H, W", "    weight.copy_(weight.flip((2, 3)))\n    H, W"), "changes what it is given"),
        (by_hand().replace("    H, W", "    weight /= weight.abs().sum()\n    H, W"), "changes what it is given"),
        (by_hand(rows="7 - h", columns="6 - w"), "must be (2, 7, 3)"),
    ],
    "5.4": [
        (field("while layers:\n        k, s = layers.pop(0)\n        field += (k - 1) * step\n        step *= s\n    return field"), "changes the list"),
        (field("for k, s in layers:\n        field += (k - 1) * step\n        step *= 2 if k == 2 else 1\n    return field"), "39 pixels, not 16"),
        (field("for k, s in layers:\n        field += (k - 1) * step\n        step *= s\n    return field, step"), "one number"),
        (field("return sum(k - 1 for k, s in layers) + 1"), "strides are ignored"),
        (field("for k, s in layers:\n        step *= s\n        field += (k - 1) * step\n    return field"), "behind it"),
        (field("for k, s in layers:\n        field += (k - 1) * step\n        step *= s\n    return field - 1"), "begin there"),
        (field("for k, s in layers:\n        field = (field - 1) * s + k\n    return field"), "reverse the list"),
        (field("for k, s in layers:\n        field *= k\n    return field"), "not multiplied"),
        (field("for k, s in layers:\n        field += k * step\n        step *= s\n    return field"), "sees"),
        (field("for k, s in layers:\n        field += (k - 1) * step\n        step *= s"), "return"),
        (field("for k, s in layers:\n        field += (k - 1) * step\n        step += s\n    return field"), "sees"),
    ],
    "5.8": [
        (sharp("grey = 255 * (images * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, True); return nn.functional.conv2d(grey, kernel).flatten(1).var(1)"), "mean of the channels"),
        (sharp("return nn.functional.conv2d(grey, kernel).flatten(1).std(1)"), "standard deviation"),
        (sharp("return nn.functional.conv2d(grey / 255, kernel).flatten(1).var(1)"), "255 is missing"),
        (sharp("return nn.functional.conv2d(grey, kernel, padding=1).flatten(1).var(1)"), "edge that is not there"),
        (sharp("return nn.functional.conv2d(grey, kernel).flatten(1).var(1).median()"), "it must be (4,)"),
        (sharp("images *= 255; grey = images.mean(1, keepdim=True); return nn.functional.conv2d(grey, kernel).flatten(1).var(1)"), "changes the images"),
        (sharp("return grey.flatten(1).var(1)"), "where is the Laplacian"),
        (sharp("return nn.functional.conv2d(3 * grey, kernel).flatten(1).var(1)"), "three times their mean"),
        (sharp("return nn.functional.conv2d(grey, kernel).flatten(1).abs().mean(1)"), "four neighbours"),
        (sharp("nn.functional.conv2d(grey, kernel)"), "return"),
        (sharp(names="['flips', 'rotation within 15°']"), "only moves pixels"),
        (sharp(names="['shifts by whole pixels']"), "not in your list"),
        (sharp(names="['rotate']"), "names of changes"),
        (sharp(names="[]"), "one of them blurs"),
        (sharp("return nn.functional.conv2d(grey, kernel).squeeze().flatten(1).var(1)"), "sharpness of one image"),
    ],
    "5.14": [
        (sixty("nn.Flatten(), nn.Linear(2352, 64), nn.ReLU(), nn.Linear(64, 8)"), "fewer than 100,000"),
        (sixty(until="time.perf_counter() - start < 8"), "after each batch"),
        (sixty(until="time.perf_counter() - start < 0.1"), "use `seconds`"),
        (sixty(end="return model.train()"), "eval mode"),
        (sixty(end="pass"), "must return the network"),
        (sixty(end="return nn.Sequential(model, nn.Softmax(1)).eval()"), "these are probabilities"),
        (sixty().replace("optimizer.step()", "pass"), "nothing was learnt"),
        (sixty().replace("Adam(model", "Adam(nn.Linear(2, 2)"), "nothing was learnt"),
        (sixty().replace("train.loader", "blood.test.loader"), "learn from `train`"),
        (sixty(end="return model.state_dict()"), "return the network"),
        (sixty(end="return nn.Sequential(model, nn.Flatten(), nn.Linear(8, 5)).eval()"), "8"),
        (sixty(end="return nn.Sequential(model, nn.Sigmoid()).eval()"), "these are probabilities"),
        (sixty().replace(".backward()", ""), "nothing was learnt"),
        (sixty().replace("1e-3)", "lr=0.0)"), "nothing was learnt"),
        (sixty().replace("optimizer.step()", "optimizer.param_groups[0]['lr'] = -1e-3; optimizer.step()"), "a rate above 0"),
        (sixty(end="for p in model.parameters(): p.data.zero_()\n    return model.eval()"), "the same of all images"),
        (sixty().replace("nn.Linear(1152, 8)", "nn.Linear(1152, 200).requires_grad_(False), nn.ReLU(), nn.Linear(200, 8)"), "fewer than 100,000"),
    ],
    "5.2": [
        ("# Exercise 5.2\nout_side = lambda n, k, p=0, s=1: (n + 2 * p - k) // s + 1\ntrace, one_filter_parameters = [28, 27, 13], 1373", "'stride'"),
        (shapes("(side + 2 * padding - kernel) // stride"), "first place counts too"),
        (shapes("(side + 2 * padding - kernel + 1) // stride"), "first place counts too"),
        (shapes().replace("stride=1", "stride=2"), "out_side(28, 2) must be 27, not 14"),
        (shapes().replace("padding=0, stride=1", "stride=1, padding=0"), "padding comes before stride"),
        (shapes("(side + 2 * padding - kernel) / stride + 1"), "round down"),
        (shapes("(side + padding - kernel) // stride + 1"), "*both* sides"),
        (shapes("(side - kernel) // stride + 2 * padding + 1"), "must be"),
        (shapes("(side + 2 * padding) // stride - (kernel - 1) // stride"), "must be 7, not 6"),
        (shapes("print(side)"), "return"),
        (shapes(trace="[28, 28, 14]"), "makes the image smaller"),
        (shapes(trace="[28, 27, 14]"), "13 whole pairs"),
        (shapes(trace="[28, 27, 13.5]"), "13 whole pairs"),
        (shapes(trace="[28, 27]"), "three numbers"),
        (shapes(count="4 + 1 + 169 * 8 + 8"), "three colours"),
        (shapes(count="13 + 169 * 8"), "each logit has a bias"),
        (shapes(count="12 + 169 * 8"), "biases"),
        (shapes(count="1135"), "recount"),
        (shapes("round((side + 2 * padding - kernel) / stride) + 1"), "only in part"),
        (shapes("-(-(side + 2 * padding - kernel) // stride) + 1"), "only in part"),
        (shapes(trace="[(3, 28, 28), (1, 27, 27), (1, 13, 13)]"), "sides only"),
        (shapes(count="13"), "add the linear layer"),
        (shapes(count="13 + 3 * 169 * 8 + 8"), "one map"),
        (shapes("int((side + 2 * padding - kernel) / stride) + 1"), "int() towards 0"),
        (shapes("max(1, (side + 2 * padding - kernel) // stride + 1)"), "out_side(1, 2, 0, 2) must be 0"),
    ],
    "5.3": [
        (score("return (logits.argmax(1) == labels).sum()"), "divide by the images"),
        (score("return (logits.argmax(1) == labels).float()"), "one number"),
        (score("return 100 * (logits.argmax(1) == labels).float().mean()"), "per cent"),
        (score("return (logits.argmin(1) == labels).float().mean()"), "smallest logit"),
        (score("return (logits.argmax(1) == 0).float().mean()"), "are right"),
        (score("return (logits.max(1).values == labels).float().mean()"), "you return 0.00"),
        (score("return (logits.argmax() == labels).float().mean()"), "you return 0.00"),
        (score("return (logits.argmax(1) == labels).sum() / logits.numel()"), "you return 0.07"),
        (score("return (logits[:, :8].argmax(1) == labels).float().mean()"), "are right"),
        (score("(logits.argmax(1) == labels).float().mean()"), "return"),
        (score("return (logits.argmax(1, keepdim=True) == labels).float().mean()"), "compared with every label"),
        (score("return (logits.argmax(1) != labels).float().mean()"), "wrong answers"),
        (score(evenly="0.5"), "one of eight"),
        (score(evenly="12.5"), "from 0 to 1"),
        (score(largest="int((blood.test.labels == blood.train.labels.mode().values).sum())"), "guess_largest"),
        (score(largest="float(torch.bincount(blood.train.labels).max() / len(blood.train))"), "in the training split"),
        (score(largest="float((blood.val.labels == 6).float().mean())"), "in the validation split"),
        (score(largest="sum(int((s.labels == 6).sum()) for s in (blood.train, blood.val, blood.test)) / 17_092"), "in all three"),
        (score(largest="0.5"), "count this class"),
        (score("return (logits.argmax(1) == labels).sum() / 8"), "you return 0.38"),
    ],
    "5.5": [
        (variants(drop=DROPPED.replace("nn.Dropout(0.3)", "nn.Dropout1d(0.3)")), "or 1d"),
        (variants(norm=NORMED.replace("nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16", "nn.ReLU(), nn.Dropout(0.1), nn.MaxPool2d(2), nn.Conv2d(16")), "among the convolutions"),
        (variants(drop=DROPPED.replace("32, 3), nn.ReLU()", "32, 3), nn.ReLU(), nn.Dropout(0.1)")), "among the convolutions"),
        (variants(three=THREE.replace("32, 3), nn.ReLU(), nn.MaxPool2d(2)", "32, 3), nn.ReLU(), nn.Dropout(0.2), nn.MaxPool2d(2)").replace("nn.Flatten(), nn.Dropout(0.2)", "nn.Flatten()")), "among the convolutions"),
        (variants(norm=NORMED.replace("nn.BatchNorm2d(32)", "nn.LazyBatchNorm2d()")), "lazy layer"),
        (variants(norm=NORMED.replace("nn.Linear(800, 128)", "nn.LazyLinear(128)")), "lazy layer"),
        (variants(norm=UNCHANGED), "batch normalisation is used 1"),
        (variants(norm=NORMED.replace("nn.BatchNorm2d(32), nn.ReLU()", "nn.ReLU(), nn.BatchNorm2d(32)")), "before the ReLU"),
        (variants(norm=NORMED.replace("(800, 128)", "(800, 64)").replace("(128, 8)", "(64, 8)")), "linear layers are"),
        (variants(drop=UNCHANGED), "dropout 0.3 is missing before the second"),
        (variants(drop=DROPPED.replace("0.3", "0.5")), "50 %"),
        (variants(drop=DROPPED.replace("nn.Dropout(0.2), ", "")), "dropout 0.2 is missing before the first"),
        (variants(three=THREE.replace("32), nn.ReLU()", "32)")), "ReLU is missing"),
        (variants(three=THREE.replace("32)", "64)").replace("(32, 8)", "(64, 8)").replace("16, 64", "16, 32")), "linear layers are"),
        (variants(strided=STRIDED.replace("1152", "800")), "does not fit"),
        (variants(strided=UNCHANGED.replace(", 3), ", ", 3, stride=2), ").replace("800", "32")), "poolings are still there"),
        (variants(strided=UNCHANGED), "steps of [1, 1]"),
        (variants(strided=STRIDED.replace("nn.BatchNorm2d(16), ", "")), "batch normalisation is used 0"),
        (variants(three=THREE.replace("MaxPool", "AvgPool")), "the plan says something else"),
        (variants(three=THREE.replace("32), nn.ReLU()", "32), nn.BatchNorm1d(32), nn.ReLU()")), "no BatchNorm1d"),
        (variants(norm=NORMED.replace("BatchNorm2d(32)", "BatchNorm2d(32, affine=False)")), "keeps its defaults"),
        (variants(more="def strided(): two_blocks()"), "return"),
        (variants(more="strided = lambda: two_blocks"), "must return a network"),
        (variants(guess="'no idea'"), "hypothesis is"),
        (variants(more="kept = strided()\ndef strided():\n    return kept"), "same weights twice"),
        (variants(more="del hypotheses['strided']"), "keys"),
        (variants(strided=STRIDED.replace("(3, 16, 3,", "(3, 16, 2,")), "3 x 3 pixels"),
        (variants(strided=STRIDED.replace("(3, 16, 3,", "(3, 16, 4,")), "3 x 3 pixels"),
        (variants(norm=UNCHANGED.replace("32, 3), nn.ReLU(), nn.MaxPool2d(2)", "32, 3), nn.MaxPool2d(2), nn.BatchNorm2d(32), nn.ReLU()")), "the plan says something else"),
        (variants(drop=DROPPED + ", nn.Dropout(0.3)"), "no dropout on the logits"),
        (variants(three=THREE.replace("nn.Flatten(), nn.Dropout(0.2)", "nn.Dropout2d(0.2), nn.Flatten()")), "not Dropout2d"),
        (variants(more="strided = strided()"), "must be a function"),
    ],
    "5.6": [
        (simple(head=HEAD.replace("nn.Dropout(0.5)", "nn.Dropout1d(0.5)")), "not Dropout1d"),
        (simple(forward="self.classifier(self.features(images))"), "return"),
        (simple(forward="return self.classifier(self.features(images).detach())"), "no gradient"),
        (simple(forward="return self.classifier(self.features(images).view(64, 128, 3, 3))"), "invalid for input"),
        (simple(head=HEAD + ", nn.ReLU()"), "ReLU on the last"),
        (simple(head=HEAD + ", nn.Softmax(1)"), "leave the softmax out"),
        (simple(head=HEAD + ", nn.LogSoftmax(1)"), "log-probabilities"),
        (simple(head=HEAD.replace("0.5", "0.2")), "should be 50 %"),
        (simple(head=HEAD.replace("nn.Dropout(0.5), ", "").replace("nn.Linear(128", "nn.Dropout(0.5), nn.Linear(128")), "before the first"),
        (simple(head=HEAD.replace("nn.ReLU(), nn.Dropout", "nn.Dropout")), "between the two linear"),
        (simple(BLOCKS.replace("nn.MaxPool2d", "nn.AvgPool2d")), "not the mean"),
        (simple(head=HEAD.replace("Avg", "Max")), "not its maximum"),
        (simple(head=HEAD.replace("nn.Dropout(0.5), ", ""), forward="x = nn.functional.dropout(self.classifier[:4](self.features(images)), 0.5); return self.classifier[4](x)"), "self.training"),
        (simple(head="nn.Flatten(), nn.Linear(1152, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 8)"), "128 numbers"),
        (simple(BLOCKS.replace("nn.ReLU(), ", "")), "behind the convolutions"),
        (simple(BLOCKS.replace(", padding=1", "")), "other logits"),
        (simple(head=HEAD.replace("nn.Dropout(0.5), ", "")), "dropout"),
        (simple(BLOCKS.replace("128", "96"), HEAD.replace("128", "96")), "convolutions are"),
        (simple(head=HEAD + ", nn.Dropout(0.5)"), "no dropout on the logits"),
        (simple(forward="return self.classifier[2:](self.features(images).mean((2, 3), keepdim=True).squeeze())"), "not squeeze()"),
        (simple(forward="return self.classifier[2:](self.features(images).mean((2, 3)).view(50, 128))"), "invalid for input"),
        (simple(head=HEAD.replace("nn.Dropout(0.5), ", ""), forward="x = self.classifier[:4](self.features(images)); return self.classifier[4](x * (torch.rand(x.shape) < 0.5) if self.training else x)"), "doubles what it keeps"),
    ],
    "5.7": [
        (weigh("return n / len(labels)"), "rare class"),
        (weigh("return 1 / n"), "scale"),
        (weigh("return len(labels) / n"), "scale"),
        (weigh("return len(labels) // (num_classes * n)"), "whole numbers"),
        (weigh("return (len(labels) / (num_classes * n)).tolist()"), "tensor"),
        (weigh("return (len(labels) / (num_classes * n))[labels]"), "one weight a class"),
        (weigh("len(labels) / (num_classes * n)"), "return"),
        (weigh("w = len(labels) / (num_classes * n); labels += 1; return w"), "changes the labels"),
        (weigh("n = torch.tensor(pd.Series(labels.numpy()).value_counts().to_numpy()); return len(labels) / (num_classes * n)"), "class without images"),
        (weigh("return (len(labels) / (num_classes * n)).sort().values"), "need [1.111"),
        (weigh("n = torch.bincount(labels); return len(labels) / (num_classes * n)"), "class without images"),
        (weigh("return len(labels) / (len(labels.unique()) * labels.unique(return_counts=True)[1])"), "class without images"),
        (weigh("return 10 / (num_classes * n)"), "N is 4 and C is 2"),
        (weigh("return len(labels) / (3 * n)"), "N is 4 and C is 2"),
    ],
    "5.9": [
        (apart("[('LightCNN', 'SGD'), ('WideCNN', 'Adam')]"), "mixed pairs"),
        (apart(FOUR + "[:3]"), "missing"),
        (apart("['LightCNN', 'WideCNN']"), "pair"),
        (apart("[('Wide', 'Adam')] * 4"), "no runs"),
        (apart(width="a['WideCNN', 'Adam'] - a['LightCNN', 'SGD']"), "both at once"),
        (apart(width="a['WideCNN', 'SGD'] + a['WideCNN', 'Adam'] - a['LightCNN', 'SGD'] - a['LightCNN', 'Adam']"), "sum"),
        (apart(more="width = -width"), "sign"),
        (apart(more="return width, optimizer"), "dict"),
        (apart(more="width, optimizer = optimizer, width"), "swapped"),
        (apart(width="a['WideCNN', 'Adam'] - a['LightCNN', 'Adam']"), "with Adam only"),
        (apart(more="width = width // 1"), "11.5 points, not 11"),
        (apart(more="width = width / 100"), "in points"),
        (apart("__import__('itertools').product(('LightCNN', 'WideCNN'), ('SGD', 'Adam'))"), "make it a list"),
        (apart(FOUR + " * 2"), "twice"),
        (apart(width="a['SGD', 'WideCNN'] - a['SGD', 'LightCNN']"), "ask accuracy[network, optimizer]"),
    ],
    "5.10": [
        (room(small="[28, 14, 7, 4, 2, 1]"), "round down"),
        (room(small="[14, 7, 3, 1, 0]"), "before the first"),
        (room(small="[28, 14, 7, 3, 1, 0, 0]"), "six numbers"),
        (room("return nn.functional.interpolate(images, (32, 32))"), "stretched"),
        (room("return nn.functional.pad(images, (0, 4, 0, 4))"), "middle"),
        (room("return nn.functional.pad(images, (2, 2))"), "shape must be"),
        (room(small="[28, 14, 7, 3.5, 1.75, 0.875]"), "round down"),
        (room("return images if images.shape[-1] == 32 else nn.functional.pad(images, 4 * [2], value=-1)"), "another value"),
        (room("if images.shape[-1] == 32: return images\n    out = torch.zeros(len(images), 3, 32, 32); out[:, :, 2:30, 2:30] = images; return out"), "(3)"),
        (room("if images.shape[-1] < 32: return nn.functional.pad(images, 4 * [2])"), "stay as they are"),
        (room("return nn.functional.pad(images, (2, 2, 2, 2))"), "stay as they are"),
        (room("if images.shape[1:] == (5, 28, 28): images = nn.functional.pad(images, 4 * [2])\n    return images"), "any B and C"),
        (room("out = torch.zeros(*images.shape[:2], 32, 32); out[:, :, 2:30, 2:30] = images; return out"), "stay as they are"),
    ],
    "5.11": [
        (mend().replace("optimizer.step()", "nn.utils.clip_grad_norm_(model.parameters(), 0.1); optimizer.step()"), "clipped"),
        (mend(end=", nn.ReLU()"), "ReLU on the logits"),
        (mend(end=", nn.Softmax(1)"), "a softmax belongs"),
        (mend(optimizer="MendedCNN()"), "whose parameters"),
        (mend(end=", nn.LeakyReLU()"), "another network"),
        (mend().replace("nn.BatchNorm2d(16), ", "").replace("nn.BatchNorm2d(32), ", ""), "another network"),
        (mend().replace("nn.Dropout(0.5), ", ""), "dropout is no fault"),
        (mend().replace(".backward()\n", "\n"), "loss.backward()"),
        (mend().replace("            optimizer.step()", "        optimizer.step()"), "9 steps, not 3"),
        (mend().replace("range(epochs)", "range(2)"), "9 steps, not 12"),
        (mend().replace("x, y in val", "x, y in train"), "images of `val`"),
        (mend().replace("x, y in train", "x, y in val"), "images of `train`"),
        (mend().replace("(model(x), y)", "(model(x).softmax(1), y)"), "logits as they are"),
        (mend().replace("optimizer.zero_grad()", "pass"), "add up"),
        (mend().replace("optimizer.zero_grad()", "pass").replace("optimizer.step()", "optimizer.zero_grad(); optimizer.step()"), "empty"),
        (mend().replace("optimizer.step()", "pass"), "step() called"),
        (mend(look="pass"), "model.eval()"),
        (mend(train="model.eval()"), "model.train()"),
        (mend(context="contextlib.nullcontext()"), "no_grad"),
        (mend(result="100 * right / seen"), "per cent"),
        (mend(result="right / len(val)"), "you return"),
        (mend().replace("int((model(x).argmax(1) == y).sum())", "float((model(x).argmax(1) == y).float().mean())").replace("+= len(y)", "+= 1"), "count images"),
        (mend(result="None"), "return"),
        (mend().replace("nn.Dropout(0.5)", "nn.Dropout(0.1)"), "keep 0.5"),
        (mend(end=", nn.Dropout(0.5)"), "dropout is no fault"),
        (mend(end=", nn.Dropout(0.5)").replace("nn.Dropout(0.5), nn.Linear", "nn.Linear"), "dropout is no fault"),
        (mend().replace("nn.Dropout(0.5), ", "").replace("padding=1), nn.BatchNorm2d(16)", "padding=1), nn.Dropout(0.5), nn.BatchNorm2d(16)"), "dropout is no fault"),
        (mend(optimizer="model.layers[-1]"), "holds a part"),
        (mend().replace("model.parameters()", "list(model.parameters())[-2:]"), "holds a part"),
        (mend().replace("lr=1e-3", "lr=1e-1"), "lr=1e-3"),
        (mend().replace("torch.optim.Adam", "torch.optim.SGD"), "Adam with lr=1e-3"),
        (mend().replace("lr=1e-3", "lr=1e-3, weight_decay=0.1"), "keep it as it was"),
        (mend(train="optimizer = torch.optim.Adam(model.parameters()); model.train()"), "before the loops"),
        (mend().replace("optimizer.zero_grad()", "optimizer = torch.optim.Adam(model.parameters()); optimizer.zero_grad()"), "before the loops"),
        (best_epoch(), "it ends at"),
    ],
    "5.12": [
        (
            block(f"{CONV}, {NORM}, nn.ReLU(), {CONV}, {NORM}".replace(NORM, "nn.LazyBatchNorm2d()")),
            "no lazy layers",
        ),
        (block(forward="return self.change(x).relu()"), "not added"),
        (block(forward="return x + self.change(x)"), "behind the sum"),
        (block(forward="return x + self.change(x).relu()"), "after the sum"),
        (block(f"{CONV}, {NORM}, {CONV}, {NORM}"), "between"),
        (block(f"{CONV}, {NORM}, nn.ReLU()"), "needs two"),
        (block(f"{CONV}, nn.ReLU(), {CONV}, {NORM}"), "normalisations"),
        (block(forward="(x + self.change(x)).relu()"), "return"),
        (block(f"{CONV}, {NORM}, nn.ReLU(), {CONV}, {NORM}, nn.ReLU()"), "never take away"),
        (block(forward="x += self.change(x); return x.relu()"), "input was changed"),
        (block(forward="return (self.change(x) - x).relu()"), "subtracted"),
        (block(forward="return (self.change(x).detach() + x).relu()"), "no detach()"),
        (block(f"{CONV}, {NORM}, nn.ReLU(), {CONV}, {NORM}".replace("padding=1", "padding=1, groups=channels")), "both convolutions"),
        (block(forward="return (x + self.change(self.change(x))).relu()"), "4 convolutions"),
        (block(f"{CONV}, nn.ReLU(), {NORM}, {CONV}, {NORM}"), "after the normalisation"),
        (block(f"{CONV}, {NORM}, nn.ReLU(), {CONV}, {NORM}".replace("3, padding=1", "1")), "3 x 3"),
        (block(f"{CONV}, {NORM}, nn.ReLU(), {CONV}, {NORM}, nn.Dropout(0.3)"), "no dropout"),
        (block(f"{CONV}, {NORM}, nn.ReLU(), {CONV}, {NORM}".replace("padding=1", "padding=2, dilation=2")), "plain 3 x 3"),
        (block(f"{CONV}, {NORM}, nn.ReLU(), {CONV}, {NORM}".replace("padding=1", "padding=1, padding_mode='reflect'")), "plain 3 x 3"),
        (block().replace("self.change =", "self.short = nn.Conv2d(channels, channels, 1)\n        self.change ="), "all four are used"),
    ],
    "5.13": [
        (views("return logits.mean(0)"), "these are logits"),
        (views("return logits.mean(0).softmax(1)"), "softmax each view"),
        (views("return logits.softmax(2).sum(0)"), "divide by 8"),
        (views("return logits.softmax(2).mean(0).log()"), "logarithms"),
        (views("return logits.softmax(2).mean(0)", "turns"), "four turns"),
        (views("return logits.softmax(2).mean(0)", "[images, images.flip(2), images.flip(3), turns[2]]"), "only flips"),
        (views("return logits.softmax(2).mean(0)", "[images]"), "is another"),
        (views("return logits.softmax(2)"), "must be (5, 7)"),
        (views("return logits.softmax(2)[..., :8].mean(0) + torch.zeros(8)"), "size"),
        (views("images *= 0; return logits.softmax(2).mean(0)"), "changes the images"),
        (views("return nn.functional.one_hot(logits.argmax(2), 7).float().mean(0)"), "votes"),
        (views("return logits.log_softmax(2).mean(0).exp()"), "mean of logarithms"),
        (views("return logits.softmax(1).mean(0)"), "over the images"),
        (views("return logits.softmax(0).mean(0)"), "over the views"),
    ],
}  # fmt: skip

RIGHT = {
    "5.1": [
        by_hand(),
        by_hand("sum(image[c, i + a, j + b] * weight[k, c, a, b] for c in range(C) for a in range(h) for b in range(w)) + bias[k]"),
        "# Exercise 5.1\ndef convolve(image, weight, bias):\n    h, w = weight.shape[2:]\n    rows = [[torch.einsum('chw,kchw->k', image[:, i:i + h, j:j + w], weight) + bias for j in range(image.shape[2] - w + 1)] for i in range(image.shape[1] - h + 1)]\n    return torch.stack([torch.stack(row, 1) for row in rows], 1)",
        by_hand(end="return out.double()"),
        by_hand(end="p = np.lib.stride_tricks.sliding_window_view(image.numpy(), (h, w), (1, 2)); return torch.from_numpy(np.einsum('cijuv,kcuv->kij', p, weight.numpy())) + bias[:, None, None]"),
    ],
    "5.4": [
        field("for k, s in layers:\n        field += (k - 1) * step\n        step *= s\n    return field"),
        field("for k, s in reversed(layers):\n        field = (field - 1) * s + k\n    return field"),
        field("w, s = np.array(layers).T; return 1 + ((w - 1) * np.cumprod([1, *s[:-1]])).sum()"),
        field("return 1 + sum((k - 1) * int(np.prod([s for _, s in layers[:n]])) for n, (k, _) in enumerate(layers))"),
    ],
    "5.8": [
        sharp("layer = nn.Conv2d(1, 1, 3, bias=False); layer.weight.data = kernel; return layer(grey).flatten(1).var(1)"),
        sharp(),
        sharp("return np.array([nn.functional.conv2d(g[None], kernel).var() for g in grey])", "('rotation within 15°',)"),
        sharp("x = grey[:, 0]; e = x[:, :-2, 1:-1] + x[:, 2:, 1:-1] + x[:, 1:-1, :-2] + x[:, 1:-1, 2:] - 4 * x[:, 1:-1, 1:-1]; return e.flatten(1).var(1, unbiased=False)", "{'rotation within 15°'}"),
    ],
    "5.14": [
        sixty(),
        sixty(end="return lk.models.EightViews(model).eval()"),
        sixty(end="return __import__('copy').deepcopy(model).eval()"),
        "# Exercise 5.14\nchallenge = lk.models.quick_training",
        "# Exercise 5.14\ndef challenge(train, seconds):\n    return lk.models.quick_training(train, 0.9 * seconds, peak=0.003)",
    ],
    "5.2": [
        shapes("__import__('math').floor((side + 2 * padding - kernel) / stride) + 1", "(28, 27, 13)", "13 + 1352 + 8"),
        shapes("np.floor((side + 2 * padding - kernel) / stride + 1)", "np.array([28, 27, 13])", "np.int64(1373)"),
        shapes(
            "nn.Conv2d(1, 1, kernel, stride, padding)(torch.zeros(1, 1, side, side)).shape[-1]",
            "torch.tensor([28, 27, 13])",
            "lk.models.count_parameters(lk.models.OneFilterCNN())",
        ),
    ],
    "5.3": [
        score("return logits.topk(1).indices.t().eq(labels).float().sum(1) / len(labels)"),
        score(evenly="0.125", largest="round(float((blood.test.labels == 6).float().mean()), 3)"),
        score("return sum(int(a) == int(b) for a, b in zip(logits.max(1).indices, labels)) / len(labels)"),
        score("return np.mean(logits.numpy().argmax(1) == labels.numpy())", "torch.tensor(1 / 8)"),
    ],
    "5.5": [
        variants(),
        variants(guess="'better'", drop=DROPPED.replace("nn.ReLU(), nn.Dropout(0.3)", "nn.Dropout(p=0.3), nn.ReLU()")),
        variants(guess="'Better '"),
        variants(strided=STRIDED.replace("nn.Conv2d(16, 32, 3, stride=2)", "nn.Conv2d(16, 32, 3, (2, 2))")),
        variants(more="""
class Strided(nn.Module):
    def __init__(self):
        super().__init__()
        self.last, self.hidden = nn.Linear(128, 8), nn.Linear(1152, 128)
        self.two, self.one = nn.Conv2d(16, 32, 3, stride=2), nn.Conv2d(3, 16, 3, stride=2)
        self.norm = nn.BatchNorm2d(16)
    def forward(self, x):
        x = torch.relu(self.norm(self.one(x)))
        x = torch.relu(self.two(x)).flatten(1)
        x = nn.functional.dropout(x, 0.2, self.training)
        return self.last(torch.relu(self.hidden(x)))
strided = Strided"""),
    ],
    "5.6": [
        "# Exercise 5.6\nSimpleCNN = lk.models.SimpleCNN",
        simple(head=HEAD.replace("nn.ReLU(), nn.Dropout(0.5)", "nn.Dropout(p=0.5), nn.ReLU()")),
        """# Exercise 5.6
import torch.nn.functional as F
class SimpleCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.out = nn.Linear(128, 64), nn.Linear(64, 8)
        self.one, self.two, self.three = (nn.Conv2d(a, b, 3, padding="same") for a, b in ((3, 32), (32, 64), (64, 128)))
    def forward(self, x):
        for conv in (self.one, self.two, self.three):
            x = F.relu(F.max_pool2d(conv(x), 2))
        return self.out(F.dropout(F.relu(self.head(x.mean((2, 3)))), 0.5, self.training))
""",
    ],
    "5.7": [
        weigh("return n.sum() / n / num_classes"),
        weigh("return 1 / (num_classes * (n / n.sum()))"),
        weigh("from sklearn.utils.class_weight import compute_class_weight as w; return torch.tensor(w('balanced', classes=np.arange(num_classes), y=labels.numpy())).float()"),
        weigh("return torch.tensor([len(labels) / (num_classes * int((labels == c).sum())) for c in range(num_classes)], dtype=torch.float64)"),
        weigh("n = dict(zip(*(t.tolist() for t in labels.unique(return_counts=True)))); return torch.tensor([len(labels) / (num_classes * n[c]) for c in range(num_classes)])"),
        weigh("assert n.all(), 'a class without images'; return len(labels) / (num_classes * n)"),
    ],
    "5.9": [
        apart(),
        apart("{(n, o) for n in ('LightCNN', 'WideCNN') for o in ('SGD', 'Adam')}"),
        apart("[['LightCNN', 'Adam'], ['LightCNN', 'SGD'], ['WideCNN', 'Adam'], ['WideCNN', 'SGD']]", "torch.tensor([float(a['WideCNN', o] - a['LightCNN', o]) for o in ('SGD', 'Adam')]).mean()"),
    ],
    "5.10": [
        room(),
        room("out = torch.zeros(*images.shape[:2], 32, 32); p = (32 - images.shape[2]) // 2; out[:, :, p:32 - p, p:32 - p] = images; return out", "(28, 14, 7, 3, 1, 0)"),
        room("p = (32 - images.shape[-1]) // 2; return nn.ZeroPad2d(p)(images)", "np.array([28, 14, 7, 3, 1, 0])"),
    ],
    "5.11": [
        mend(),
        mend().replace("optimizer.zero_grad()", "model.zero_grad()"),
        mend().replace("optimizer.zero_grad()", "pass").replace("optimizer.step()", "optimizer.step(); optimizer.zero_grad()"),
        mend().replace("optimizer.zero_grad()", "optimizer.zero_grad(set_to_none=False)"),
        mend(look="model.train(False)", context="torch.inference_mode()", result="torch.tensor(right / seen)"),
        mend(optimizer="nn.ModuleList([model])"),
        """# Exercise 5.11
class MendedCNN(BrokenCNN):
    def forward(self, images):
        return self.layers[:-1](images)
def train_mended(model, train, val, epochs):
    lk.fit(model, train, epochs=epochs, optimizer=torch.optim.Adam(model.parameters(), lr=1e-3), progress=False)
    return lk.evaluate(model, val).accuracy
""",
    ],
    "5.12": [
        "# Exercise 5.12\nfrom labkit.models.residual import Residual",
        """# Exercise 5.12
class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.n2, self.c2 = nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.n1, self.c1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 3, padding="same")
    def forward(self, x):
        out = self.n2(self.c2(nn.functional.relu(self.n1(self.c1(x)))))
        out += x
        return nn.functional.relu(out)
""",
        block(f"{CONV}, {NORM}, nn.ReLU(), {CONV}, {NORM}".replace(", bias=False", ""), "return nn.functional.relu(self.change(x) + x)"),
    ],
    "5.13": [
        views("return logits.softmax(2).mean(0)"),
        "# Exercise 5.13\ndef eight_views(model, images):\n    return lk.models.EightViews(model)(images).exp()",
        views("return sum(v.softmax(1) for v in logits) / 8", "[w for v in (images, images.transpose(2, 3)) for w in (v, v.flip(2), v.flip(3), v.flip((2, 3)))]"),
    ],
}  # fmt: skip
