"""Explanations of a network's answers, and measures of what an explanation is worth.

A *map* is an array (N, H, W), one number a pixel; an *attribution* keeps the colours, (N, C, H, W).
No function here changes the network: hooks, gradients and train/eval state are as before.
"""

from labkit.explain.cam import grad_cam, saliency
from labkit.explain.curves import area_under, deletion_curve, insertion_curve
from labkit.explain.faithfulness import mask_overlap, pointing_game
from labkit.explain.randomisation import randomise_layers
from labkit.explain.shap_values import additivity_gap, deep_shap, gradient_shap, partition_shap
from labkit.explain.state import count_hooks, logits_of, undisturbed
from labkit.explain.truth import draw_off_centre

__all__ = [
    "additivity_gap",
    "area_under",
    "count_hooks",
    "deep_shap",
    "deletion_curve",
    "draw_off_centre",
    "grad_cam",
    "gradient_shap",
    "insertion_curve",
    "logits_of",
    "mask_overlap",
    "partition_shap",
    "pointing_game",
    "randomise_layers",
    "saliency",
    "undisturbed",
]
