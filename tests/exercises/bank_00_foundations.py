"""Lab 00: usual mistakes, each with a word of the message they must get, and other right ways."""

SOFTMAX = """# Exercise 0.1
def softmax(logits, temperature=1.0):
    {softmax}
def softmax_jacobian(logits, temperature=1.0):
    y = np.exp(logits / temperature)
    y = y / y.sum()
    {jacobian}
"""


def softmaxes(
    scaled="logits / temperature",
    shift="z.max(axis=-1, keepdims=True)",
    total="e.sum(axis=-1, keepdims=True)",
    jacobian="return (np.diag(y) - np.outer(y, y)) / temperature",
):
    body = f"z = {scaled}; e = np.exp(z - {shift}); return e / {total}"
    return SOFTMAX.format(softmax=body, jacobian=jacobian)


def squares(r="A @ x + b - t", end="return np.outer(r, x), r"):
    return f"""# Exercise 0.3
def least_squares_gradients(A, x, b, t):
    r = {r}
    {end}
"""


def outputs(
    cell='"softmax"',
    xray='"sigmoid"',
    digit='"softmax"',
    tumour='"sigmoid"',
    soft="softmax(logits)",
    sigm="1 / (1 + np.exp(-logits))",
    end="return p - targets",
):
    return f"""# Exercise 0.4
output_layer = {{
    "the type of one white blood cell": {cell},
    "the findings in a chest X-ray": {xray},
    "the digit in a picture of one digit": {digit},
    "the genes mutated in a tumour": {tumour},
}}
def loss_gradient(logits, targets, output):
    p = {soft} if output == "softmax" else {sigm}
    {end}
"""


def huber(
    r="X @ w + b - t",
    pull="np.clip(r, -delta, delta)",
    w="X.T @ pull / len(t) + weight_decay * w",
    b="pull.mean()",
    end="return grad_w, grad_b",
):
    return f"""# Exercise 0.5
def huber_gradients(X, t, w, b, delta, weight_decay):
    r = {r}
    pull = {pull}
    grad_w, grad_b = {w}, {b}
    {end}
"""


def two_steps(
    m1="g1",
    v1="g1**2",
    m2="(beta1 * g1 + g2) / (1 + beta1)",
    v2="(beta2 * g1**2 + g2**2) / (1 + beta2)",
    step="lr * m / (v**0.5 + eps)",
    end="return step(m1, v1), step(m2, v2)",
):
    return f"""# Exercise 0.7
def first_two_steps(g1, g2, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m1, v1 = {m1}, {v1}
    m2, v2 = {m2}, {v2}
    step = lambda m, v: {step}
    {end}
"""


def adam(
    start="self.k = 0",
    before="self.k += 1",
    inside="pass",
    m="b1 * self.m[i] + (1 - b1) * g",
    v="b2 * self.v[i] + (1 - b2) * g**2",
    m_hat="self.m[i] / (1 - b1**self.k)",
    v_hat="self.v[i] / (1 - b2**self.k)",
    update="p -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)",
):
    return f"""# Exercise 0.9
class Adam:
    def __init__(self, parameters, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.parameters, self.lr, self.betas, self.eps = parameters, lr, (beta1, beta2), eps
        self.m, self.v = [0.0 for p in parameters], [0.0 for p in parameters]
        {start}
    def step(self, gradients):
        b1, b2 = self.betas
        {before}
        for i, (p, g) in enumerate(zip(self.parameters, gradients)):
            {inside}
            self.m[i] = {m}
            self.v[i] = {v}
            m_hat, v_hat = {m_hat}, {v_hat}
            {update}
"""


def factors(momentum="c", adam="c * (abs(g) + eps) / (c * abs(g) + eps)", matching="c * eps"):
    return f"""# Exercise 0.10
def momentum_factor(c):
    return {momentum}
def adam_factor(c, g, eps):
    return {adam}
def matching_eps(c, eps):
    return {matching}
"""


def speeds(
    measured="return -end_point(optimizer_class, gradients, **settings) / len(gradients)",
    momentum="lr / (1 - momentum) * gradients.mean(0)",
    adam="lr * gradients.mean(0) / np.sqrt((gradients**2).mean(0))",
):
    return f"""# Exercise 0.11
def average_step(optimizer_class, gradients, **settings):
    {measured}
def predicted_momentum(gradients, lr, momentum):
    return {momentum}
def predicted_adam(gradients, lr):
    return {adam}
"""


def backward(result, before="pass"):
    return f"""# Exercise 0.2
def softmax_backward(y, g, temperature=1.0):
    {before}
    return {result}
"""


def valley(
    step="theta = theta - lr * H @ theta",
    before="pass",
    end="theta",
    limit="2 / np.linalg.eigvalsh(H).max()",
):
    return f"""# Exercise 0.6
def gradient_descent(H, theta, lr, steps):
    {before}
    for k in range(steps):
        {step}
    return {end}
def learning_rate_limit(H):
    return {limit}
"""


def ratio(
    step="(beta1 + c) / (1 + beta1) / np.sqrt((beta2 + c**2) / (1 + beta2))",
    limit="np.sqrt(1 + beta2) / (1 + beta1)",
):
    return f"""# Exercise 0.8
def step_ratio(c, beta1=0.9, beta2=0.999):
    return {step}
def ratio_limit(beta1=0.9, beta2=0.999):
    return {limit}
"""


