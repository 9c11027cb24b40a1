"""Keystead's own protocol: `front` speaks it, and each of the others has the operations of one kind.

A new operation is a struct of what it takes and a row in its module's ``ROWS``.
"""
