"""Credentials: what a front finds behind an access key id, with and without a session token."""

from dataclasses import replace

import pytest

from keystead.core.errors import ExpiredToken
from keystead.core.principal import Principal, Session, role_arn, session_arn
from keystead.crypto.sigv4 import Credential
from keystead.fronts.aws.credentials import Credentials
from keystead.service.workingset import HeldCredential, NotLoaded
from keystead.testing.installation import ACCOUNT, Installation

SECRET = b"s" * 40
ROLE = role_arn(ACCOUNT, "deploy")


class Ring:
    """One process's credentials, and a session of a role."""

    def __init__(self) -> None:
        self.house = Installation()
        self.gate = self.house.gate()
        self.credentials = Credentials(self.gate, self.house.clock)
        now = self.house.clock.now()
        self.put(Principal(arn=ROLE, account=ACCOUNT, name="deploy", created=now))
        self.session = Session(
            access_key="ASIAIOSFODNN7EXAMPLE",
            arn=session_arn(ACCOUNT, "deploy", "ci"),
            principal=ROLE,
            user_id="AROA:ci",
            issued=now,
            expires=now + 900,
        )
        self.token = self.make(self.session)

    def put(self, principal: Principal) -> None:
        """Keep a principal."""
        with self.house.store.transact("put") as tx:
            tx.put_principal(principal)

    def make(self, session: Session) -> bytes:
        """The token of a session."""
        return self.gate.session_tokens().make(session, SECRET, self.house.random).encode()

    def find(self, access_key_id: str, token: bytes | None) -> Credential | None:
        """What is found, with all that has to be loaded for it."""
        for _ in range(3):
            try:
                return self.credentials.find(access_key_id, token)
            except NotLoaded as missing:
                self.gate.working.admit(self.gate.working.load(missing.wanted))
        raise LookupError(access_key_id)


@pytest.fixture
def ring() -> Ring:
    """A process."""
    return Ring()


def test_a_long_term_credential_needs_no_token(ring: Ring) -> None:
    """It is found, made once, and not found with a token."""
    access_key_id, secret = ring.house.admin
    found = ring.find(access_key_id, None)
    assert found is not None
    assert (found.id, found.secret.reveal(), found.token) == (access_key_id, secret.encode(), None)
    assert ring.find(access_key_id, None) is found
    assert ring.find(access_key_id, ring.token) is None


def test_a_session_is_found_by_its_token(ring: Ring) -> None:
    """With the secret that was in it, the identity of the session, and the token itself."""
    found = ring.find(ring.session.access_key, ring.token)
    assert found is not None
    assert found.token is not None
    assert (found.secret.reveal(), found.token.reveal()) == (SECRET, ring.token)
    held = found.principal
    assert isinstance(held, HeldCredential)
    assert (held.identity.arn, held.identity.principal) == (ring.session.arn, ROLE)
    assert ring.find(ring.session.access_key, ring.token) is found


def test_a_session_is_not_found_without_its_token(ring: Ring) -> None:
    """Nor by that of another session, before and after it was seen."""
    other = ring.make(replace(ring.session, access_key="ASIAI44QH8DHBEXAMPLE"))
    forged = replace(ring.session, arn=session_arn(ACCOUNT, "deploy", "eve"))
    assert ring.find(ring.session.access_key, other) is None
    assert ring.find(ring.session.access_key, b"no token") is None
    assert ring.find(ring.session.access_key, ring.token) is not None
    for token in (None, other, b"no token", ring.make(forged)):
        assert ring.find(ring.session.access_key, token) is None


def test_nobody_keeps_a_session_out_by_asking_for_it_without_its_token(ring: Ring) -> None:
    """That the store has no access key of that name is remembered, and is nothing to the session."""
    assert ring.find(ring.session.access_key, None) is None
    assert ring.find(ring.session.access_key, ring.token) is not None
    assert ring.find(ring.session.access_key, None) is None
    assert ring.find(ring.session.access_key, ring.token) is not None


def test_a_session_that_is_over_is_expired(ring: Ring) -> None:
    """Whether it is seen for the first time or has been in use."""
    told = "The security token included in the request is expired"
    assert ring.find(ring.session.access_key, ring.token) is not None
    ring.house.clock.time += 899.9
    assert ring.find(ring.session.access_key, ring.token) is not None
    ring.house.clock.time += 0.1
    with pytest.raises(ExpiredToken, match=told):
        ring.find(ring.session.access_key, ring.token)
    with pytest.raises(ExpiredToken, match=told):
        Credentials(ring.house.gate("w1"), ring.house.clock).find(ring.session.access_key, ring.token)


@pytest.mark.parametrize("end", ["disabled", "deleted", "revoked"])
def test_a_session_that_was_ended_is_not_found(ring: Ring, end: str) -> None:
    """From the moment that the process hears of it."""
    assert ring.find(ring.session.access_key, ring.token) is not None
    now = ring.house.clock.now()
    role = Principal(arn=ROLE, account=ACCOUNT, name="deploy", created=now)
    if end == "disabled":
        ring.put(replace(role, enabled=False))
    elif end == "revoked":
        ring.put(replace(role, sessions_from=ring.session.epoch + 1))
    else:
        with ring.house.store.transact("delete") as tx:
            tx.delete_principal(ROLE)
    ring.gate.working.catch_up()
    assert ring.find(ring.session.access_key, ring.token) is None
