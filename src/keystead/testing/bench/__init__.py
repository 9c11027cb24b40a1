"""Measures a running service: operations a second, latency, and processor time per operation.

A *target* is a server that the benchmark starts for itself and loads over real connections, from another
process, with requests that were made beforehand. What is measured is decided here once and is the same for
every target, so that Keystead and a peer can be put side by side.

* `load` sends the requests. *Closed loop*: each connection asks again as soon as it is answered, which finds
  the throughput. *Open loop*: requests fall due at a fixed rate whatever the server does, and latency counts
  from the moment a request was due, so a server that stalls is not spared the requests that would have come
  meanwhile (no coordinated omission).
* `processes` starts servers and reads from /proc what their processes have cost.
* `target` says what a target is; `keystead` and `openbao` are two.
* `campaign` interleaves the rounds of all targets and takes medians, because machines drift.
* `report` writes the result down: for people, as JSON, and into the documentation.

Times are measured and printed, and never asserted: a slow machine is not a failure.
"""
