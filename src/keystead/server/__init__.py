"""Processes and connections: how Keystead sits on a machine and on a network.

`supervisor` forks the workers and keeps them alive, `listener` turns a worker's connections into requests
and answers, `http` holds the rules a request must keep, `tls` makes the server's side of TLS, `processes`
has what a forked child does first and last. None of them knows what a key is: the data plane's work comes
in as a `listener.Application`, a child's work as a `supervisor.ChildSpec`.

    supervisor ── fork ──► worker: Listener ── Exchange ──► Application
        │                  worker: …
        └───────── fork ─► control
"""
