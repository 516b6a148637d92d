"""What PyTorch's and Python's usual errors mean to somebody who sees them for the first time."""

import re

_LOSS = "the loss takes the logits first, then the labels: criterion(logits, labels)"
_ADVICE = {
    _LOSS: r"log_softmax.*not implemented for|nll_loss.*not implemented|multi-target not supported"
    r"|expected floating point type for target"
    r"|Expected input batch_size .* to match target batch_size",
    "the numbers that leave one layer must be as many as the next expects, and of its dtype; "
    "is nn.Flatten() missing?": r"mat1 and mat2 (shapes cannot|must have the same)",
    "a convolution expects images (B, C, H, W) with as many channels as it was made "
    "for": r"expected input\[.*\] to have \d+ channels",
    "PyTorch does not look into a Python list for layers: use nn.Sequential(*layers)": "'list' "
    "object is not callable|optimizer got an empty parameter list",
    "nn.Sequential takes the layers one by one: nn.Sequential(*layers)": "^list is not a Module",
    ".item() has made a plain number of the loss: call backward() first": "'float' object has no "
    "attribute 'backward'",
    "begin __init__ with super().__init__()": r"before Module.__init__\(\) call",
    "no gradient leads to this number: it was made under no_grad, or with .item() or "
    ".detach()": "element 0 of tensors does not require grad",
    "the tensor that the gradient is asked for was copied or detached before it was used": "not "
    "have been used in the graph",
    "compute the loss anew before each backward()": "backward through the graph a second time",
    "model and batch must be on the same device and of the same dtype: "
    "x.to(device)": "Expected all tensors to be on the same device|Input type .* and weight type",
    "take the numbers out of the graph first: "
    "tensor.detach().numpy()": r"Can't call numpy\(\) on Tensor that requires grad",
    "these two shapes do not fit: print the shape of both sides": "could not be broadcast together"
    "|mismatch in its core dimension|shapes .* not aligned|must match the size of tensor"
    "|Expected size for first two dimensions|is invalid for input of size",
    "one row has the axis 0 only; axis=-1 is the last one, for one row and for many": "axis 1 is "
    "out of bounds for array of dimension 1",
    "`if`, `and` and `not` ask one yes or no, an array gives many: use a mask (& and ~), "
    "np.where or .any()": r"truth value of an array|Boolean value of Tensor with more than one",
    "an index is made of whole numbers: class numbers, no one-hot rows and no "
    "floats": "arrays used as indices must be of integer",
    "this is a tuple: take the entry that you mean, x[0]": "'tuple' object has no attribute",
    "each comparison needs parentheses beside &: (a >= 0.9) & b": r"ufunc 'bitwise_(and|or)' not "
    "supported",
    "a layer is made with parentheses: nn.ReLU()": "is not a Module subclass",
    "more is given than the function takes; a method of a class has `self` as its first "
    "argument": r"takes \d+ positional arguments? but \d+ (was|were) given",
    "with torch.no_grad(): has parentheses": "does not support the context manager|__enter__",
    "backward() starts from a single number, the loss": "implicitly created only for scalar",
    "the labels stay whole numbers, as the loader gives them": "expected target dtype to be Long"
    "|expected scalar type Long but found",
    "booleans have no mean in PyTorch: count with .sum(), or make numbers of True and False "
    "first: .float().mean()": "could not infer output dtype",
    "== has compared two things of different kinds: .max(1) gives values and places, .argmax(1) "
    "the places": "'bool' object has no attribute",
    "PyTorch's functions want tensors: torch.as_tensor(array) makes one of an array": r"must be "
    r"Tensor, not|'numpy.ndarray' object has no attribute",
    "a hole `...` is left in the code": "(?i)ellipsis",
    "something is None: is a `return` missing in your function? Or does a method work in place and "
    "return nothing, as np.fill_diagonal and list.sort do?": "'NoneType'",
}


def advice(error: BaseException) -> str:
    """One sentence of help for an error of a usual kind, "" for any other.

    Example:
        >>> advice(TypeError("with torch.no_grad: does not support the context manager protocol"))
        'with torch.no_grad(): has parentheses'
    """
    text = str(error)
    return next((help for help, pattern in _ADVICE.items() if re.search(pattern, text)), "")


def describe_error(error: BaseException) -> str:
    """An error in one line, "ValueError: …", with advice where it is of a usual kind."""
    text = f"{error.msg}, line {error.lineno}" if isinstance(error, SyntaxError) else str(error)
    line = f"{type(error).__name__}: {' '.join(text.split())[:300]}".removesuffix(": ")
    return f"{line} → {help}" if (help := advice(error)) else line
