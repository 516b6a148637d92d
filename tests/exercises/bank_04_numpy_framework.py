"""Lab 04: usual mistakes, each with a word of the message they must get, and other right ways."""

MODULE = """# Exercise 4.1
class Module:
    def __init__(self):
        self.training = {start}
    def forward(self, x): raise NotImplementedError
    def backward(self, grad): raise NotImplementedError
    def __call__(self, x): {call}
    def train(self): {train}
    def eval(self): {eval}
    def parameters(self): {parameters}
    def gradients(self): return dict()
"""


def module(**changes):
    parts = {
        "start": "True",
        "call": "return self.forward(x)",
        "train": "self.training = True",
        "eval": "self.training = False",
        "parameters": "return {}",
    }
    return MODULE.format(**parts | changes)


LINEAR = """# Exercise 4.2
class Linear(Module):
    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.weight = {weight}
        self.bias = {bias}
        {start}
    def forward(self, x):
        self.x = x
        {forward}
    def backward(self, grad):
        {dw}
        {db}
        {back}
    def parameters(self):
        return {{"weight": self.weight, "bias": self.bias}}
    def gradients(self):
        {gradients}
"""


def linear(**changes):
    parts = {
        "weight": "np.random.normal(0, (2 / fan_in) ** 0.5, (fan_out, fan_in))",
        "bias": "np.zeros(fan_out)",
        "start": "self.dW, self.db = np.zeros(self.weight.shape), np.zeros(fan_out)",
        "gradients": "return {'weight': self.dW, 'bias': self.db}",
        "forward": "return x @ self.weight.T + self.bias",
        "dw": "self.dW += grad.T @ self.x",
        "db": "self.db += grad.sum(0)",
        "back": "return grad @ self.weight",
    }
    return LINEAR.format(**parts | changes)


ACTIVATIONS = """# Exercise 4.3
class ReLU(Module):
    def forward(self, x):
        self.x = x
        return {relu}
    def backward(self, grad):
        return {relu_back}
class Tanh(Module):
    def forward(self, x):
        self.x = x
        return np.tanh(x)
    def backward(self, grad):
        return {tanh_back}
class Sigmoid(Module):
    def forward(self, x):
        self.y = {sigmoid}
        return self.y
    def backward(self, grad):
        return grad * (self.y - self.y * self.y)
"""


def activations(**changes):
    parts = {
        "relu": "np.maximum(x, 0)",
        "relu_back": "np.where(self.x > 0, grad, 0)",
        "tanh_back": "grad / np.cosh(self.x) ** 2",
        "sigmoid": "np.exp(-np.logaddexp(0, -x))",
    }
    return ACTIVATIONS.format(**parts | changes)


MSE = """# Exercise 4.4
class MSELoss:
    def forward(self, p, t):
        self.p, self.t = p, t
        return {loss}
    def backward(self):
        return {grad}
"""


def mse(loss="((p - t) ** 2).mean()", grad="2 / self.p.size * (self.p - self.t)"):
    return MSE.format(loss=loss, grad=grad)


CROSS_ENTROPY = """# Exercise 4.5
class SoftmaxCrossEntropy:
    def forward(self, logits, targets):
        targets = np.asarray(targets)
        {targets}
        {stable}
        e = np.exp(z)
        self.p, self.c = e / e.sum(1, keepdims=True), c
        {loss}
    def backward(self):
        grad = self.p.copy()
        grad[np.arange(len(grad)), self.c] -= 1
        return {grad}
"""


def cross_entropy(**changes):
    parts = {
        "targets": "c = targets if targets.ndim == 1 else targets.argmax(1)",
        "stable": "z = logits - logits.max(1)[:, None]",
        "loss": "return (np.log(e.sum(1)) - z[np.arange(len(z)), c]).mean()",
        "grad": "grad / len(grad)",
    }
    return CROSS_ENTROPY.format(**parts | changes)


SEQUENTIAL = """# Exercise 4.6
class Sequential(Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = list(layers)
    def forward(self, x):
        {forward}
    def backward(self, grad):
        for layer in {order}:
            {back}
        return grad
    def train(self):
        self.training = True
        for layer in self.layers: layer.train()
    def eval(self):
        self.training = False
        {eval}
    def parameters(self):
        found = {{}}
        for i, layer in enumerate(self.layers):
            for name, value in layer.parameters().items():
                found[{key}] = {value}
        return found
    def gradients(self):
        return {{f"{{i}}.{{n}}": v for i, l in enumerate(self.layers) for n, v in l.gradients().items()}}
"""


def sequential(**changes):
    parts = {
        "forward": "\n        ".join(["for f in self.layers: x = f.forward(x)", "return x"]),
        "order": "self.layers[::-1]",
        "back": "grad = layer.backward(grad)",
        "eval": "[layer.eval() for layer in self.layers]",
        "key": 'f"{i}.{name}"',
        "value": "value",
    }
    return SEQUENTIAL.format(**parts | changes)


CHECK = """# Exercise 4.7
def gradient_check(model, loss, x, y, epsilon=1e-5):
    {zero}
    loss.forward(model.forward(x), y)
    dx = model.backward(loss.backward())
    p, g = model.parameters(), model.gradients()
    errors = []
    for a, d in [(p[k], g[k].copy()) for k in {keys}] + {input}:
        flat, slope = a.reshape(-1), d.reshape(-1)
        for i in range(flat.size):
            keep = flat[i]
            values = []
            for sign in (1, -1):
                flat[i] = keep + sign * epsilon
                values.append(loss.forward(model.forward(x), y))
            {restore}
            m = (values[0] - values[1]) / {width}
            errors.append(abs(m - slope[i]) / {size})
    return {result}
"""


def check(**changes):
    parts = {
        "zero": "[g.fill(0) for g in model.gradients().values()]",
        "keys": "p",
        "input": "[(x, dx)]",
        "restore": "flat[i] = keep",
        "width": "(2 * epsilon)",
        "size": "max(abs(m) + abs(slope[i]), 1e-3)",
        "result": "max(errors)",
    }
    return CHECK.format(**parts | changes)


