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
    "after": "[h.remove() for h in handles]; network.zero_grad()",
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


_PREDICT = """# Exercise 3.2
def predict_std(s, f, v):
    return {std}
def relu_mean_squares(depth, s, width, v):
    found = {first}
    for _ in range({depth}):
        {step}
        found.append({kept})
    return {result}
"""
_SQUARES = {
    "std": "(s * f * v) ** 0.5",
    "first": "[]",
    "depth": "depth",
    "step": "s = predict_std(s, width, v) ** 2 / 2",
    "kept": "s",
    "result": "found",
}


def _predict(**changes):
    return _PREDICT.format(**{**_SQUARES, **changes})


def _shares(
    saturated="(outputs.abs() > limit).float().mean()",
    dead="(outputs == 0).all(0).float().mean()",
):
    return (
        "# Exercise 3.5\ndef share_saturated(outputs, limit=0.97):\n"
        f"    return {saturated}\ndef share_dead(outputs):\n    return {dead}\n"
    )


def _orthogonal(matrix):
    return f"# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n    return {matrix}\n"


WRONG = {
    "3.1": [
        ("# Exercise 3.1 - the four initialisations\ndef initialize_weights(shape, method):\n    assert method in ('zero','small','xavier','he'), method\n    return torch.zeros(shape)\n", 'all weights are 0'),
        (_init(xavier="2 / (fan_in + fan_out)"), "is the variance"),
        (_init(he="2 / fan_in"), "is the variance"),
        (_init(xavier="(1 / (fan_in + fan_out)) ** 0.5"), "xavier: a factor of 2"),
        (_init(he="(2 / fan_out) ** 0.5"), "uses fan_out"),
        (_init(he="(1 / fan_in) ** 0.5"), "he: a factor of 2"),
        (_init(small="0.1"), "small: 0.01 is the standard deviation"),
        (_init(small="0.05"), "it must be 0.0100"),
        (_init(xavier="(2 / fan_in + fan_out) ** 0.5"), "brackets"),
        (_init(xavier="(2 / fan_in) ** 0.5"), "He's variance"),
        (_init(he="(2 / (fan_in + fan_out)) ** 0.5"), "Xavier's variance"),
        (_init().replace("torch.randn(shape)", "torch.randn(shape[0], 1).expand(shape)"), "repeat"),
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
        (_init(he="(2 / 784) ** 0.5"), "it must be 0.0816"),  # near (2 / 800) ** 0.5
        (_init(he="0 + torch.distributions.Laplace(0.0, fan_in**-0.5).sample(shape)"),
         "normal distribution"),
    ],
    "3.2": [
        ('# Exercise 3.2 - how large the signal will be\ndef predict_std(mean_square, fan_in, weight_variance):\n    return (mean_square * fan_in * weight_variance) ** 0.5\ndef relu_mean_squares(depth, mean_square, width, weight_variance):\n    results = []\n    for _ in range(4):\n        mean_square = mean_square * width * weight_variance / 2\n        results.append(mean_square)\n    return results\n', 'each of 6 layers'),
        ("# Exercise 3.2\ndef predict_std(s, f, v):\n    return (s * f * v) ** 0.5\n"
         "def relu_mean_squares(depth, s, width, v):\n    return [s * (256 * v / 2) ** (k + 1) for k in range(depth)]",
         ", not ["),
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
        (_predict(std="f ** 0.5 * v * s ** 0.5"), "variance of the weights belongs"),
        (_predict(std="(s * v) ** 0.5"), "fan_in is missing"),
        (_predict(std="(s * v / f) ** 0.5"), "not their mean"),
        (_predict(std="(s * f * v / 2) ** 0.5"), "before it"),
        (_predict(step="s = predict_std(s, width, v) / 2"), "square it before"),
        (_predict(step="s = predict_std(s, width, v)"), "square it before"),
        (_predict(step="s = (predict_std(s, width, v) / 2) ** 2"), "quarters"),
        (_predict(step="pass", kept="predict_std(s, width, v) ** 2 / 2"), "all layers have the same"),
        (_predict(first="[s]", depth="depth - 1"), "not with the input"),
        (_predict(step="s = s * width * v * (0.5 - 0.5 / np.pi)"), "variance after ReLU"),
        (_predict(result="found[-1]"), "one number"),
        (_predict(std="[(s * f * v) ** 0.5]"), "a list with one number"),
        (_predict(std="np.array([(s * f * v) ** 0.5])"), "a list with one number"),
    ],
    "3.3": [
        ('# Exercise 3.3 - forward hooks\ndef activation_statistics(network, images):\n    pairs, handles = [], []\n    def hook(layer, inputs, output):\n        pairs.append((output.mean().item(), output.std().item()))\n        return output.mean()\n    for layer in network.modules():\n        if isinstance(layer, nn.Tanh | nn.ReLU):\n            handles.append(layer.register_forward_hook(hook))\n    try:\n        with torch.no_grad():\n            network(images)\n    finally:\n        for handle in handles:\n            handle.remove()\n    return pairs\n', 'a hook returns something'),
        ('# Exercise 3.3 - forward hooks\ndef activation_statistics(network, images):\n    pairs, handles = [], []\n    def hook(layer, inputs, output):\n        pair = output.mean().item(), output.std().item()\n        pairs.append(pair)\n        return torch.tensor(pair)\n    for layer in network.modules():\n        if isinstance(layer, nn.Tanh | nn.ReLU):\n            handles.append(layer.register_forward_hook(hook))\n    try:\n        with torch.no_grad():\n            network(images)\n    finally:\n        for handle in handles:\n            handle.remove()\n    return pairs\n', 'a hook returns something'),
        ('# Exercise 3.3 - forward hooks\ndef activation_statistics(network, images):\n    out = []\n    torch.nn.modules.module.register_module_forward_hook(lambda m, i, o: out.append((float(o.mean()), float(o.std()))) if isinstance(m, (nn.ReLU, nn.Tanh)) else None)\n    network(images)\n    return out\n', 'hooks left behind'),
        ('# Exercise 3.3 - forward hooks\ndef activation_statistics(network, images):\n    out = []\n    hs = []\n    layers = list(network)\n    for a, b in zip(layers, layers[1:] + [None]):\n        if isinstance(a, (nn.Tanh, nn.ReLU)):\n            if b is not None:\n                b.register_forward_pre_hook(lambda m, i: out.append((i[0].mean().item(), i[0].std().item())))\n            else:\n                hs.append(a.register_forward_hook(lambda m, i, o: out.append((o.mean().item(), o.std().item()))))\n    network(images)\n    for h in hs: h.remove()\n    return out\n', 'hooks left behind'),
        ('# Exercise 3.3 - forward hooks\ndef activation_statistics(network, images):\n    out = []\n    for m in network:\n        if isinstance(m, (nn.Tanh, nn.ReLU)):\n            def f(x, g=m.forward):\n                y = g(x); out.append((y.mean(), y.std())); return y\n            m.forward = f\n    network(images)\n    return out\n', 'hooks left behind'),
        ('# Exercise 3.3 - forward hooks\ndef activation_statistics(network, images):\n    out, x = {}, images\n    for l in network:\n        x = l(x)\n        out[l] = x\n    return [(out[l].mean().item(), out[l].std().item()) for k in (nn.Tanh, nn.ReLU) for l in network if isinstance(l, k)]\n', 'order of the'),
        ('# Exercise 3.3 - forward hooks\ndef activation_statistics(network, images):\n    pairs, handles = [], []\n    def hook(layer, inputs, output):\n        pairs.append((output.mean().item(), output.std().item()))\n    for layer in network.modules():\n        if isinstance(layer, nn.Tanh | nn.ReLU):\n            handles.append(layer.register_forward_hook(hook))\n    try:\n        with torch.no_grad():\n            network(images[:64])\n    finally:\n        for handle in handles:\n            handle.remove()\n    return pairs\n', 'of all images'),
        ('# Exercise 3.3 - forward hooks\ndef activation_statistics(network, images):\n    pairs, handles = [], []\n    def hook(layer, inputs, output):\n        pairs.append((output.mean().item(), output.std().item()))\n    for layer in network.modules():\n        if isinstance(layer, nn.Tanh | nn.ReLU):\n            handles.append(layer.register_forward_hook(hook))\n    try:\n        with torch.no_grad():\n            network(images)\n    finally:\n        for handle in handles:\n            handle.remove()\n    return zip(*zip(*pairs))\n', 'list(…)'),
        ('# Exercise 3.3 - forward hooks\ndef activation_statistics(network, images):\n    pairs, handles = [], []\n    def hook(layer, inputs, output):\n        pairs.append((output.mean().item(), output.std))\n    for layer in network.modules():\n        if isinstance(layer, nn.Tanh | nn.ReLU):\n            handles.append(layer.register_forward_hook(hook))\n    try:\n        with torch.no_grad():\n            network(images)\n    finally:\n        for handle in handles:\n            handle.remove()\n    return pairs\n', 'parentheses'),
        (_hooks().replace("found.append((", "found.extend(("), "must be a pair"),
        (_hooks(after="[h.remove() for h in handles]; found = list(zip(*found))"),
         "not all means and then"),
        (_hooks().replace("    network(images)", "    [network(i[None]) for i in images]"),
         "not one by one"),
        (_hooks(kinds="isinstance(layer, nn.Tanh)"), "network of ReLU layers"),
        (_hooks(after="pass"), "left behind"),
        (_hooks(kinds="True"), "not for every layer"),
        (_hooks(pair="(output.std().item(), output.mean().item())"), "swapped"),
        (_hooks(pair="(inputs[0].mean().item(), inputs[0].std().item())"), "before the activation"),
        (_hooks(pair="(output.mean().item(), output.var().item())"), "the variance"),
        (_hooks().replace("    return found\n", ""), "is `return` missing"),
        (_hooks(pair="(output.mean().item(), output.std(0).mean().item())"), "mean of standard"),
        (_hooks(pair="(output.mean().item(), output.std(1).mean().item())"), "mean of standard"),
        (_hooks(pair="(output.mean().item(), output.mean(0).std().item())"), "means of the units"),
        (_hooks(pair="(output.mean().item(), output.square().mean().sqrt().item())"), "root mean"),
        (_hooks(pair="(output.abs().mean().item(), output.std().item())"), "absolute"),
        (_hooks(pair="(output[0].mean().item(), output[0].std().item())"), "not only the first"),
        (_hooks(pair="(output.mean(0), output.std(0))"), "one number each"),
        (_hooks(pair="output.mean().item()"), "must be a pair"),
        (_hooks().replace("found.append((", "(found.append((").replace(
            ".item()))))", ".item())), 2 * output)[1]))"), "replaces the layer's output"),
        (_hooks().replace("found.append((", "[found.append((").replace(
            ".item()))))", ".item()))]))"), "returns something"),
        (_hooks(kinds="isinstance(layer, nn.Linear)"), "not for the linear layers"),
        (_hooks().replace("    network(images)\n", ""), "were the images sent"),
        (_hooks(after="[h.remove() for h in handles]; found.reverse()"), "the order"),
        (_hooks(after="[h.remove() for h in handles]; found = found[:5]"), "it must be 8"),
        (_hooks(after="pass").replace(": found.append(" + _FORWARD["pair"] + ")))",
         ": found.append(" + _FORWARD["pair"] + ")))\n            network(images)\n"
         "            handles.pop().remove()").replace("    network(images)\n    pass\n", ""),
         "2 times: register all"),
        (_hooks(after="[h.remove() for h in handles]; torch.set_grad_enabled(False)"),
         "stay switched off"),
    ],
    "3.4": [
        ('# Exercise 3.4 - backward hooks\ndef gradient_norms(network, images, labels):\n    d = {}\n    hs = [m.register_full_backward_pre_hook(lambda m, go, k=k: d.__setitem__(k, go[0].norm().item())) for k, m in enumerate(network) if isinstance(m, (nn.Tanh, nn.ReLU))]\n    nn.functional.cross_entropy(network(images), labels).backward()\n    network.zero_grad()\n    return [d[k] for k in sorted(d)]\n', 'hooks left behind'),
        ('# Exercise 3.4 - backward hooks\ndef gradient_norms(network, images, labels):\n    norms = []\n    torch.nn.modules.module.register_module_full_backward_hook(lambda m, gi, go: norms.append(go[0].norm().item()) if isinstance(m, (nn.Tanh, nn.ReLU)) else None)\n    nn.functional.cross_entropy(network(images), labels).backward()\n    network.zero_grad()\n    return norms[::-1]\n', 'hooks left behind'),
        ('# Exercise 3.4 - backward hooks\ndef gradient_norms(network, images, labels):\n    norms, handles = [], []\n    def hook(layer, grad_input, grad_output):\n        norms.append(grad_output[0].norm().item()); return grad_output[0]\n    for layer in network.modules():\n        if isinstance(layer, nn.Tanh | nn.ReLU):\n            handles.append(layer.register_full_backward_hook(hook))\n    loss = nn.functional.cross_entropy(network(images), labels)\n    loss.backward()\n    for handle in handles:\n        handle.remove()\n    network.zero_grad()\n    return norms[::-1]\n', 'a hook returns something'),
        ('# Exercise 3.4 - backward hooks\ndef gradient_norms(network, images, labels):\n    norms, handles = [], []\n    def hook(layer, grad_input, grad_output):\n        norms.append(grad_output[0].norm().item())\n    for layer in network.modules():\n        if isinstance(layer, nn.Tanh | nn.ReLU):\n            handles.append(layer.register_full_backward_hook(hook))\n    loss = nn.functional.cross_entropy(network(images), labels)\n    loss.backward()\n    for handle in handles:\n        handle.remove()\n    network.zero_grad()\n    return reversed(norms)\n', 'list(…)'),
        ('# Exercise 3.4 - backward hooks\ndef gradient_norms(network, images, labels):\n    acts, x = {}, images\n    for l in network:\n        x = l(x)\n        acts[l] = x\n    order = [l for k in (nn.Tanh, nn.ReLU) for l in network if isinstance(l, k)]\n    gs = torch.autograd.grad(nn.functional.cross_entropy(x, labels), [acts[l] for l in order])\n    return [float(g.norm()) for g in gs]\n', 'order of the layers'),
        ("# Exercise 3.4 - backward hooks\ndef gradient_norms(network, images, labels):\n    norms, handles = [], []\n    def hook(layer, grad_input, grad_output):\n        norms.append(grad_output[0].norm().item())\n    for layer in network.modules():\n        if isinstance(layer, nn.Tanh | nn.ReLU):\n            handles.append(layer.register_full_backward_hook(hook))\n    loss = nn.functional.cross_entropy(network(images), labels, reduction='sum') / 32\n    loss.backward()\n    for handle in handles:\n        handle.remove()\n    network.zero_grad()\n    return norms[::-1]\n", 'however many images'),
        (_back(add="insert(0, grad_out.norm())"), "this is a tuple"),
        (_back(add="insert(0, grad_out[0].abs().max())"), "not the largest entry"),
        (_back().replace("network(images)", "network(images).softmax(1)"), "without a softmax"),
        (_back().replace("    loss.backward()", "    network(images).sum().backward()"),
         "not of the sum"),
        (_back(add="insert(0, grad_out[0].norm())").replace("full_backward_hook", "forward_hook")
         .replace("grad_out: found.insert(0, grad_out[0].norm())",
                  "grad_out: found.append(grad_out.norm())"), "the outputs themselves"),
        (_back(after="pass"), "left behind"),
        (_back(add="append(grad_out[0].norm())"), "turn the list round"),
        (_back(add="insert(0, grad_out[0].square().sum())"), "squared norms"),
        (_back(reduction=", reduction='sum'"), "mean over the batch"),
        (_back(add="insert(0, grad_in[0].norm())"), "grad_input"),
        (_back(add="insert(0, grad_out[0].abs().mean())"), "not absolute values"),
        (_back(add="insert(0, grad_out[0].norm(dim=1).mean())"), "each image's norm"),
        (_back(add="insert(0, grad_out[0].norm(dim=1))"), "one number for each layer"),
        (_back(add="insert(0, grad_out[0].std())"), "not of their mean"),
        (_back(add="insert(0, grad_out[0][0].norm())"), "not only the first"),
        (_back(after="[h.remove() for h in handles]"), "gradients are left"),
        (_back(after="[h.remove() for h in handles]; found = [network[1].weight.grad.norm(), "
                     "network[3].weight.grad.norm()]; network.zero_grad()"), "of the weights"),
        (_back().replace("    loss.backward()\n", ""), "sent backward"),
        (_back().replace("    return found\n", ""), "`return` missing"),
        (_back(after="[h.remove() for h in handles]; "
                     "torch.optim.SGD(network.parameters(), 0.1).step()"), "weights changed"),
        (_back(after="[h.remove() for h in handles]; network.zero_grad(); found.sort()"),
         "the order"),
        (_back(after="[h.remove() for h in handles]; network.zero_grad(); found = found[:5]"),
         "it must be 8"),
        (_back(after="[h.remove() for h in handles]; network.zero_grad(); network.eval()"),
         "as you found it"),
        (_back(after="[h.remove() for h in handles]; network.zero_grad(); "
                     "network.requires_grad_(False)"), "as you found it"),
        (_back().replace("(nn.Tanh, nn.ReLU)", "nn.Tanh"), "network of ReLU layers"),
        (_back(add="append(grad_out[0].norm().item()) or 1.0"), "return nothing"),
        (_back(add="append(grad_out[0].norm().item()) or grad_out[0].norm()"), "return nothing"),
        (_back(add="append(grad_out[0].norm().item()) or grad_out"), "return nothing"),
    ],
    "3.5": [
        ('# Exercise 3.5 - dead and saturated\ndef share_saturated(outputs, limit=0.97):\n    return (outputs.abs() > limit).float().mean()\ndef share_dead(outputs):\n    return (outputs.abs() < 1e-6).all(dim=0).float().mean()\n', '1e-20 is tiny'),
        ('# Exercise 3.5 - dead and saturated\ndef share_saturated(outputs, limit=0.97):\n    return ((outputs > limit) | (outputs < -0.97)).float().mean()\ndef share_dead(outputs):\n    return (outputs == 0).all(0).float().mean()\n', 'negative side'),
        (_shares(saturated="(outputs.abs() > limit).mean()"), "booleans have no mean"),
        (_shares(saturated="(outputs.abs() > limit).all(0).float().mean()"), "whole units"),
        (_shares(saturated="(outputs.abs() >= limit).float().mean()"), "exactly `limit`"),
        (_shares(saturated="((outputs > limit) | (outputs <= -limit)).float().mean()"), "−limit"),
        (_shares(saturated="((outputs >= limit) | (outputs < -limit)).float().mean()"), "−limit"),
        (_shares(saturated="100 * (outputs.abs() > limit).float().mean()"), "no per cent"),
        (_shares(saturated="(outputs.abs() > limit).float().mean(0)"), "one number"),
        (_shares(saturated="(outputs.abs() < limit).float().mean()"), "not saturated"),
        (_shares(dead="(outputs == 0).any(0).float().mean()"), "for some image"),
        (_shares(dead="(outputs == 0).all(0).sum()"), "a count"),
        (_shares(dead="(outputs.std(0) == 0).float().mean()"), "always gives 0.3"),
        (_shares(dead="(outputs == 0).all(0).sum() / len(outputs)"), "not of images"),
        (_shares(dead="(outputs.abs() < 1e-3).all(0).float().mean()"), "1e-4 is small"),
        (_shares(dead="(outputs != 0).any(0).float().mean()"), "share that is alive"),
        (_shares(dead="((outputs == 0).float().mean(0) > 0.99).float().mean()"),
         "all of 300 images"),
        (_shares(saturated="(outputs.abs_() > limit).float().mean()"), "changes the outputs"),
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
        ('# Exercise 3.6 - the diagnosis\ndef diagnose(stds, gradients, saturated=0.0, dead=0.0):\n    if all(s == 0 for s in stds):\n        return "zero"\n    s0, s1, g0, g1 = stds[0], stds[-1], gradients[-1], gradients[0]\n    if s0 > 100 * s1 or g0 / g1 > 100:\n        return "vanishing"\n    if s1 > 100 * s0 or g1 > 100 * g0:\n        return "exploding"\n    if saturated > 0.5:\n        return "saturated"\n    if dead > 0.5:\n        return "dead"\n    return "healthy"\n', 'divides by 0'),
        ('# Exercise 3.6 - the diagnosis\ndef diagnose(stds, gradients, saturated=0.0, dead=0.0):\n    if all(s == 0 for s in stds):\n        return "zero"\n    s0, s1, g0, g1 = stds[0], stds[-1], gradients[-1], gradients[0]\n    if s0 > 100 * s1 or g0 > 100 * g1:\n        return "vanishing"\n    if saturated > 0.5:\n        return "saturated"\n    if dead > 0.5:\n        return "dead"\n    if s1 > 100 * s0 or g1 > 100 * g0:\n        return "exploding"\n    return "healthy"\n', 'exploding, not saturated'),
        ('# Exercise 3.6 - the diagnosis\ndef diagnose(stds, gradients, saturated=0.0, dead=0.0):\n    if all(s == 0 for s in stds):\n        return "zero"\n    s0, s1, g0, g1 = stds[0], stds[-1], gradients[-1], gradients[0]\n    if s0 > 100 * s1 or g0 > 100 * g1:\n        return "vanishing"\n    if s1 > 100 * s0 or g1 > 100 * g0:\n        return "exploding"\n    if saturated > 0.5:\n        return "saturated"\n    if dead > 0.5 and saturated == 0:\n        return "dead"\n    return "healthy"\n', 'dead, not healthy'),
        ('# Exercise 3.6 - the diagnosis\ndef diagnose(stds, gradients, saturated=0.0, dead=0.0):\n    if all(s == 0 for s in stds):\n        return "zero"\n    s0, s1, g0, g1 = stds[0], stds[-1], gradients[-1], gradients[0]\n    if s0 > 100 * s1 or g0 >= 100 * g1:\n        return "vanishing"\n    if s1 > 100 * s0 or g1 >= 100 * g0:\n        return "exploding"\n    if saturated > 0.5:\n        return "saturated"\n    if dead > 0.5:\n        return "dead"\n    return "healthy"\n', 'a factor of 100 going back'),
        ('# Exercise 3.6 - the diagnosis\ndef diagnose(stds, gradients, saturated=0.0, dead=0.0):\n    if stds == [0, 0, 0]:\n        return "zero"\n    s0, s1, g0, g1 = stds[0], stds[-1], gradients[-1], gradients[0]\n    if s0 > 100 * s1 or g0 > 100 * g1:\n        return "vanishing"\n    if s1 > 100 * s0 or g1 > 100 * g0:\n        return "exploding"\n    if saturated > 0.5:\n        return "saturated"\n    if dead > 0.5:\n        return "dead"\n    return "healthy"\n', 'five layers'),
        ('# Exercise 3.6 - the diagnosis\ndef diagnose(stds, gradients, saturated=0.0, dead=0.0):\n    if all(s == 0 for s in stds):\n        return "zero"\n    s0, s1, g0, g1 = stds[0], stds[-1], gradients[-1], gradients[0]\n    if s0 > 100 * s1 or g0 > 100 * g1:\n        return "vanishing"\n    if s1 > 100 * s0 or g1 > 100 * g0:\n        return "exploding"\n    if saturated > 0.55:\n        return "saturated"\n    if dead > 0.5:\n        return "dead"\n    return "healthy"\n', '51 % saturated'),
        ('# Exercise 3.6 - the diagnosis\ndef diagnose(stds, gradients, saturated=0.0, dead=0.0):\n    if all(s == 0 for s in stds):\n        return "zero"\n    s0, s1, g0, g1 = stds[0], stds[-1], gradients[-1], gradients[0]\n    if s0 > 100 * s1 or g0 > 100 * g1:\n        return "vanishing"\n    if s1 > 1000 * s0 or g1 > 100 * g0:\n        return "exploding"\n    if saturated > 0.5:\n        return "saturated"\n    if dead > 0.5:\n        return "dead"\n    return "healthy"\n', 'a factor of 110'),
        ('# Exercise 3.6 - the diagnosis\ndef diagnose(stds, gradients, saturated=0.0, dead=0.0):\n    if all(s == 0 for s in stds):\n        return "zero"\n    s0, s1, g0, g1 = stds[0], stds[-1], gradients[-1], gradients[0]\n    if s0 > 100 * s1 or g0 > 299 * g1:\n        return "vanishing"\n    if s1 > 100 * s0 or g1 > 100 * g0:\n        return "exploding"\n    if saturated > 0.5:\n        return "saturated"\n    if dead > 0.5:\n        return "dead"\n    return "healthy"\n', 'going back'),
        (_diagnose().replace("stds[0] == 0", "stds[-1] == 0"), "but not all"),
        (_diagnose().replace("stds[0] == 0", "max(stds) < 1e-5"), "not exactly 0"),
        (_diagnose().replace("stds[0] == 0", "np.allclose(stds, 0)"), "not exactly 0"),
        (_diagnose(small="forward * backward"), "each by itself"),
        (_diagnose(backward="gradients[-1] / gradients[0]"), "from the last layer to the first"),
        (_diagnose(small="min(min(stds) / stds[0], backward)"), "only the first and the last"),
        (_diagnose(small="min(forward, backward, min(gradients) / gradients[-1])"), "only the first and the last"),
        (_diagnose().replace("max(forward, backward)", "max(forward, backward, max(gradients) / gradients[-1])"), "only the first and the last"),
        (_diagnose().replace("> 100", ">= 100"), "is not more than 100"),
        (_diagnose().replace("< 0.01", "<= 0.01"), "is not more than 100"),
        (_diagnose().replace("> 0.5", ">= 0.5"), "half is not more than half"),
        (_diagnose(small="forward"), "vanishing, not"),
        (_diagnose(rest="return 'healthy'"), "saturated, not healthy"),
        (_diagnose(rest="return 'saturated' if saturated > 0.5 else 'healthy'"), "dead, not"),
        (_diagnose(small="stds[-1]"), "vanishing, not healthy"),
        (_diagnose(rest="pass"), "missing in a branch"),
        (_diagnose().replace("0.01", "0.1"), "a factor of 50"),
        (_diagnose().replace("> 100", "> 10"), "a factor of 50"),
        (_diagnose().replace("    if stds[0] == 0:\n        return \"zero\"\n", ""), "divides by"),
        (_diagnose(backward="stds.reverse() or gradients[0] / gradients[-1]"),
         "changes the lists"),
        (_diagnose(rest="return 'dead' if dead > 0.5 else 'saturated' if saturated > 0.5 "
                        "else 'healthy'"), "saturated and dead"),
        (_diagnose().replace("forward, backward = stds[-1] / stds[0]",
                             "forward, backward = stds[-1] / max(stds)"), "exploding, not"),
        (_diagnose(rest="return 'healthy' if stds[-1] > 0.1 else 'vanishing'"), "saturated, not"),
    ],
    "3.7": [
        ('# Exercise 3.7 - orthogonal weights\ndef orthogonal(size, gain=1.0):\n    q = torch.linalg.qr(torch.randn(size, size))\n    return gain * q\n', 'take apart'),
        ('# Exercise 3.7 - orthogonal weights\ndef orthogonal(size, gain=1.0):\n    q, r = torch.linalg.svd(torch.randn(size, size))\n    return gain * q\n', 'take apart'),
        ('# Exercise 3.7 - orthogonal weights\ndef orthogonal(size, gain):\n    q, r = torch.linalg.qr(torch.randn(size, size))\n    return gain * q\n', 'keep gain=1.0'),
        ("# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n"
         "    return gain * torch.randn(size, size) / size ** 0.5", "not orthogonal"),
        ("# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n"
         "    return torch.linalg.qr(torch.randn(size, size))", "return only the first"),
        ("# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n"
         "    return torch.linalg.qr(torch.randn(size, size))[0]", "gain is missing"),
        ("# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n"
         "    return gain ** 0.5 * torch.linalg.qr(torch.randn(size, size))[0]", "has gain²"),
        ("# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n    return gain * torch.eye(size)",
         "like I"),
        (_orthogonal("gain * torch.linalg.svdvals(torch.randn(size, size)).diag()"), "is diagonal"),
        (_orthogonal("torch.linalg.qr(torch.randn(size, size))[1]"), "this is R"),
        (_orthogonal("gain ** 2 * torch.linalg.qr(torch.randn(size, size))[0]"), "power of 4"),
        (_orthogonal("gain * nn.functional.normalize(torch.randn(size, size), dim=0)"),
         "dividing each by its length"),
        (_orthogonal("(torch.manual_seed(0), gain * torch.linalg.qr(torch.randn(size, size))[0])"
                     "[1]"), "draw anew"),
        (_orthogonal("gain * torch.linalg.qr(torch.randn(size, size - 1))[0]"), "not square"),
        ("# Exercise 3.7\ndef orthogonal(size, gain=1.0):\n    torch.randn(size, size)",
         "`return` missing"),
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
        _init().replace("torch.randn(shape)", "torch.randn(*shape, requires_grad=True)"),
        _init(he="_std(fan_in)") + "def _std(fan_in):\n    return (2 / fan_in) ** 0.5\n",
        _init(small="0.01, dtype=torch.float64", he="(2 / fan_in) ** 0.5").replace(
            "torch.randn(shape) * 0.01, dtype=torch.float64",
            "nn.Parameter(torch.randn(shape, dtype=torch.float64) * 0.01)",
        ),
    ],
    "3.2": [
        "# Exercise 3.2\ndef predict_std(s, f, v):\n    return np.sqrt(s * f * v)\n"
        "def relu_mean_squares(depth, s, width, v):\n"
        "    return [s * (width * v / 2) ** (k + 1) for k in range(depth)]",
        "# Exercise 3.2\nimport math\ndef predict_std(mean_square, fan_in, weight_variance):\n"
        "    return math.sqrt(fan_in * weight_variance) * math.sqrt(mean_square)\n"
        "def relu_mean_squares(depth, mean_square, width, weight_variance):\n"
        "    return mean_square * np.cumprod(np.full(depth, width * weight_variance / 2))",
        _predict(std="torch.sqrt(torch.tensor(s * f * v))", result="tuple(found)"),
    ],
    "3.3": [
        _hooks(),
        _hooks(which=".modules()", pair="[float(output.mean()), float(output.std())]"),
        _hooks(pair="(output.detach().numpy().mean(), output.detach().numpy().std())"),
        _hooks()
        .replace("found.append((", "(found.append((")
        .replace(".item()))))", ".item())), output)[1]))"),
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
        _back(
            add="append((grad_out[0] ** 2).sum().sqrt().item())",
            after="[h.remove() for h in handles]; network.zero_grad(); found.reverse()",
        ),
        _back(
            add="insert(0, np.linalg.norm(grad_out[0].numpy()))",
            after="[h.remove() for h in handles]\n    for p in network.parameters(): p.grad = None",
        ),
    ],
    "3.5": [
        "# Exercise 3.5\ndef share_saturated(outputs, limit=0.97):\n"
        "    o = np.asarray(outputs)\n    return np.mean(np.abs(o) > limit)\n"
        "def share_dead(outputs):\n    return np.mean(np.asarray(outputs).max(0) == 0)",
        "# Exercise 3.5\ndef share_saturated(outputs, limit=0.97):\n"
        "    return ((outputs > limit) | (outputs < -limit)).sum() / outputs.numel()\n"
        "def share_dead(outputs):\n    alive = (outputs > 0).any(0).sum()\n"
        "    return 1 - alive / outputs.shape[1]",
        _shares(dead="float((outputs.amax(0) == 0).sum()) / outputs.shape[1]"),
    ],
    "3.6": [
        _diagnose(),
        _diagnose(
            rest="return ('saturated' if saturated > .5 else 'dead' if dead > .5 else "
            "'healthy').capitalize()"
        ),
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
        _orthogonal("nn.Parameter(gain * torch.linalg.qr(torch.randn(size, size)).Q)"),
    ],
}
