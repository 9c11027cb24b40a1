"""Credentials: what stands behind an access key id that a request names, and the session token it may come with."""

import hmac
from typing import Final, cast

from keystead.core.errors import ExpiredToken
from keystead.core.ports import Clock
from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential
from keystead.service.gate import Gate
from keystead.service.workingset import HeldCredential, NotLoaded, Presented, Wanted

_OVER: Final = "The security token included in the request is expired"


class Credentials:
    """Finds credentials for `keystead.fronts.aws.sigv4.Verifier`. For one thread.

    Those that it finds carry the `HeldCredential` as their ``principal``.
    """

    def __init__(self, gate: Gate, clock: Clock) -> None:
        self._working = gate.working
        self._tokens = gate.session_tokens()
        self._clock = clock

    def find(self, access_key_id: str, token: bytes | None) -> Credential | None:
        """The credential; None if there is none that is enabled, or the token is not its own.

        Raises `NotLoaded` when the store has to be asked, and `ExpiredToken` when a session is over.
        """
        if token is not None:
            return self._session(access_key_id, token)
        held = self._working.credential(access_key_id)
        return None if held is None else _proof(held)

    def _session(self, access_key_id: str, token: bytes) -> Credential | None:
        try:
            held = self._working.session(access_key_id)
        except NotLoaded:
            opened = self._tokens.read(token)
            if opened is None or opened[0].access_key != access_key_id:
                return None
            presented = Presented(*opened, Secret(token))
            self._check(presented.session.expires)
            raise NotLoaded(Wanted("session", access_key_id, presented=presented)) from None
        if held is None or held.token is None or not hmac.compare_digest(held.token.reveal(), token):
            return None
        session = held.identity.session
        assert session is not None  # noqa: S101 - whoever has a token has a session
        self._check(session.expires)
        return _proof(held)

    def _check(self, expires: float) -> None:
        if self._clock.now() >= expires:
            raise ExpiredToken(_OVER)


def _proof(held: HeldCredential) -> Credential:
    if held.proof is None:  # made once, so that the verifier knows it again
        held.proof = Credential(held.access_key_id, held.secret, held.token, principal=held)
    return cast("Credential", held.proof)
