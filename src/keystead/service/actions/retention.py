"""How long the audit is kept: legal holds, the removal of what is over its time, and redaction.

Durations are settings of the installation (``[audit]``), which no caller can change. A hold is an account's own
affair: it keeps what the audit has of the account or of one of its keys, whatever the durations say, until somebody
with another permission lifts it.

Removing is the first account's, and the daily job's. The entry of it says which entries are gone.

Redacting takes one value out of all entries of all accounts (`keystead.core.subject`), so it is the first account's as
well. The entry of it names the commitment and never the value.
"""

from typing import Final, NamedTuple

from keystead.core.errors import (
    AlreadyExists,
    HeldBack,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    StoreUnavailable,
)
from keystead.core.ledger import Removable
from keystead.core.retention import Hold
from keystead.core.subject import MEMBERS
from keystead.service import holds
from keystead.service.action import Action, Mode
from keystead.service.actions.guardrails import check_first_account
from keystead.service.actions.principals import NAME, NAMED
from keystead.service.commands import Command
from keystead.service.commands import ledger as c
from keystead.service.desk import Desk
from keystead.service.results import ledger as r

REASON_CHARACTERS: Final = 256
RANGES_TOLD: Final = 20  # in one entry


class _Plan(NamedTuple):
    """What may go as long as the holds are these."""

    holds: str
    removable: Removable


def put_legal_hold(command: c.PutLegalHold, desk: Desk) -> r.LegalHold:
    """A new hold; it is in force when the answer comes."""
    desk.entry.subject = f"{command.name} {command.key_arn}".rstrip()
    desk.allow("keystead:PutLegalHold")
    if not NAME.fullmatch(command.name):
        raise InvalidRequest(f"A hold's name is {NAMED}")
    desk.entry.detail = _reason(command.reason)
    if command.key_arn and not _is_own(command.key_arn, desk):
        raise NotFound(f"{command.key_arn} is not the ARN of a key of this account.")
    present = holds.read(holds.text(desk.tx))
    if _find(present, command.name, desk) is not None:
        raise AlreadyExists(f"There is a hold {command.name} already: lift it, or choose another name.")
    if len(present) >= holds.MOST:
        raise LimitExceeded(f"There are {holds.MOST} legal holds, which is as many as there may be.")
    hold = Hold(
        command.name, desk.account, command.key_arn, command.reason, desk.now, desk.caller.identity.arn
    )
    desk.tx.put_setting(holds.SETTING, holds.write([*present, hold]))
    return r.LegalHold(hold)


def lift_legal_hold(command: c.LiftLegalHold, desk: Desk) -> r.LegalHold:
    """End a hold; what it has kept goes the next time that the audit is pruned."""
    desk.entry.subject = command.name
    desk.allow("keystead:LiftLegalHold")
    desk.entry.detail = _reason(command.reason)
    present = holds.read(holds.text(desk.tx))
    hold = _find(present, command.name, desk)
    if hold is None:
        raise NotFound(f"There is no hold {command.name}.")
    desk.tx.put_setting(holds.SETTING, holds.write(each for each in present if each is not hold))
    return r.LegalHold(hold)


def list_legal_holds(_: c.ListLegalHolds, desk: Desk) -> r.LegalHolds:
    """The account's holds."""
    desk.allow("keystead:ListLegalHolds")
    return r.LegalHolds([each for each in holds.read(holds.text(desk.tx)) if each.account == desk.account])


def redact_subject(command: c.RedactSubject, desk: Desk) -> r.Redacted:
    """Erase a value and its salt; what entries hold of it is then a number that says nothing to anybody."""
    desk.entry.subject = command.member if command.member in MEMBERS else ""
    desk.allow("keystead:RedactSubject")
    check_first_account(desk)
    if command.member not in MEMBERS:
        raise InvalidRequest(f"What can be redacted is a {' or a '.join(MEMBERS)}.")
    reason = _reason(command.reason)
    if not command.value or command.value in reason:
        raise InvalidRequest("Give the value, and a reason without it: the reason is on record.")
    subject = desk.subject(command.member, command.value)
    if subject is None:
        raise NotFound(
            f"There is no such {command.member} in the audit as a commitment: was it redacted already?"
        )
    desk.entry.subject = f"{command.member} {subject.commitment}"
    desk.entry.detail = reason
    if not command.despite_holds and (held := holds.read(holds.text(desk.tx))):
        raise HeldBack(
            f"There are {len(held)} legal holds, and what they keep may have it: lift them, or say that it is redacted "
            "despite them."
        )
    desk.tx.erase_subject(subject.commitment)
    return r.Redacted(subject.commitment)


def plan_pruning(_: c.PlanPruning, desk: Desk) -> r.Pruning:
    """What could be removed now."""
    desk.allow("keystead:PlanPruning")
    check_first_account(desk)
    removable = desk.retention.removable(holds.read(holds.text(desk.tx)), desk.now)
    return r.Pruning(removable.told(), removable.entries, removable.more)


def prepare_pruning(_: c.PruneAudit, desk: Desk) -> _Plan:
    """Look what may go, which takes a while, before other changes have to wait for this one."""
    desk.allow("keystead:PruneAudit")
    check_first_account(desk)
    stored = holds.text(desk.tx)
    return _Plan(stored, desk.retention.removable(holds.read(stored), desk.now))


def prune_audit(_: c.PruneAudit, desk: Desk) -> r.Pruning:
    """Remove what is over its time, at most a bounded part of it."""
    desk.allow("keystead:PruneAudit")
    check_first_account(desk)
    plan: _Plan = desk.prepared  # type: ignore[assignment]  # as `prepare_pruning` returned it
    if holds.text(desk.tx) != plan.holds:
        raise StoreUnavailable("The legal holds have changed meanwhile: try again.")
    told = plan.removable.told()
    more = f" and {len(told) - RANGES_TOLD} more" if len(told) > RANGES_TOLD else ""
    desk.entry.subject = " ".join(told[:RANGES_TOLD]) + more
    if not desk.entry.dry_run:
        desk.retention.remove(plan.removable)
    return r.Pruning(told, plan.removable.entries, plan.removable.more)


def _reason(reason: str) -> str:
    """Why, which is for the record."""
    if not reason.strip() or len(reason) > REASON_CHARACTERS:
        raise InvalidRequest(f"Give a reason of at most {REASON_CHARACTERS} characters.")
    return reason


def _is_own(arn: str, desk: Desk) -> bool:
    """Whether it is a key of the account's, be it destroyed."""
    parts = arn.split(":", 5)
    if parts[:3] != ["arn", "aws", "kms"] or parts[4:5] != [desk.account] or not arn.count(":key/"):
        return False
    return desk.tx.key(parts[3], parts[5].removeprefix("key/")) is not None


def _find(present: list[Hold], name: str, desk: Desk) -> Hold | None:
    return next((each for each in present if (each.account, each.name) == (desk.account, name)), None)


ACTIONS: dict[type[Command], Action] = {
    c.PutLegalHold: Action("keystead:PutLegalHold", Mode.WRITE, put_legal_hold),
    c.LiftLegalHold: Action("keystead:LiftLegalHold", Mode.WRITE, lift_legal_hold),
    c.ListLegalHolds: Action("keystead:ListLegalHolds", Mode.READ, list_legal_holds),
    c.RedactSubject: Action("keystead:RedactSubject", Mode.WRITE, redact_subject),
    c.PlanPruning: Action("keystead:PlanPruning", Mode.READ, plan_pruning),
    c.PruneAudit: Action("keystead:PruneAudit", Mode.WRITE, prune_audit, before=prepare_pruning),
}
