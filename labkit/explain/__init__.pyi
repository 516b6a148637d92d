"""The public names of `lk.explain`."""

from .cam import grad_cam as grad_cam
from .cam import saliency as saliency
from .curves import area_under as area_under
from .curves import deletion_curve as deletion_curve
from .curves import insertion_curve as insertion_curve
from .faithfulness import mask_overlap as mask_overlap
from .faithfulness import pointing_game as pointing_game
from .randomisation import randomise_layers as randomise_layers
from .shap_values import additivity_gap as additivity_gap
from .shap_values import deep_shap as deep_shap
from .shap_values import gradient_shap as gradient_shap
from .shap_values import partition_shap as partition_shap
from .targets import count_hooks as count_hooks
