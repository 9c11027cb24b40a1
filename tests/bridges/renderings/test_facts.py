"""What renderings know about an entry that it does not say in so many words."""

import ipaddress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.renderings.samples import (
    ALICE,
    DENIED,
    EVENT,
    ISSUER,
    KEY,
    ORIGIN,
    OTHER_KEY,
    ROLE,
    SESSION,
    STOPPED,
    UNPROVEN,
    USED,
    every_action,
)
from keystead.bridges.renderings import announces, facts
from keystead.bridges.renderings.facts import Doing, Result, Severity, Thing, Who
from keystead.core import errors
from keystead.core.errors import Kind
from keystead.fronts.aws import errors as kms_errors
from keystead.fronts.aws.sts.errors import ROWS as STS_ROWS
from keystead.service.action import Mode
from keystead.service.actions import ACTIONS
from keystead.service.entry import Entry, encode, event_id
from keystead.service.gate import InternalError
from keystead.service.recovery import INTERRUPTED

changed = msgspec.structs.replace


def test_an_event_is_read_from_its_name_and_the_entrys_bytes() -> None:
    """The name has the log's origin and the index; the id is the one that answers give out."""
    event = facts.read(encode(USED), EVENT)
    assert (event.entry, event.origin, event.index) == (USED, ORIGIN, 567)
    assert event.name == EVENT
    assert event.id == event_id(EVENT)


def test_what_is_no_entry_is_refused() -> None:
    """Neither read nor taken for an intent."""
    for data in (b"", b"notice: started", b"[]"):
        with pytest.raises(msgspec.DecodeError):
            facts.read(data, EVENT)
        with pytest.raises(msgspec.DecodeError):
            announces(data)


def test_only_intents_announce() -> None:
    """An outcome does not, nor does an entry that stands alone."""
    assert announces(encode(changed(USED, stage="intent", outcome="")))
    assert not announces(encode(changed(USED, stage="outcome")))
    assert not announces(encode(USED))


@pytest.mark.parametrize(
    ("action", "doing"),
    [
        ("kms:CreateKey", Doing.CREATE),
        ("kms:ReplicateKey", Doing.CREATE),
        ("kms:DescribeKey", Doing.READ),
        ("kms:GetParametersForImport", Doing.READ),
        ("keystead:LinkStates", Doing.READ),
        ("keystead:LinkMember", Doing.UPDATE),
        ("kms:PutKeyPolicy", Doing.UPDATE),
        ("kms:CancelKeyDeletion", Doing.UPDATE),
        ("kms:ScheduleKeyDeletion", Doing.DELETE),
        ("kms:DeleteImportedKeyMaterial", Doing.DELETE),
        ("kms:RetireGrant", Doing.DELETE),
        ("kms:Decrypt", Doing.USE),
        ("kms:GenerateDataKeyPair", Doing.USE),
        ("kms:GenerateRandom", Doing.USE),
        ("sts:AssumeRoleWithWebIdentity", Doing.USE),
        ("sts:GetSessionToken", Doing.USE),
        ("sts:GetCallerIdentity", Doing.READ),
        ("keystead:Unheard", Doing.OTHER),
        ("", Doing.OTHER),
    ],
)
def test_an_actions_name_says_what_it_does(action: str, doing: Doing) -> None:
    """By the longest verb that it begins with; an unknown one is not taken for harmless."""
    assert facts.doing(action) is doing
    assert facts.changes_nothing(action) is (doing in (Doing.READ, Doing.USE))


def test_every_action_has_a_verb_that_is_known() -> None:
    """Whoever adds an action with a new verb says in `facts` what the verb does."""
    assert [action for action in every_action() if facts.doing(action) is Doing.OTHER] == []


def test_what_the_service_runs_as_a_change_is_told_as_one() -> None:
    """Read-only is what needs no change of the store; the exceptions are AWS's, which calls these reads."""
    written = {action.name for action in ACTIONS.values() if action.mode is Mode.WRITE}
    read = {action.name for action in ACTIONS.values() if action.mode is not Mode.WRITE}
    assert {action for action in written if facts.changes_nothing(action)} == {
        "kms:GetParametersForImport",
        "sts:AssumeRole",
        "sts:GetSessionToken",
    }
    assert {action for action in read if not facts.changes_nothing(action)} == set()


