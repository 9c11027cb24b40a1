"""The reader: a process beside the service that holds no key and answers what was ever written down.

    control process ── socket pair ── python -m keystead.reader
                                        │ reads   DATA/audit/*     the logs, as files
                                        └ keeps   DATA/archive/    what it derives from them

The control process starts it by ``exec``: its memory is fresh, its environment has no secret, it inherits one socket
and nothing else. It shares the logs with their owners by reading them, so it can neither hold up nor damage anything,
and when it dies the next one goes on where the files say.

`source` reads the logs, `archive` keeps their entries in Parquet and in memory, `questions` turns a
`keystead.core.query.Question` into SQL, `requests` finds one request among millions, and `process` is the program.

Everything in the archive is derived. It can be deleted at any time, and is made anew from the logs.
"""
