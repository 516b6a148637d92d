"""Lab 07: usual mistakes, each with a word of the message they must get, and other right ways."""


def hooked(
    number="logits[torch.arange(len(images)), classes].sum()",
    remove="handle.remove()",
    end="return kept[0].detach(), torch.autograd.grad(number, kept[0])[0]",
):
    return f"""# Exercise 7.1
def collect(model, layer, images, classes):
    kept = []
    handle = layer.register_forward_hook(lambda m, i, o: kept.append(o))
    try:
        logits = model(images)
    finally:
        {remove}
    number = {number}
    {end}
"""


CARELESS = """# Exercise 7.1
def collect(model, layer, images, classes):
    kept = []
    handle = layer.register_forward_hook(lambda m, i, o: kept.append(o))
    logits = model(images)
    handle.remove()
    number = logits[torch.arange(len(images)), classes].sum()
    return kept[0].detach(), torch.autograd.grad(number, kept[0])[0]
"""


def cam(
    weights="gradients.mean((2, 3), keepdim=True)",
    total="(w * activations).sum(1).relu()",
    first="norm(m)",
    resize="F.interpolate(m[:, None], size, mode='bilinear')[:, 0]",
    second="norm(m)",
    end="return m",
):
    return f"""# Exercise 7.2
def norm(m):
    m = m - m.amin((1, 2), keepdim=True)
    return m / (m.amax((1, 2), keepdim=True) + 1e-7)
def cam_from(activations, gradients, size):
    w = {weights}
    m = {total}
    m = {first}
    m = {resize}
    m = {second}
    {end}
"""


def gap(
    difference="logits - background_logits.mean(0)",
    gap="np.abs(values.sum((2, 3, 4)) - d).max(1)",
    scale="np.abs(d).max(1)",
):
    return f"""# Exercise 7.4
def largest_gap(values, logits, background_logits):
    d = {difference}
    return {gap} / {scale}
"""


def three(
    hand="[8, 5, -1]", orders=None, gain="worth[tuple(there)] - before", divide="len(orders)"
):
    orders = orders or "list(itertools.permutations(range(worth.ndim)))"
    return f"""# Exercise 7.3
by_hand = {hand}
def shapley(worth):
    orders = {orders}
    values = np.zeros(worth.ndim)
    for order in orders:
        there = [0] * worth.ndim
        for player in order:
            before = worth[tuple(there)]
            there[player] = 1
            values[player] += {gain}
    return values / {divide}
"""


def coalitions(share, end="return values"):
    return f"""# Exercise 7.3
by_hand = [8, 5, -1]
def shapley(worth):
    n, values = worth.ndim, np.zeros(worth.ndim)
    for there in itertools.product((0, 1), repeat=n):
        for player in range(n):
            if not there[player]:
                joined = tuple(1 if p == player else t for p, t in enumerate(there))
                s = sum(there)
                values[player] += (worth[joined] - worth[there]) * {share}
    {end}
"""


def way(
    share="(s + 0.5) / steps",
    point="baseline + share * (images - baseline)",
    logit="model(x)[torch.arange(len(images)), classes]",
    times="(images - baseline)",
    end="return times * total / steps",
    steps="steps",
):
    return f"""# Exercise 7.5
def integrated(model, images, baseline, classes, steps):
    total = 0
    for s in range({steps}):
        share = {share}
        x = ({point}).clone().requires_grad_()
        total = total + torch.autograd.grad({logit}.sum(), x)[0]
    times = {times}
    {end}
"""


def games(hits="inside[np.arange(len(m)), m.argmax(1)]", kept="np.maximum(m, 0)", over="p.sum(1)"):
    return f"""# Exercise 7.6
def hits_and_share(maps, masks):
    m, inside = maps.reshape(len(maps), -1), masks.reshape(len(masks), -1)
    p = {kept}
    return {hits}, (p * inside).sum(1) / {over}
"""


