"""Fronts: one package for each protocol that clients already speak.

A front turns bytes into a command and a caller, hands both to the gate, and turns the answer or the
error back into bytes. It proves who asks; it never decides what they may do.
"""
