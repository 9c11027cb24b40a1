"""The gate: one way in, nothing out without its record."""
