"""The public names of `lk.data`."""

from .drawn.off_centre import draw_off_centre as draw_off_centre
from .origin import read_origin as read_origin
from .splits import duplicate_groups as duplicate_groups
from .splits import grouped_splits as grouped_splits
from .splits import split_indices as split_indices
from .transforms import normalizer as normalizer
from .transforms import pixel_transform as pixel_transform
