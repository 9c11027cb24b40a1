"""The audit log: the record of every use, durable before the answer and tamper-evident after it.

One process owns one log (`log.Log`). Entries go first into *segments* (`segment`), the write-ahead form
that makes one group commit one ``pwrite`` and one ``fdatasync``; from there into C2SP *tiles* (`tiles`)
under a signed *checkpoint* (`checkpoint`), which any tlog-tiles client can read. `recovery` reads a log
back after a crash; `verify` lets anybody with the public key check it, offline.

``docs/formats/audit-log.md`` describes every byte on disk.
"""