def contrasted(result, before="pass"):
    return f"""# Exercise 0.13
def contrast(W):
    {before}
    return {result}
"""


FORGETFUL = (
    "return -sum(end_point(optimizer_class, gradients[k:k + 1], **settings) "
    "for k in range(len(gradients))) / len(gradients)"
)
WALK = """theta = np.zeros(gradients.shape[1])
    optimizer = optimizer_class([theta], **settings)
    for row in gradients: optimizer.step([row])
    return [-float(place) / len(gradients) for place in theta]"""


def regression(
    d="softmax(X @ W.T + b) - np.eye(10)[labels]", n="len(X)", end="return d.T @ X, d.sum(0)"
):
    return f"""# Exercise 0.12
def softmax_regression_gradients(W, b, X, labels):
    d = ({d}) / {n}
    {end}
"""


WRONG = {
    "0.1": [
        (softmaxes(jacobian="return (np.diag(y) + np.outer(y, y)) / temperature"), "not added"),
        (softmaxes(jacobian="return (np.diag(y) - y * y) / temperature"), "np.outer"),
        (softmaxes(shift="z.max(axis=1, keepdims=True)"), "axis=-1 is the last one"),
        (softmaxes(scaled="logits * temperature"), "do not multiply"),
        (softmaxes(scaled="logits"), "the temperature changes nothing"),
        (softmaxes(total="e.sum()"), "the whole array adds up to 1"),
        (softmaxes(total="e.sum(axis=0)"), "but each row must"),
        (softmaxes(shift="0"), "underflows"),
        (softmaxes(shift="z.max()"), "of **each row** first"),
        (softmaxes(shift="logits.max(axis=-1, keepdims=True)"), "underflows"),
        (softmaxes(shift="(temperature == 1) * z.max(-1, keepdims=True)"), "at temperature 0.25"),
        (
            softmaxes()
            .replace("temperature; e = np.exp(z - ", "1; e = np.exp(z - ")
            .replace("keepdims=True)); return e", "keepdims=True)) ** (1 / temperature); return e"),
            "divide by τ before exp",
        ),
        (softmaxes(shift="z.mean(axis=-1, keepdims=True)"), "subtract the largest z/τ"),
        (softmaxes(shift="z.min(axis=-1, keepdims=True)"), "subtract the largest z/τ"),
        (softmaxes(scaled="logits / 2"), "softmax differs from PyTorch's"),
        (softmaxes().replace("temperature=1.0", "temperature"), "missing 1 required positional"),
        (
            softmaxes(jacobian="return ((np.diag(y) - np.outer(y, y)) / temperature)[:4, :4]"),
            "softmax_jacobian of 5 logits",
        ),
        (softmaxes().replace("return e", "e"), "return"),
        (
            softmaxes(
                shift="z.max()", total="(e.sum(1, keepdims=True) if e.ndim > 1 else e.max())"
            ),
            "not for one",
        ),
        (softmaxes(jacobian="return np.diag(y) - np.outer(y, y)"), "factor 1/τ is missing"),
        (
            softmaxes(jacobian="return (np.diag(y) - np.outer(y, y)) / temperature**2"),
            "there twice",
        ),
        (softmaxes(jacobian="return (np.outer(y, y) - np.diag(y)) / temperature"), "sign is wrong"),
        (softmaxes(jacobian="return np.diag(y * (1 - y)) / temperature"), "off the diagonal"),
        (softmaxes(jacobian="return np.diag(y) / temperature"), "y yᵀ is missing"),
        (softmaxes(jacobian="return y * (1 - y) / temperature"), "has the shape (4,)"),
        (softmaxes(jacobian="return ..."), "still gives `...`"),
    ],
    "0.2": [
        (backward("(y * g - y * (y @ g)) / temperature"), "print the shape of both sides"),
        (backward("y * (g + (y * g).sum(-1, keepdims=True)) / temperature"), "is subtracted"),
        (backward("y * (g - (y * g).mean(-1, keepdims=True)) / temperature"), "not their mean"),
        (backward("y * (g - (y * g).sum(-1, keepdims=True)) * temperature"), "do not multiply"),
        (backward("y * (g - (y * g).sum()) / temperature"), "not over the whole array"),
        (
            backward("y * (g - (y * g).sum(-1, keepdims=True))"),
            "the factor 1/τ is missing",
        ),
        (backward("y * (g - (y * g).sum(-1)) / temperature"), "keepdims=True"),
        (backward("y * (g - (y * g).sum(0)) / temperature"), "not the first"),
        (backward("(g - (y * g).sum(-1, keepdims=True)) / temperature"), "the factor y in front"),
        (backward("y * (g - g.sum(-1, keepdims=True)) / temperature"), "not the plain sum"),
        (backward("y * (1 - y) * g / temperature"), "only the diagonal"),
        (backward("y * g / temperature"), "second term"),
        (
            backward(
                "p * (g - (p * g).sum(-1, keepdims=True)) / temperature",
                "p = softmax(y, temperature)",
            ),
            "do not take it again",
        ),
        (
            backward(
                "np.einsum('...ij,...j->...i', J, g) / temperature",
                "J = y[..., None] * np.eye(y.shape[-1]) - y[..., None] * y[..., None, :]",
            ),
            "a matrix C x C",
        ),
        (
            backward(
                "np.einsum('nij,nj->ni', J, g) / temperature",
                "if y.ndim == 1: return y * (g - y @ g) / temperature\n"
                "    J = y[:, :, None] * np.eye(y.shape[1]) - y[:, :, None] * y[:, None]",
            ),
            "a matrix C x C",
        ),
        (backward("y * (g - (y * g).sum(-1, keepdims=True)) / temperature", "g -= 1"), "changes"),
        (backward("y * (g - (y * g).sum(-1, keepdims=True)) / 2"), "differs from J transposed"),
        (
            backward(
                "y * (g - (y * g).sum(-1, keepdims=True)) / temperature",
                "y, g = np.atleast_2d(y), np.atleast_2d(g)",
            ),
            "keep the shape of y",
        ),
        (
            backward(
                "torch.einsum('...ij,...j->...i', torch.diag_embed(y) - y[..., None] * "
                "y[..., None, :], g) / temperature",
                "y, g = torch.tensor(y), torch.tensor(g)",
            ),
            "a matrix C x C",
        ),
    ],
    "0.3": [
        (squares(end="return r @ x, r"), "print the shape of both sides"),
        (squares(end="return np.outer(r, x), np.ones_like(b)"), "r itself is missing"),
        (squares(end="return np.outer(r**2 / 2, x), r**2 / 2"), "made of the loss"),
        (squares(end="r"), "return"),
        (squares(end="return r * x, r"), "∇_A is a matrix"),
        (
            squares(end="G = np.zeros((3, 5)); G[:] = np.outer(r, x)[:3, :5]; return G, r"),
            "wrong for A (4, 6)",
        ),
        (squares(end="return r, np.outer(r, x)"), "swapped"),
        (squares(end="return np.outer(x, r), r"), "not x rᵀ"),
        (squares(end="return np.outer(r, x)"), "two things"),
        (squares(r="t - A @ x - b"), "wrong sign"),
        (squares(end="return 2 * np.outer(r, x), 2 * r"), "twice too large"),
        (squares(end="return np.outer(r, x) / 3, r / 3"), "is a mean here"),
        (squares(r="A @ x - t"), "without b"),
        (squares(end="return np.outer(r, x), r.sum()"), "∇_b has the shape ()"),
        (squares(end="return np.outer(r, x), abs(r)"), "∇_b differs"),
    ],
    "0.4": [
        (outputs(sigm="1 / (1 + np.exp(logits))"), "the sign in the exponent"),
        (outputs(xray='"softmax"'), "X-ray”: several can be true"),
        (outputs(cell='"sigmoid"'), "exactly one answer is true"),
        (outputs(digit='"relu"'), "neither softmax nor sigmoid"),
        (outputs(tumour="..."), "choose softmax or sigmoid"),
        (outputs(cell="softmax"), "choose softmax or sigmoid"),
        (outputs(end="return targets - p"), "probability minus target"),
        (outputs(end="return p"), "the target is missing"),
        (outputs(end="return (p - targets) / len(p)"), "do not divide by C"),
        (outputs(end="return (p - targets) * p * (1 - p)"), "no factor p(1 − p)"),
        (outputs(sigm="softmax(logits)"), "sigmoid: this is the other output's"),
        (outputs(soft="1 / (1 + np.exp(-logits))"), "softmax: this is the other output's"),
        (outputs(end="return (p - targets).sum()"), "has the shape"),
        (outputs(end="return (p - targets)[:4]"), "has the shape (4,)"),
        (
            outputs().replace('output == "softmax"', "sum(targets) == 1"),
            "sigmoid: this is the other output's",
        ),
        (outputs().replace("return p", "p"), "return"),
    ],
    "0.5": [
        (huber(pull="np.where(abs(r) <= delta, r, delta * abs(r))"), "not δ|r|"),
        (huber(pull="r if abs(r) <= delta else delta * np.sign(r)"), "use a mask"),
        (huber(w="X.T @ pull / len(t) + weight_decay * np.linalg.norm(w)"), "not λ‖w‖"),
        (huber(end="grad_w"), "return"),
        (huber(w="X.T @ pull / 12 + weight_decay * w"), "not by 12"),
        (huber(b="sum(pull) / 12"), "not by 12"),
        (huber(w="(X.T * pull).T / len(t) + weight_decay * w"), "has the shape"),
        (huber(w="pull * X / len(t) + weight_decay * w"), "its own row of X"),
        (huber(w="X.T * pull / len(t) + weight_decay * w"), "its own row of X"),
        (huber(w="X.T @ pull / len(t) + weight_decay / 2 * w"), "halved"),
        (huber(w="X.T @ pull / len(t) - weight_decay * w"), "add it"),
        (huber(pull="np.where(abs(r) <= delta, r, 0)"), "far points still pull"),
        (huber(pull="np.where(abs(r) <= delta, r, delta)"), "−δ on the left"),
        (huber(end="return np.append(grad_w, grad_b)"), "two things"),
        (huber(end="return grad_b, grad_w"), "swapped"),
        (huber(w="X.T @ pull + weight_decay * w", b="pull.sum()"), "is a sum"),
        (huber(r="t - X @ w - b"), "wrong sign"),
        (huber(pull="r"), "not clipped"),
        (huber(pull="np.where(abs(r) <= delta, r, np.sign(r))"), "±δ, not ±1"),
        (huber(w="X.T @ pull / len(t)"), "λw is missing"),
        (huber(w="X.T @ pull / len(t) + 2 * weight_decay * w"), "twice"),
        (huber(b="pull.mean() + weight_decay * b"), "no λb"),
        (huber(pull="np.clip(r, 0, delta)"), "clipped on both sides"),
        (huber(pull="2 * np.clip(r, -delta, delta)"), "twice too large"),
        (huber(pull="np.clip(r, -delta, delta) / delta"), "divided by δ"),
    ],
    "0.6": [
        (valley(step="return theta - lr * H @ theta"), "inside the loop"),
        (valley(limit="2 / np.linalg.det(H)"), "not their product"),
        (valley(step="theta = theta + lr * H @ theta"), "uphill"),
        (valley(step="theta -= lr * H @ theta"), "changes the array"),
        (valley(step="theta = theta - lr * theta"), "Hθ, not θ"),
        (valley(step="theta = theta - lr * g", before="g = H @ theta"), "at the start only"),
        (valley(before="steps = steps + 1"), "one step too many"),
        (valley(before="steps = steps - 1"), "one step too few"),
        (valley(step="theta = theta - lr / 2 * H @ theta"), "without a ½"),
        (
            valley(
                before="path = [theta]",
                step="path.append(path[-1] - lr * H @ path[-1])",
                end="np.array(path)",
            ),
            "not the whole way",
        ),
        (valley(limit="1 / np.linalg.eigvalsh(H).max()"), "one may go further"),
        (valley(limit="2 / np.linalg.eigvalsh(H).min()"), "the strictest"),
        (valley(limit="2 / np.trace(H)"), "not their sum"),
        (valley(limit="2 / H.max()"), "largest entry"),
        (valley(limit="2 / np.linalg.norm(H)"), "not the length of H"),
        (valley(limit="2 / np.linalg.eigvalsh(H)[[0, -1]].sum()"), "best rate"),
        (valley(limit="2 / np.linalg.eigvalsh(H)"), "has the shape"),
    ],
    "0.7": [
        (two_steps(end="return lr * g1, lr * g2"), "this is SGD"),
        (two_steps(end="return lr * np.sign(g1), step(m2, v2)"), "ε is missing"),
        (
            two_steps(
                end="return step(m1, v1), lr * (beta1 * g1 + g2) / (1 + beta1) / ("
                "abs(beta2 * g1 + g2) / (1 + beta2) ** 0.5 + eps)"
            ),
            "square g1 and g2 before",
        ),
        (two_steps(end="step"), "return"),
        (two_steps(end="return -step(m1, v1), -step(m2, v2)"), "without the minus"),
        (
            two_steps(end="return step(m1, v1), step(m1, v1) + step(m2, v2)"),
            "return single steps",
        ),
        (two_steps(step="m / (v**0.5 + eps)"), "learning rate is missing"),
        (
            two_steps(
                m1="(1 - beta1) * g1",
                v1="(1 - beta2) * g1**2",
                m2="(1 - beta1) * (beta1 * g1 + g2)",
                v2="(1 - beta2) * (beta2 * g1**2 + g2**2)",
            ),
            "bias correction is missing",
        ),
        (two_steps(step="lr * m / (v + eps) ** 0.5"), "outside the root"),
        (two_steps(step="lr * m / (v + eps)"), "root of v̂ is missing"),
        (two_steps(m2="g2", v2="g2**2"), "remember g1"),
        (
            two_steps(
                m2="(g1 + beta1 * g2) / (1 + beta1)", v2="(g1**2 + beta2 * g2**2) / (1 + beta2)"
            ),
            "the older one fades",
        ),
        (two_steps(m2="(g1 + g2) / 2", v2="(g1**2 + g2**2) / 2"), "step 2 is"),
        (two_steps(end="return step(m2, v2)"), "return both steps"),
        (two_steps(v2="(beta2 * g1**2 + g2) / (1 + beta2)"), "g2 is not squared"),
    ],
    "0.8": [
        (ratio(step="1.0"), "does not stay the same"),
        (ratio(step="c"), "not proportional"),
        (
            ratio(
                step="(1 + beta1 / c) / np.sqrt(1 + beta2 / c**2) * np.sqrt(1 + beta2)"
                " / (1 + beta1) * np.sign(c)"
            ),
            "for c = 0.0",
        ),
        (
            ratio(
                step="(beta1 + c) / (1 + beta1) / np.sqrt((beta2 + c**2) / (1 + beta2)) * "
                "(c / c if isinstance(c, float) and not isinstance(c, np.float64) else 1)"
            ),
            "zero",
        ),
        (ratio(step="(0.9 + c) / 1.9 / np.sqrt((0.999 + c**2) / 1.999)"), "as they are given"),
        (
            ratio(step="(beta2 + c) / (1 + beta2) / np.sqrt((beta1 + c**2) / (1 + beta1))"),
            "step_ratio: beta1 and beta2 are swapped",
        ),
        (ratio(step="(beta1 + c) / np.sqrt(beta2 + c**2)"), "bias correction is missing"),
        (
            ratio(step="(beta1 + c) / (1 + beta1) / ((beta2 + c**2) / (1 + beta2))"),
            "root of v̂ is missing",
        ),
        (
            ratio(step="(1 + beta1 * c) / (1 + beta1) / np.sqrt((1 + beta2 * c**2) / (1 + beta2))"),
            "the older gradient fades",
        ),
        (
            ratio(step="abs(beta1 + c) / (1 + beta1) / np.sqrt((beta2 + c**2) / (1 + beta2))"),
            "the sign counts",
        ),
        (
            ratio(step="(1 + beta1) / (beta1 + c) * np.sqrt((beta2 + c**2) / (1 + beta2))"),
            "turned round",
        ),
        (ratio(limit="1.0"), "the limit is not 1"),
        (ratio(limit="0.0"), "the limit is not 0"),
        (ratio(limit="(1 + beta2) / (1 + beta1)"), "ratio_limit: the root is missing"),
        (ratio(limit="1 / (1 + beta1)"), "1 + β2 too"),
        (ratio(limit="np.sqrt(1 + beta1) / (1 + beta2)"), "swapped"),
        (ratio(limit="None"), "return"),
        (ratio(limit="step_ratio(1000, beta1, beta2)"), "the ratio is 0.77579 already, not 0.776"),
    ],
    "0.9": [
        (adam(start="self.k = 0; self.m = self.v = [np.zeros_like(p) for p in parameters]"), "own"),
        (adam(inside="self.m[i] = self.v[i] = 0 * p"), "must go on"),
        (adam(update="p = p - self.lr * m_hat / (np.sqrt(v_hat) + self.eps)"), "did not change"),
        (adam(update="p += self.lr * m_hat / (np.sqrt(v_hat) + self.eps)"), "uphill"),
        (adam(m_hat="self.m[i]", v_hat="self.v[i]"), "bias correction is missing"),
        (adam(update="p -= self.lr * m_hat / np.sqrt(v_hat + self.eps)"), "outside the root"),
        (adam(update="p -= self.lr * m_hat / np.sqrt(v_hat)"), "eps > 0"),
        (adam(before="pass", inside="self.k += 1"), "not once an array"),
        (adam(before="pass"), "must count as 1"),
        (adam(before="self.k = 1"), "is off by"),
        (adam(before="self.k = min(self.k + 1, 50)"), "step 51 is off"),
        (
            adam(
                start="self.k, self.m, self.v = 0, {}, {}",
                m="b1 * self.m.get(i, 0.0) + (1 - b1) * g",
                v="b2 * self.v.get(i, 0.0) + (1 - b2) * g**2",
            ).replace(
                "for i, (p, g) in enumerate(zip(self.parameters, gradients)):",
                "for p, g in zip(self.parameters, gradients):\n            i = p.shape",
            ),
            "array 2 or 3",
        ),
        (adam(m="g", m_hat="self.m[i]"), "is off by"),
        (adam(m_hat="self.m[i] / (1 - b1 * self.k)"), "power β to the step number"),
        (
            adam(m_hat="self.m[i] / (1 - b1 * self.k)", v_hat="self.v[i] / (1 - b2 * self.k)"),
            "a power, not β * k",
        ),
        (adam(before="self.k += 2"), "the first step is wrong"),
        (adam(inside="g *= 1 - b1", m="b1 * self.m[i] + g"), "changed the gradients"),
        (adam(start="pass"), "no attribute 'k'"),
        (
            adam(update="self.parameters[i] = p - self.lr * m_hat / (np.sqrt(v_hat) + self.eps)"),
            "a new array in the list",
        ),
        (adam(start="self.k = 0; [p.fill(0) for p in parameters]"), "the first step is wrong"),
        (adam(start="self.k, self.eps = 0, 1e-8"), "the eps that is given"),
        (adam().replace("lr=1e-3", "lr=1e-2"), "the defaults"),
        (adam().replace("beta2=0.999", "beta2=0.99"), "the defaults"),
    ],
    "0.10": [
        (factors(momentum="1"), "its step changes"),
        (factors(momentum="1 / c"), "momentum_factor is the wrong way round"),
        (factors(momentum="c / (1 - 0.9)"), "has 1/(1 − μ) in it"),
        (factors(momentum="c ** 2"), "has no squares"),
        (factors(adam="1"), "only nearly right"),
        (
            factors(adam="(c * abs(g) + eps) / (c * (abs(g) + eps))"),
            "adam_factor is the wrong way round",
        ),
        (factors(adam="c * (g + eps) / (c * g + eps)"), "not g"),
        (factors(adam="c"), "the factor for SGD"),
        (factors(matching="eps"), "does not cancel c"),
        (factors(matching="eps / c"), "matching_eps is the wrong way round"),
        (factors(matching="c ** 2 * eps"), "not by c²"),
        (factors(matching="None"), "return"),
        (factors(adam="c * (abs(g) + eps) / (c**2 * abs(g) + eps)"), "not c²|g|"),
        (factors(matching="max(c * eps, 1e-8)"), "does not cancel c"),
        (factors(matching="round(c * eps, 8)"), "does not cancel c"),
    ],
    "0.11": [
        (speeds("return end_point(optimizer_class, gradients, **settings) / 50"), "the sign"),
        (speeds("return -end_point(optimizer_class, gradients, **settings)"), "the whole way"),
        (speeds(FORGETFUL), "forgets"),
        (
            speeds("return abs(end_point(optimizer_class, gradients, **settings)) / 50"),
            "no absolute value",
        ),
        (speeds("return -end_point(Adam, gradients, **settings) / 50"), "optimizer_class"),
        (speeds("return -end_point(MomentumSGD, gradients, **settings) / 50"), "optimizer_class"),
        (speeds(momentum="lr / (1 - momentum) * abs(gradients.mean(0))"), "no absolute value"),
        (
            speeds(adam="lr * abs(gradients.mean(0)) / np.sqrt((gradients**2).mean(0))"),
            "no absolute value",
        ),
        (speeds("end_point(optimizer_class, gradients, **settings)"), "return"),
        (
            speeds("return -end_point(optimizer_class, gradients, **settings).mean() / 50"),
            "has the shape",
        ),
        (speeds("return -end_point(optimizer_class, gradients, **settings) / 50"), "not by 50"),
        (speeds(WALK.replace("gradients.shape[1]", "3")), "shapes that do not fit"),
        (
            speeds(
                momentum="lr / (1 - momentum) / len(gradients) * "
                "(1 - momentum ** np.arange(len(gradients), 0, -1)) @ gradients"
            ),
            "in the long run",
        ),
        (speeds(momentum="lr * gradients.mean(0)"), "1/(1 − momentum) is missing"),
        (speeds(momentum="lr / momentum * gradients.mean(0)"), "divide by 1 − momentum"),
        (speeds(momentum="lr / (1 - momentum) * gradients.sum(0)"), "mean over the steps"),
        (speeds(momentum="lr / (1 - momentum) * gradients.mean()"), "has the shape"),
        (speeds(adam="lr * gradients.mean(0) / gradients.std(0)"), "not the standard deviation"),
        (speeds(adam="lr * gradients.mean(0) / abs(gradients).mean(0)"), "not the mean of |g|"),
        (speeds(adam="lr * gradients.mean(0) / (gradients**2).mean(0)"), "the root is missing"),
        (
            speeds(adam="lr * gradients.mean(0) / np.sqrt(gradients.mean(0) ** 2)"),
            "first square, then average",
        ),
        (
            speeds(adam="gradients.mean(0) / np.sqrt((gradients**2).mean(0))"),
            "the learning rate is missing",
        ),
    ],
    "0.12": [
        (
            regression(d="P - np.isin(np.arange(10), labels)").replace(
                "    d = ", "    P = softmax(X @ W.T + b)\n    d = "
            ),
            "at its own label",
        ),
        (regression(n="X.size"), "not of all numbers"),
        (regression(end="d.T @ X"), "return"),
        (regression(end="return d.T @ X"), "two things"),
        (regression(end="return X.T @ d, d.sum(0)"), "the shape of W"),
        (regression(end="return d.sum(0), d.T @ X"), "swapped"),
        (regression(end="return d.T @ X, d"), "add up over the images"),
        (regression(n="1"), "is a sum"),
        (regression(n="10"), "not the classes"),
        (regression(d="np.eye(10)[labels] - softmax(X @ W.T + b)"), "probabilities minus targets"),
        (regression(d="softmax(X @ W.T + b)"), "targets are missing"),
        (regression(d="softmax(X @ W.T) - np.eye(10)[labels]"), "b is missing"),
        (regression(end="return d.T @ X, d.mean(0)"), "gradient for b"),
        (regression(end="return d.T @ X, d.sum(0, keepdims=True)"), "no keepdims"),
        (
            regression(d="softmax(X @ W.T + b) - np.eye(labels.max() + 1)[labels]"),
            "each of the ten classes",
        ),
        (regression(d="softmax(X @ W.T + b) - labels"), "each of the ten classes"),
        (regression(n="7"), "wrong for 4"),
        (regression(n="1", end="return d.T @ X / len(X), d.sum(0) / 7"), "wrong for 4"),
        (regression(end="return d.T @ X, d.sum(1)"), "not over the classes"),
    ],
    "0.13": [
        (contrasted("W - W.sum(0) / 4"), "wrong for 3"),
        (contrasted("W - np.median(W, 0)"), "not the median"),
        (contrasted("W - W.max(0)"), "not the largest"),
        (contrasted("W - W.min(axis=0)"), "not the smallest"),
        (contrasted("W - W.mean(axis=1, keepdims=True)"), "over the classes, axis 0"),
        (contrasted("W - W.mean()"), "its own mean"),
        (contrasted("W - W[0]"), "a column must add up to 0"),
        (contrasted("(W - W.mean(0)) / W.std(0)"), "do not divide by the spread"),
        (contrasted("W - W.sum(0)"), "the mean, not the sum"),
        (contrasted("W - W.sum(0) / 10"), "not by 10"),
        (contrasted("W", "W -= W.mean(0)"), "changes the array"),
        (contrasted("W - W.mean(axis=1)"), "keepdims=True"),
        (contrasted("W.mean(axis=0)"), "has the shape"),
        (contrasted("None"), "return"),
    ],
}

