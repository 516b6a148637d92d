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
        self.bias = np.zeros(fan_out)
        self.dW, self.db = np.zeros(self.weight.shape), np.zeros(fan_out)
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
        return {{"weight": self.dW, "bias": self.db}}
"""


def linear(**changes):
    parts = {
        "weight": "np.random.normal(0, (2 / fan_in) ** 0.5, (fan_out, fan_in))",
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


WRONG = {
    "4.1": [
        (module(start="False"), "in training mode"),
        (module(call="self.forward(x)"), "must return what forward returns"),
        (module(eval="self.training = True"), "eval() must set"),
        (module(train="pass"), "train() must set"),
        (module(parameters="pass"), "empty dict"),
    ],
    "4.2": [
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
        (linear(back="pass"), "must return the gradient of the input"),
        (linear(back="return grad @ self.weight / len(grad)"), "returns G W"),
    ],
    "4.3": [
        (activations(relu="np.abs(x)"), "ReLU.forward"),
        (activations(relu_back="(self.x > 0) * 1.0"), "the slope alone"),
        (activations(relu_back="grad"), "ReLU.backward is not"),
        (activations(tanh_back="grad * (1 - self.x ** 2)"), "Tanh.backward is not"),
        (activations(sigmoid="1 / (1 + np.exp(-x))"), "overflows"),
    ],
    "4.4": [
        (mse(loss="((p - t) ** 2).sum()"), "this is the sum"),
        (mse(loss="((p - t) ** 2).sum() / len(p)"), "not by the batch size alone"),
        (mse(loss="(p - t) ** 2"), "one number"),
        (mse(grad="(self.p - self.t) / self.p.size"), "factor of 2"),
        (mse(grad="2 * (self.t - self.p) / self.p.size"), "sign"),
        (mse(grad="2 * (self.p - self.t)"), "mean is missing"),
        (mse(grad="2 * (self.p - self.t) / len(self.p)"), "not by the batch size"),
    ],
    "4.5": [
        (cross_entropy(stable="z = logits"), "subtract the maximum"),
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
    ],
    "4.6": [
        (sequential(order="self.layers"), "reverse order"),
        (sequential(key="name"), "the keys must be"),
        (sequential(key='f"{i + 1}.{name}"'), "the keys must be"),
        (sequential(value="value.copy()"), "copies"),
        (sequential(back="layer.backward(grad)"), "reverse order"),
        (sequential(eval="pass"), "every layer"),
        (
            sequential(forward="return self.layers[-1].forward(x[:, :1] * np.ones((1, 4)))"),
            "in order",
        ),
    ],
    "4.7": [
        (check(input="[]"), "of the input goes unnoticed"),
        (check(keys="[k for k in p if 'weight' in k]"), "of the bias goes unnoticed"),
        (check(width="epsilon"), "should be below 1e-7"),
        (check(restore="pass"), "put each number back"),
        (check(zero="pass"), "set the gradients to zero first"),
        (check(size="1"), "by the formula"),
        (check(result="sum(errors) / len(errors)"), "by the formula"),
        (check(result="0.0"), "goes unnoticed"),
    ],
    "4.8": [
        (optimizer(step="p[k] = p[k] - self.lr * self.v[k]"), "the step is not"),
        (optimizer(step="p[k] += self.lr * self.v[k]"), "uphill"),
        (optimizer(velocity="g[k]"), "with momentum 0.9"),
        (
            optimizer(velocity="self.momentum * self.v.get(k, 0) + (1 - self.momentum) * g[k]"),
            "0.9",
        ),
        (optimizer(zero="pass"), "zero_grad() leaves"),
        (optimizer(keys="[k for k in p if 'weight' in k]"), "the bias does not move"),
    ],
}

RIGHT = {
    "4.1": [
        module(),
        module(call="return type(self).forward(self, x)", parameters="return dict()"),
    ],
    "4.2": [
        linear(),
        linear(
            weight="np.sqrt(2 / fan_in) * np.random.standard_normal(size=(fan_out, fan_in))",
            forward="return np.einsum('bi,oi->bo', x, self.weight) + self.bias[None]",
            dw="np.add(self.dW, np.einsum('bo,bi->oi', grad, self.x), out=self.dW)",
            back="return np.dot(grad, self.weight)",
        ),
    ],
    "4.3": [
        activations(),
        activations(
            relu="np.where(x > 0, x, 0.0)",
            relu_back="grad * (self.x > 0).astype(float)",
            tanh_back="grad * (1 - np.tanh(self.x) ** 2)",
            sigmoid="np.where(x >= 0, 1, np.exp(-np.abs(x))) / (1 + np.exp(-np.abs(x)))",
        ),
    ],
    "4.4": [mse(), mse(loss="np.square(p - t).sum() / p.size")],
    "4.5": [
        cross_entropy(),
        cross_entropy(
            loss="return float(np.mean([np.log(e[i].sum()) - z[i, c[i]] for i in range(len(c))]))"
        ),
    ],
    "4.6": [sequential(), sequential(order="reversed(self.layers)", key="str(i) + '.' + name")],
    "4.7": [
        check(),
        check(result="float(np.max(errors))", keys="list(p)[::-1]"),
        check(size="max(abs(m) + abs(slope[i]), 1e-8)"),
    ],
    "4.8": [optimizer(), optimizer(step="np.subtract(p[k], self.lr * self.v[k], out=p[k])")],
}
