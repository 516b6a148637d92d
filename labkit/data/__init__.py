"""Data sets: what exists, how it gets here, and how it reaches a network."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
