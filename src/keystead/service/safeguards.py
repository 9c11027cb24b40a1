"""What keeps administration from undoing itself: no account locks itself out, and nobody gets around a boundary.

**The last way in.** A user or service account that is enabled, has an enabled access key and may put policies
(``keystead:PutPrincipalPolicy``) can mend anything in its account. `way_in_kept` refuses the change after which there
would be none. Everybody is asked about as if the request came from where this one does, now, and with a one-time
password shown. Roles do not count: whether somebody can still assume one may be another server's to say.

**Boundaries.** Who has a permission boundary may make and change only principals that have the same one, before and
after; so it cannot lose its own, nor make itself another principal without one, whatever its policies allow.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from typing import Final

from msgspec.structs import replace

from keystead.core.errors import AccessDenied, InvalidRequest
from keystead.core.policy import Ruling, decide
from keystead.core.principal import SERVICE_ACCOUNT, USER, Principal, Session, principal_arn, user_arn
from keystead.service.caller import Identity
from keystead.service.circumstances import Circumstances
from keystead.service.desk import Desk, asked_by
from keystead.service.identities import identify, unique_id

MENDS: Final = "keystead:PutPrincipalPolicy"
LOOKED_AT: Final = 5_000
"""How many principals are asked about at most, beside the caller."""
_PAGE: Final = 100
_SOMEBODY: Final = "somebody-else"  # stands for whoever needs a policy


@contextmanager
def way_in_kept(desk: Desk) -> Iterator[None]:
    """Refuse what is done inside if it closes the account's last way in; one that has none already may be changed."""
    before = _is_open(desk)
    yield
    if before and not _is_open(desk):
        raise InvalidRequest(
            "After this nobody in the account could change policies any more: it takes an enabled user or service "
            f"account with an enabled access key that may do {MENDS}. Make another one first, for example with: "
            "keystead principal create second-admin --attach "
            "arn:aws:iam::aws:policy/KeysteadAdministrator --access-key"
        )


def check_not_oneself(desk: Desk, arn: str, verb: str) -> None:
    """Refuse what somebody would do to the principal that is asking."""
    if arn == desk.caller.identity.principal:
        raise InvalidRequest(f"You cannot {verb} the principal you are signed in as: use another one.")


def check_boundary(desk: Desk, *forms: Principal) -> None:
    """Refuse to make or change a principal that is, or would be, outside of the caller's own boundary."""
    mine = own_boundary(desk)
    if mine and any(form.boundary != mine for form in forms):
        raise AccessDenied(
            f"You have the permission boundary {mine}: you may make and change only principals that have it as well, "
            "and leave it to them."
        )


def own_boundary(desk: Desk) -> str:
    """The ARN of the caller's permission boundary, empty if it has none."""
    return asking(desk).boundary


def asking(desk: Desk) -> Principal:
    """The caller's principal as this transaction sees it."""
    found = desk.tx.principal(desk.caller.identity.principal)
    assert found is not None  # noqa: S101 - the desk has looked it up, in this transaction
    return found


def ruling(desk: Desk, identity: Identity, action: str, resource: str) -> Ruling:
    """What would be decided if somebody asked for ``action`` in the circumstances of this request."""
    caller = replace(desk.caller, identity=identity)
    context = partial(Circumstances, caller=caller, entry=desk.entry, action=action)
    return decide(asked_by(identity, action, resource, context))


def _is_open(desk: Desk) -> bool:
    """Whether the account has a way in. The caller is looked at first: most often it is one."""
    return any(_mends(desk, each) for each in chain((asking(desk),), islice(_lasting(desk), LOOKED_AT)))


def _lasting(desk: Desk) -> Iterator[Principal]:
    """The account's service accounts and users: their ARNs come last, but for the service's own parts between."""
    after = principal_arn(desk.account, SERVICE_ACCOUNT, "")
    while page := desk.tx.principals(desk.account, after, _PAGE):
        yield from page
        after = page[-1].arn


def _mends(desk: Desk, principal: Principal) -> bool:
    if not principal.enabled or principal.kind not in (USER, SERVICE_ACCOUNT):
        return False
    if not any(key.enabled for key in desk.tx.access_keys(principal.arn)):
        return False
    signed_in = Session(
        access_key="",
        arn=principal.arn,
        principal=principal.arn,
        user_id=unique_id(principal),
        issued=desk.now,
        expires=desk.now,
        mfa=desk.now,
    )
    identity = identify(desk.tx, principal, signed_in)
    others = (principal.arn, user_arn(desk.account, _SOMEBODY))
    return any(ruling(desk, identity, MENDS, arn).allowed for arn in others)
