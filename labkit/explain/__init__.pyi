"""The public names of `lk.explain`."""

from .cam import grad_cam as grad_cam
from .curves import area_under as area_under
from .curves import blurred as blurred
from .curves import deletion_curve as deletion_curve
from .curves import insertion_curve as insertion_curve
from .exact import coalition_worths as coalition_worths
from .exact import shapley_values as shapley_values
from .exact import squares as squares
from .exact import super_pixels as super_pixels
from .faithfulness import mask_overlap as mask_overlap
from .faithfulness import pointing_game as pointing_game
from .gradients import gradient as gradient
from .gradients import integrated_gradients as integrated_gradients
from .gradients import saliency as saliency
from .partition import partition_shap as partition_shap
from .randomisation import randomise_layers as randomise_layers
from .randomisation import rank_correlation as rank_correlation
from .shap_values import additivity_gap as additivity_gap
from .shap_values import deep_shap as deep_shap
from .shap_values import gradient_shap as gradient_shap
from .targets import count_hooks as count_hooks
