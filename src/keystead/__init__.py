"""Keystead: customer-managed keys that an organisation runs itself.

Read the rooms from the outside in: ``server`` accepts connections, ``fronts`` translate protocols,
``service`` decides and acts, ``custody`` holds key material, ``store`` remembers, ``audit`` records.
``core`` holds the words they all share. ``docs/architecture.md`` follows one request through them.
"""

__version__ = "0.1.0"
