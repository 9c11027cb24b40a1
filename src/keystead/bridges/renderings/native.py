"""Our own form: the entry as it is, and where it stands.

``{"event":"keystead-.../w0/567","id":"...","index":567,"log":"keystead-.../w0","entry":{...}}``

The entry's bytes are in it unchanged. SHA-256 of a zero byte and those bytes is the leaf of the log's tree, so whoever
keeps these can prove later that they are what the log has, and that none is missing.
"""

import msgspec

from keystead.bridges.renderings import facts


class _Native(msgspec.Struct):
    event: str
    id: str
    index: int
    log: str
    entry: msgspec.Raw


_encode = msgspec.json.Encoder().encode


def render(data: bytes, event: str) -> bytes:
    """An entry as one JSON object."""
    read = facts.read(data, event)
    return _encode(_Native(read.name, read.id, read.index, read.origin, msgspec.Raw(data)))
