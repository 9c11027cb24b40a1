import itertools
from collections import Counter
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import (
    InvalidKeyState,
    InvalidKeyUsage,
    KeyDisabled,
    KeysteadError,
    NotFound,
    UnsupportedOperation,
)
from keystead.core.key import (
    TRANSITIONS,
    Alias,
    Event,
    Key,
    Origin,
    Rotation,
    State,
    Version,
    binding,
    version_binding,
)

ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd"
PAIRS = list(itertools.product(State, Event))
REFUSED = [pair for pair in PAIRS if pair not in TRANSITIONS]

names = st.text(st.characters(codec="utf-8"), max_size=12)


def key_in(state: State) -> Key:
    """A key in that state."""
    return Key(
        id="1234abcd",
        account="111122223333",
        region="eu-central-1",
        spec="SYMMETRIC_DEFAULT",
        usage="ENCRYPT_DECRYPT",
        state=state,
        created=1.0,
        policy="{}",
    )


def told(state: State, event: Event) -> tuple[type[KeysteadError], str]:
    """What AWS answers where the state forbids it, written down once more by hand."""
    if state is State.DESTROYED:
        return NotFound, f"Key '{ARN}' does not exist"
    if event is Event.CANCEL_DELETION:
        return InvalidKeyState, f"{ARN} is not pending deletion."
    return {
        State.CREATING: (InvalidKeyState, f"{ARN} is creating."),
        State.PENDING_IMPORT: (InvalidKeyState, f"{ARN} is pending import."),
        State.ENABLED: (InvalidKeyState, f"{ARN} is Enabled: cannot {event}."),
        State.DISABLED: (KeyDisabled, f"{ARN} is disabled."),
        State.UPDATING: (InvalidKeyState, f"{ARN} is updating."),
        State.PENDING_DELETION: (InvalidKeyState, f"{ARN} is pending deletion."),
        State.PENDING_REPLICA_DELETION: (InvalidKeyState, f"{ARN} is pending deletion."),
    }[state]


@pytest.mark.parametrize(("pair", "after"), TRANSITIONS.items())
def test_a_move_in_the_table_leads_where_the_table_says(pair: tuple[State, Event], after: State) -> None:
    """The key that comes out has the state that follows, and nothing else about it has changed."""
    before = key_in(pair[0])
    moved = before.after(pair[1])
    assert moved.state is after
    assert {f.name for f in fields(Key) if getattr(moved, f.name) != getattr(before, f.name)} <= {"state"}
    assert (moved is before) == (after is before.state)


@pytest.mark.parametrize(("state", "event"), REFUSED)
def test_a_move_that_is_not_in_the_table_is_refused_in_awss_words(state: State, event: Event) -> None:
    """Every other pair is refused with AWS's error and text."""
    error, text = told(state, event)
    with pytest.raises(KeysteadError) as refusal:
        key_in(state).after(event)
    assert (type(refusal.value), str(refusal.value)) == (error, text)


def test_every_pair_is_either_in_the_table_or_refused() -> None:
    """All states and events are covered, and each state has its share of the legal moves."""
    assert len(State) * len(Event) == len(TRANSITIONS) + len(REFUSED)
    assert Counter(state for state, _ in TRANSITIONS) == {
        State.CREATING: 3,
        State.PENDING_IMPORT: 7,
        State.ENABLED: 12,
        State.DISABLED: 9,
        State.UPDATING: 4,
        State.PENDING_DELETION: 5,
        State.PENDING_REPLICA_DELETION: 5,
    }


def test_a_destroyed_key_stays_destroyed_and_unknown() -> None:
    """No event leads out of the end, and none tells that there ever was a key."""
    assert [pair for pair in TRANSITIONS if pair[0] is State.DESTROYED] == []
    for event in Event:
        with pytest.raises(NotFound):
            key_in(State.DESTROYED).after(event)


def test_only_a_key_that_waits_for_it_is_destroyed() -> None:
    """There is one way to the end: schedule the deletion (and see all replicas gone), and let the window pass."""
    leading = [pair for pair, after in TRANSITIONS.items() if after is State.DESTROYED]
    assert leading == [(State.PENDING_DELETION, Event.DESTROY)]
    waiting = [pair for pair, after in TRANSITIONS.items() if after is State.PENDING_DELETION]
    assert {event for state, event in waiting if state is not State.PENDING_DELETION} == {
        Event.SCHEDULE_DELETION,
        Event.LAST_REPLICA_GONE,
    }


