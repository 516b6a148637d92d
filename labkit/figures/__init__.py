"""Every static figure of the labs: plain arrays or labkit's objects in, a matplotlib figure out.

In every figure `title` stands at the top and `origin` at the bottom: which data it shows; a
stand-in is marked in red. Nothing is shown here: a figure appears when it is the last expression of
a cell.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
