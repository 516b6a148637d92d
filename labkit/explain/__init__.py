"""Explanations of a network's answers, and measures of what an explanation is worth.

A *map* is an array (N, H, W), one number a pixel; an *attribution* keeps the colours, (N, C, H, W).
No function here changes the network: hooks, gradients and train/eval state are as before.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
