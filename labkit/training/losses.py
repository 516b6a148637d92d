"""Losses: whether one compares logits with classes, and what its first value shows."""

import warnings

from torch import Tensor, nn

OF_CLASSES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss)
# last steps of a network, as gradients name them, that take numbers from its logits
LIMITING = {"SigmoidBackward0": "Sigmoid", "ReluBackward0": "ReLU", "TanhBackward0": "Tanh"}


def check_criterion(criterion: nn.Module | None) -> None:
    """Raise TypeError or ValueError unless this is a loss that compares logits and classes."""
    right = "such as torch.nn.CrossEntropyLoss()"
    if isinstance(criterion, type):
        raise TypeError(f"criterion is the class {criterion.__name__}: call it, with ().")
    if criterion is not None and not isinstance(criterion, nn.Module):
        name = getattr(criterion, "__name__", type(criterion).__name__)
        raise TypeError(f"criterion is {name}; give a loss, {right}.")
    of_torch = type(criterion).__module__ == nn.CrossEntropyLoss.__module__
    if of_torch and not isinstance(criterion, OF_CLASSES):
        kind = type(criterion).__name__
        raise ValueError(f"{kind} compares numbers, not logits and classes: give a loss {right}.")
    reduction = getattr(criterion, "reduction", "mean")
    # one of your own may take the mean of the losses itself; `check_loss` sees whether it does
    if reduction not in (("mean",) if of_torch else ("mean", "none")):
        raise ValueError(
            f"criterion has reduction={reduction!r}; fit needs the mean over a batch, and weights "
            "it by the batch's size: leave reduction out."
        )
    _check_class_weights(criterion)


def _check_class_weights(criterion: nn.Module | None, classes: int | None = None) -> None:
    """Raise ValueError where a loss of torch's has class weights that are none, or too few."""
    weight = getattr(criterion, "weight", None)
    if not (isinstance(criterion, OF_CLASSES) and isinstance(weight, Tensor)):
        return
    if not weight.is_floating_point():
        name = str(weight.dtype).removeprefix("torch.")
        raise ValueError(f"The class weights of criterion are {name}: give weight.float().")
    if not (weight.isfinite().all() and (weight >= 0).all() and weight.any()):
        raise ValueError(
            f"The class weights of criterion are {[round(w, 4) for w in weight.tolist()]}; they "
            "must be finite, at least 0, and not all 0. Has a class no image, or was 1 divided "
            "by 0?"
        )
    if classes is not None and weight.shape != (classes,):
        raise ValueError(
            f"criterion has class weights of shape {tuple(weight.shape)}, and the model gives "
            f"{classes} logits an image: give {classes} weights, in the order of the classes."
        )


def weight_of(criterion: nn.Module, labels: Tensor) -> Tensor | int:
    """What a loss of these labels (B,) is a mean over: the images, or the sum of their weights."""
    mean = isinstance(criterion, (nn.CrossEntropyLoss, nn.NLLLoss))
    if not mean or (criterion.weight is None and criterion.ignore_index < 0):
        return len(labels)
    counts = labels != criterion.ignore_index
    return (counts if criterion.weight is None else counts * criterion.weight[labels]).sum()


def loss_of(criterion: nn.Module, logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of the first batch of a training, looked at.

    Raises:
        ValueError: where it cannot be learnt from.
    """
    _check_class_weights(criterion, logits.shape[1])
    loss = criterion(logits, labels)
    check_loss(loss, logits, criterion)
    return loss


def check_loss(loss: object, logits: Tensor, criterion: nn.Module) -> None:
    """Raise ValueError unless a batch's loss can be learnt from; warn of a last step too many."""
    if not isinstance(loss, Tensor) or loss.ndim:
        shape = "type " + type(loss).__name__
        shape = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else shape
        raise ValueError(
            f"The criterion gives a loss of {shape}; it must be a tensor of shape (), the mean "
            "over the batch: loss.mean()."
        )
    if not loss.requires_grad:
        raise ValueError(
            "The loss depends on no parameter that is trained, so nothing would be learnt: does "
            "the model or the criterion cut the gradients, with detach, torch.no_grad or argmax?"
        )
    if not logits.isfinite().all():  # what is said below would not be the fault
        return
    last = _last_step(logits)
    logits = logits.detach()
    off = float((logits.exp().sum(1) - 1).abs().max())
    # both bounds leave room for what bf16 rounds: a 256th of a probability, a 64th of a logarithm
    if isinstance(criterion, nn.NLLLoss) and not off < 0.03:
        raise ValueError(
            "NLLLoss takes log-probabilities, and the model gives none: for logits take "
            "torch.nn.CrossEntropyLoss()."
        )
    if not isinstance(criterion, nn.CrossEntropyLoss) or logits.shape[1] == 1:
        return
    adds_up = bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < 2**-8).all())
    if adds_up:
        warnings.warn(
            "The model gives probabilities (each row adds up to 1), and CrossEntropyLoss takes a "
            "softmax itself: leave the Softmax out of the model, else it learns slowly and all "
            "confidences are too low.",
            stacklevel=7,
        )
    elif last in LIMITING:
        warnings.warn(
            f"The model ends with a {LIMITING[last]}, which keeps its logits from being any "
            "numbers, and CrossEntropyLoss wants them so: leave it out, else the model learns "
            "slowly or not at all, and its confidences are wrong.",
            stacklevel=7,
        )


def _last_step(logits: Tensor) -> str:
    """The name of the step that made the logits, but for a change of their type."""
    step = logits.grad_fn
    while step is not None and step.name() == "ToCopyBackward0":
        step = step.next_functions[0][0]
    return step.name() if step is not None else ""


def why_not_finite(images: Tensor, logits: Tensor) -> str:
    """What makes a loss NaN or infinite before any step was taken, so that no rate is at fault.

    Example:
        >>> why_not_finite(torch.tensor([[0.0, float("nan")]]), torch.zeros(1, 2))
        'The images hold numbers that are NaN or infinite.'
    """
    if not images.isfinite().all():
        return "The images hold numbers that are NaN or infinite."
    if not logits.isfinite().all():
        return "The network's logits are NaN or infinite: are the images normalised?"
    return "The logits are finite, so look at the criterion: its class weights or its code."