OPTIMIZER = """# Exercise 4.8
class SGD:
    def __init__(self, model, lr, momentum=0.0):
        self.model, self.lr, self.momentum, self.v = model, lr, momentum, {{}}
    def step(self):
        p, g = self.model.parameters(), self.model.gradients()
        for k in {keys}:
            self.v[k] = {velocity}
            {step}
    def zero_grad(self):
        {zero}
"""


def optimizer(**changes):
    parts = {
        "keys": "p",
        "velocity": "self.momentum * self.v.get(k, 0) + g[k]",
        "step": "p[k] -= self.lr * self.v[k]",
        "zero": "[g.fill(0) for g in self.model.gradients().values()]",
    }
    return OPTIMIZER.format(**parts | changes)


DROPOUT = """# Exercise 4.9
class Dropout(Module):
    def __init__(self, p):
        super().__init__()
        self.p = p
    def forward(self, x):
        if {mode}:
            self.m = ({random} {draw}) / ({scale})
            return x * self.m
        {clean}
        return {evaluate}
    def backward(self, grad):
        return {back}
"""


def dropout(**changes):
    parts = {
        "mode": "self.training",
        "random": "np.random.rand({size})",
        "size": "*x.shape",
        "draw": ">= self.p",
        "scale": "1 - self.p",
        "clean": "self.m = np.ones_like(x)",
        "evaluate": "x",
        "back": "grad * self.m",
    } | changes
    parts["random"] = parts["random"].format(
        size=parts["size"] if "rand(" in parts["random"] else parts["size"] + ","
    )
    return DROPOUT.format(**parts)


NORM = """# Exercise 4.10
class BatchNorm(Module):
    def __init__(self, features, epsilon=1e-5):
        super().__init__()
        self.epsilon = epsilon
        self.weight, self.bias = np.ones(features), np.zeros(features)
        self.grad_weight, self.grad_bias = np.zeros(features), np.zeros(features)
        self.running_mean, self.running_var = np.zeros(features), np.ones(features)
    def forward(self, x):
        if {mode}:
            m, v = {mean}, {var}
            self.running_mean = {keep} * self.running_mean + {new} * m
            self.running_var = {keep} * self.running_var + {new} * v
        else:
            m, v = self.running_mean, self.running_var
        self.s = {std}
        self.h = (x - m) / self.s
        return {out}
    def backward(self, grad):
        self.grad_weight += np.sum(grad * self.h, 0)
        {db}
        g = {g}
        return {dx}
    def parameters(self):
        return {{"weight": self.weight, "bias": self.bias}}
    def gradients(self):
        return {{"weight": self.grad_weight, "bias": self.grad_bias}}
"""


def norm(**changes):
    parts = {
        "mode": "self.training",
        "mean": "x.mean(0)",
        "var": "x.var(0)",
        "keep": "0.9",
        "new": "0.1",
        "std": "np.sqrt(v + self.epsilon)",
        "out": "self.weight * self.h + self.bias",
        "db": "self.grad_bias += grad.sum(0)",
        "g": "grad * self.weight",
        "dx": "(g - g.mean(0) - self.h * (g * self.h).mean(0)) / self.s",
    }
    return NORM.format(**parts | changes)


TAPE = """# Exercise 4.11
def fit(grad, shape):
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    return grad.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1), keepdims=True)
class Tensor:
    made = 0
    def __init__(self, data, parents=()):
        self.data = np.asarray(data, dtype=float)
        self.grad = np.zeros_like(self.data)
        self.parents = parents
        Tensor.made += 1
        self.number = Tensor.made
    def __add__(self, other):
        return Tensor(self.data + other.data, [
            (self, lambda g: fit(g, self.data.shape)), (other, lambda g: fit(g, other.data.shape))])
    def __mul__(self, other):
        return Tensor(self.data * other.data, [
            (self, lambda g: fit(g * other.data, self.data.shape)),
            (other, lambda g: fit(g * self.data, other.data.shape))])
    def sum(self, axis=None):
        data = self.data.sum(axis=axis, keepdims=axis is not None)
        return Tensor(data, [(self, lambda g: g * np.ones_like(self.data))])
    def exp(self):
        data = np.exp(self.data)
        return Tensor(data, [(self, lambda g: g * data)])
    def log(self):
        return Tensor(np.log(self.data), [(self, lambda g: g / self.data)])
    def __matmul__(self, other):
        return Tensor(self.data @ other.data,
                      [(self, lambda g: {left}), (other, lambda g: {right})])
    def relu(self):
        return Tensor(np.maximum(self.data, 0), [(self, lambda g: {relu})])
    def backward(self):
        {seed}
        {walk}
"""
SORTED = """order, seen = [], set()
        def visit(t):
            if t not in seen:
                seen.add(t)
                for parent, _ in t.parents:
                    visit(parent)
                {order}
        visit(self)
        for t in order[::-1]:
            for parent, pull in t.parents:
                {add}"""
RECURSIVE = """def go(t):
            for parent, pull in t.parents:
                parent.grad = parent.grad + pull(t.grad)
                go(parent)
        go(self)"""
BREADTH = """queue, seen = [self], {self}
        for t in queue:
            for parent, pull in t.parents:
                parent.grad = parent.grad + pull(t.grad)
                if parent not in seen:
                    seen.add(parent)
                    queue.append(parent)"""
COUNTED = """import heapq
        heap, seen = [(-self.number, self)], {self}
        while heap:
            _, t = heapq.heappop(heap)
            for parent, pull in t.parents:
                parent.grad += pull(t.grad)
                if parent not in seen:
                    seen.add(parent)
                    heapq.heappush(heap, (-parent.number, parent))"""