def test_services_and_operations_are_called_as_aws_calls_them() -> None:
    """Ours are `keystead.internal`; what was not understood is an unknown operation of it."""
    assert (facts.service("kms:Encrypt"), facts.operation("kms:Encrypt")) == ("kms.amazonaws.com", "Encrypt")
    assert facts.service("sts:AssumeRole") == "sts.amazonaws.com"
    assert facts.service("keystead:PutPolicy") == facts.service("") == "keystead.internal"
    assert facts.operation("") == "Unknown"


def test_asking_for_a_session_and_failing_to_prove_oneself_is_authentication() -> None:
    """A denial of somebody who is known is not, nor is it to ask who one is."""
    assert facts.authenticates(changed(USED, action="sts:AssumeRole"))
    assert facts.authenticates(UNPROVEN)
    assert not facts.authenticates(DENIED)
    assert not facts.authenticates(changed(USED, action="sts:GetCallerIdentity"))
    assert not facts.authenticates(changed(UNPROVEN, outcome="Serialization"))


@pytest.mark.parametrize(
    ("outcome", "result", "severity"),
    [
        ("Success", Result.SUCCESS, Severity.INFORMATIONAL),
        ("", Result.PENDING, Severity.INFORMATIONAL),
        ("AccessDenied", Result.DENIED, Severity.MEDIUM),
        ("InvalidSignature", Result.DENIED, Severity.MEDIUM),
        ("InvalidRequest", Result.FAILURE, Severity.LOW),
        ("KeyDisabled", Result.FAILURE, Severity.LOW),
        ("Throttled", Result.FAILURE, Severity.LOW),
        ("StoreUnavailable", Result.FAILURE, Severity.HIGH),
        ("Internal", Result.FAILURE, Severity.HIGH),
        ("NobodyKnows", Result.FAILURE, Severity.HIGH),
    ],
)
def test_an_outcome_says_how_it_ended_and_how_bad_that_is(
    outcome: str, result: Result, severity: Severity
) -> None:
    """A mistake is the caller's, a denial is worth a look, and what the service could not do is worse."""
    entry = changed(USED, outcome=outcome)
    assert (facts.result(entry), facts.severity(entry)) == (result, severity)


def test_every_code_that_an_entry_can_have_is_known() -> None:
    """Those of the family, of both AWS fronts, of bugs and of recovery."""
    family: list[type[errors.KeysteadError]] = [*kms_errors.ROWS, *STS_ROWS, InternalError]
    codes = {error.code: error.kind for error in family}
    assert {code: facts.KINDS[code] for code in codes} == codes
    assert facts.KINDS[INTERRUPTED] is Kind.UNAVAILABLE


def test_a_denial_is_worded_as_aws_words_it() -> None:
    """Who may not do what on which key, and which policy denies it if one does."""
    assert (
        facts.failure(DENIED) == f"User: {ALICE} is not authorized to perform: kms:Decrypt on resource: {KEY}"
    )
    denied = changed(DENIED, decided_by="guardrail", statement="NoExport")
    assert facts.failure(denied).endswith(f"{KEY} with an explicit deny in a service control policy")
    assert facts.failure(changed(denied, decided_by="grant")).endswith(KEY)
    assert facts.failure(changed(DENIED, key="", subject=f"{ROLE} more")).endswith(f"on resource: {ROLE}")
    assert facts.failure(changed(DENIED, key="")).endswith("on resource: *")


def test_other_failures_are_told_by_their_code() -> None:
    """In the words that describe the code, or by the code itself; a success has none."""
    assert facts.failure(changed(USED, outcome="KeyDisabled")) == "The key is disabled."
    assert facts.failure(changed(USED, outcome="NobodyKnows")) == "NobodyKnows"
    assert facts.failure(USED) == ""
    assert facts.failure(changed(USED, outcome="")) == ""


