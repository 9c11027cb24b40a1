"""What operators see of a running system: its log and its numbers.

`log` writes the operational log: starts, stops, restarts, failures. It is not the audit log and holds
nothing of any request. `metrics` names every metric and keeps their values in memory that all processes of
the service share, so that counting costs one addition and reading costs the workers nothing.
"""
