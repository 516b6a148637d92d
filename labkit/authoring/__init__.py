"""Build, toggle and run the labs: lists of small functions from notebook to notebook."""


class AuthoringError(ValueError):
    """Something in a lab or notebook is not as it must be; the message says how to mend it."""
