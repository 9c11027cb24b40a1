"""Scheduled work: clients with a clock, asking the gate like anyone.

A job is a principal with its own identity policy; what it does is decided, recorded and done by the gate.
Its commands check the date again inside their own transaction, so a job that runs twice, late, or under a
wrong clock does nothing that is not due.
"""
