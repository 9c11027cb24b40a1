"""What the sinks over HTTP have in common: the connection, the authorization, and what a status means."""

import urllib.parse
from collections.abc import Mapping
from typing import Final

from keystead.bridges.sinks import wire
from keystead.bridges.sinks.port import Rejected, Retry
from keystead.config import Sink as Settings
from keystead.core.disk import Disk
from keystead.core.ports import Clock

_ABOUT_THE_EVENT: Final = frozenset({400, 413, 422})
"""Statuses that are about what was sent. The others are about the receiver: they would refuse any event."""
_PORTS: Final = {"https": 443, "http": 80}
_OK: Final = range(200, 300)


class Receiver:
    """The URL of a sink. For one thread."""

    def __init__(self, settings: Settings, clock: Clock, disk: Disk) -> None:
        url = urllib.parse.urlsplit(settings.url)
        secure = url.scheme == "https"
        target = wire.Target(
            url.hostname or "",
            url.port or _PORTS[url.scheme],
            wire.context(settings.ca, settings.certificate, settings.key) if secure else None,
        )
        path = urllib.parse.urlunsplit(("", "", url.path or "/", url.query, ""))
        self._disk = disk
        self._authorization_file = settings.authorization_file
        self._poster = wire.Poster(target, url.netloc, path, clock=clock, seconds=settings.deadline_seconds)

    def post(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """What it answers when it has taken the body; raises `Retry` or `Rejected` when it has not."""
        said = dict(headers)
        if self._authorization_file is not None:
            try:
                said["Authorization"] = self._disk.read(self._authorization_file).decode("ascii").strip()
            except (OSError, ValueError):
                raise Retry("the authorization file cannot be read") from None
            if not said["Authorization"].isprintable():
                raise Retry("the authorization file has more than one line")
        answer = self._poster.post(body, said)
        if answer.status in _OK:
            return answer.body
        told = f"it answers with status {answer.status}"
        if answer.status in _ABOUT_THE_EVENT:
            raise Rejected(told)
        raise Retry(told, answer.after)

    def close(self) -> None:
        """Let go of the connection."""
        self._poster.close()
