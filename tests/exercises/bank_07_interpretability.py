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
    return f"""# Exercise 7.3
def largest_gap(values, logits, background_logits):
    d = {difference}
    return {gap} / {scale}
"""


def games(hits="inside[np.arange(len(m)), m.argmax(1)]", kept="np.maximum(m, 0)", over="p.sum(1)"):
    return f"""# Exercise 7.4
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
    return f"""# Exercise 7.5
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
    return f"""# Exercise 7.6
def forget(model, names):
    net = {start}
    for name in names:
        {each}
    return net
"""


def harm(formula, column="recall"):
    return f"""# Exercise 7.7
a, b = (r.report()["{column}"].to_numpy()[:8] for r in (with_mark, without_mark))
damage = {formula}
"""


WRONG = {
    "7.1": [
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
    ],
    "7.2": [
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
    ],
    "7.3": [
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
    ],
    "7.4": [
        (games(kept="m"), "negative values"),
        (games(kept="np.abs(m)"), "absolute values mix"),
        (games(over="inside.sum(1)"), "not by the area"),
        (games(hits="inside[np.arange(len(m)), np.abs(m).argmax(1)]"), "absolute value"),
        (games(kept="100 * np.maximum(m, 0)", over="np.maximum(m, 0).sum(1)"), "per cent"),
        (games(hits="inside[np.arange(len(m)), m.argmin(1)]"), "largest value"),
        (games(kept="(m > 0)"), "counts pixels"),
        (
            games().replace(
                "return inside[np.arange(len(m)), m.argmax(1)], (p * inside).sum(1) / p.sum(1)",
                "return (p * inside).sum(1) / p.sum(1), inside[np.arange(len(m)), m.argmax(1)]",
            ),
            "swapped",
        ),
    ],
    "7.5": [
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
        (delete(end="pass"), "return"),
    ],
    "7.6": [
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
            random_weights(each="net.get_submodule(names[0]).reset_parameters()"),
            "not only the first",
        ),
    ],
    "7.7": [
        (harm("a[5] - b[5]"), "eight numbers"),
        (harm("100 * (a - b) + 200"), "per cent"),
        ("# Exercise 7.7\ndamage = np.full(8, 0.5)", "recall with minus recall without"),
        ("# Exercise 7.7\ndamage = np.full(8, np.nan)", "nan"),
    ],
}

RIGHT = {
    "7.1": [
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
    ],
    "7.2": [
        """# Exercise 7.2
import cv2
def cam_from(activations, gradients, size):
    A, G = np.asarray(activations), np.asarray(gradients)
    maps = []
    for a, g in zip(A, G):
        m = np.maximum(np.tensordot(g.mean((1, 2)), a, axes=1), 0)
        m = (m - m.min()) / (m - m.min()).max()
        m = cv2.resize(m, size[::-1])
        maps.append((m - m.min()) / (m - m.min()).max())
    return np.stack(maps)
""",
        cam(total="torch.einsum('nkij,nkhw->nhw', w, activations).clamp_min(0)"),
        cam(weights="gradients.sum((2, 3), keepdim=True)", end="return m.numpy()"),
    ],
    "7.3": [
        gap(
            gap="np.max(np.abs(values.sum(axis=(-3, -2, -1)) - d), axis=1)",
            scale="np.linalg.norm(d, np.inf, axis=1)",
        ),
        gap(gap="abs(values.reshape(*values.shape[:2], -1).sum(2) - d).max(axis=1)"),
        """# Exercise 7.3
def largest_gap(values, logits, background_logits):
    v, y, b = (torch.as_tensor(np.asarray(x)) for x in (values, logits, background_logits))
    d = y - b.mean(dim=0)
    return (v.sum(dim=(2, 3, 4)) - d).abs().amax(1) / d.abs().amax(1)
""",
    ],
    "7.4": [
        games().replace(
            "return inside[np.arange(len(m)), m.argmax(1)], (p * inside).sum(1) / p.sum(1)",
            "return np.stack([inside[np.arange(len(m)), m.argmax(1)], (p * inside).sum(1) / p.sum(1)])",
        ),
        """# Exercise 7.4
def hits_and_share(maps, masks):
    return lk.explain.pointing_game(maps, masks), lk.explain.mask_overlap(maps, masks)["inside"]
""",
        """# Exercise 7.4
def hits_and_share(maps, masks):
    hits, share = [], []
    for m, inside in zip(maps, masks):
        hits.append(bool(inside[np.unravel_index(m.argmax(), m.shape)]))
        share.append(m[inside & (m > 0)].sum() / m[m > 0].sum())
    return np.array(hits), np.array(share)
""",
    ],
    "7.5": [
        """# Exercise 7.5
def deletion(model, images, maps, classes, baseline, steps):
    return lk.explain.deletion_curve(model, images, maps, classes, baseline, steps)[1]
""",
        """# Exercise 7.5
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
    ],
    "7.6": [
        """# Exercise 7.6
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
    "7.7": [
        """# Exercise 7.7
damage = with_mark.report()["recall"].iloc[:8] - without_mark.report()["recall"].iloc[:8]
""",
        """# Exercise 7.7
def recalls(r):
    m = r.confusion_matrix()
    return np.diag(m) / np.maximum(m.sum(1), 1)
damage = list(recalls(with_mark) - recalls(without_mark))
""",
    ],
}
