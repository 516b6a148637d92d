"""``fit``: the training loop that lab 02 writes out, made fast and safe.

`fit` is what students call, `run` holds the loop itself, `engine` puts a batch through a network,
`history` records, `checkpoint` saves and continues, `bar` shows progress.
"""
