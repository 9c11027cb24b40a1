"""An account's own part of the audit, with the proof that it is all of it.

Whoever may ask for it gets the entries that concern the account, as far as it may see them, and signed heads that they
must lead to. Nothing of another account's is read to the caller. What is asked is itself on record, and so a part of
the next head.
"""

from keystead.core.errors import InvalidRequest
from keystead.service.action import Action, Mode
from keystead.service.commands import Command
from keystead.service.commands import ledger as c
from keystead.service.desk import Desk
from keystead.service.entry import decode
from keystead.service.results import ledger as r
from keystead.service.subjects import committed, disclose

MOST_ENTRIES = 1000


def list_account_heads(command: c.ListAccountHeads, desk: Desk) -> r.AccountHeads:
    """The account's heads, as of the newest checkpoints."""
    desk.entry.subject = desk.account
    desk.allow("keystead:ListAccountHeads")
    sections = desk.account_logs.sections(desk.account, dict(command.since))
    return r.AccountHeads(desk.account, desk.journal.checkpoints()[0], sections)


def list_account_entries(command: c.ListAccountEntries, desk: Desk) -> r.AccountEntries:
    """Some of the account's entries."""
    desk.entry.subject = f"{desk.account} {command.log} {command.first}"
    desk.allow("keystead:ListAccountEntries")
    if command.first < 0 or not 1 <= command.limit <= MOST_ENTRIES:
        raise InvalidRequest(f"first must not be negative, and limit from 1 to {MOST_ENTRIES}")
    rows = desk.account_logs.rows(command.log, desk.account, command.first, command.limit)
    entries = (decode(row.seen) for row in rows if row.seen is not None)
    return r.AccountEntries(rows, disclose(desk.tx, (each for entry in entries for each in committed(entry))))


ACTIONS: dict[type[Command], Action] = {
    c.ListAccountHeads: Action("keystead:ListAccountHeads", Mode.SLOW, list_account_heads),
    c.ListAccountEntries: Action("keystead:ListAccountEntries", Mode.SLOW, list_account_entries),
}
