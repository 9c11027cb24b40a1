"""Keeps the subjects of the audit: finds the commitment that entries hold instead of a value, or makes one.

    subjects = Subjects(store, random=random, clock=clock, key=key)
    subjects.keep((("source", "192.0.2.7"),))

A commitment counts as *kept* once its value and salt are durable in the store; only then may an entry with it be
committed (`keystead.service.gate`). Where they cannot be kept, because the store does not take them or there are
too many already, the entry gets a commitment to a salt that is thrown away: then the value is lost to everybody, and
the request is not.

Whoever has not proven who they are could make up values without end. Half of the room is not for theirs, and the gate
lets them make only a few a minute.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from keystead.core.errors import KeysteadError
from keystead.core.ports import Clock, Random, Store, View
from keystead.core.subject import MEMBERS, PREFIX, SALT_BYTES, Subject, commitment, lookup
from keystead.service.entry import Entry

MOST: Final = 1_000_000
"""Subjects that are kept at once, of all accounts together."""

MOST_LOOKED_AT: Final = 200_000  # when those of a network are wanted
_PAGE: Final = 1000

TRUE_FOR_EVER: Final = (1 << 63) - 1  # an epoch that nothing is newer than

REQUEST: Final = "subjects"
"""Whom the change feed names as the one who added a subject: no request of anybody's."""

Named = tuple[str, str]
"""A member of an entry, and a value of it."""


class Committed(NamedTuple):
    """What an entry holds instead of a value, and whether anybody can ever tell the value by it."""

    commitment: str
    kept: bool


class Subjects:
    """See the module. Any thread."""

    def __init__(self, store: Store, *, random: Random, clock: Clock, key: bytes, most: int = MOST) -> None:
        self._store = store
        self._random = random
        self._clock = clock
        self._key = key
        self._most = most

    def keep(self, wanted: Sequence[Named], *, stranger: bool = False) -> tuple[int, tuple[Committed, ...]]:
        """The commitments to values, in order, and the epoch that they were true at; raises nothing."""
        found: list[Subject | None]
        lookups = [lookup(self._key, member, value) for member, value in wanted]
        epoch, found = TRUE_FOR_EVER, [None] * len(wanted)
        with suppress(KeysteadError):  # what is not found or added is lost, and the requests go on
            with self._store.view() as view:
                epoch, found = view.newest_change(), [view.subject(each) for each in lookups]
            if None in found:
                epoch, found = self._add(wanted, lookups, stranger=stranger)
        return epoch, tuple(
            Committed(self.unkept(*each) if subject is None else subject.commitment, subject is not None)
            for each, subject in zip(wanted, found, strict=True)
        )

    def unkept(self, member: str, value: str) -> str:
        """A commitment to a value that nobody will be able to tell by it."""
        return commitment(self._random(SALT_BYTES), member, value)

    def _add(
        self, wanted: Sequence[Named], lookups: Sequence[str], *, stranger: bool
    ) -> tuple[int, list[Subject | None]]:
        """Find or add all of them in one transaction; None is what there is no room for."""
        most = self._most // 2 if stranger else self._most
        found: list[Subject | None] = []
        with self._store.transact(REQUEST) as tx:
            for (member, value), by in zip(wanted, lookups, strict=True):
                subject = tx.subject(by)
                if subject is None and tx.room_for_subjects(most):
                    salt = self._random(SALT_BYTES)
                    subject = Subject(
                        commitment=commitment(salt, member, value),
                        lookup=by,
                        member=member,
                        value=value,
                        salt=salt.hex(),
                        created=self._clock.now(),
                    )
                    tx.add_subject(subject)
                found.append(subject)
            epoch = tx.newest_change()
        return epoch, found


class Disclosed(msgspec.Struct, frozen=True):
    """What somebody needs to see that a commitment is to a value: the SHA-256 of salt, member, 0x00 and value."""

    member: str
    value: str
    salt: str  # hex


def disclose(view: View, commitments: Iterable[str]) -> dict[str, Disclosed]:
    """The values of commitments, as far as they are kept and were not redacted."""
    found = {}
    for each in dict.fromkeys(commitments):
        if each.startswith(PREFIX) and (subject := view.subject_of(each)) is not None:
            found[each] = Disclosed(subject.member, subject.value, subject.salt)
    return found


def committed(entry: Entry) -> Iterator[str]:
    """What in an entry may be commitments."""
    return (value for value in (entry.source, entry.source_identity) if value)


def show(entry: Entry, disclosed: dict[str, Disclosed]) -> None:
    """Put the values where an entry has commitments to them."""
    for member in MEMBERS:
        known = disclosed.get(getattr(entry, member))
        if known is not None and known.member == member:
            setattr(entry, member, known.value)


def listed(view: View, member: str) -> Iterator[Subject]:
    """The subjects of one member."""
    after = ""
    while page := view.subjects(member, after, _PAGE):
        yield from page
        after = page[-1].commitment
