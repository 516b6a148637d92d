"""Answers to lab 03 as students write them: wrong ones with what must be said, and other right ones."""

_INIT = """# Exercise 3.1
def initialize_weights(shape, method):
    fan_in, fan_out = shape
    if method == "zero":
        return torch.zeros(shape)
    if method == "small":
        return torch.randn(shape) * {small}
    if method == "xavier":
        return torch.randn(shape) * {xavier}
    if method == "he":
        return torch.randn(shape) * {he}
    {unknown}
"""
_GOOD = {
    "small": "0.01",
    "xavier": "(2 / (fan_in + fan_out)) ** 0.5",
    "he": "(2 / fan_in) ** 0.5",
    "unknown": "raise ValueError(f'unknown method {method}')",
}


def _init(**changes):
    return _INIT.format(**{**_GOOD, **changes})


_HOOKS = """# Exercise 3.3
def activation_statistics(network, images):
    found, handles = [], []
    for layer in network{which}:
        if {kinds}:
            handles.append(layer.register_forward_hook(
                lambda layer, inputs, output: found.append({pair})))
    network(images)
    {after}
    return found
"""
_FORWARD = {
    "which": "",
    "kinds": "isinstance(layer, (nn.Tanh, nn.ReLU))",
    "pair": "(output.mean().item(), output.std().item())",
    "after": "[h.remove() for h in handles]",
}


def _hooks(**changes):
    return _HOOKS.format(**{**_FORWARD, **changes})


_BACK = """# Exercise 3.4
def gradient_norms(network, images, labels):
    found, handles = [], []
    for layer in network:
        if isinstance(layer, (nn.Tanh, nn.ReLU)):
            handles.append(layer.register_full_backward_hook(
                lambda layer, grad_in, grad_out: found.{add}))
    loss = nn.functional.cross_entropy(network(images), labels{reduction})
    loss.backward()
    {after}
    return found
"""
_BACKWARD = {
    "add": "insert(0, grad_out[0].norm())",
    "reduction": "",
    "after": "[h.remove() for h in handles]",
}


def _back(**changes):
    return _BACK.format(**{**_BACKWARD, **changes})


_DIAGNOSE = """# Exercise 3.6
def diagnose(stds, gradients, saturated=0.0, dead=0.0):
    if stds[0] == 0:
        return "zero"
    forward, backward = stds[-1] / stds[0], {backward}
    if {small} < 0.01:
        return "vanishing"
    if max(forward, backward) > 100:
        return "exploding"
    {rest}
"""
_RULES = {
    "backward": "gradients[0] / gradients[-1]",
    "small": "min(forward, backward)",
    "rest": "return 'saturated' if saturated > 0.5 else 'dead' if dead > 0.5 else 'healthy'",
}


def _diagnose(**changes):
    return _DIAGNOSE.format(**{**_RULES, **changes})