def tape(**changes):
    parts = {
        "left": "g @ other.data.T",
        "right": "self.data.T @ g",
        "relu": "g * (self.data > 0)",
        "seed": "self.grad = np.ones_like(self.data)",
        "order": "order.append(t)",
        "add": "parent.grad = parent.grad + pull(t.grad)",
        "walk": SORTED,
    } | changes
    parts["walk"] = parts["walk"].replace("{order}", parts["order"]).replace("{add}", parts["add"])
    return TAPE.format(**parts)


WRONG = {
    "4.1": [
        (module(start="False"), "in training mode"),
        (module(call="self.forward(x)"), "must return what forward returns"),
        (module(eval="self.training = True"), "eval() must set"),
        (module(train="pass"), "train() must set"),
        (module(parameters="pass"), "empty dict"),
        (module(parameters="return []"), "not []"),
        (module(eval="Module.training = False"), "eval() must set"),
        (module(eval="self.training = not self.training"), "eval() must set"),
        (
            module(start="True", eval="type(self).training = self.training = False").replace(
                "self.training = True\n    def forward",
                "pass\n    training = True\n    def forward",
            ),
            "belongs to self",
        ),
        (module(call="self.forward(x); return self.forward(x)"), "forward once"),
        (
            module(call="return Module.forward(self, x)").replace(
                "def forward(self, x): raise NotImplementedError",
                "def forward(self, x): raise NotImplementedError('each layer writes its own')",
            ),
            "the layer's own forward",
        ),
        (module(call="self.training = True; return self.forward(x)"), "leaves the mode"),
        (module(call="return self.forward(x) if self.training else x"), "either mode"),
    ],
    "4.2": [
        (linear(db="self.db += grad.squeeze().sum(axis=0)"), "batch of one row"),
        (linear(back="return (grad @ self.weight).squeeze()"), "one row"),
        (
            linear(weight="np.random.laplace(0, fan_in**-0.5, (fan_out, fan_in))"),
            "normal distribution",
        ),
        (
            linear(dw="self.dW += grad.T @ self.x; self.weight -= 0.1 * self.dW"),
            "changes the weight",
        ),
        (linear(dw="self.dW += self.x.T @ grad"), "print the shape of both sides"),
        (linear(weight="np.random.randn(fan_in, fan_out)"), "(out, in)"),
        (linear(weight="np.random.randn(fan_out, fan_in)"), "standard deviation"),
        (
            linear(weight="np.random.randn(fan_out, fan_in) * (2 / fan_out) ** 0.5"),
            "not by fan_out",
        ),
        (linear(forward="return x @ self.weight.T"), "leaves the bias out"),
        (linear(forward="x @ self.weight.T + self.bias"), "`return` missing"),
        (linear(dw="self.dW += grad.T @ self.x / len(grad)"), "mean belongs to the loss"),
        (linear(dw="self.dW[...] = grad.T @ self.x"), "add to the gradients"),
        (linear(db="self.db += grad.mean(0)"), "sum over the rows"),
        (linear(db="self.db = self.db + grad.sum(0, keepdims=True)"), "has the shape (1, 2)"),
        (
            linear(
                start="self.dW = self.db = None",
                dw="self.dW = grad.T @ self.x",
                db="self.db = grad.sum(0)",
            ),
            "before the first backward",
        ),
        (
            linear(gradients="return {'weight': self.dW.copy(), 'bias': self.db.copy()}"),
            "returns copies",
        ),
        (
            linear(
                weight="(np.random.randn(fan_out, fan_in) * (2 / fan_in) ** 0.5).astype(np.float32)"
            ),
            "keep NumPy's float64",
        ),
        (
            linear(weight="np.random.uniform(-1, 1, (fan_out, fan_in)) * (6 / fan_in) ** 0.5"),
            "normal distribution",
        ),
        (linear(weight="np.random.randn(fan_out, fan_in) * 2 / fan_in"), "is the variance"),
        (linear(weight="np.random.randn(fan_out, fan_in) * (2 / 784) ** 0.5"), "0.87 x sqrt"),
        (linear().replace("        super().__init__()\n", ""), "super().__init__()"),
        (linear().replace("self.x", "Linear.x"), "keep the input in self"),
        (linear(weight="np.random.randn(fan_out, fan_in) * (1 / fan_in) ** 0.5"), "factor of 2"),
        (
            linear(weight="np.random.randn(fan_out, fan_in) * (2 / (fan_in + fan_out)) ** 0.5"),
            "Xavier",
        ),
        (
            linear(
                weight="np.random.default_rng(0).normal(0, (2 / fan_in) ** 0.5, (fan_out, fan_in))"
            ),
            "without a fixed seed",
        ),
        (linear(bias="np.ones(fan_out)"), "starts at zero"),
        (linear(bias="np.zeros((1, fan_out))"), "shape (out,)"),
        (
            linear(
                start="self.dW, self.db = np.zeros((fan_in, fan_out)), np.zeros(fan_out)",
                dw="self.dW += self.x.T @ grad",
            ),
            "the weight (2, 3)",
        ),
        (linear(db="self.db[...] = grad.sum(0)"), "add to the gradients"),
        (linear(dw="self.dW -= grad.T @ self.x"), "the sign"),
        (linear(back="grad *= 1.5; return grad / 1.5 @ self.weight"), "changes the array"),
        (linear(back="pass"), "must return the gradient of the input"),
        (linear(back="return grad @ self.weight / len(grad)"), "returns G W"),
        (linear(weight="np.random.randn(fan_out, fan_in) / fan_out**0.5"), "not fan_out"),
        (
            linear(weight="np.random.randn(fan_out, fan_in) * np.sqrt(2 / max(fan_in, fan_out))"),
            "fan_in counts",
        ),
        (
            linear(
                start="self.dW = np.zeros((fan_out, fan_in), 'f4'); self.db = np.zeros(fan_out, 'f4')"
            ),
            "the weight's gradient is float32",
        ),
        (
            linear(forward="return (x @ self.weight.T + self.bias).astype(np.float32)"),
            "few digits",
        ),
        (linear().replace("self.x = x", "self.x = x.astype(np.float32)"), "few digits"),
        (linear(back="return (grad @ self.weight).astype(np.float32)"), "few digits"),
        (linear(forward="return np.squeeze(x @ self.weight.T + self.bias)"), "sides of length 1"),
        (linear(back="return grad @ self.weight, self.dW, self.db"), "one array, not tuple"),
    ],
    "4.3": [
        (activations(relu="np.clip(x, 0, 6)"), "however large"),
        (
            activations().replace("np.tanh(x)", "(np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)"),
            "Tanh gives",
        ),
        (activations(relu="np.abs(x)"), "ReLU.forward"),
        (activations(relu_back="(self.x > 0) * 1.0"), "the slope alone"),
        (activations(relu_back="grad"), "ReLU.backward is not"),
        (activations(tanh_back="grad * (1 - self.x ** 2)"), "Tanh.backward is not"),
        (activations(sigmoid="1 / (1 + np.exp(-x))"), "overflows"),
        (
            activations(
                sigmoid="np.where(x > 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))"
            ),
            "both of its branches",
        ),
        (activations(relu_back="np.where(self.x >= 0, grad, 0)"), "exactly 0 is 0"),
        (activations(tanh_back="grad * np.tanh(self.x)"), "by the output"),
        (activations(tanh_back="1 - np.tanh(self.x) ** 2"), "the slope alone"),
        (activations(relu="np.maximum(x, 0, out=x)"), "changes its input"),
        (activations().replace("self.x", "ReLU.x"), "keep what it needs in self"),
        (
            activations(sigmoid="torch.sigmoid(torch.tensor(x).float()).numpy()"),
            "float32, or rounded",
        ),
        (
            activations().replace("grad * (self.y - self.y * self.y)", "grad * self.y"),
            "by the output",
        ),
        (activations(relu_back="np.maximum(grad, 0) * (self.x > 0)"), "sign of the input"),
        (activations(relu_back="np.maximum(grad, 0)"), "sign of the input"),
        (activations(tanh_back="(grad / np.cosh(self.x) ** 2).astype('f4')"), "few digits"),
        (
            "import math\n"
            + activations(sigmoid="np.vectorize(lambda v: 1 / (1 + math.exp(-v)))(x)"),
            "overflows",
        ),
    ],
    "4.4": [
        (
            """# Exercise 4.4
class MSELoss:
    def forward(self, p, t):
        self.d = p - t
        return (self.d**2).mean()
    def backward(self):
        self.d *= 2 / self.d.size
        return self.d
""",
            "second backward",
        ),
        (mse(loss="((p - t) ** 2).sum()"), "this is the sum"),
        (mse(loss="((p - t) ** 2).sum() / len(p)"), "not by the batch size alone"),
        (mse(loss="(p - t) ** 2"), "one number"),
        (mse(grad="(self.p - self.t) / self.p.size"), "factor of 2"),
        (mse(grad="2 * (self.t - self.p) / self.p.size"), "sign"),
        (mse(grad="2 * (self.p - self.t)"), "mean is missing"),
        (mse(grad="2 * (self.p - self.t) / len(self.p)"), "not by the batch size"),
        (mse(loss="((p - t) ** 2).mean() / 2"), "no factor"),
        (mse(loss="((p - t) ** 2).mean() ** 0.5"), "no root"),
        (mse(loss="abs(p - t).mean()"), "squares"),
        (mse(loss="((p - t) ** 2).astype(np.float32).mean()"), "float64"),
        (mse(grad="2 * (self.p - self.t) / 12"), "is not the derivative"),
        (mse(grad="np.mean(2 * (self.p - self.t))"), "prediction's shape"),
        (mse(loss="np.mean(np.square(np.subtract(p, t, out=p)))"), "changes the prediction"),
        (mse(loss="np.mean(np.square(np.subtract(p, t, out=t)))"), "or the target"),
        (mse().replace("self.", "MSELoss."), "another MSELoss's forward"),
        (
            mse(grad="np.multiply(np.subtract(self.p, self.t, out=self.p), 2 / self.p.size)"),
            "backward changes",
        ),
        (mse(grad="(2 / self.p.size * (self.p - self.t)).astype(np.float32)"), "few digits"),
    ],
    "4.5": [
        (cross_entropy().replace("grad = self.p.copy()", "grad = self.p"), "second backward"),
        (
            cross_entropy(targets="c = targets if targets.dtype == int else targets.argmax(1)"),
            "whole numbers",
        ),
        (cross_entropy(stable="z = logits - logits.max(0)"), "not each column's"),
        (
            cross_entropy(loss="return (np.log(e.sum()) - z[np.arange(len(z)), c]).mean()"),
            "its own sum",
        ),
        (
            cross_entropy()
            .replace("e.sum(1, keepdims=True)", "e.sum(0)")
            .replace(
                "(np.log(e.sum(1)) - z[np.arange(len(z)), c]).mean()",
                "-np.log(self.p[np.arange(len(z)), c]).mean()",
            ),
            "axis 1, not axis 0",
        ),
        (cross_entropy(targets="c = targets.astype(float)"), "whole numbers"),
        (cross_entropy(stable="z = logits"), "subtract the maximum"),
        (
            cross_entropy(
                loss="return -(np.eye(len(e[0]))[c] * np.log(self.p)).sum() / len(logits)"
            ),
            "has no logarithm",
        ),
        (
            cross_entropy(
                loss="t = np.eye(c.max() + 1)[c]; return (np.log(e.sum(1)) - (t * z).sum(1)).mean()"
            ),
            "could not be broadcast",
        ),
        (
            cross_entropy(loss="return (np.log(e.sum(1)) - z[np.arange(len(z)), c]).sum()"),
            "the sum",
        ),
        (cross_entropy(grad="grad"), "divide by the batch"),
        (cross_entropy(grad="-grad / len(grad)"), "sign"),
        (cross_entropy(loss="return (z[np.arange(len(z)), c] - np.log(e.sum(1))).mean()"), "sign"),
        (cross_entropy(targets="c = targets.reshape(-1).astype(int)[:len(logits)]"), "one-hot"),
        (
            cross_entropy(loss="return -np.log(self.p[np.arange(len(z)), c] + 1e-12).mean()"),
            "log of the sum",
        ),
        (cross_entropy(stable="z = logits - logits.max()"), "each row's own maximum"),
        (cross_entropy(stable="z = (logits - logits.max(1)[:, None]).astype('f4')"), "float64"),
        (
            cross_entropy(stable="logits -= logits.max(1)[:, None]; z = logits"),
            "changes the logits",
        ),
        (
            cross_entropy(grad="(grad if self.onehot else grad / len(grad))").replace(
                "targets = np.asarray(targets)", "self.onehot = targets.ndim == 2"
            ),
            "one-hot targets",
        ),
        (cross_entropy().replace("self.c] -= 1", "self.c] -= 0"), "are not subtracted"),
        (cross_entropy(grad="grad / grad.size"), "too small"),
        (
            cross_entropy(
                loss="return ((np.log(e.sum(1)) - z[np.arange(len(z)), c]).sum() / logits.size)"
            ),
            "number of images",
        ),
        (
            cross_entropy(loss="return (np.log(e.sum(0)).mean() - z[np.arange(len(z)), c].mean())"),
            "the loss is",
        ),
        (
            cross_entropy(
                targets="c = targets if targets.shape[0] != logits.shape[1] else targets.argmax(1)"
            ),
            "1",
        ),
        (cross_entropy(stable="z = logits - logits.mean(1)[:, None]"), "largest logit"),
        (cross_entropy(stable="z = logits - np.median(logits, 1)[:, None]"), "largest logit"),
        (cross_entropy(stable="z = logits - abs(logits).max(1)[:, None]"), "largest logit"),
        (
            cross_entropy(stable="z = logits - np.maximum(logits.max(1), 0)[:, None]"),
            "largest logit",
        ),
        (cross_entropy(stable="z = logits - 700"), "largest logit"),
        (cross_entropy(grad="(grad / len(grad)).astype(np.float32)"), "few digits"),
        (cross_entropy().replace("self.", "SoftmaxCrossEntropy."), "another loss's forward"),
        (  # the caller's logits, in backward
            cross_entropy(grad="np.add(self.z, grad / len(grad) - self.z, out=self.z)").replace(
                "e = np.exp(z)", "e = np.exp(z); self.z = logits"
            ),
            "backward changes",
        ),
        (
            cross_entropy(targets="t = targets; c = (t if t.ndim == 1 else t.argmax(1)).copy()")
            .replace("grad = self.p.copy()", "self.t[...] = 0; grad = self.p.copy()")
            .replace("e = np.exp(z)", "e = np.exp(z); self.t = targets"),
            "backward changes",
        ),
        (
            cross_entropy(
                targets="c = (targets if targets.ndim == 1 else targets.argmax(1)).copy(); targets[...] = 0"
            ),
            "forward changes",
        ),
    ],
    "4.6": [
        (
            sequential(
                forward="for f in self.layers: x = f(x) if self.training else x\n        return x"
            ),
            "after eval()",
        ),
        (sequential(order="self.layers"), "reverse order"),
        (sequential(key="name"), "the keys must be"),
        (sequential(key='f"{i + 1}.{name}"'), "the keys must be"),
        (sequential(value="value.copy()"), "copies"),
        (sequential(back="layer.backward(grad)"), "reverse order"),
        (sequential(eval="pass"), "every layer"),
        (
            sequential(eval="[layer.eval() for layer in self.layers]").replace(
                "        self.training = False\n", ""
            ),
            "own flag",
        ),
        (sequential(key="(i, name)"), "must be strings"),
        (
            sequential().replace(
                "for layer in self.layers: layer.train()",
                "for layer in self.layers: layer.training = True",
            ),
            "train() must reach the layers of a Sequential inside",
        ),
        (
            sequential(forward="for f in self.layers[:3]: x = f.forward(x)\n        return x"),
            "all layers: with eleven",
        ),
        (sequential(order="self.layers[2::-1]"), "another gradient"),
        (sequential(order="self.layers.reverse() or self.layers"), "turn self.layers round"),
        (sequential().replace("*layers", "layers"), "any number of layers"),
        (sequential(key="[][0]").replace("in enumerate(self.layers):", "in ():"), "none at all"),
        (sequential().replace("        return grad\n", ""), "gradient of the network's input"),
        (
            sequential().replace(
                "[layer.eval() for layer in self.layers]", "self.layers[0].eval()"
            ),
            "every layer",
        ),
        (sequential(key='f"{i}{name}"'), "the keys must be"),
        (sequential().replace("        super().__init__()\n", ""), "training mode"),
        (
            sequential(forward="for f in self.layers: y = f.forward(x)\n        return y"),
            "in order",
        ),
        (
            sequential(forward="return self.layers[-1].forward(x[:, :1] * np.ones((1, 4)))"),
            "in order",
        ),
        (
            sequential(
                forward="a = [x]\n        for f in self.layers: a.append(f.forward(a[-1]))\n        return a"
            ),
            "one array, not list",
        ),
        (
            sequential().replace("        return grad\n", "        return grad, 0\n"),
            "one array, not tuple",
        ),
    ],
    "4.7": [
        (
            "# Exercise 4.7\ndef gradient_check(model, loss, x, y, epsilon=1e-5):\n    return 1e-10",
            "goes unnoticed",
        ),
        (check(result="max(errors) < 1e-6"), "not whether it is small"),
        (
            check().replace(
                "    p, g = model", "    for layer in model.layers: pass\n    p, g = model"
            ),
            "not every network has layers",
        ),
        (check().replace("a.reshape(-1), d", "a.flatten(), d"), "flatten() makes a copy"),
        (check(input="[]"), "of the input goes unnoticed"),
        (check(keys="[k for k in p if 'weight' in k]"), "of the bias goes unnoticed"),
        (check(width="epsilon"), "should be below 1e-7"),
        (check(restore="pass"), "put each number back"),
        (check(zero="pass"), "set the gradients to zero first"),
        (check(size="1"), "by the formula"),
        (check(result="sum(errors) / len(errors)"), "by the formula"),
        (check(result="0.0"), "goes unnoticed"),
        (check(size="(abs(m) + abs(slope[i]))", result="np.max(errors)"), "exactly 0"),
        (check().replace("abs(m - slope[i]) /", "(m - slope[i]) /"), "goes unnoticed"),
        (check().replace("range(flat.size)", "range(a.shape[-1])"), "goes unnoticed"),
        (check().replace("range(flat.size)", "range(min(flat.size, 10))"), "goes unnoticed"),
        (check().replace("range(flat.size)", "range(1, flat.size)"), "goes unnoticed"),
        (
            check()
            .replace("keep + sign * epsilon", "keep + sign * 1e-5")
            .replace("(2 * epsilon)", "2e-5"),
            "epsilon is not used",
        ),
        (check(size="max(abs(m), 1e-3)"), "by the formula"),
        (check(result="errors"), "one number"),
        (check(result="print(max(errors))"), "`return` missing"),
        (check(result="errors[-1]"), "goes unnoticed"),
        (check(result="sum(errors)"), "the largest is asked"),
        (
            check(zero="pass", result="[max(errors), [v.fill(0) for v in g.values()]][0]"),
            "gradients left by an earlier backward",
        ),
        (check(size="max(abs(m) + abs(slope[i]), 1e-8)"), "divide by 10⁻³"),
        (check(zero="[g.fill(0) for g in model.gradients().values()]; model.eval()"), "evaluation"),
        (check().replace("(p[k], g[k].copy())", "(p[k], p[k].copy())"), "what backward gives"),
        (check(width="2e-5"), "twice the epsilon"),
        (
            check(zero="model.eval(); [g.fill(0) for g in model.gradients().values()]").replace(
                "    return", "    model.train()\n    return"
            ),
            "evaluation mode",
        ),
    ],
    "4.8": [
        (
            optimizer().replace(
                "        p, g = self.model.parameters(), self.model.gradients()\n",
                "        for layer in self.model.layers: self.one(layer)\n    def one(self, layer):\n"
                "        p, g = layer.parameters(), layer.gradients()\n",
            ),
            "a v of its own",
        ),
        (optimizer(velocity="self.v.get(k, 0) + self.momentum * g[k]"), "v = momentum · v + g"),
        (optimizer(step="p[k] = p[k] - self.lr * self.v[k]"), "in place"),
        (
            optimizer(velocity="g[k]", step="p[k] -= self.lr * (1 + self.momentum) * g[k]"),
            "differ from v",
        ),
        (
            optimizer(zero="[g.fill(0) for k, g in self.model.gradients().items() if 'w' in k]"),
            "leaves gradients",
        ),
        (
            optimizer(zero="self.model.g = {k: g * 0 for k, g in self.model.g.items()}").replace(
                "self.model.g", "self.model.other"
            ),
            "other",
        ),
        (optimizer(step="p[k] -= self.v[k]"), "is not w -= lr"),
        (optimizer(step="p[k] -= 0.1 * self.v[k]"), "differ from v"),
        (optimizer(step="p[k] -= self.lr * self.v[k]; g[k][...] = 0"), "changes the gradients"),
        (
            optimizer(
                velocity="g[k] if k not in self.v else np.add("
                "self.momentum * self.v[k], g[k], out=self.v[k])"
            ),
            "changes the gradients",
        ),
        (
            optimizer(zero="[w.fill(0) for w in self.model.parameters().values()]"),
            "changes the parameters",
        ),
        (
            optimizer(zero="g = self.model.gradients()\n        for k in g: g[k] = np.zeros(1)"),
            "leaves gradients",
        ),
        (optimizer(velocity="self.momentum * self.v.get(k, 0) - g[k]"), "uphill"),
        (optimizer(step="p[k] += self.lr * self.v[k]"), "uphill"),
        (optimizer(velocity="g[k]"), "with momentum 0.9"),
        (
            optimizer(velocity="self.momentum * self.v.get(k, 0) + (1 - self.momentum) * g[k]"),
            "0.9",
        ),
        (optimizer(zero="pass"), "zero_grad() leaves"),
        (optimizer(keys="[k for k in p if 'weight' in k]"), "the bias does not move"),
        (
            optimizer(velocity="(0.9 if self.momentum else 0) * self.v.get(k, 0) + g[k]"),
            "momentum 0.5",
        ),
    ],
    "4.9": [
        (dropout(back="grad * (self.m > 0)"), "backward needs the division"),
        (dropout(scale="1"), "to keep the mean"),
        (
            dropout(back="grad * self.m if self.training else grad"),
            "also where the mode has changed",
        ),
        (dropout(scale="self.p"), "not by p"),
        (dropout(scale="1 / (1 - self.p)"), "do not multiply"),
        (dropout(draw="< self.p"), "not the share that is kept"),
        (
            dropout(back="grad * (np.random.rand(*grad.shape) >= self.p) / (1 - self.p)"),
            "draw once",
        ),
        (dropout(back="grad"), "lets everything through"),
        (dropout(size="1, x.shape[1]"), "each number is drawn for itself"),
        (dropout(evaluate="x * (1 - self.p)"), "nothing is scaled"),
        (dropout(mode="True"), "in evaluation mode"),
        (dropout(clean="pass"), "an old mask"),
        (dropout(random="np.random.default_rng().random(({size}))"), "np.random.seed"),
        (
            dropout(draw=".argsort(axis=None).argsort().reshape(x.shape) >= self.p * x.size"),
            "draw each one by itself",
        ),
        (
            dropout(back="grad * (self.y != 0) * (1 / (1 - self.p) if self.m is not 1 else 1)")
            .replace("return x * self.m", "self.y = x * self.m\n            return self.y")
            .replace("self.m = np.ones_like(x)", "self.m, self.y = 1, np.ones_like(x)"),
            "0 or negative",
        ),
        (
            dropout(back="grad * self.y / self.x")
            .replace("return x * self.m", "self.x, self.y = x, x * self.m; return self.y")
            .replace("self.m = np.ones_like(x)", "self.x = self.y = np.ones_like(x)"),
            "0 or negative",
        ),
        (dropout().replace("self.m", "Dropout.m"), "another Dropout's forward"),
        (
            dropout()
            .replace("self.m", "mask_")
            .replace("(self, x):\n", "(self, x):\n        global mask_\n"),
            "another Dropout's forward",
        ),
        (dropout(size="x.shape[0], x.shape[1]"), "the shape (7,) fails"),
    ],
    "4.10": [
        (norm().replace("grad * self.h, 0", "grad * self.h * self.s, 0"), "grad · x̂"),
        (norm(dx="g / self.s"), "as constants"),
        (norm(dx="(g - g.mean(0)) / self.s"), "through the variance"),
        (norm(dx="(g - self.h * (g * self.h).mean(0)) / self.s"), "through the mean"),
        (norm(g="grad"), "the weight is missing"),
        (norm(var="x.var(0, ddof=1)"), "not by B - 1"),
        (norm(mean="x.mean()", var="x.var()"), "axis 0"),
        (norm(std="np.sqrt(v)"), "epsilon is missing"),
        (norm(std="np.sqrt(v) + self.epsilon"), "under the root"),
        (norm(std="v + self.epsilon"), "not by the variance"),
        (norm(out="self.h"), "not used"),
        (
            norm(out="self.weight * self.h + self.bias if self.training else self.h"),
            "evaluation mode as well",
        ),
        (norm(std="np.sqrt(v + 1e-5)"), "argument epsilon"),
        (norm(std="np.sqrt(v + self.epsilon * self.training)"), "epsilon stands in evaluation"),
        (
            norm(dx="(g - g.sum(0) / 6 - self.h * (g * self.h).sum(0) / 6) / self.s"),
            "with 4 it is wrong",
        ),
        (norm(mode="True"), "in evaluation mode"),
        (norm(db="self.grad_bias[...] = grad.sum(0)"), "must add"),
        (norm(db="self.grad_bias += grad.mean(0)"), "mean belongs to the loss"),
        (norm(keep="0.1", new="0.9"), "a tenth"),
        (norm(keep="1", new="0"), "does not move"),
        (norm(dx="(g - g.mean(0) - self.h * (g * self.h).mean(0))"), "not the derivative"),
        (
            norm(
                var="x.var(0) + self.epsilon", std="np.sqrt(v + (not self.training) * self.epsilon)"
            ),
            "without epsilon",
        ),
        (
            norm(
                dx="(g - g.mean(0) - self.h * (g * self.h).mean(0)) / np.sqrt(self.v + 1e-5)"
            ).replace("self.s = ", "self.v = v; self.s = "),
            "epsilon = 0.5 ∂L/∂x",
        ),
        (
            norm().replace("self.h", "BatchNorm.h").replace("self.s", "BatchNorm.s"),
            "another BatchNorm's forward",
        ),
        (norm(out="(self.weight * self.h + self.bias).astype(np.float32)"), "float32"),
        (
            norm(mode="self.running_mean is not None")
            .replace(
                "self.running_mean = 0.9 * self.running_mean + 0.1 * m",
                "self.running_mean += 0.1 * (m - self.running_mean)",
            )
            .replace(
                "self.running_var = 0.9 * self.running_var + 0.1 * v",
                "self.running_var += 0.1 * (v - self.running_var)\n            if not self.training: m, v = self.running_mean, self.running_var",
            ),
            "must not move",
        ),
        (
            norm()
            .replace("            self.running_var = 0.9 * self.running_var + 0.1 * v\n", "")
            .replace(
                "        if self.training:",
                "        self.running_var += 0.1 * (x.var(0) - self.running_var)\n        if self.training:",
            ),
            "must not move",
        ),
    ],
    "4.11": [
        (
            tape().replace(
                "    def relu(self):\n        return Tensor(np.maximum(self.data, 0),",
                "    def relu(self):\n        self.data = np.maximum(self.data, 0)\n"
                "        return Tensor(self.data,",
            ),
            "changes the tensor",
        ),
        (
            tape(
                walk="for parent, pull in self.parents:\n"
                "            parent.grad = parent.grad + pull(self.grad)\n"
                "            parent.backward()"
            ),
            "begins again with the gradient 1",
        ),
        (tape().replace(", [(self, lambda g: g * (self.data > 0))]", ""), "no gradient arrives"),
        (tape(seed="pass"), "begins with the gradient 1"),
        (tape(add="parent.grad = pull(t.grad)"), "used twice gets two"),
        (tape(relu="g * (self.data >= 0)"), "exactly 0 is 0"),
        (tape(relu="1.0 * (self.data > 0)"), "multiply the slope"),
        (tape(left="other.data.T @ g"), "do not fit"),
        (tape(left="g @ other.data"), "do not fit"),
        (tape(left="g"), "A @ B"),
        (tape(walk=RECURSIVE), "too early or more than once"),
        (tape(order="order.insert(0, t)"), "backward through"),
        (tape(walk=BREADTH), "order"),
        (
            tape(
                order="pass", walk=SORTED.replace("seen.add(t)", "seen.add(t); order.insert(0, t)")
            ),
            "by every way",
        ),
        (
            tape(
                walk=SORTED.replace("t not in seen", "str(t.data) not in seen").replace(
                    "seen.add(t)", "seen.add(str(t.data))"
                )
            ),
            "not the same tensor",
        ),
        (
            tape(
                add="parent.grad = parent.grad + pull(t.grad)\n"
                "            t.grad = t.grad * (t is self or not t.parents)"
            ),
            "keeps its gradient",
        ),
        (tape(seed="self.grad = self.data + 0"), "not with 6"),
        (
            tape().replace("np.maximum(self.data, 0)", "np.maximum(self.data, 0, out=self.data)"),
            "own array",
        ),
        (
            tape().replace("        return Tensor(self.data @", "        Tensor(self.data @"),
            "`return` missing",
        ),
        (tape(walk="pass"), "all gradients stay 0"),
    ],
}

