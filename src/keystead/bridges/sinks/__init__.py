"""Sinks: every audit entry to somebody else's system as well, at least once, in order, so that a gap can be proven.

    config.Sink -> adapters.<kind> -> Pump (one thread) <- Follower (the logs) and Cursors (how far it got)

A `port.Sink` delivers events and says when the receiver has them; there is one module for each kind in ``adapters``. A
`pump.Pump` takes settled entries from a follower of the logs, renders them (`keystead.bridges.renderings`), delivers,
and only then moves the `cursor`. So a sink, a receiver or this process may die at any moment: what comes twice can be
told by its name, and nothing is left out. A `station.Station` runs one pump for each sink in a thread of its own, so a
dead or slow one delays nobody.

**How a receiver proves that nothing is missing.** An event's name is its log's origin and its index there. Now and
then, and whenever a log has gone quiet, a *checkpoint event* follows with the log's signed checkpoint: so many entries,
this root, and how many of them were not delivered because they only announce what another tells. `census.Census` is
the count, for receivers that take the form ``keystead``.
"""