WRONG = {
    "3.1": [
        (_init(xavier="2 / (fan_in + fan_out)"), "is the variance"),
        (_init(he="2 / fan_in"), "is the variance"),
        (_init(xavier="(1 / (fan_in + fan_out)) ** 0.5"), "xavier: a factor of 2"),
        (_init(he="(2 / fan_out) ** 0.5"), "uses fan_out"),
        (_init(he="(1 / fan_in) ** 0.5"), "he: a factor of 2"),
        (_init(small="0.1"), "it must be 0.0100"),
        (_init(unknown="return torch.randn(shape)"), "must raise a ValueError"),
        (_init(unknown="raise KeyError(method)"), "not KeyError"),
        (_init(unknown="raise ValueError('wrong')"), "must name the method"),
        ("# Exercise 3.1\ndef initialize_weights(shape, method):\n    torch.zeros(shape)",
         "is `return` missing"),
        (_init().replace("torch.randn(shape)", "(torch.rand(shape) - 0.5) * 12 ** 0.5 "),
         "normal distribution"),
        (_init().replace("    fan_in, fan_out = shape",
                         "    fan_in, fan_out = shape\n    torch.manual_seed(0)"),
         "without a fixed seed"),
        (_init().replace("torch.zeros(shape)", "torch.zeros(shape[::-1])"), "the shape is"),
    ],
    "3.2": [
        ("# Exercise 3.2\ndef predict_std(mean_square, fan_in, weight_variance):\n"
         "    return mean_square * fan_in * weight_variance\n"
         "def relu_mean_squares(depth, mean_square, width, weight_variance):\n    return []",
         "take the root"),
        ("# Exercise 3.2\ndef predict_std(s, f, v):\n    return (s * f * v) ** 0.5\n"
         "def relu_mean_squares(depth, s, width, v):\n"
         "    return [s * (width * v) ** (k + 1) for k in range(depth)]", "ReLU halves"),
        ("# Exercise 3.2\ndef predict_std(s, f, v):\n    return (s * f * v) ** 0.5\n"
         "def relu_mean_squares(depth, s, width, v):\n"
         "    return [s * (width * v / 2) ** k for k in range(depth + 1)]", "not in it"),
        ("# Exercise 3.2\ndef predict_std(s, f, v):\n    return (s * f * v) ** 0.5\n"
         "def relu_mean_squares(depth, s, width, v):\n"
         "    return [(s * (width * v / 2) ** (k + 1)) ** 0.5 for k in range(depth)]", "roots"),
        ("# Exercise 3.2\ndef predict_std(s, f, v):\n    return (f * v) ** 0.5 * s\n"
         "def relu_mean_squares(depth, s, width, v):\n    return []", "under the root too"),
    ],
    "3.3": [
        (_hooks(after="pass"), "left behind"),
        (_hooks(kinds="True"), "not for every layer"),
        (_hooks(pair="(output.std().item(), output.mean().item())"), "swapped"),
        (_hooks(pair="(inputs[0].mean().item(), inputs[0].std().item())"), "before the activation"),
        (_hooks(pair="(output.mean().item(), output.var().item())"), "the variance"),
        (_hooks().replace("    return found\n", ""), "is `return` missing"),
    ],
    "3.4": [
        (_back(after="pass"), "left behind"),
        (_back(add="append(grad_out[0].norm())"), "turn the list round"),
        (_back(add="insert(0, grad_out[0].square().sum())"), "squared norms"),
        (_back(reduction=", reduction='sum'"), "mean over the batch"),
        (_back(after="[h.remove() for h in handles]; "
                     "torch.optim.SGD(network.parameters(), 0.1).step()"), "weights changed"),
    ],
    "3.5": [
        ("# Exercise 3.5\ndef share_saturated(outputs, limit=0.97):\n"
         "    return (outputs > limit).float().mean()\n"
         "def share_dead(outputs):\n    return 0", "absolute value"),
        ("# Exercise 3.5\ndef share_saturated(outputs, limit=0.97):\n"
         "    return (outputs.abs() > limit).sum()\n"
         "def share_dead(outputs):\n    return 0", "a count"),
        ("# Exercise 3.5\ndef share_saturated(outputs, limit=0.97):\n"
         "    return (outputs.abs() > 0.97).float().mean()\n"
         "def share_dead(outputs):\n    return 0", "limit is not used"),
        ("# Exercise 3.5\ndef share_saturated(outputs, limit=0.97):\n"
         "    return (outputs.abs() > limit).float().mean()\n"
         "def share_dead(outputs):\n    return (outputs == 0).float().mean()", "count units"),
        ("# Exercise 3.5\ndef share_saturated(outputs, limit=0.97):\n"
         "    return (outputs.abs() > limit).float().mean()\n"
         "def share_dead(outputs):\n    return (outputs == 0).all(1).float().mean()", "which axis"),
    ],
    "3.6": [
        (_diagnose(backward="gradients[-1] / gradients[0]"), "from the last layer to the first"),
        (_diagnose(small="forward"), "vanishing, not"),
        (_diagnose(rest="return 'healthy'"), "saturated, not healthy"),
        (_diagnose(rest="return 'saturated' if saturated > 0.5 else 'healthy'"), "dead, not"),
        (_diagnose(small="stds[-1]"), "vanishing, not healthy"),
        (_diagnose(rest="pass"), "missing in a branch"),
    ],
    "3.7": [
        ("# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n"
         "    return gain * torch.randn(size, size) / size ** 0.5", "not orthogonal"),
        ("# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n"
         "    return torch.linalg.qr(torch.randn(size, size))", "return only the first"),
        ("# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n"
         "    return torch.linalg.qr(torch.randn(size, size))[0]", "gain is missing"),
        ("# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n"
         "    return gain ** 0.5 * torch.linalg.qr(torch.randn(size, size))[0]", "has gain²"),
        ("# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n    return gain * torch.eye(size)",
         "not I"),
    ],
}  # fmt: skip