RIGHT = {
    "4.1": [
        module(),
        module(call="return type(self).forward(self, x)", parameters="return dict()"),
        module(
            start="not False",
            train="self.training = True; return self",
            eval="self.training = not True",
        ),
        "from abc import ABC, abstractmethod\n"
        + module().replace("class Module:", "class Module(ABC):\n    training = True"),
    ],
    "4.2": [
        linear(),
        linear(dw="self.dW = self.dW + (self.x.T @ grad).T", db="self.db = self.db + sum(grad)"),
        linear(
            weight="np.random.default_rng().normal(0, np.sqrt(2 / fan_in), (fan_out, fan_in))",
            forward="return (self.weight @ x.T).T + self.bias",
            back="return (self.weight.T @ grad.T).T",
        ),
        linear(
            weight="np.sqrt(2 / fan_in) * np.random.standard_normal(size=(fan_out, fan_in))",
            forward="return np.einsum('bi,oi->bo', x, self.weight) + self.bias[None]",
            dw="np.add(self.dW, np.einsum('bo,bi->oi', grad, self.x), out=self.dW)",
            back="return np.dot(grad, self.weight)",
        ),
        linear(gradients="return {'bias': self.db, 'weight': self.dW}"),
    ],
    "4.3": [
        activations(),
        activations(
            relu="np.where(x > 0, x, 0.0)",
            relu_back="grad * (self.x > 0).astype(float)",
            tanh_back="grad * (1 - np.tanh(self.x) ** 2)",
            sigmoid="np.where(x >= 0, 1, np.exp(-np.abs(x))) / (1 + np.exp(-np.abs(x)))",
        ),
        activations(relu="x * (x > 0)", sigmoid="1 / (1 + np.exp(np.clip(-x, -500, 500)))"),
        activations(
            relu_back="grad * np.where(self.x > 0, 1.0, 0.0)",
            tanh_back="(1 - np.square(np.tanh(self.x))) * grad",
        ),
    ],
    "4.4": [
        mse(),
        mse(loss="np.square(p - t).sum() / p.size"),
        mse(loss="float(np.mean((t - p) ** 2))", grad="-(self.t - self.p) * 2 / self.p.size"),
    ],
    "4.5": [
        cross_entropy(),
        cross_entropy(
            loss="return float(np.mean([np.log(e[i].sum()) - z[i, c[i]] for i in range(len(c))]))"
        ),
        cross_entropy(
            targets="c = targets if targets.shape != logits.shape else np.argmax(targets, axis=1)"
        ).replace("targets = np.asarray(targets)", "pass"),
        cross_entropy(
            targets="c = np.argmax(targets, 1) if len(targets.shape) > 1 else targets"
        ).replace("targets = np.asarray(targets)", "n = targets.ndim"),
        cross_entropy(
            stable="z = logits - np.logaddexp.reduce(logits, axis=1)[:, None]",
            loss="return -z[np.arange(len(z)), c].mean()",
        ),
    ],
    "4.6": [
        sequential(),
        sequential(order="reversed(self.layers)", key="str(i) + '.' + name"),
        sequential(
            forward="import functools\n        return functools.reduce("
            "lambda v, layer: layer(v), self.layers, x)"
        ).replace("self.layers", "self.chain"),
    ],
    "4.7": [
        check(),
        check(result="float(np.max(errors))", keys="list(p)[::-1]"),
        check(result="np.array(max(errors))", zero="for g in model.gradients().values(): g *= 0"),
    ],
    "4.8": [
        """# Exercise 4.8
class SGD:
    def __init__(self, model, lr, momentum=0.0):
        self.model, self.lr, self.momentum, self.v = model, lr, momentum, {}
    def step(self):
        for i, layer in enumerate(self.model.layers):
            for name, w in layer.parameters().items():
                v = self.v.get((i, name), 0)
                v = self.v[i, name] = self.momentum * v + layer.gradients()[name]
                w -= self.lr * v
    def zero_grad(self):
        for layer in self.model.layers:
            for g in layer.gradients().values():
                g[...] = 0
""",
        optimizer(),
        optimizer(step="np.subtract(p[k], self.lr * self.v[k], out=p[k])"),
        optimizer(
            velocity="self.momentum * self.v.get(k, 0) + self.lr * g[k]", step="p[k] -= self.v[k]"
        ),
        optimizer(
            step="p[k][:] = p[k] - self.lr * self.v[k]",
            zero="for g in self.model.gradients().values(): g *= 0",
        ),
    ],
    "4.9": [
        dropout(),
        dropout(random="np.random.random_sample(({size}))".replace("({size})", "x.shape")),
        dropout(random="np.random.binomial(1, 1 - self.p, x.shape)", draw="* 1.0"),
        dropout(random="np.random.rand(x.size).reshape(x.shape)"),
    ],
    "4.10": [
        norm(),
        norm(dx="(len(g) * g - g.sum(0) - self.h * (g * self.h).sum(0)) / (len(g) * self.s)"),
        norm(keep="(1 - 0.1)", var="((x - x.mean(0)) ** 2).mean(0)").replace(
            "{new} * v", "0.1 * x.var(0, ddof=1)"
        ),
    ],
    "4.11": [
        tape(),
        tape(walk=COUNTED),
        tape(left="np.einsum('ij,kj->ik', g, other.data)", relu="np.where(self.data > 0, g, 0)"),
        # each call's own sums, so that a tensor in the middle may be shared by two calls
        tape(
            seed="own = {id(self): np.ones_like(self.data)}",
            walk=SORTED.replace(
                "{add}", "own[id(parent)] = own.get(id(parent), 0) + pull(own[id(t)])"
            )
            + "\n            t.grad = t.grad + own[id(t)]",
        ),
    ],
}
