"""One module for each kind of sink, named after it, with a function ``connect(settings, clock)`` that makes one.

Nothing is imported but what the configuration names (``docs/adr/0005-discovery-by-name.md``).
"""