RIGHT = {
    "0.1": [
        """# Exercise 0.1
def softmax(logits, temperature=1.0):
    z = np.asarray(logits, dtype=np.float32) / temperature
    return np.exp(z - np.logaddexp.reduce(z, axis=-1, keepdims=True))
def softmax_jacobian(logits, temperature=1.0):
    y = torch.tensor(softmax(logits, temperature), requires_grad=True)
    return (torch.diag(y) - torch.outer(y, y)) / temperature
""",
        """# Exercise 0.1
def softmax(logits, temperature=1.0):
    return torch.softmax(torch.as_tensor(logits) / temperature, dim=-1)
def softmax_jacobian(logits, temperature=1.0):
    leaf = torch.tensor(logits, requires_grad=True)
    return torch.autograd.functional.jacobian(lambda z: softmax(z, temperature), leaf)
""",
        """# Exercise 0.1
def softmax(logits, temperature=1.0):
    z = np.asarray(logits) / temperature
    return np.exp(z - np.logaddexp.reduce(z, axis=-1)[..., None])
def softmax_jacobian(logits, temperature=1.0):
    y, J = softmax(logits, temperature), []
    for i in range(len(y)):
        J.append([y[i] * ((i == j) - y[j]) / temperature for j in range(len(y))])
    return J
""",
        """# Exercise 0.1
from scipy import special
def softmax(logits, temperature=1.0):
    return special.softmax(logits / temperature, axis=-1)
def softmax_jacobian(logits, temperature=1.0):
    y = softmax(logits, temperature)[:, None]
    return (np.eye(len(y)) * y - y @ y.T) / temperature
""",
    ],
    "0.2": [
        backward("y * (g - (y * g).sum(-1, keepdims=True)) / temperature"),
        backward("(y * g - y * np.einsum('...c,...c->...', y, g)[..., None]) / temperature"),
        backward(
            "[float(a * (b - y @ g)) / temperature for a, b in zip(y, g)]",
            "if y.ndim == 2: return [softmax_backward(a, b, temperature) for a, b in zip(y, g)]",
        ),
        """# Exercise 0.2
def softmax_backward(y, g, temperature=1.0):
    z = (torch.log(torch.tensor(y)) * temperature).requires_grad_()
    torch.softmax(z / temperature, -1).backward(torch.tensor(g))
    return z.grad
""",
        backward(
            "torch.tensor(y * (g - (y * g).sum(-1)[..., None]) / temperature, requires_grad=True)"
        ),
        backward("(y * (g - (y * g).sum(-1, keepdims=True)) / temperature).astype(np.float32)"),
    ],
    "0.3": [
        squares(end="return np.einsum('i,j->ij', r, x), r.copy()"),
        squares(end="return [[[a * c for c in x] for a in r], list(r)]"),
        squares(
            "torch.tensor(A @ x + b - t, requires_grad=True)",
            "return [a * torch.tensor(x) for a in r], [a for a in r]",
        ),
        squares(end="return r[:, None] @ x[None], r[:, None]"),
        """# Exercise 0.3
def least_squares_gradients(A, x, b, t):
    A, x, b, t = (torch.tensor(v, requires_grad=True) for v in (A, x, b, t))
    return torch.autograd.grad(0.5 * ((A @ x + b - t) ** 2).sum(), (A, b))
""",
    ],
    "0.4": [
        outputs(sigm="torch.sigmoid(torch.tensor(logits)).numpy()"),
        outputs(cell='"Softmax"', xray='" SIGMOID"', sigm="np.exp(-np.logaddexp(0, -logits))"),
        outputs(end="return [float(a - b) for a, b in zip(p, targets)]"),
        outputs(end="return torch.tensor(p - targets, requires_grad=True)"),
        outputs(sigm="0.5 + 0.5 * np.tanh(logits / 2)"),
    ],
    "0.5": [
        huber(pull="np.where(abs(r) <= delta, r, delta * np.sign(r))"),
        huber(
            w="np.einsum('nf,n->f', X, pull) / len(X) + weight_decay * w", b="sum(pull) / len(t)"
        ),
        huber(w="(pull[:, None] * X).mean(0) + weight_decay * w", b="[pull.mean()]"),
        """# Exercise 0.5
def huber_gradients(X, t, w, b, delta, weight_decay):
    X, t, w, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (X, t, w, b))
    loss = F.huber_loss(X @ w + b, t, delta=delta) + weight_decay / 2 * w @ w
    return torch.autograd.grad(loss, (w, b))
""",
        """# Exercise 0.5
def huber_gradients(X, t, w, b, delta, weight_decay):
    grad_w, grad_b = weight_decay * w, 0.0
    for x, target in zip(X, t):
        pull = max(-delta, min(delta, x @ w + b - target))
        grad_w, grad_b = grad_w + pull * x / len(t), grad_b + pull / len(t)
    return [grad_w, grad_b]
""",
    ],
    "0.6": [
        valley(),
        valley(before="return np.linalg.matrix_power(np.eye(len(H)) - lr * H, steps) @ theta"),
        valley(before="theta = theta.copy()", step="theta -= lr * (H @ theta)"),
        valley(limit="2 / np.linalg.norm(H, 2)"),
        valley(limit="2 / max(np.linalg.eig(H)[0])"),
        valley(limit="2 / torch.linalg.eigvalsh(torch.tensor(H))[-1:]"),
        """# Exercise 0.6
def gradient_descent(H, theta, lr, steps):
    H, theta = torch.tensor(H), torch.tensor(theta, requires_grad=True)
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(0.5 * theta @ H @ theta, theta)
        theta = (theta - lr * gradient).detach().requires_grad_()
    return theta
def learning_rate_limit(H):
    return 2 / np.linalg.svd(H)[1][0]
""",
    ],
    "0.7": [
        two_steps(end="return np.array([step(m1, v1), step(m2, v2)])"),
        two_steps(
            m1="(1 - beta1) * g1 / (1 - beta1)",
            m2="(1 - beta1) * (beta1 * g1 + g2) / (1 - beta1**2)",
            v2="(1 - beta2) * (beta2 * g1**2 + g2**2) / (1 - beta2**2)",
            end="return [step(m1, v1), step(m2, v2)]",
        ),
        """# Exercise 0.7
def first_two_steps(g1, g2, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m, v, steps = 0.0, 0.0, []
    for k, g in enumerate((g1, g2), 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        steps.append(lr * m / (1 - beta1**k) / ((v / (1 - beta2**k)) ** 0.5 + eps))
    return steps
""",
        """# Exercise 0.7
def first_two_steps(g1, g2, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    theta, ends = torch.zeros(1, dtype=torch.float64, requires_grad=True), [0.0]
    optimizer = torch.optim.Adam([theta], lr, (beta1, beta2), eps)
    for g in (g1, g2):
        theta.grad = torch.full_like(theta, g)
        optimizer.step()
        ends.append(theta.item())
    return -torch.diff(torch.tensor(ends, dtype=torch.float64))
""",
        two_steps(
            end="return tuple(torch.tensor(s, requires_grad=True) "
            "for s in (step(m1, v1), step(m2, v2)))"
        ),
    ],
    "0.8": [
        ratio(step="np.divide(*first_two_steps(1.0, c, 1.0, beta1, beta2, 0.0)[::-1])"),
        ratio(step="np.sqrt((1 + beta2) / (beta2 + c * c)) * (beta1 + c) / (1 + beta1)"),
        ratio(limit="torch.tensor(1 + beta2, requires_grad=True) ** 0.5 / (1 + beta1)"),
        ratio(
            step="float(np.divide(*map(float, first_two_steps(2.0, 2 * c, 1, beta1, beta2, 0)[::-1])))"
        ),
        ratio(limit="step_ratio(1e9, beta1, beta2)"),
    ],
    "0.9": [
        adam(),
        adam(update="p[...] = p - self.lr * m_hat / (v_hat ** 0.5 + self.eps)"),
        adam(
            m="self.m[i] + (1 - b1) * (g - self.m[i])",
            v="self.v[i] + (1 - b2) * (g * g - self.v[i])",
            update="np.subtract(p, self.lr * m_hat / (np.sqrt(v_hat) + self.eps), out=p)",
        ),
        """# Exercise 0.9
class Adam:
    def __init__(self, parameters, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.parameters = parameters
        self.leaves = [torch.zeros(p.shape, dtype=torch.float64) for p in parameters]
        self.optimizer = torch.optim.Adam(self.leaves, lr, (beta1, beta2), eps)
    def step(self, gradients):
        for p, leaf, g in zip(self.parameters, self.leaves, gradients):
            leaf.copy_(torch.tensor(p))
            leaf.grad = torch.tensor(g)
        self.optimizer.step()
        for p, leaf in zip(self.parameters, self.leaves):
            p[...] = leaf.numpy()
""",
    ],
    "0.10": [
        factors(adam="(abs(g) + eps) / (abs(g) + eps / c)", matching="eps * c"),
        factors(
            momentum="np.float64(c)",
            adam="(c * g / (np.sqrt((c * g) ** 2) + eps)) / (g / (np.sqrt(g ** 2) + eps))",
        ),
        factors(momentum="torch.tensor(c)", matching="torch.tensor([c * eps])"),
    ],
    "0.11": [
        speeds(WALK),
        speeds(WALK.replace("in theta", "in optimizer.parameters[0]")),
        "class Adam:\n    pass\n" + speeds(WALK),
        speeds(
            momentum="sum(gradients) / len(gradients) * lr / (1 - momentum)",
            adam="lr * gradients.sum(0) / np.linalg.norm(gradients, axis=0) / len(gradients)**0.5",
        ),
        speeds(
            momentum="torch.tensor(gradients).mean(0) * lr / (1 - momentum)",
            adam="lr * np.einsum('kp->p', gradients) "
            "/ np.sqrt(len(gradients) * np.einsum('kp,kp->p', gradients, gradients))",
        ),
        speeds(adam="lr * gradients.mean(0) / np.sqrt(gradients.var(0) + gradients.mean(0) ** 2)"),
    ],
    "0.12": [
        regression(end="return np.einsum('nc,np->cp', d, X), np.einsum('nc->c', d)"),
        regression(
            "torch.tensor(softmax(X @ W.T + b) - np.eye(10)[labels], requires_grad=True)",
            end="return [row @ torch.tensor(X) for row in d.T], list(d.sum(0))",
        ),
        regression(n="1", end="return (d[:, :, None] * X[:, None]).mean(0), d.mean(0)"),
        """# Exercise 0.12
def softmax_regression_gradients(W, b, X, labels):
    W, b = (torch.tensor(v, requires_grad=True) for v in (W, b))
    loss = F.cross_entropy(torch.tensor(X) @ W.T + b, torch.tensor(labels))
    return torch.autograd.grad(loss, [W, b])
""",
        """# Exercise 0.12
def softmax_regression_gradients(W, b, X, labels):
    grad_W, grad_b = np.zeros_like(W), np.zeros_like(b)
    for x, label in zip(X, labels):
        d = softmax(W @ x + b)
        d[label] -= 1
        grad_W += np.outer(d, x) / len(X)
        grad_b += d / len(X)
    return [grad_W, grad_b]
""",
    ],
    "0.13": [
        contrasted("W - W.mean(0)"),
        contrasted("torch.tensor(W) - torch.tensor(W).mean(dim=0, keepdim=True)"),
        contrasted("(W.T - W.T.mean(1, keepdims=True)).T"),
        contrasted("W - sum(W) / len(W)"),
        contrasted("(np.eye(len(W)) - 1 / len(W)) @ W"),
        contrasted("np.array([row - W.mean(axis=0) for row in W]).tolist()"),
    ],
}