RIGHT = {
    "3.1": [
        _init(),
        """# Exercise 3.1
def initialize_weights(shape, method):
    n, m = shape
    std = dict(zero=0, small=0.01, xavier=np.sqrt(2 / (n + m)), he=np.sqrt(2 / n)).get(method)
    if std is None:
        raise ValueError('unknown: ' + method)
    return np.random.normal(0, std, shape)
""",
        """# Exercise 3.1
def initialize_weights(shape, method):
    w = torch.empty(*shape)
    match method:
        case "zero": return nn.init.zeros_(w)
        case "small": return nn.init.normal_(w, std=0.01)
        case "xavier": return nn.init.xavier_normal_(w)
        case "he": return nn.init.kaiming_normal_(w.T, nonlinearity="relu").T
    raise ValueError(method)
""",
    ],
    "3.2": [
        "# Exercise 3.2\ndef predict_std(s, f, v):\n    return np.sqrt(s * f * v)\n"
        "def relu_mean_squares(depth, s, width, v):\n"
        "    return [s * (width * v / 2) ** (k + 1) for k in range(depth)]",
        "# Exercise 3.2\nimport math\ndef predict_std(mean_square, fan_in, weight_variance):\n"
        "    return math.sqrt(fan_in * weight_variance) * math.sqrt(mean_square)\n"
        "def relu_mean_squares(depth, mean_square, width, weight_variance):\n"
        "    return mean_square * np.cumprod(np.full(depth, width * weight_variance / 2))",
    ],
    "3.3": [
        _hooks(),
        _hooks(which=".modules()", pair="[float(output.mean()), float(output.std())]"),
        """# Exercise 3.3
def activation_statistics(network, images):
    results, x = [], images
    with torch.no_grad():
        for layer in network:
            x = layer(x)
            if type(layer) in (nn.Tanh, nn.ReLU):
                results.append((x.mean(), x.std(correction=0)))
    return results
""",
    ],
    "3.4": [
        _back(),
        """# Exercise 3.4
def gradient_norms(network, images, labels):
    outputs, x = [], images
    for layer in network:
        x = layer(x)
        if isinstance(layer, (nn.Tanh, nn.ReLU)):
            outputs.append(x)
    loss = nn.CrossEntropyLoss()(x, labels)
    return [g.norm().item() for g in torch.autograd.grad(loss, outputs)]
""",
    ],
    "3.5": [
        "# Exercise 3.5\ndef share_saturated(outputs, limit=0.97):\n"
        "    o = np.asarray(outputs)\n    return np.mean(np.abs(o) > limit)\n"
        "def share_dead(outputs):\n    return np.mean(np.asarray(outputs).max(0) == 0)",
        "# Exercise 3.5\ndef share_saturated(outputs, limit=0.97):\n"
        "    return ((outputs > limit) | (outputs < -limit)).sum() / outputs.numel()\n"
        "def share_dead(outputs):\n    alive = (outputs > 0).any(0).sum()\n"
        "    return 1 - alive / outputs.shape[1]",
    ],
    "3.6": [
        _diagnose(),
        """# Exercise 3.6
def diagnose(stds, gradients, saturated=0.0, dead=0.0):
    if not any(stds):
        return "zero"
    down = (stds[0] > 100 * stds[-1]) or (gradients[-1] > 100 * gradients[0])
    up = (stds[-1] > 100 * stds[0]) or (gradients[0] > 100 * gradients[-1])
    if down: return "vanishing"
    if up: return "exploding"
    if saturated > .5: return "saturated"
    if dead > .5: return "dead"
    return "healthy"
""",
    ],
    "3.7": [
        "# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n"
        "    return nn.init.orthogonal_(torch.empty(size, size), gain=gain)",
        "# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n"
        "    u, s, v = torch.linalg.svd(torch.randn(size, size))\n    return gain * u @ v",
        "# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n"
        "    return gain * np.linalg.qr(np.random.randn(size, size))[0]",
    ],
}