def test_only_an_enabled_key_can_be_used() -> None:
    """Cryptography is for enabled keys, also while they change their primary; what is rescued is disabled."""
    assert [state for state, event in TRANSITIONS if event is Event.USE] == [State.ENABLED, State.UPDATING]
    for waiting in (State.PENDING_DELETION, State.PENDING_REPLICA_DELETION):
        assert key_in(waiting).after(Event.CANCEL_DELETION).state is State.DISABLED


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_no_row_of_events_gets_around_the_table(events: list[Event]) -> None:
    """Whatever is asked in whatever order, a key that was destroyed had been scheduled just before."""
    key = key_in(State.ENABLED)
    seen = [key.state]
    for event in events:
        try:
            key = key.after(event)
        except KeysteadError:
            continue
        seen.append(key.state)
    for before, after in itertools.pairwise(seen):
        assert after is not State.DESTROYED or before is State.PENDING_DELETION
    if State.DESTROYED in seen:
        assert seen.index(State.DESTROYED) == len(seen) - 1


def test_a_key_is_not_changed_but_replaced() -> None:
    """Another thread that holds a key sees it as it was."""
    key = key_in(State.ENABLED)
    with pytest.raises(FrozenInstanceError):
        setattr(key, "state", State.DISABLED)  # noqa: B010 - assigned by name, as the type checker forbids it
    assert key.after(Event.DISABLE).state is State.DISABLED
    assert key.state is State.ENABLED


def test_a_usage_that_does_not_fit_is_told_in_awss_words() -> None:
    """The text names the key, its usage and the operation without the service's prefix."""
    error = key_in(State.ENABLED).wrong_usage("kms:Sign")
    assert type(error) is InvalidKeyUsage
    assert str(error) == f"{ARN} key usage is ENCRYPT_DECRYPT which is not valid for Sign."


def test_an_origin_that_does_not_fit_is_told_in_awss_words() -> None:
    """The text names the key and where its material comes from."""
    error = replace(key_in(State.ENABLED), origin=Origin.EXTERNAL).wrong_origin()
    assert type(error) is UnsupportedOperation
    assert str(error) == f"{ARN} origin is EXTERNAL which is not valid for this operation."


def test_a_multi_region_key_knows_its_part() -> None:
    """The first of its Regions has the primary; a key without members is of one Region."""
    key = key_in(State.ENABLED)
    assert (key.multi_region, key.primary) == (False, False)
    primary = replace(key, members=("eu-central-1", "eu-west-1"))
    assert (primary.multi_region, primary.primary) == (True, True)
    replica = replace(key, members=("eu-west-1", "eu-central-1"))
    assert (replica.multi_region, replica.primary) == (True, False)


def test_arns_are_awss() -> None:
    """A key and an alias have the ARNs that AWS gives them, and a key in the change feed its Region and id."""
    assert key_in(State.ENABLED).arn == ARN
    assert key_in(State.ENABLED).ref == "eu-central-1/1234abcd"
    alias = Alias(
        account="111122223333",
        region="eu-central-1",
        name="alias/payments/db",
        key_id="1234abcd",
        created=1.0,
        updated=1.0,
    )
    assert alias.arn == "arn:aws:kms:eu-central-1:111122223333:alias/payments/db"


def test_versions_say_why_they_were_made() -> None:
    """The reasons are the ones that AWS lists for rotations, the first, and not yet."""
    assert [str(reason) for reason in Rotation] == ["FIRST", "AUTOMATIC", "ON_DEMAND", "PENDING"]
    version = Version(
        region="eu-central-1",
        key_id="1",
        number=1,
        handle="h",
        material_id="00",
        created=1.0,
        rotation=Rotation.FIRST,
    )
    assert version.rotation is Rotation.FIRST


@given(names, st.lists(names, max_size=4), names, st.lists(names, max_size=4))
def test_two_places_never_have_one_binding(
    purpose: str, parts: list[str], other_purpose: str, other_parts: list[str]
) -> None:
    """Two lists of names give the same label only when they are the same list."""
    same = [purpose, *parts] == [other_purpose, *other_parts]
    assert (binding(purpose, *parts) == binding(other_purpose, *other_parts)) == same


@given(names, st.integers(0, 12))
def test_moving_a_letter_to_the_next_name_gives_another_binding(text: str, cut: int) -> None:
    """Where one name ends and the next begins is part of the label."""
    split = binding("p", text[:cut], text[cut:])
    for other in range(len(text) + 1):
        same = (text[:cut], text[cut:]) == (text[:other], text[other:])
        assert (binding("p", text[:other], text[other:]) == split) == same


def test_the_bytes_of_a_binding_are_fixed() -> None:
    """Stored keys are bound to these very bytes, so they may never change."""
    assert version_binding("1234abcd", 12) == (
        b"\x00\x08keystead" + b"\x00\x0bkey-version" + b"\x00\x081234abcd" + b"\x00\x0212"
    )
