"""The service: one gate, and the actions behind it.

Whoever wants something done, a front that speaks for a client or a job of our own, builds a `Command`
and asks the `Gate`. The gate finds the key, decides by policy, checks the key's state, runs the action and
writes the record. Nothing else reaches key material, and nothing is done without its record.

The service knows ports only (`keystead.core.ports`): which store, custodian or log stands behind them is
the composition root's choice.
"""
