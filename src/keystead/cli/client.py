"""Talks to the control plane: unsigned for health, signed with SigV4 for the native API."""

import http.client
import json
import os
import time
from typing import Any, Final
from urllib.parse import urlsplit

import click

from keystead.cli.app import Unreachable, WouldSucceed
from keystead.core.errors import AccessDenied, ConfigError, DryRun, KeysteadError, Kind
from keystead.crypto.secret import Secret

DEFAULT_URL: Final = "http://127.0.0.1:8901"
URL_VARIABLE: Final = "KEYSTEAD_CONTROL_URL"
SERVICE: Final = "keystead"
DRY_RUN: Final = "x-amz-meta-dry-run"
OK: Final = 200


url_option = click.option(
    "--control-url", help=f"The control plane. [default: {URL_VARIABLE}, or {DEFAULT_URL}]"
)


class Refused(KeysteadError):
    """What the service said no to, under its code there; a note says how to find out why, where that is on record."""

    kind, code = Kind.INVALID, "Refused"

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(str(body.get("detail") or f"the service answered {status}"))
        self.code = str(body.get("code", "Refused"))  # type: ignore[misc]  # the service's own code
        if self.code == AccessDenied.code and body.get("request"):
            self.add_note(f"Why: keystead policy explain {body['request']}")


def _stated() -> dict[str, str]:
    """The headers for what was said before the command: `keystead --dry-run --ticket TEXT COMMAND`."""
    context = click.get_current_context(silent=True)
    options = {} if context is None else context.find_root().params
    headers = {}
    if options.get("dry_run"):
        headers[DRY_RUN] = "true"
    if options.get("ticket"):
        headers["x-amz-meta-change-ticket"] = options["ticket"]
    return headers


class Control:
    """One control plane. Every call has a deadline of ``seconds``."""

    def __init__(self, url: str | None = None, *, seconds: float = 40.0) -> None:
        self.url = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{self.url!r} is not the URL of a control plane, such as {DEFAULT_URL}")
        self._host = parts.netloc
        self._connection = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._seconds = seconds

    def look(self, path: str) -> tuple[int, bytes]:
        """GET; the status and the body."""
        return self._send("GET", path, {}, b"")

    def is_ready(self) -> bool:
        """Whether every process can do its work."""
        try:
            return self.look("/readyz")[0] == OK
        except Unreachable:
            return False

    def ask(self, operation: str, **arguments: object) -> dict[str, Any]:
        """One operation of the native API, signed with the credentials in the environment."""
        return self._ask(operation, arguments, _stated())

    def see(self, operation: str, **arguments: object) -> dict[str, Any]:
        """One that only looks; it is really asked in a dry run as well, since what is to follow may need to know."""
        stated = _stated()
        stated.pop(DRY_RUN, None)
        return self._ask(operation, arguments, stated)

    def _ask(self, operation: str, arguments: dict[str, object], stated: dict[str, str]) -> dict[str, Any]:
        from keystead.crypto.sigv4 import Credential, sign  # noqa: PLC0415 - only where it is used

        access_key_id, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        token = os.environ.get("AWS_SESSION_TOKEN")
        if not access_key_id or not secret:
            raise ConfigError(
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set: set the admin's, as `keystead init` or "
                "`keystead dev` printed them"
            )
        path, body = f"/v1/{operation}", json.dumps(arguments, separators=(",", ":")).encode()
        headers = {"content-type": "application/json", **stated}
        signed = sign(
            "POST",
            self._host,
            path,
            headers,
            body,
            credentials=Credential(
                access_key_id, Secret(secret.encode()), Secret(token.encode()) if token else None
            ),
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            service=SERVICE,
            now=time.time(),
        )
        status, answer = self._send("POST", path, {**headers, **signed, "host": self._host}, body)
        told = self.read(answer)
        if told.get("code") == DryRun.code:
            raise WouldSucceed(operation)
        if status != OK:
            raise Refused(status, told)
        return told

    def read(self, answer: bytes) -> dict[str, Any]:
        """The JSON object of an answer."""
        try:
            told = json.loads(answer)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise Unreachable(f"{self.url} answers, but not as a Keystead control plane does")
        return told

    def _send(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        connection = self._connection(self._host, timeout=self._seconds)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"the control plane at {self.url} does not answer ({error}): start the service, or set {URL_VARIABLE}"
            ) from None
        finally:
            connection.close()
