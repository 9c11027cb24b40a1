"""A witness of other people's logs over HTTP (C2SP tlog-witness).

    POST /add-checkpoint HTTP/1.1

    old 20852014
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=

    example.com/behind-the-sofa
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    - example.com/behind-the-sofa Az3grlgtzPIC...

The answer is the witness's signature line. There is no other authentication than the log's signature on the checkpoint.
What was cosigned last can be had by anybody, at ``GET /<SHA-256 of the origin, hex>/checkpoint``.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from keystead.core.errors import KeysteadError
from keystead.core.witness import REFUSED, Verdict, Witness
from keystead.observe.log import Log

TARGET: Final = "/add-checkpoint"
LATEST: Final = "/{digest}/checkpoint"
SIZE_TYPE: Final = "text/x.tlog.size"
TEXT_TYPE: Final = "text/plain; charset=utf-8"

STATUS: Final[Mapping[Verdict, HTTPStatus]] = {
    Verdict.COSIGNED: HTTPStatus.OK,
    Verdict.MALFORMED: HTTPStatus.BAD_REQUEST,
    Verdict.UNKNOWN_LOG: HTTPStatus.NOT_FOUND,
    Verdict.UNKNOWN_KEY: HTTPStatus.FORBIDDEN,
    Verdict.STALE: HTTPStatus.CONFLICT,
    Verdict.FORKED: HTTPStatus.UNPROCESSABLE_ENTITY,  # since tlog-witness v1.1.0; before, 409
    Verdict.INCONSISTENT: HTTPStatus.UNPROCESSABLE_ENTITY,
}


class WitnessFront:
    """Answers what logs ask of a witness. Any thread."""

    def __init__(self, witness: Witness, log: Log) -> None:
        self._witness = witness
        self._log = log

    def latest(self, digest: str) -> tuple[int, str, bytes]:
        """The last checkpoint of a log that was cosigned, by the SHA-256 of its origin in hex."""
        note = self._witness.latest(digest)
        if note is None:
            return HTTPStatus.NOT_FOUND, TEXT_TYPE, b"nothing of this log was cosigned here\n"
        return HTTPStatus.OK, TEXT_TYPE, note

    def answer(self, body: bytes) -> tuple[int, str, bytes]:
        """The status, the content type and the body of the answer."""
        try:
            considered = self._witness.consider(body)
        except KeysteadError as error:
            self._log.error("the witness cannot cosign", code=error.code, reason=str(error))
            return HTTPStatus.SERVICE_UNAVAILABLE, TEXT_TYPE, b"the witness cannot cosign now\n"
        if considered.verdict in REFUSED:
            # The origin is that of a log that is configured here, and the request is signed by its key.
            self._log.error(
                "a log shows two histories: the request was kept, and the checkpoint was not cosigned",
                component=considered.origin,
                reason=considered.text,
            )
        kind = SIZE_TYPE if considered.verdict is Verdict.STALE else TEXT_TYPE
        text = considered.text if considered.text.endswith("\n") else f"{considered.text}\n"
        return STATUS[considered.verdict], kind, text.encode()
