"""The public names of `lk.data`."""

from .drawn.off_centre import draw_off_centre as draw_off_centre
from .medmnist_sets import medmnist_choices as medmnist_choices
from .origin import read_origin as read_origin
from .own import find_leaks as find_leaks
from .own import split_data as split_data
from .splits import duplicate_groups as duplicate_groups
from .splits import grouped_splits as grouped_splits
from .splits import split_indices as split_indices
from .transforms import normalizer as normalizer
from .transforms import pixel_transform as pixel_transform
