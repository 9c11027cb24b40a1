"""Events by HTTP POST to a URL, signed with a shared secret.

The body has one rendering a line (``application/x-ndjson``). The signature is HMAC-SHA256 over the time, a dot and the
body, so that neither can be changed and an old delivery cannot be played again:

    Keystead-Signature: t=1764000000,v1=5257a869e7...
    Keystead-Delivery: 9b74c9897bac770f...        the body's SHA-256: the same for what comes again

The secret file has one secret a line. Each signs, so a secret is replaced without a gap: put the new one first, tell
the receiver, remove the old one. The file is read for each delivery.

Any status from 200 to 299 acknowledges. 400, 413 and 422 refuse what was sent, everything else asks to come again.
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from keystead.bridges.sinks import http
from keystead.bridges.sinks.port import FORM_TYPES, Message, Retry
from keystead.config import Sink as Settings
from keystead.core.disk import Disk
from keystead.core.errors import ConfigError
from keystead.core.ports import Clock

SIGNATURE: Final = "Keystead-Signature"
DELIVERY: Final = "Keystead-Delivery"
_NDJSON: Final = "application/x-ndjson"
_LEAST_SECRET: Final = 16


def connect(settings: Settings, clock: Clock, disk: Disk) -> "WebhookSink":
    """A sink that sends to the URL of the settings."""
    if settings.secret_file is None:
        raise ConfigError(f"the sink {settings.name!r} has no secret_file")
    return WebhookSink(
        http.Receiver(settings, clock, disk),
        settings.secret_file,
        clock=clock,
        disk=disk,
        media=FORM_TYPES.get(settings.format, _NDJSON),
    )


class WebhookSink:
    """A web server that takes events. For one thread."""

    overlap = 0

    def __init__(
        self, receiver: http.Receiver, secret_file: Path, *, clock: Clock, disk: Disk, media: str
    ) -> None:
        self._receiver = receiver
        self._secret_file = secret_file
        self._clock = clock
        self._disk = disk
        self._media = media

    def remember(self, messages: Sequence[Message]) -> None:
        """Nothing: what was acknowledged is there."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Send one signed request."""
        body = b"".join(message.body + b"\n" for message in messages)
        time = int(self._clock.now())
        signatures = [signature(secret, time, body) for secret in self._secrets()]
        headers = {
            "Content-Type": self._media,
            SIGNATURE: ",".join([f"t={time}", *(f"v1={each}" for each in signatures)]),
            DELIVERY: sha256(body).hexdigest(),
        }
        self._receiver.post(body, headers)

    def close(self) -> None:
        """Let go of the connection."""
        self._receiver.close()

    def _secrets(self) -> list[bytes]:
        try:
            secrets = self._disk.read(self._secret_file).split()
        except OSError as error:
            raise Retry(f"the secret file cannot be read: {error.strerror}") from None
        if not secrets or min(map(len, secrets)) < _LEAST_SECRET:
            raise Retry(f"the secret file has no secret, or one of fewer than {_LEAST_SECRET} characters")
        return secrets


def signature(secret: bytes, time: int, body: bytes) -> str:
    """What a receiver works out and compares, in constant time, with each ``v1``; and it looks at the time."""
    return hmac.new(secret, b"%d." % time + body, sha256).hexdigest()
