"""Audit entries in the words of those who watch: CloudTrail, OCSF, ECS, CEF, syslog, and our own.

A rendering takes an entry as the log has it, and the name of the event: the log's origin and the entry's index, as in
``keystead-0123456789abcdef/w0/567``. It returns one event as bytes, without a line feed in it. Renderings are pure: the
same entry under the same name gives the same bytes, so a receiver that gets an event twice can tell.

    >>> render = RENDERINGS["cloudtrail"]
    >>> render(entry, "keystead-0123456789abcdef/w0/567")
    b'{"eventVersion":"1.11","userIdentity":{"type":"IAMUser",...'

A change has two entries, and the first, its *intent*, says nothing that the second does not. A detection that counts
events would count it twice, so whoever hands events on asks `announces` and passes over what does. An intent that never
got its outcome, because the process was killed, can be rendered like any other entry: it is then *pending*. Only
``keystead`` should be given intents as a matter of course, because whoever gets that can prove that nothing is missing.

Raises `msgspec.DecodeError` for bytes that are no entry. Nothing secret can be in a rendering, since nothing secret is
in an entry; ``docs/reference/siem-events.md`` says where each member of an entry goes.
"""

from collections.abc import Callable, Mapping
from typing import Final

from keystead.bridges.renderings.cef import render as render_cef
from keystead.bridges.renderings.cloudtrail import render as render_cloudtrail
from keystead.bridges.renderings.ecs import render as render_ecs
from keystead.bridges.renderings.facts import announces
from keystead.bridges.renderings.native import render as render_native
from keystead.bridges.renderings.ocsf import render as render_ocsf

__all__ = ["RENDERINGS", "Rendering", "announces"]

Rendering = Callable[[bytes, str], bytes]
"""Takes an entry and the name of its event."""

RENDERINGS: Final[Mapping[str, Rendering]] = {
    "cef": render_cef,
    "cloudtrail": render_cloudtrail,
    "ecs": render_ecs,
    "keystead": render_native,
    "ocsf": render_ocsf,
}
"""By the names that configurations and the command line use. All of them are small and need nothing, so they are
imported at once, unlike adapters."""