def test_a_sentence_tells_all_of_it() -> None:
    """Who, what, on what, and how it ended, also of those that have less to say."""
    assert facts.sentence(USED) == f"{ALICE}: kms:Decrypt on {KEY}: Success"
    assert (
        facts.sentence(changed(UNPROVEN, action=""))
        == "somebody with access key AKIAIOSFODNN7EXAMPLE: a request that was not understood: InvalidSignature"
    )
    assert (
        facts.sentence(Entry(action="keystead:Init", subject="x")) == "somebody: keystead:Init on x: pending"
    )


@pytest.mark.parametrize(
    ("arn", "who"),
    [
        (ALICE, Who("user", ALICE, "111122223333", "alice")),
        (ROLE, Who("role", ROLE, "111122223333", "deploy")),
        (SESSION, Who("assumed-role", SESSION, "111122223333", "deploy", ROLE, "ci-7")),
        (ISSUER, Who("oidc-provider", ISSUER, "111122223333", "token.example.org")),
        (
            "arn:aws:iam::111122223333:root",
            Who("root", "arn:aws:iam::111122223333:root", "111122223333"),
        ),
        ("local:uid=0", Who("", name="local:uid=0")),
        ("", Who("")),
    ],
)
def test_an_arn_says_who_it_is(arn: str, who: Who) -> None:
    """Its kind and name, and of a session the role; what is no ARN is only a name."""
    assert facts.who(arn) == who


def test_what_it_was_about_are_the_arns_in_it() -> None:
    """The keys and the subject's first word, each once; what is no ARN is not a thing."""
    entry = changed(USED, from_key=OTHER_KEY, subject=f"{ALICE} AKIA")
    assert list(facts.things(entry)) == [
        Thing(KEY, "key", "111122223333", "eu-central-1", KEY.partition("/")[2]),
        Thing(OTHER_KEY, "key", "444455556666", "eu-central-1", OTHER_KEY.partition("/")[2]),
        Thing(ALICE, "user", "111122223333", "", "alice"),
    ]
    assert list(facts.things(Entry(key=KEY, from_key=KEY, subject="arn:"))) == [next(facts.things(USED))]
    assert [thing.name for thing in facts.things(Entry(subject="arn:aws:iam::1:root"))] == ["root"]


def test_an_event_belongs_to_the_caller_or_else_to_the_keys_owner() -> None:
    """Also when a signature did not hold, so that somebody is told of it."""
    assert facts.account_of(changed(USED, key=OTHER_KEY)) == "111122223333"
    assert facts.account_of(changed(UNPROVEN, key=OTHER_KEY)) == "444455556666"
    assert facts.account_of(STOPPED) == ""


@given(st.ip_addresses(), st.sampled_from(["", "%eth0"]))
def test_an_address_is_an_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address, zone: str) -> None:
    """With or without a zone; its name for the machine itself goes."""
    plain = ipaddress.ip_address(str(address).partition("%")[0])
    found = facts.address(changed(USED, source=str(plain) + (zone if plain.version == 6 else "")))
    assert ipaddress.ip_address(found) == plain


def test_what_is_no_address_is_none() -> None:
    """A name, or nothing."""
    assert facts.address(changed(USED, source="unix")) == facts.address(changed(USED, source="")) == ""


def test_moments_are_written_as_rfc_3339_has_them() -> None:
    """In UTC, to the microsecond or to the second, never rounded up."""
    assert facts.timestamp(1_764_000_000_999_999) == "2025-11-24T16:00:00.999999Z"
    assert facts.timestamp(1_764_000_000_999_999, "seconds") == "2025-11-24T16:00:00Z"
    assert facts.timestamp(0) == "1970-01-01T00:00:00.000000Z"


def test_members_that_say_nothing_go() -> None:
    """Empty texts, zeros, false and empty lists."""
    assert facts.dense({"a": "", "b": 0, "c": False, "d": [], "e": "x", "f": None}) == {"e": "x"}