def delete(
    order="(-maps.reshape(n, -1)).argsort(1).argsort(1)",
    swap="torch.where(ranks < round(s / steps * h * w), baseline, images)",
    answer="model(x).softmax(1)[torch.arange(n), classes]",
    end="return torch.stack(curves, 1).numpy()",
    walk="range(steps + 1)",
):
    return f"""# Exercise 7.7
def deletion(model, images, maps, classes, baseline, steps):
    n, _, h, w = images.shape
    ranks = torch.from_numpy({order}).view(n, 1, h, w)
    curves = []
    with torch.no_grad():
        for s in {walk}:
            x = {swap}
            curves.append({answer})
    {end}
"""


def random_weights(start="copy.deepcopy(model)", each="net.get_submodule(name).reset_parameters()"):
    return f"""# Exercise 7.8
def forget(model, names):
    net = {start}
    for name in names:
        {each}
    return net
"""


def harm(formula="a - b", column="recall", rows="[:-2]"):
    return f"""# Exercise 7.9
def damage(marked, clean):
    a, b = (r.report()["{column}"].to_numpy(){rows} for r in (marked, clean))
    return {formula}
"""


WRONG = {
    "7.1": [
        (
            "# Exercise 7.1\ndef collect(model, layer, images, classes):\n"
            "    layer = [m for m in model if isinstance(m, nn.ReLU)][-1]",
            "in `collect`",
        ),
        (
            hooked(number="logits.log_softmax(1)[torch.arange(len(images)), classes].sum()"),
            "log-prob",
        ),
        (hooked(end="number.backward(); return kept[0], kept[0].grad"), "gradient is None"),
        (hooked(remove="pass"), "remove it"),
        (CARELESS, "finally"),
        (hooked(number="logits.max(1).values.sum()"), "predicted class"),
        (hooked(number="logits.sum()"), "all logits"),
        (hooked(number="logits[:, classes].sum()"), "[row, class] pairs"),
        (hooked(number="logits[:, classes[0]].sum()"), "class of its own"),
        (hooked(end="return torch.autograd.grad(number, kept[0])[0], kept[0].detach()"), "swapped"),
        (hooked().replace("kept.append(o)", "kept.append(i[0])"), "inputs of the layer"),
        (hooked(number="logits.softmax(1)[torch.arange(len(images)), classes].sum()"), "logit"),
        (hooked(number="logits[torch.arange(len(images)), classes].mean()"), "mean over images"),
        (hooked(number="F.cross_entropy(logits, classes)"), "gradient of the loss"),
        (hooked(end="return kept[0]"), "activations and gradients"),
        (hooked(end="return [p.detach().numpy() for p in kept * 2]"), "must be tensors"),
        (
            hooked(end="model.train(); return kept[0], torch.autograd.grad(number, kept[0])[0]"),
            "mode",
        ),
        (
            hooked().replace(
                "    finally", "    except Exception:\n        return None, None\n    finally"
            ),
            "error is lost",
        ),
        (
            """# Exercise 7.1
def collect(model, layer, images, classes):
    i = list(model).index(layer) + 1
    a = model[:i](images)
    number = model[i:](a)[torch.arange(len(images)), classes].sum()
    return a.detach(), torch.autograd.grad(number, a)[0]
""",
            "deep inside",
        ),
        (hooked(number="logits[torch.arange(3), classes].sum()"), "len(images)"),
        (hooked(number="logits[classes, torch.arange(len(images))].sum()"), "len(images)"),
        (hooked(remove="layer._forward_hooks.clear()"), "hooks of others"),
        (
            """# Exercise 7.1
def collect(model, layer, images, classes):
    kept, old = [], layer.forward
    def forward(*x):
        kept.append(old(*x))
        return kept[-1]
    layer.forward = forward
    number = model(images)[torch.arange(len(images)), classes].sum()
    return kept[0].detach(), torch.autograd.grad(number, kept[0])[0]
""",
            "replaced forward",
        ),
        (hooked().replace("kept.append(o)", "kept.append(o.detach())"), "no detach() "),
        (
            hooked().replace("logits = model", "with torch.no_grad(): logits = model"),
            "no no_grad()",
        ),
    ],
    "7.2": [
        (cam(end="return m.squeeze()"), "not (1, 20, 26)"),
        (cam(total="(w * activations).sum(1)"), "ReLU"),
        (cam(total="(w * activations).sum(1).abs()"), "absolute"),
        (cam(weights="gradients"), "average the gradients"),
        (cam(second="m"), "again after resizing"),
        (cam(weights="gradients.relu().mean((2, 3), keepdim=True)"), "not to the gradients"),
        (cam(weights="gradients.mean((2, 3), keepdim=True).relu()"), "not to the weights"),
        (cam(total="(w * activations).relu().sum(1)"), "each product"),
        (cam(total="activations.sum(1)"), "without their weights"),
        (cam(weights="gradients.mean(1, keepdim=True)"), "not over filters"),
        (
            cam(resize="F.interpolate(m[:, None], size[::-1], mode='bilinear')[:, 0]"),
            "H and W are swapped",
        ),
        (cam(resize="F.interpolate(m[:, None], size)[:, 0]"), "bilinearly"),
        (
            cam(
                resize="F.interpolate(m[:, None], size, mode='bilinear', align_corners=True)[:, 0]"
            ),
            "align_corners",
        ),
        (cam(first="m / m.max()", second="m / m.max()"), "each map by itself"),
        (cam(end="pass"), "return"),
        (cam().replace(" + 1e-7", ""), "add 1e-7"),
        (cam(total="activations.mul_(w).sum(1).relu()"), "were changed"),
        (cam().replace("m = m - m.amin((1, 2), keepdim=True)", "pass"), "each normalisation"),
    ],
    "7.3": [
        (
            three().replace("values / len(orders)", "(values / len(orders)).astype(worth.dtype)"),
            "// make",
        ),
        (three(hand="[6, 3, 0]"), "alone"),
        (three(hand="[9, 6, -3]"), "last one"),
        (three(hand="[6, 9, -3]"), "one order only"),
        (three(hand="[4, 4, 4]"), "all get the same"),
        (three(hand="[8.25, 5.25, -0.75]"), "count orders"),
        (three(hand="[48, 30, -6]"), "divide by 6"),
        (three(hand="[-1, 5, 8]"), "other players"),
        (three(hand="[8, 5]"), "by_hand has the shape"),
        (three(hand="..."), "`by_hand` is still"),
        (three(divide="1"), "divide by their number"),
        (three(orders="[range(worth.ndim)]"), "one order only"),
        (three(gain="before - worth[tuple(there)]"), "turned round"),
        (coalitions("1 / 2 ** (n - 1)"), "counts the same"),
        (coalitions("(s == 0)"), "first one only"),
        (coalitions("(s == n - 1)"), "last one only"),
        (coalitions("1 / 4"), "counts the same"),
        (three(hand='{"a": 5, "b": 8, "c": -1}'), "by_hand is not right"),
        (
            three(gain="worth[tuple(there)] - before * any(there[:player] + there[player + 1:])"),
            "that of nobody",
        ),
        (
            coalitions("factorial(s) * factorial(n - 1 - s) / factorial(n)", "return abs(values)"),
            "keep their sign",
        ),
        (
            coalitions("factorial(s) * factorial(n - 1 - s) / factorial(n)", "return values[::-1]"),
            "reverse",
        ),
        (coalitions("factorial(s) * factorial(n - 1 - s) / factorial(n)", "pass"), "return"),
        (
            coalitions(
                "{2: [1/2, 1/2], 3: [1/3, 1/6, 1/3], 4: [1/4, 1/12, 1/12, 1/4]}[n][sum(there)]"
            ),
            "for 5 players",
        ),
    ],
    "7.4": [
        (gap(difference="background_logits.mean(0) - logits"), "turned round"),
        (gap(difference="logits - background_logits.mean()"), "of its own"),
        (gap(gap="np.abs(values.mean((2, 3, 4)) - d).max(1)"), "no mean"),
        (gap(gap="np.abs(np.abs(values).sum((2, 3, 4)) - d).max(1)"), "keep their signs"),
        (gap(scale="1"), "divide by"),
        (gap(difference="logits"), "background"),
        (gap(gap="(values.sum((2, 3, 4)) - d).max(1)"), "absolute"),
        (gap(gap="np.abs(values.sum((2, 3, 4)) - d).mean(1)"), "not the mean"),
        (gap(gap="100 * np.abs(values.sum((2, 3, 4)) - d).max(1)"), "per cent"),
        (gap(gap="np.abs(values.sum((2, 3, 4)) - d)", scale="np.abs(d)"), "3 images"),
        (
            gap(gap="(np.abs(values.sum((2, 3, 4)) - d) / np.abs(d)).max(1)", scale="1"),
            "own difference",
        ),
        (gap(scale="np.abs(values.sum((2, 3, 4))).max(1)"), "not by the sums"),
        (gap(scale="np.abs(d).max()"), "of all images"),
        (gap(scale="np.abs(logits).max(1)"), "not by the logits"),
        (gap(gap="np.abs(values.sum((2, 3, 4)) - d).sum(1)"), "not the sum"),
        (gap(gap="np.abs((values.sum((2, 3, 4)) - d).sum(1))"), "before the sum"),
        (gap(gap="np.abs(np.abs(values.sum((2, 3, 4))) - np.abs(d)).max(1)"), "with their signs"),
        (
            gap().replace("d = logits - background", "d = logits; d -= background"),
            "changes the array",
        ),
        (gap(gap="np.abs(values.sum((3, 4)) - d).max(1)"), "axes (2, 3, 4)"),
        (gap(difference="logits - background_logits.mean(1)"), "axis 0 of the background"),
    ],
    "7.5": [
        (way(times="1"), "multiply by the way"),
        (way(times="images"), "not by the image"),
        (way(times="(baseline - images)"), "turned round"),
        (way(end="return times * total"), "not their sum"),
        (way(share="s / steps"), "at its beginning"),
        (way(share="(s + 1) / steps"), "at its end"),
        (way(share="s / (steps - 1)"), "linspace"),
        (way(share="1.0"), "at the image only"),
        (way(share="0.5"), "one step only"),
        (way(point="share * images", times="images"), "baseline is not used"),
        (way(point="share * images"), "not from 0"),
        (
            way(logit="model(x).softmax(1)[torch.arange(len(images)), classes]"),
            "not the probability",
        ),
        (
            way(logit="model(x)[torch.arange(len(images)), model(images).argmax(1)]"),
            "predicted class",
        ),
        (way(logit="model(x)[:, classes[0]]"), "class of its own"),
        (way(end="return (times * total / steps).abs()"), "keep their sign"),
        (way(end="return (times * total / steps).sum(1)"), "the shape"),
        (way(end="model.train(); return times * total / steps"), "mode"),
        (way(end="pass"), "return"),
        (
            way().replace(
                "    total = 0",
                "    [p.requires_grad_(False) for p in model.parameters()]\n    total = 0",
            ),
            "frozen afterwards",
        ),
        (way(logit="model(x)[torch.arange(3), classes]"), "len(images)"),
        (way().replace(".clone().requires_grad_()", ""), "requires_grad_()"),
    ],
    "7.6": [
        (games(over="np.maximum(p.sum(1), 1)"), "thousand times smaller"),
        (
            games().replace(
                "    return inside",
                "    [1 / v for v in p.sum(1).tolist()]\n    return inside",
            ),
            "as 0 or NaN",
        ),
        (games().replace("(p * inside)", "(p * ~inside)"), "outside"),
        (games(kept="m"), "negative values"),
        (games(kept="np.abs(m)"), "absolute values mix"),
        (games(over="inside.sum(1)"), "not by the area"),
        (games(hits="inside[np.arange(len(m)), np.abs(m).argmax(1)]"), "absolute value"),
        (games(kept="100 * np.maximum(m, 0)", over="np.maximum(m, 0).sum(1)"), "per cent"),
        (games(hits="inside[np.arange(len(m)), m.argmin(1)]"), "largest value"),
        (games(kept="(m > 0)"), "counts pixels"),
        (games(kept="np.maximum(m, 0, out=m)"), "changes the array"),
        (
            games().replace(
                "return inside[np.arange(len(m)), m.argmax(1)], (p * inside).sum(1) / p.sum(1)",
                "return (p * inside).sum(1) / p.sum(1), inside[np.arange(len(m)), m.argmax(1)]",
            ),
            "swapped",
        ),
        (games(hits="(m * inside).max(1) == m.max(1)"), "nearest 0"),
    ],
    "7.7": [
        (
            delete(
                swap="torch.where(torch.tensor(maps >= np.sort(maps.reshape(n, -1))"
                "[:, -round(s / steps * h * w), None, None])[:, None], baseline, images)"
                " if s else images"
            ),
            "not by a threshold",
        ),
        (delete(answer="model(x).softmax(0)[torch.arange(n), classes]"), "over the classes"),
        (delete(order="maps.reshape(n, -1).argsort(1).argsort(1)"), "least important"),
        (
            delete(swap="torch.where(ranks < round(s / steps * h * w), images, baseline)"),
            "insertion",
        ),
        (delete(answer="model(x)[torch.arange(n), classes]"), "softmax"),
        (delete(answer="model(x).softmax(1).max(1).values"), "classes"),
        (delete(walk="range(steps)"), "(4, 9)"),
        (
            delete(
                swap="torch.where(ranks < round(s / steps * h * w), torch.zeros_like(images), images)"
            ),
            "those of `baseline`",
        ),
        (delete(answer="model(x).softmax(1)[:, classes[0]]"), "has its own class"),
        (delete(walk="range(1, steps + 2)"), "at step 0"),
        (delete(order="(-maps.reshape(n, -1)).argsort(1)"), "between the ends"),
        (delete(order="(-abs(maps).reshape(n, -1)).argsort(1).argsort(1)"), "absolute values"),
        (  # one order for all images
            delete(order="(-maps).ravel().argsort().argsort() / n"),
            "order of its own",
        ),
        (  # by how far a value lies below the largest one, not by its rank
            delete(
                order="((maps.max((1, 2), keepdims=True) - maps) / np.ptp(maps, (1, 2), keepdims=True) * 23.9)"
            ),
            "how far",
        ),
        (delete(answer="model(x).sigmoid()[torch.arange(n), classes]"), "for the first image is"),
        (delete(end="model.train(); return torch.stack(curves, 1)"), "mode"),
        (delete(end="pass"), "return"),
        (
            delete(swap="torch.where(ranks < h * w // steps * s, baseline, images)"),
            "of one step",
        ),
        (delete(swap="torch.where(ranks < 3 * s, baseline, images)"), "of one step"),
        (
            delete(
                walk="range(9)", swap="torch.where(ranks < round(s / 8 * h * w), baseline, images)"
            ),
            "use `steps`",
        ),
        (delete(end="baseline.mul_(0); return torch.stack(curves, 1)"), "were changed"),
        (delete(end="maps *= 0; return torch.stack(curves, 1)"), "were changed"),
    ],
    "7.8": [
        (
            random_weights(
                each="m = net.get_submodule(name); [p.data.uniform_(0, 1) for p in m.parameters()]"
            ),
            "one side",
        ),
        (random_weights(start="model"), "on a copy"),
        (random_weights(each="pass"), "unchanged"),
        (
            random_weights(
                each="[m.reset_parameters() for m in net.modules() if hasattr(m, 'reset_parameters')]"
            ),
            "other layers",
        ),
        (
            random_weights(each="nn.init.zeros_(net.get_submodule(name).weight)"),
            "not constant",
        ),
        (
            random_weights(each="nn.init.normal_(net.get_submodule(name).weight, std=9.0)"),
            "too large",
        ),
        (
            random_weights(
                each="m = net.get_submodule(name); [p.data.add_(0.01 * torch.randn_like(p)) for p in m.parameters()]"
            ),
            "with noise",
        ),
        (
            random_weights(
                each="m = net.get_submodule(name); nn.init.normal_(m.weight); nn.init.normal_(m.bias)"
            ),
            "too large",
        ),
        (
            random_weights(each="nn.init.kaiming_normal_(net.get_submodule(name).weight)"),
            "bias of the named",
        ),
        (
            random_weights(each="torch.manual_seed(0); net.get_submodule(name).reset_parameters()"),
            "fix no seed",
        ),
        (  # "last" also resets last_norm, as "features.1" would features.10
            random_weights(
                each="[m.reset_parameters() for k, m in net.named_modules() if k.startswith(name)]"
            ),
            "exactly these names",
        ),
        (
            random_weights(
                each="m = net.get_submodule(name); m.reset_parameters(); m.weight.data.abs_()"
            ),
            "one side",
        ),
        (
            random_weights(each="net.get_submodule(names[0]).reset_parameters()"),
            "not only the first",
        ),
        (
            random_weights(
                each="m = net.get_submodule(name); "
                "m.reset_parameters() if isinstance(m, nn.Conv2d) else None"
            ),
            "of any kind",
        ),
        (
            random_weights(
                each="[nn.init.normal_(p, std=0.1) for p in net.get_submodule(name).parameters()]"
            ),
            "spread",
        ),
        (
            random_weights(
                each="m = net.get_submodule(name); nn.init.uniform_(m.weight, -0.5, 0.5); "
                "nn.init.zeros_(m.bias)"
            ),
            "spread",
        ),
        (random_weights(start="copy.deepcopy(model).train()"), "leave the mode alone"),
        (random_weights(start="copy.deepcopy(model).requires_grad_(False)"), "are frozen"),
        (random_weights(each="getattr(net, name).reset_parameters()"), "get_submodule"),
    ],
    "7.9": [
        (harm("a[5:6] - b[5:6]"), "has the shape"),
        (harm("100 * (a - b)"), "per cent"),
        (harm("b - a"), "turned round"),
        (harm(column="precision"), "precision"),
        (harm(column="f1"), "F1"),
        (harm("np.abs(a - b)"), "lost its sign"),
        (harm(rows=""), "means, not classes"),
        (harm("a"), "subtract the one without"),
        (harm("a * 0 + 0.5"), "not recall with minus recall without"),
        (harm("a / 0 - a / 0"), "nan"),
        (harm("a / b"), "a ratio is"),
        (harm("dict(zip(marked.classes, a - b))"), "return an array"),
        (
            """# Exercise 7.9
def damage(marked, clean):
    names = sorted(marked.classes)
    return marked.report()["recall"][names] - clean.report()["recall"][names]
""",
            "not recall with minus",
        ),
        (
            """# Exercise 7.9
def damage(marked, clean):
    a, b = ([(r.predicted[r.labels == k] == k).mean() for k in range(8)] for r in (marked, clean))
    return np.subtract(a, b)
""",
            "for 3 classes has the shape",
        ),
        (harm("pass").replace("return pass", "pass"), "return"),
        (
            """# Exercise 7.9
def damage(marked, clean):
    m, n = (np.diag(r.confusion_matrix()) for r in (marked, clean))
    return m - n
""",
            "divide by the images of the class",
        ),
        (
            """# Exercise 7.9
def damage(marked, clean):
    m, n = (np.diag(r.confusion_matrix()) for r in (marked, clean))
    return (m - n) / len(marked.labels)
""",
            "not by all",
        ),
    ],
}

