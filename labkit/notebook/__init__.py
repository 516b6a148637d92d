"""What runs in a student's kernel: whose answer it is, checks, progress, menus."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["judge"])
