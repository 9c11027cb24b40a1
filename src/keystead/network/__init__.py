"""Asking other machines, within a deadline that is for all of it.

The standard library's clients give every single wait its own time, so a server that sends a byte now and then can hold
whoever asked for ever. `deadline` has connections each of whose waits gets what is left of one deadline, the look-up of
the name included; `http` asks one question over one of them.
"""
