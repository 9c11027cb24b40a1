"""The domain: pure, synchronous, standard library only.

Nothing here opens a file, a socket or a clock. What the core needs from outside comes in as an
argument, so every rule can be tested by a plain call.
"""
