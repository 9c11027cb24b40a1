"""Drift: how the account differs from what it was last declared to be, because somebody changed it by hand."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from keystead.plan import tags
from keystead.plan.compare import difference
from keystead.plan.present import Present, Record
from keystead.plan.things import KEY, REQUIRED_TAGS, Thing, key_name, kind_of, localised, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """One thing that is not as it was declared; ``now`` is None when it is gone."""

    thing: str
    declared: Thing
    now: Thing | None

    @property
    def diff(self) -> list[str]:
        """What has become of it, line by line."""
        return difference(self.declared, self.now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What was found. ``unmanaged`` was never declared, and is not drift."""

    revision: int  # that it is compared with
    unfinished: bool  # whether a newer one was begun and not finished
    drifted: tuple[Drifted, ...]
    untagged: tuple[str, ...]  # keys that lack required tags, with what they lack
    unmanaged: tuple[str, ...]
    left_out: int

    @property
    def found(self) -> bool:
        """Whether there is any drift."""
        return bool(self.drifted or self.untagged)


def drift(present: Present, record: Record) -> Drift:
    """Compare the account with the last revision that was finished."""
    declared = localised(record.state, present.account)
    drifted = []
    for name, thing in declared.items():
        if kind_of(name) == REQUIRED_TAGS:
            continue
        now = present.things.get(name)
        if now is not None and kind_of(name) == KEY and not thing["template"]:
            now = {**now, "template": ""}  # where it came from does not bind a key that is declared by itself
        if now is None or shown(now) != shown(thing):
            drifted.append(Drifted(thing=name, declared=thing, now=now))
    known = declared.keys() | record.managed
    unmanaged = [name for name in present.things if name not in known]
    unmanaged += [
        key_name(region, key_id) for (region, key_id), raw in present.keys.items() if not raw["aliases"]
    ]
    return Drift(
        revision=record.finished,
        unfinished=record.newest != record.finished,
        drifted=tuple(drifted),
        untagged=tuple(_untagged(present, record)),
        unmanaged=tuple(sorted(unmanaged)),
        left_out=present.left_out,
    )


def _untagged(present: Present, record: Record) -> Iterator[str]:
    for name, thing in record.state.items():
        if kind_of(name) != REQUIRED_TAGS:
            continue
        for (region, key_id), raw in sorted(present.keys.items()):
            named = _called(raw) or key_id
            for text in tags.lacking(thing["tags"], raw):
                yield f"{KEY}/{region}/{named}: {text}"


def _called(raw: Any) -> str:  # noqa: ANN401 - what the server tells of a key
    aliases = raw["aliases"]
    return aliases[0].removeprefix("alias/") if aliases else ""