RIGHT = {
    "7.1": [
        """# Exercise 7.1
def collect(model, layer, images, classes):
    out = []
    keep = lambda m, i, o: out.append(o) if m is layer else None
    with torch.nn.modules.module.register_module_forward_hook(keep):
        logits = model(images)
    total = sum(logits[row, k] for row, k in enumerate(classes))
    return out[0], torch.autograd.grad(total, out)[0]
""",
        """# Exercise 7.1
def collect(model, layer, images, classes):
    kept = {}
    def keep(module, inputs, output):
        output.retain_grad()
        kept["a"] = output
    handle = layer.register_forward_hook(keep)
    try:
        logits = model(images)
        model.zero_grad()
        logits.gather(1, classes[:, None]).sum().backward()
    finally:
        handle.remove()
    return kept["a"].detach(), kept["a"].grad
""",
        """# Exercise 7.1
def collect(model, layer, images, classes):
    a, g = [], []
    hooks = [
        layer.register_forward_hook(lambda m, i, o: a.append(o.detach().clone())),
        layer.register_full_backward_hook(lambda m, i, o: g.append(o[0].detach())),
    ]
    try:
        logits = model(images.clone().requires_grad_())
        F.one_hot(classes, logits.shape[1]).mul(logits).sum().backward()
    finally:
        for hook in hooks:
            hook.remove()
    return [a[0], g[0]]
""",
        """# Exercise 7.1
def collect(model, layer, images, classes):
    kept, old = [], layer.forward
    def forward(*x):
        kept.append(old(*x))
        return kept[-1]
    layer.forward = forward
    try:
        logits = model(images)
    finally:
        del layer.forward
    number = logits[torch.arange(len(images)), classes].sum()
    return kept[0].detach(), torch.autograd.grad(number, kept[0])[0]
""",
        """# Exercise 7.1
def collect(model, layer, images, classes):
    kept = []
    def hook(module, inputs, output):
        kept.append(output.detach().clone().requires_grad_())
        return kept[-1]
    handle = layer.register_forward_hook(hook)
    try:
        model(images).gather(1, classes[:, None]).sum().backward()
    finally:
        handle.remove()
    return kept[0].detach(), kept[0].grad
""",
    ],
    "7.2": [
        """# Exercise 7.2
import cv2
def cam_from(activations, gradients, size):
    A, G = np.asarray(activations), np.asarray(gradients)
    maps = []
    for a, g in zip(A, G):
        m = np.maximum(np.tensordot(g.mean((1, 2)), a, axes=1), 0)
        m = (m - m.min()) / ((m - m.min()).max() + 1e-7)
        m = cv2.resize(m, size[::-1])
        maps.append((m - m.min()) / ((m - m.min()).max() + 1e-7))
    return np.stack(maps)
""",
        cam(total="torch.einsum('nkij,nkhw->nhw', w, activations).clamp_min(0)"),
        cam(weights="gradients.sum((2, 3), keepdim=True)", end="return m.numpy()"),
    ],
    "7.3": [
        three(hand='{"c": -1, "b": 5, "a": 8}'),
        three(),
        three(hand="(8.0, 5.0, -1.0)"),
        three(hand='{"a": 8, "b": 5, "c": -1}'),
        three(hand="torch.tensor([8, 5, -1])"),
        coalitions("factorial(s) * factorial(n - 1 - s) / factorial(n)", "return values.tolist()"),
        """# Exercise 7.3
from math import comb
by_hand = np.array([[48, 30, -6]]) / 6
def shapley(worth):
    n = worth.ndim
    values = []
    for player in range(n):
        gain = np.diff(worth, axis=player).squeeze(player)
        total = 0.0
        for there, g in np.ndenumerate(gain):
            total += g / comb(n - 1, sum(there)) / n
        values.append(total)
    return torch.tensor(values)
""",
        """# Exercise 7.3
by_hand = [8, 5, -1]
def shapley(worth):
    return lk.explain.shapley_values(worth)
""",
    ],
    "7.4": [
        gap(
            gap="np.max(np.abs(values.sum(axis=(-3, -2, -1)) - d), axis=1)",
            scale="np.linalg.norm(d, np.inf, axis=1)",
        ),
        gap(gap="abs(values.reshape(*values.shape[:2], -1).sum(2) - d).max(axis=1)"),
        """# Exercise 7.4
def largest_gap(values, logits, background_logits):
    v, y, b = (torch.as_tensor(np.asarray(x)) for x in (values, logits, background_logits))
    d = y - b.mean(dim=0)
    return (v.sum(dim=(2, 3, 4)) - d).abs().amax(1) / d.abs().amax(1)
""",
    ],
    "7.5": [
        way(),
        way(share="np.linspace(0, 1, 2 * steps + 1)[1::2][s]"),
        way(end="return (times * total / steps).detach().numpy()"),
        way(point="share * images + (1 - share) * baseline"),
        """# Exercise 7.5
def integrated(model, images, baseline, classes, steps):
    return lk.explain.integrated_gradients(model, images, baseline, classes, steps)
""",
        """# Exercise 7.5
def integrated(model, images, baseline, classes, steps):
    shares = (torch.arange(steps) + 0.5) / steps
    result = []
    for image, start, k in zip(images, baseline, classes):
        x = start + shares.view(-1, 1, 1, 1) * (image - start)
        x.requires_grad_(True)
        y = model(x)[:, k]
        g, = torch.autograd.grad(y, x, torch.ones_like(y))
        result.append((image - start) * g.mean(0))
    return torch.stack(result)
""",
    ],
    "7.6": [
        games().replace("return", "yield from (").rstrip() + ")\n",
        games().replace(
            "return inside[np.arange(len(m)), m.argmax(1)], (p * inside).sum(1) / p.sum(1)",
            "return np.stack([inside[np.arange(len(m)), m.argmax(1)], (p * inside).sum(1) / p.sum(1)])",
        ),
        """# Exercise 7.6
def hits_and_share(maps, masks):
    return lk.explain.pointing_game(maps, masks), lk.explain.mask_overlap(maps, masks)["inside"]
""",
        """# Exercise 7.6
def hits_and_share(maps, masks):
    hits, share = [], []
    for m, inside in zip(maps, masks):
        hits.append(bool(inside[np.unravel_index(m.argmax(), m.shape)]))
        share.append(m[inside & (m > 0)].sum() / m[m > 0].sum())
    return np.array(hits), np.array(share)
""",
    ],
    "7.7": [
        delete(end="return torch.stack(curves, 1).tolist()"),
        """# Exercise 7.7
def deletion(model, images, maps, classes, baseline, steps):
    return lk.explain.deletion_curve(model, images, maps, classes, baseline, steps)[1]
""",
        """# Exercise 7.7
def deletion(model, images, maps, classes, baseline, steps):
    n, c, h, w = images.shape
    curves = np.zeros((n, steps + 1))
    for i in range(n):
        order = np.argsort(maps[i].ravel())[::-1].copy()
        for s in range(steps + 1):
            x = images[i].clone().reshape(c, -1)
            gone = order[: round(s * h * w / steps)]
            x[:, gone] = baseline[i].reshape(c, -1)[:, gone]
            with torch.no_grad():
                curves[i, s] = torch.softmax(model(x.view(1, c, h, w)), 1)[0, classes[i]]
    return curves
""",
        delete(swap="torch.where(ranks < s * h * w // steps, baseline, images)"),
        delete(swap="torch.where(ranks < s * h * w / steps, baseline, images)"),
    ],
    "7.8": [
        """# Exercise 7.8
def forget(model, names):
    net = copy.deepcopy(model)
    for name, module in net.named_modules():
        if name in names:
            module.reset_parameters()
    return net
""",
        random_weights(
            "copy.deepcopy(model)", "getattr(net.get_submodule(name), 'reset_parameters')()"
        ),
        random_weights(
            each="m = net.get_submodule(name); nn.init.kaiming_normal_(m.weight); nn.init.zeros_(m.bias)"
        ),
    ],
    "7.9": [
        harm(),
        harm("[float(x) for x in a - b]"),
        """# Exercise 7.9
def damage(marked, clean):
    n = len(marked.classes)
    return marked.report()["recall"].iloc[:n] - clean.report()["recall"].iloc[:n]
""",
        """# Exercise 7.9
def damage(marked, clean):
    a, b = (torch.tensor(r.confusion_matrix(normalize="true")).diagonal() for r in (marked, clean))
    return a - b
""",
        """# Exercise 7.9
def damage(marked, clean):
    result = []
    for k in range(len(marked.classes)):
        rows = marked.labels == k
        result.append((marked.predicted[rows] == k).mean() - (clean.predicted[rows] == k).mean())
    return result
""",
    ],
}
