"""How the grader and the judge in a kernel sign what they say to each other."""

import hashlib
from collections.abc import Callable

PARTS, REPLY = "\x1f", "\x1e"  # between the parts of a request; between a request and its reply


def mac(key: bytes) -> Callable[[str], str]:
    """A function that signs a text; of C alone, so that no code can replace a part of it."""
    keyed = hashlib.blake2b(key=key, digest_size=32)

    def sign(text: str) -> str:
        copy = keyed.copy()
        copy.update(text.encode("utf-8", "backslashreplace"))
        return copy.hexdigest()

    return sign
