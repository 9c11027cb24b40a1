"""What every store promises (`keystead.core.ports.Store`), as tests."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from keystead.core.declaration import Declaration
from keystead.core.declaration import Kind as DeclarationKind
from keystead.core.errors import AlreadyExists, InvalidRequest, NotFound, StoreUnavailable
from keystead.core.grant import Grant
from keystead.core.importing import ImportOffer
from keystead.core.key import Alias, Key, Origin, Rotation, State, Version
from keystead.core.keystore import Connection, KeyStore, Kind
from keystead.core.ports import Change, Store, Transaction, View
from keystead.core.principal import (
    GROUP,
    INSTALLATION,
    AccessKey,
    Account,
    Principal,
    Provider,
    policy_arn,
    principal_arn,
    provider_arn,
    role_arn,
    root_arn,
    session_arn,
    user_arn,
)
from keystead.core.seal import SealSlot
from keystead.core.subject import Subject

ACCOUNT, OTHER_ACCOUNT = "111111111111", "222222222222"
REGION, OTHER_REGION = "eu-central-1", "us-east-1"
K1 = f"{REGION}/k1"  # the key of most tests, in the change feed

OPERATORS = principal_arn(ACCOUNT, GROUP, "operators")
READERS, LIMITS = policy_arn(ACCOUNT, "readers"), policy_arn(ACCOUNT, "limits")
POLICY, GUARDRAIL = DeclarationKind.POLICY, DeclarationKind.GUARDRAIL

# In the order of their code points, which is not the order of any dictionary.
NAMES = ["0", "A", "Z", "a", "z", "~", "\u00e9", "\uffee", "\U0001f511"]


def a_key(key_id: str = "k1", **changes: Any) -> Key:  # noqa: ANN401 - the fields have various types
    """An ordinary key."""
    key = Key(
        id=key_id,
        account=ACCOUNT,
        region=REGION,
        spec="SYMMETRIC_DEFAULT",
        usage="ENCRYPT_DECRYPT",
        state=State.ENABLED,
        created=1_700_000_000.25,
        policy='{"Statement": []}',
    )
    return replace(key, **changes)


def a_version(key_id: str = "k1", number: int = 1, handle: str = "handle", region: str = REGION) -> Version:
    """An ordinary version."""
    return Version(
        region=region,
        key_id=key_id,
        number=number,
        handle=handle,
        material_id=f"{number:064x}",
        created=1_700_000_000.5,
        rotation=Rotation.FIRST if number == 1 else Rotation.ON_DEMAND,
        rotated=None if number == 1 else 1_700_000_000.75,
    )


def an_alias(
    name: str = "alias/a", key_id: str = "k1", account: str = ACCOUNT, region: str = REGION
) -> Alias:
    """An ordinary alias."""
    return Alias(account=account, region=region, name=name, key_id=key_id, created=1.5, updated=2.5)


def a_grant(grant_id: str = "g1", key_id: str = "k1", **changes: Any) -> Grant:  # noqa: ANN401 - the same
    """An ordinary grant."""
    grant = Grant(
        id=grant_id,
        region=REGION,
        key_id=key_id,
        grantee=user_arn(ACCOUNT, "alice"),
        operations=("Encrypt", "Decrypt"),
        issuer=root_arn(ACCOUNT),
        created=1.5,
        context_subset={"team": "red"},
    )
    return replace(grant, **changes)


def an_offer(offer_id: str = "o1", valid_to: float = 86_400.5) -> ImportOffer:
    """An ordinary import offer."""
    return ImportOffer(
        id=offer_id,
        region=REGION,
        key_id="k1",
        principal=user_arn(ACCOUNT, "alice"),
        algorithm="RSAES_OAEP_SHA_256",
        wrapping_spec="RSA_3072",
        handle=f"private {offer_id}",
        valid_to=valid_to,
    )


def a_key_store(key_store_id: str = "cks-1", **changes: Any) -> KeyStore:  # noqa: ANN401 - the same
    """An ordinary custom key store."""
    key_store = KeyStore(
        id=key_store_id,
        account=ACCOUNT,
        region=REGION,
        name="outside",
        kind=Kind.EXTERNAL_KEY_STORE,
        created=1.5,
        endpoint="https://xks.example.com",
        path="/kms/xks/v1",
        connectivity="PUBLIC_ENDPOINT",
        access_key_id="AKXKS",
        protected="wrapped",
    )
    return replace(key_store, **changes)


def a_principal(
    name: str = "alice",
    account: str = ACCOUNT,
    **changes: Any,  # noqa: ANN401 - the same
) -> Principal:
    """An ordinary user, in a group, under two policies."""
    principal = Principal(
        arn=user_arn(account, name),
        account=account,
        name=name,
        created=1.5,
        attached=(READERS,),
        groups=(OPERATORS,),
        boundary=LIMITS,
        tags=(("team", "red"),),
    )
    return replace(principal, **changes)


def an_access_key(key_id: str = "AKIA1", name: str = "alice") -> AccessKey:
    """An ordinary access key."""
    return AccessKey(id=key_id, principal=user_arn(ACCOUNT, name), protected="wrapped", created=1.5)


def an_account(account_id: str = ACCOUNT, name: str = "main") -> Account:
    """An ordinary account."""
    return Account(id=account_id, name=name, created=1.5)


def a_declaration(
    name: str = "readers",
    kind: DeclarationKind = POLICY,
    account: str = ACCOUNT,
    text: str = '{"Statement": []}',
) -> Declaration:
    """An ordinary declaration."""
    return Declaration(account=account, kind=kind, name=name, text=text, created=1.5, updated=2.5)


def a_provider(
    name: str = "id.example.com",
    account: str = ACCOUNT,
    **changes: Any,  # noqa: ANN401 - the same
) -> Provider:
    """An ordinary identity provider."""
    url = f"https://{name}"
    arn = provider_arn(account, url)
    provider = Provider(arn=arn, account=account, url=url, audiences=("sts.amazonaws.com",), created=1.5)
    return replace(provider, **changes)


def a_slot(slot_id: str = "s1") -> SealSlot:
    """An ordinary seal slot."""
    return SealSlot(
        id=slot_id, kind="passphrase", parameters={"salt": "c2FsdA==", "passes": 3}, wrapped="d3JhcA=="
    )


def a_subject(name: str = "1", member: str = "source", value: str = "192.0.2.7") -> Subject:
    """An ordinary subject of the audit, of which no other has the name."""
    return Subject(
        commitment=f"sha256:{name}",
        lookup=f"l{name}",
        member=member,
        value=value,
        salt="0123456789abcdef",
        created=7.0,
    )


# Every write there is, on a furnished store: what it does, and the changes that it appends. In this order
# they can all be made in one transaction.
WRITES: dict[str, tuple[Callable[[Transaction], object], list[tuple[str, str]]]] = {
    "put_key": (lambda t: t.put_key(a_key()), [("key", K1)]),
    "add_version": (lambda t: t.add_version(a_version(number=2)), [("key", K1)]),
    "put_version": (lambda t: t.put_version(a_version(handle="anew")), [("key", K1)]),
    "erase_versions": (lambda t: t.erase_versions(REGION, "k1"), [("key", K1)]),
    "put_alias": (lambda t: t.put_alias(an_alias()), [("alias", an_alias().arn)]),
    "delete_alias": (lambda t: t.delete_alias(ACCOUNT, REGION, "alias/a"), [("alias", an_alias().arn)]),
    "put_tag": (lambda t: t.put_tag(REGION, "k1", "team", "blue"), [("key", K1)]),
    "delete_tag": (lambda t: t.delete_tag(REGION, "k1", "team"), [("key", K1)]),
    "put_grant": (lambda t: t.put_grant(a_grant("g2")), [("grants", K1)]),
    "delete_grant": (lambda t: t.delete_grant(REGION, "k1", "g1"), [("grants", K1)]),
    "put_import_offer": (lambda t: t.put_import_offer(an_offer("o3")), [("import-offer", "o3")]),
    "delete_import_offer": (lambda t: t.delete_import_offer("o1"), [("import-offer", "o1")]),
    "delete_import_offers": (lambda t: t.delete_import_offers(10.0), [("import-offer", "o2")]),
    "put_key_store": (
        lambda t: t.put_key_store(a_key_store(connection=Connection.CONNECTED)),
        [("key-store", "cks-1")],
    ),
    "delete_key_store": (lambda t: t.delete_key_store("cks-1"), [("key-store", "cks-1")]),
    "put_principal": (lambda t: t.put_principal(a_principal()), [("principal", a_principal().arn)]),
    "delete_access_key": (lambda t: t.delete_access_key("AKIA1"), [("access-key", "AKIA1")]),
    "put_access_key": (lambda t: t.put_access_key(an_access_key()), [("access-key", "AKIA1")]),
    "put_account": (lambda t: t.put_account(an_account(name="renamed")), [("account", ACCOUNT)]),
    "put_declaration": (
        lambda t: t.put_declaration(a_declaration(text="{}")),
        [("declaration", f"{ACCOUNT}/policy/readers")],
    ),
    "delete_declaration": (
        lambda t: t.delete_declaration(ACCOUNT, GUARDRAIL, "ceiling"),
        [("declaration", f"{ACCOUNT}/guardrail")],
    ),
    "put_provider": (
        lambda t: t.put_provider(a_provider(keys="{}", fetched=3.5)),
        [("provider", a_provider().arn)],
    ),
    "delete_provider": (lambda t: t.delete_provider(a_provider().arn), [("provider", a_provider().arn)]),
    "put_account_key": (lambda t: t.put_account_key(ACCOUNT, "kek"), [("account-key", ACCOUNT)]),
    "put_seal_slot": (lambda t: t.put_seal_slot(a_slot("s3")), [("seal-slot", "s3")]),
    "delete_seal_slot": (lambda t: t.delete_seal_slot("s1"), [("seal-slot", "s1")]),
    "put_setting": (lambda t: t.put_setting("colour", "blue"), [("setting", "colour")]),
    "put_mark": (lambda t: t.put_mark("tide", "high"), []),
    "add_subject": (lambda t: t.add_subject(a_subject("3")), [("new-subject", "sha256:3")]),
    "erase_subject": (lambda t: t.erase_subject("sha256:1"), [("subject", "sha256:1")]),
    "delete_principal": (
        lambda t: t.delete_principal(a_principal().arn),
        [("access-key", "AKIA1"), ("principal", a_principal().arn)],
    ),
}

# Writes that find nothing to do.
IDLE: dict[str, Callable[[Transaction], object]] = {
    "erase_versions": lambda t: t.erase_versions(REGION, "nothing"),
    "erase_versions elsewhere": lambda t: t.erase_versions(OTHER_REGION, "k1"),
    "delete_alias": lambda t: t.delete_alias(ACCOUNT, REGION, "alias/nothing"),
    "delete_tag": lambda t: t.delete_tag(REGION, "k1", "nothing"),
    "delete_tag elsewhere": lambda t: t.delete_tag(OTHER_REGION, "k1", "team"),
    "delete_grant": lambda t: t.delete_grant(REGION, "k1", "nothing"),
    "delete_grant elsewhere": lambda t: t.delete_grant(OTHER_REGION, "k1", "g1"),
    "delete_import_offer": lambda t: t.delete_import_offer("nothing"),
    "delete_import_offers": lambda t: t.delete_import_offers(9.0),
    "delete_key_store": lambda t: t.delete_key_store("nothing"),
    "delete_principal": lambda t: t.delete_principal("nothing"),
    "delete_access_key": lambda t: t.delete_access_key("nothing"),
    "delete_declaration": lambda t: t.delete_declaration(ACCOUNT, POLICY, "nothing"),
    "delete_declaration of another kind": lambda t: t.delete_declaration(ACCOUNT, GUARDRAIL, "readers"),
    "delete_declaration elsewhere": lambda t: t.delete_declaration(OTHER_ACCOUNT, POLICY, "readers"),
    "delete_provider": lambda t: t.delete_provider("nothing"),
    "delete_seal_slot": lambda t: t.delete_seal_slot("nothing"),
    "erase_subject": lambda t: t.erase_subject("sha256:9"),
}

# Everything that may be asked of a view.
QUESTIONS: dict[str, Callable[[View], object]] = {
    "key": lambda v: v.key(REGION, "k1"),
    "keys": lambda v: v.keys(ACCOUNT, REGION, "", 10),
    "keys_to_destroy": lambda v: v.keys_to_destroy(1e12, 10),
    "keys_to_rotate": lambda v: v.keys_to_rotate(1e12, 10),
    "keys_to_expire": lambda v: v.keys_to_expire(1e12, 10),
    "keys_in_store": lambda v: v.keys_in_store("cks-1", "", 10),
    "version": lambda v: v.version(REGION, "k1", 1),
    "versions": lambda v: v.versions(REGION, "k1", 0, 10),
    "last_version": lambda v: v.last_version(REGION, "k1"),
    "alias": lambda v: v.alias(ACCOUNT, REGION, "alias/a"),
    "aliases": lambda v: v.aliases(ACCOUNT, REGION, None, "", 10),
    "tags": lambda v: v.tags(REGION, "k1", "", 10),
    "grant": lambda v: v.grant(REGION, "k1", "g1"),
    "grants": lambda v: v.grants(REGION, "k1", None, "", 10),
    "grants of one": lambda v: v.grants(REGION, "k1", user_arn(ACCOUNT, "alice"), "", 10),
    "count_grants": lambda v: v.count_grants(REGION, "k1"),
    "grants_to": lambda v: v.grants_to(user_arn(ACCOUNT, "alice"), 10),
    "grants_retired_by": lambda v: v.grants_retired_by(user_arn(ACCOUNT, "bob"), 10),
    "retirable_grants": lambda v: v.retirable_grants(user_arn(ACCOUNT, "bob"), REGION, "", 10),
    "import_offer": lambda v: v.import_offer("o1"),
    "key_store": lambda v: v.key_store("cks-1"),
    "key_stores": lambda v: v.key_stores(ACCOUNT, REGION, "", 10),
    "principal": lambda v: v.principal(a_principal().arn),
    "principals": lambda v: v.principals(ACCOUNT, "", 10),
    "members": lambda v: v.members(OPERATORS, "", 10),
    "principals_under": lambda v: v.principals_under(READERS, 10),
    "access_key": lambda v: v.access_key("AKIA1"),
    "access_keys": lambda v: v.access_keys(a_principal().arn),
    "account": lambda v: v.account(ACCOUNT),
    "accounts": lambda v: v.accounts("", 10),
    "declaration": lambda v: v.declaration(ACCOUNT, POLICY, "readers"),
    "declarations": lambda v: v.declarations(ACCOUNT, GUARDRAIL, "", 10),
    "provider": lambda v: v.provider(a_provider().arn),
    "providers": lambda v: v.providers(ACCOUNT, "", 10),
    "account_keys": lambda v: v.account_keys(),
    "seal_slots": lambda v: v.seal_slots(),
    "setting": lambda v: v.setting("colour"),
    "subject": lambda v: v.subject("l1"),
    "subject_of": lambda v: v.subject_of("sha256:1"),
    "subjects": lambda v: v.subjects("source", "", 10),
    "room_for_subjects": lambda v: not v.room_for_subjects(2),
    "newest_change": lambda v: v.newest_change(),
    "changes": lambda v: v.changes(0, 100),
    "changed_by": lambda v: v.changed_by("furnish"),
}


def furnish(store: Store) -> None:
    """Put one of everything into the store."""
    with store.transact("furnish") as t:
        t.put_key(a_key())
        t.add_version(a_version())
        t.put_alias(an_alias())
        t.put_tag(REGION, "k1", "team", "red")
        t.put_grant(a_grant(retiring=user_arn(ACCOUNT, "bob")))
        t.put_import_offer(an_offer("o1"))
        t.put_import_offer(an_offer("o2", valid_to=9.0))
        t.put_key_store(a_key_store())
        t.put_principal(a_principal())
        t.put_access_key(an_access_key())
        t.put_account(an_account())
        t.put_declaration(a_declaration())
        t.put_declaration(a_declaration("ceiling", GUARDRAIL))
        t.put_provider(a_provider())
        t.put_account_key(ACCOUNT, "wrapped")
        t.put_seal_slot(a_slot("s1"))
        t.put_seal_slot(a_slot("s2"))
        t.put_setting("colour", "red")
        t.add_subject(a_subject("1"))
        t.add_subject(a_subject("2", "source_identity"))


def everything(view: View) -> dict[str, object]:
    """The answers to all questions."""
    return {name: ask(view) for name, ask in QUESTIONS.items()}


class StoreContract:
    """Inherit it and define the fixture ``store``: an empty store, closed afterwards."""

    @pytest.fixture
    def furnished(self, store: Store) -> Store:
        """The store with one of everything in it."""
        furnish(store)
        return store

    # --- what is put in comes out -----------------------------------------------------------------------

    def test_an_empty_store_knows_nothing(self, store: Store) -> None:
        """What is not there is None or an empty list, never an error."""
        with store.view() as view:
            answers = everything(view)

        assert [name for name, answer in answers.items() if answer not in (None, [], {}, 0, False)] == []

    @pytest.mark.parametrize(
        "key",
        [
            a_key(),
            a_key(description="d\u00e9j\u00e0 \U0001f511\n'\"", policy=' { "Id" : 1 }\t'),
            a_key(state=State.PENDING_DELETION, deletion_date=1_700_000_000.125),
            a_key(state=State.PENDING_REPLICA_DELETION, deletion_window_days=7),
            a_key(rotation_period_days=90, next_rotation=1.75, rotations_on_demand=3, current_version=7),
            a_key(members=(REGION, OTHER_REGION, "e\u00e9")),
            a_key(state=State.PENDING_IMPORT, origin=Origin.EXTERNAL, current_version=0, expires=2.125),
            a_key(origin=Origin.EXTERNAL_KEY_STORE, key_store="cks-1", outer_key="outer"),
            a_key(state=State.DESTROYED),
        ],
    )
    def test_a_key_comes_back_to_the_letter(self, store: Store, key: Key) -> None:
        """Every field of a key is kept, fractions of seconds and the policy's white space included."""
        with store.transact("r") as t:
            t.put_key(a_key(description="older"))
        with store.transact("r") as t:
            t.put_key(key)

            assert t.key(REGION, "k1") == key
        with store.view() as view:
            assert view.key(REGION, "k1") == key

    def test_each_record_comes_back_as_it_was_last_put(self, furnished: Store) -> None:
        """Putting what exists replaces it, with all its fields."""
        version, slot = a_version(number=2), replace(a_slot("s1"), kind="env", parameters={"variable": "X"})
        first = replace(
            a_version(handle="anew"),
            material_id="f" * 64,
            rotation=Rotation.PENDING,
            rotated=3.5,
            public_key="cHVibGlj",
            valid_to=4.5,
            description="d\u00e9j\u00e0",
        )
        grant = a_grant(
            grantee="",
            operations=("Sign", "DescribeKey", "CreateGrant"),
            issuer=root_arn(OTHER_ACCOUNT),
            created=3.5,
            name="a name",
            retiring=user_arn(ACCOUNT, "carol"),
            grantee_service="backup.example.com",
            retiring_service="other.example.com",
            context_equals={"b": "2", "a": '"\u00e9\\'},
            context_subset={"": ""},
            source_arn="arn:aws:s3:::bucket",
        )
        offer = replace(an_offer("o1", valid_to=7.5), handle="anew", wrapping_spec="RSA_4096")
        key_store = a_key_store(
            name="other",
            kind=Kind.AWS_CLOUDHSM,
            connection=Connection.FAILED,
            connection_error="INVALID_CREDENTIALS",
            vpc_service="com.example.vpce",
            vpc_owner=OTHER_ACCOUNT,
            cluster="cluster-1",
            trust_anchor="-----BEGIN CERTIFICATE-----\n",
        )
        alias = replace(an_alias(key_id="k2"), updated=3.5)
        principal = a_principal(
            policy="{}",
            enabled=False,
            attached=(READERS, "arn:aws:iam::aws:policy/\u00e9", LIMITS),
            groups=(),
            boundary="",
            tags=(("z", '"\u00e9\\'), ("a", "")),
            trust='{"Statement": [7]}',
            session_seconds=7200,
            sessions_from=2**40,
            mfa="wrapped",
            mfa_step=56_666_666,
        )
        account = Account(id=ACCOUNT, name="d\u00e9j\u00e0", created=3.5)
        declaration = replace(a_declaration(text="kind: policy\n"), created=3.5, updated=4.5)
        provider = a_provider(
            url="https://ID.example.com/",
            audiences=("b", "a", "\u00e9"),
            created=3.5,
            authorities="-----BEGIN CERTIFICATE-----\n",
            keys='{"keys": []}',
            fetched=4.25,
        )
        access_key = replace(an_access_key(), protected="anew", enabled=False)

        with furnished.transact("r") as t:
            t.put_key(a_key("k2"))
            t.add_version(version)
            t.put_version(first)
            t.put_grant(grant)
            t.put_import_offer(offer)
            t.put_key_store(key_store)
            t.put_alias(alias)
            t.put_tag(REGION, "k1", "team", "green")
            t.put_principal(principal)
            t.put_access_key(access_key)
            t.put_account(account)
            t.put_declaration(declaration)
            t.put_provider(provider)
            t.put_account_key(ACCOUNT, "anew")
            t.put_seal_slot(slot)
            t.put_setting("colour", "green")

        with furnished.view() as view:
            assert view.version(REGION, "k1", 1) == first
            assert view.version(REGION, "k1", 2) == version
            assert view.grant(REGION, "k1", "g1") == grant
            assert view.grants(REGION, "k1", None, "", 9) == [grant]
            assert view.import_offer("o1") == offer
            assert view.import_offer("o2") == an_offer("o2", valid_to=9.0)
            assert view.key_store("cks-1") == key_store
            assert view.key_stores(ACCOUNT, REGION, "", 9) == [key_store]
            assert view.alias(ACCOUNT, REGION, "alias/a") == alias
            assert view.tags(REGION, "k1", "", 9) == [("team", "green")]
            assert view.principal(principal.arn) == principal
            assert view.access_key("AKIA1") == access_key
            assert view.access_keys(principal.arn) == [access_key]
            assert view.account(ACCOUNT) == account
            assert view.declaration(ACCOUNT, POLICY, "readers") == declaration
            assert view.provider(provider.arn) == provider
            assert view.account_keys() == {ACCOUNT: "anew"}
            assert view.seal_slots() == [slot, a_slot("s2")]
            assert view.setting("colour") == "green"

    def test_what_is_handed_out_is_the_readers_own(self, furnished: Store) -> None:
        """Who changes a slot's parameters or a grant's contexts changes nothing in the store."""
        slot = a_slot("s1")
        contexts: list[Any] = [{"team": "red"}, {"team": "red"}]
        retiring = user_arn(ACCOUNT, "bob")
        grant = a_grant(context_equals=contexts[0], context_subset=contexts[1], retiring=retiring)
        before = replace(grant, context_equals={"team": "red"}, context_subset={"team": "red"})
        with furnished.transact("r") as t:
            t.put_seal_slot(slot)
            slot.parameters["passes"] = 1
            t.seal_slots()[0].parameters["passes"] = 1
            t.put_grant(grant)
            found = t.grant(REGION, "k1", "g1")
            assert found is not None
            contexts += [found.context_equals, found.context_subset]
            for listed in (t.grants(REGION, "k1", None, "", 9), t.retirable_grants(retiring, REGION, "", 9)):
                contexts += [listed[0].context_equals, listed[0].context_subset]
            for context in contexts:
                context["team"] = "blue"

        with furnished.view() as view:
            assert view.seal_slots()[0] == a_slot("s1")
            assert view.grant(REGION, "k1", "g1") == before

    def test_text_that_is_not_unicode_is_refused(self, furnished: Store) -> None:
        """Half a surrogate pair, which JSON can carry, is the caller's mistake, not the store's failure."""
        half = "\ud83d"
        writes: list[Callable[[Transaction], object]] = [
            lambda t: t.put_key(a_key(description=half)),
            lambda t: t.add_version(a_version(number=2, handle=half)),
            lambda t: t.put_key(a_key(members=(REGION, half))),
            lambda t: t.put_version(a_version(handle=half)),
            lambda t: t.put_grant(a_grant("g2", operations=(half,))),
            lambda t: t.put_grant(a_grant("g2", context_equals={half: "x"})),
            lambda t: t.put_grant(a_grant("g2", context_subset={"x": half})),
            lambda t: t.put_import_offer(replace(an_offer("o3"), handle=half)),
            lambda t: t.put_key_store(a_key_store(name=half)),
            lambda t: t.put_seal_slot(replace(a_slot(), parameters={"path": half})),
            lambda t: t.put_alias(an_alias(f"alias/{half}")),
            lambda t: t.put_tag(REGION, "k1", "team", half),
            lambda t: t.put_principal(replace(a_principal(), policy=half)),
            lambda t: t.put_principal(a_principal(groups=(half,))),
            lambda t: t.put_principal(a_principal(tags=(("team", half),))),
            lambda t: t.put_access_key(replace(an_access_key(), protected=half)),
            lambda t: t.put_account(an_account(name=half)),
            lambda t: t.put_declaration(a_declaration(text=half)),
            lambda t: t.put_provider(a_provider(audiences=(half,))),
            lambda t: t.put_setting("colour", half),
        ]
        with furnished.view() as view:
            before = everything(view)
        for write in writes:
            with furnished.transact("r") as t, pytest.raises(InvalidRequest):
                write(t)

        with furnished.view() as view:
            assert everything(view) == before

    # --- lists ------------------------------------------------------------------------------------------

    def test_lists_come_in_pages_ordered_by_name(self, store: Store) -> None:
        """Names are ordered by code point, a page begins after the last one, and nothing is skipped."""
        with store.transact("r") as t:
            for name in reversed(NAMES):
                t.put_key(a_key(name))
                t.put_alias(an_alias(name, key_id=name))
                t.put_principal(a_principal(name))
                t.put_account_key(name, name)
                t.put_seal_slot(a_slot(name))
                t.put_key_store(a_key_store(name))
                t.put_account(an_account(name))
                t.put_declaration(a_declaration(name))
                t.put_provider(a_provider(name))
            for name in reversed(NAMES):
                t.put_access_key(an_access_key(name, name=NAMES[0]))
                t.put_tag(REGION, NAMES[0], name, name)
                retiring = user_arn(ACCOUNT, "bob")
                t.put_grant(a_grant(name, NAMES[0], retiring=retiring))
            for number in (3, 1, 2):
                t.add_version(a_version(NAMES[0], number))

        def pages(
            read: Callable[[Any, int], list[Any]], name: Callable[[Any], Any], start: object
        ) -> list[Any]:
            found, after = [], start
            while page := read(after, 2):
                assert len(page) <= 2
                found += [name(row) for row in page]
                after = found[-1]
            return found

        with store.view() as v:
            arns = [user_arn(ACCOUNT, name) for name in NAMES]
            assert pages(lambda a, n: v.keys(ACCOUNT, REGION, a, n), lambda k: k.id, "") == NAMES
            assert pages(lambda a, n: v.aliases(ACCOUNT, REGION, None, a, n), lambda x: x.name, "") == NAMES
            assert pages(lambda a, n: v.tags(REGION, NAMES[0], a, n), lambda tag: tag[0], "") == NAMES
            assert pages(lambda a, n: v.principals(ACCOUNT, a, n), lambda p: p.arn, "") == arns
            assert pages(lambda a, n: v.members(OPERATORS, a, n), lambda p: p.arn, "") == arns
            assert [p.arn for p in v.principals_under(READERS, 99)] == arns
            assert [p.arn for p in v.principals_under(LIMITS, 2)] == arns[:2]
            assert pages(v.accounts, lambda x: x.id, "") == NAMES
            assert pages(lambda a, n: v.declarations(ACCOUNT, POLICY, a, n), lambda d: d.name, "") == NAMES
            issuers = [a_provider(name).arn for name in NAMES]
            assert pages(lambda a, n: v.providers(ACCOUNT, a, n), lambda p: p.arn, "") == issuers
            assert pages(lambda a, n: v.versions(REGION, NAMES[0], a, n), lambda x: x.number, 0) == [1, 2, 3]
            alice, bob = user_arn(ACCOUNT, "alice"), user_arn(ACCOUNT, "bob")
            assert pages(lambda a, n: v.grants(REGION, NAMES[0], None, a, n), lambda g: g.id, "") == NAMES
            assert pages(lambda a, n: v.grants(REGION, NAMES[0], alice, a, n), lambda g: g.id, "") == NAMES
            assert pages(lambda a, n: v.retirable_grants(bob, REGION, a, n), lambda g: g.id, "") == NAMES
            assert pages(lambda a, n: v.key_stores(ACCOUNT, REGION, a, n), lambda s: s.id, "") == NAMES
            assert [key.id for key in v.access_keys(arns[0])] == NAMES
            assert list(v.account_keys()) == NAMES
            assert [slot.id for slot in v.seal_slots()] == NAMES

    def test_lists_keep_to_their_owner(self, furnished: Store) -> None:
        """Another account's, region's, key's or principal's things are not in a list."""
        with furnished.transact("r") as t:
            t.put_key(a_key("k2", account=OTHER_ACCOUNT))
            t.put_key(a_key("k3", region=OTHER_REGION))
            t.put_alias(an_alias("alias/b", key_id="k2", account=OTHER_ACCOUNT))
            t.put_alias(an_alias("alias/c", key_id="k3", region=OTHER_REGION))
            t.add_version(a_version("k2"))
            t.put_tag(REGION, "k2", "team", "blue")
            t.put_grant(a_grant("g2", "k2"))
            t.put_key_store(a_key_store("cks-2", account=OTHER_ACCOUNT))
            t.put_key_store(a_key_store("cks-3", region=OTHER_REGION))
            t.put_principal(a_principal("bob", account=OTHER_ACCOUNT))
            t.put_principal(a_principal("carol"))
            t.put_access_key(an_access_key("AKIA2", name="carol"))
            t.put_declaration(a_declaration("writers", account=OTHER_ACCOUNT))
            t.put_provider(a_provider(account=OTHER_ACCOUNT))

        with furnished.view() as v:
            assert v.keys(ACCOUNT, REGION, "", 9) == [a_key()]
            assert v.aliases(ACCOUNT, REGION, None, "", 9) == [an_alias()]
            assert v.versions(REGION, "k1", 0, 9) == [a_version()]
            assert v.last_version(REGION, "k2") == a_version("k2")
            assert v.tags(REGION, "k1", "", 9) == [("team", "red")]
            assert [grant.id for grant in v.grants(REGION, "k1", None, "", 9)] == ["g1"]
            assert v.grant(REGION, "k1", "g2") is None
            assert v.key_stores(ACCOUNT, REGION, "", 9) == [a_key_store()]
            assert v.principals(ACCOUNT, "", 9) == [a_principal(), a_principal("carol")]
            assert v.access_keys(a_principal().arn) == [an_access_key()]
            assert v.alias(OTHER_ACCOUNT, REGION, "alias/a") is None
            assert v.declarations(ACCOUNT, POLICY, "", 9) == [a_declaration()]
            assert v.declarations(ACCOUNT, GUARDRAIL, "", 9) == [a_declaration("ceiling", GUARDRAIL)]
            assert v.declaration(ACCOUNT, GUARDRAIL, "readers") is None
            assert v.declaration(OTHER_ACCOUNT, POLICY, "readers") is None
            assert v.providers(ACCOUNT, "", 9) == [a_provider()]

    def test_the_aliases_of_one_key(self, furnished: Store) -> None:
        """Asked for one key's aliases, the store gives those in their order and no others."""
        with furnished.transact("r") as t:
            t.put_key(a_key("k2"))
            for name, key_id in (("alias/c", "k1"), ("alias/b", "k2"), ("alias/d", "k1")):
                t.put_alias(an_alias(name, key_id=key_id))

        with furnished.view() as v:
            assert [a.name for a in v.aliases(ACCOUNT, REGION, "k1", "", 2)] == ["alias/a", "alias/c"]
            assert [a.name for a in v.aliases(ACCOUNT, REGION, "k1", "alias/c", 2)] == ["alias/d"]
            assert [a.name for a in v.aliases(ACCOUNT, REGION, "k2", "", 9)] == ["alias/b"]
            assert v.aliases(ACCOUNT, REGION, "nothing", "", 9) == []
            assert v.aliases(OTHER_ACCOUNT, REGION, "k1", "", 9) == []

    def test_the_grants_of_one_grantee(self, furnished: Store) -> None:
        """A grantee is a principal or a service; asked for one, the store gives its grants in order."""
        bob, service = user_arn(ACCOUNT, "bob"), "backup.example.com"
        with furnished.transact("r") as t:
            for grant_id in ("g4", "g2"):
                t.put_grant(a_grant(grant_id, grantee=bob))
            for grant_id in ("g5", "g3"):
                t.put_grant(a_grant(grant_id, grantee="", grantee_service=service))
            t.put_grant(a_grant("g6", grantee=service, grantee_service=service))
            t.put_grant(a_grant("g7", grantee=service))

        def ids(grantee: str | None, after: str = "", limit: int = 9) -> list[str]:
            return [grant.id for grant in v.grants(REGION, "k1", grantee, after, limit)]

        with furnished.view() as v:
            assert ids(None) == ["g1", "g2", "g3", "g4", "g5", "g6", "g7"]
            assert ids(None, "g5", 1) == ["g6"]
            assert ids(bob) == ["g2", "g4"]
            assert ids(bob, "g2") == ["g4"]
            assert ids(service) == ["g3", "g5", "g6", "g7"]
            assert ids(service, "g3", 2) == ["g5", "g6"]
            assert ids("nobody") == []
            assert ids("") == []

    def test_all_grants_of_a_principal_and_how_many_a_key_has(self, furnished: Store) -> None:
        """A principal's grants are found whatever key they are on, in the order of the keys."""
        bob = user_arn(ACCOUNT, "bob")
        with furnished.transact("r") as t:
            t.put_key(a_key("k2"))
            for grant in (a_grant("g4", grantee=bob), a_grant("g2", key_id="k2", grantee=bob)):
                t.put_grant(grant)
            t.put_grant(a_grant("g5", grantee="", grantee_service=bob))
        with furnished.view() as v:
            assert [(grant.key_id, grant.id) for grant in v.grants_to(bob, 9)] == [("k1", "g4"), ("k2", "g2")]
            assert [grant.id for grant in v.grants_to(bob, 1)] == ["g4"]
            assert v.grants_to("nobody", 9) == []
            counted = [v.count_grants(REGION, key_id) for key_id in ("k1", "k2", "nothing")]
            assert counted == [3, 1, 0]

    def test_a_roles_grants_are_those_of_its_sessions_too(self, furnished: Store) -> None:
        """After its own, and none of a role whose name only begins so, of another account, or of a user."""
        role = role_arn(ACCOUNT, "a")
        mine = [session_arn(ACCOUNT, "a", "ci-7"), session_arn(ACCOUNT, "a", "ci/8"), role]
        others = [
            role_arn(ACCOUNT, "ab"),
            session_arn(ACCOUNT, "ab", "ci-7"),
            session_arn(ACCOUNT, "A", "ci-7"),
            session_arn(OTHER_ACCOUNT, "a", "ci-7"),
            session_arn(ACCOUNT, "a", "")[:-1],  # nobody's
            user_arn(ACCOUNT, "a"),
            "",
        ]
        with furnished.transact("r") as t:
            t.put_key(a_key("k2"))
            for number, arn in enumerate([*mine, *others]):
                t.put_grant(a_grant(f"to{number}", ("k1", "k2")[number % 2], grantee=arn))
                t.put_grant(a_grant(f"by{number}", ("k1", "k2")[number % 2], retiring=arn))
            t.put_grant(a_grant("s", grantee="", grantee_service=role, retiring_service=mine[0]))
        with furnished.view() as v:
            for limit in (1, 2, 9):
                assert [g.id for g in v.grants_to(role, limit)] == ["to2", "to0", "to1"][:limit]
                assert [g.id for g in v.grants_retired_by(role, limit)] == ["by2", "by0", "by1"][:limit]
            for arn in (*mine[:2], *others[1:-1]):
                assert [g.grantee for g in v.grants_to(arn, 9)] == [arn]
                assert [g.retiring for g in v.grants_retired_by(arn, 9)] == [arn]

    def test_what_a_principal_may_retire_in_all_regions(self, furnished: Store) -> None:
        """Whatever key and Region it is in; nobody may retire what a service may."""
        carol = user_arn(ACCOUNT, "carol")
        with furnished.transact("r") as t:
            t.put_key(a_key("k2"))
            t.put_key(a_key(region=OTHER_REGION))
            t.put_grant(a_grant("g4", retiring=carol))
            t.put_grant(a_grant("g3", "k2", retiring=carol))
            t.put_grant(a_grant("g2", retiring_service=carol))
            t.put_grant(a_grant("g9", region=OTHER_REGION, retiring=carol))
        with furnished.view() as v:
            assert sorted(grant.id for grant in v.grants_retired_by(carol, 9)) == ["g3", "g4", "g9"]
            assert len(v.grants_retired_by(carol, 2)) == 2
            assert v.grants_retired_by(user_arn(ACCOUNT, "alice"), 9) == []

    def test_the_grants_that_somebody_may_retire(self, furnished: Store) -> None:
        """Those of all keys in one Region, by id, whether it is named as a principal or as a service."""
        carol, service = user_arn(ACCOUNT, "carol"), "backup.example.com"
        with furnished.transact("r") as t:
            t.put_key(a_key("k0", account=OTHER_ACCOUNT))
            t.put_key(a_key(region=OTHER_REGION))
            t.put_grant(a_grant("g4", "k0", retiring=carol))
            t.put_grant(a_grant("g5", retiring=carol))
            t.put_grant(a_grant("g2", retiring=carol, retiring_service=service))
            t.put_grant(a_grant("g3", "k0", retiring_service=service))
            t.put_grant(a_grant("g6", retiring=service, retiring_service=service))
            t.put_grant(a_grant("g9", region=OTHER_REGION, retiring=carol))

        def ids(retiring: str, region: str = REGION, after: str = "", limit: int = 9) -> list[str]:
            return [grant.id for grant in v.retirable_grants(retiring, region, after, limit)]

        with furnished.view() as v:
            assert ids(carol) == ["g2", "g4", "g5"]
            assert ids(carol, after="g2", limit=1) == ["g4"]
            assert ids(carol, OTHER_REGION) == ["g9"]
            assert ids(service) == ["g2", "g3", "g6"]
            assert ids(service, after="g2", limit=1) == ["g3"]
            assert ids(user_arn(ACCOUNT, "alice")) == []
            assert ids("") == []

    def test_the_members_of_a_group(self, furnished: Store) -> None:
        """Whoever says that it is in the group, of whatever account, in the order of their ARNs; and nobody else."""
        group = principal_arn(ACCOUNT, GROUP, "auditors")
        with furnished.transact("r") as t:
            t.put_principal(a_principal("dave", groups=(group, OPERATORS)))
            t.put_principal(a_principal("carol", groups=(group,)))
            t.put_principal(a_principal("bob", OTHER_ACCOUNT, groups=(group,)))
            t.put_principal(a_principal("erin", groups=(), attached=(group,), boundary=group))

            assert [p.name for p in t.members(group, "", 9)] == ["carol", "dave", "bob"]

        with furnished.view() as v:
            assert [p.name for p in v.members(OPERATORS, "", 9)] == ["alice", "dave"]
            assert v.members(group, user_arn(ACCOUNT, "carol"), 1) == [
                a_principal("dave", groups=(group, OPERATORS))
            ]
            assert v.members("", "", 9) == []
        with furnished.transact("r") as t:
            t.put_principal(a_principal("dave", groups=()))
            t.delete_principal(user_arn(ACCOUNT, "carol"))
        with furnished.view() as v:
            assert [p.name for p in v.members(group, "", 9)] == ["bob"]
            assert [p.name for p in v.members(OPERATORS, "", 9)] == ["alice"]

    def test_the_principals_under_a_policy(self, furnished: Store) -> None:
        """Those that it is attached to and those whose boundary it is, each once; and nobody else."""
        with furnished.transact("r") as t:
            t.put_principal(a_principal("dave", attached=(LIMITS, READERS), boundary=READERS))
            t.put_principal(a_principal("carol", attached=(), boundary=READERS))
            t.put_principal(a_principal("bob", OTHER_ACCOUNT, attached=(READERS,), boundary=""))
            t.put_principal(a_principal("erin", attached=(), boundary="", groups=(READERS,)))

            assert [p.name for p in t.principals_under(READERS, 9)] == ["alice", "carol", "dave", "bob"]

        with furnished.view() as v:
            assert [p.name for p in v.principals_under(READERS, 3)] == ["alice", "carol", "dave"]
            assert [p.name for p in v.principals_under(LIMITS, 9)] == ["alice", "dave"]
            assert v.principals_under("", 9) == []
        with furnished.transact("r") as t:
            t.put_principal(a_principal("dave", attached=(LIMITS,), boundary=""))
            t.delete_principal(user_arn(ACCOUNT, "carol"))
        with furnished.view() as v:
            assert [p.name for p in v.principals_under(READERS, 9)] == ["alice", "bob"]
            assert [p.name for p in v.principals_under(LIMITS, 9)] == ["alice", "dave"]

    def test_a_principal_that_comes_back_has_nothing_of_the_old(self, furnished: Store) -> None:
        """A deleted principal's groups and policies are gone with it, and do not wait for the next of its name."""
        with furnished.transact("r") as t:
            t.delete_principal(a_principal().arn)
            t.put_principal(a_principal(attached=(), groups=(), boundary=""))

        with furnished.view() as v:
            assert v.members(OPERATORS, "", 9) == []
            assert [v.principals_under(policy, 9) for policy in (READERS, LIMITS)] == [[], []]

    def test_the_installations_own_account_is_in_no_list(self, furnished: Store) -> None:
        """Asked for by its id it is there, with declarations of its own."""
        own, guardrail = an_account(INSTALLATION, "service"), a_declaration("x", GUARDRAIL, INSTALLATION)
        with furnished.transact("r") as t:
            t.put_account(own)
            t.put_account(an_account(OTHER_ACCOUNT, "other"))
            t.put_declaration(guardrail)

        with furnished.view() as v:
            assert v.account(INSTALLATION) == own
            assert v.accounts("", 9) == [an_account(), an_account(OTHER_ACCOUNT, "other")]
            assert v.accounts("", 1) == [an_account()]
            assert v.declarations(INSTALLATION, GUARDRAIL, "", 9) == [guardrail]

    def test_one_name_is_a_declaration_of_each_kind(self, furnished: Store) -> None:
        """A policy, a guardrail, a template and a revision may be called the same; one goes without the others."""
        declared = [a_declaration("same", kind, text=kind.value) for kind in DeclarationKind]
        with furnished.transact("r") as t:
            for declaration in declared:
                t.put_declaration(declaration)
        with furnished.view() as v:
            assert [v.declaration(ACCOUNT, kind, "same") for kind in DeclarationKind] == declared
        with furnished.transact("r") as t:
            t.delete_declaration(ACCOUNT, POLICY, "same")

        with furnished.view() as v:
            kept = [v.declaration(ACCOUNT, kind, "same") for kind in DeclarationKind]
            assert kept == [None, *declared[1:]]

    def test_the_feed_names_all_guardrails_of_an_account_alike(self, furnished: Store) -> None:
        """Whoever keeps an account's guardrails forgets them all at once, when one comes as when one goes."""
        with furnished.transact("two") as t:
            t.put_declaration(a_declaration("one", GUARDRAIL))
            t.put_declaration(a_declaration("other", GUARDRAIL))
        with furnished.transact("both") as t:
            t.delete_declaration(ACCOUNT, GUARDRAIL, "one")
            t.put_declaration(a_declaration("other", DeclarationKind.TEMPLATE))

        with furnished.view() as v:
            told = [(c.request, c.kind, c.ref) for c in v.changes(0, 99) or [] if c.request != "furnish"]
            assert told == [
                ("two", "declaration", f"{ACCOUNT}/guardrail"),
                ("both", "declaration", f"{ACCOUNT}/guardrail"),
                ("both", "declaration", f"{ACCOUNT}/template/other"),
            ]

    def test_the_keys_of_a_key_store(self, furnished: Store) -> None:
        """By id, without destroyed ones; an ordinary key is in none."""
        with furnished.transact("r") as t:
            for key_id in ("k4", "k2", "k3"):
                t.put_key(a_key(key_id, key_store="cks-1"))
            t.put_key(a_key("k5", key_store="cks-2"))
            t.put_key(a_key("k6", key_store="cks-1", state=State.DESTROYED))

        with furnished.view() as v:
            assert [key.id for key in v.keys_in_store("cks-1", "", 9)] == ["k2", "k3", "k4"]
            assert [key.id for key in v.keys_in_store("cks-1", "k2", 1)] == ["k3"]
            assert v.keys_in_store("nothing", "", 9) == []
            assert v.keys_in_store("", "", 9) == []

    def test_the_last_version_may_be_pending(self, furnished: Store) -> None:
        """It is the one with the highest number, whichever the key uses."""
        with furnished.transact("r") as t:
            t.add_version(a_version(number=10))
            t.add_version(a_version(number=9))

        with furnished.view() as v:
            assert v.last_version(REGION, "k1") == a_version(number=10)
            assert v.last_version(REGION, "nothing") is None

    def test_members_of_one_id_are_separate_keys(self, furnished: Store) -> None:
        """Two Regions' keys with one id share nothing: versions, tags, aliases, grants, changes."""
        there = a_key(region=OTHER_REGION, members=(REGION, OTHER_REGION), description="there")
        version = a_version(handle="there", region=OTHER_REGION)
        alias = an_alias(region=OTHER_REGION)
        grant = a_grant(region=OTHER_REGION, name="there")
        with furnished.view() as v:
            here = everything(v)
        with furnished.transact("there") as t:
            t.put_key(there)
            t.add_version(version)
            t.put_alias(alias)
            t.put_tag(OTHER_REGION, "k1", "team", "blue")
            t.put_grant(grant)

        # What spans the Regions: the epoch, and all grants of a principal.
        epoch = {name: here[name] for name in ("newest_change", "changes", "grants_to")}
        with furnished.view() as v:
            assert everything(v) | epoch == here
            assert v.key(OTHER_REGION, "k1") == there
            assert v.keys(ACCOUNT, OTHER_REGION, "", 9) == [there]
            assert v.version(OTHER_REGION, "k1", 1) == version
            assert v.versions(OTHER_REGION, "k1", 0, 9) == [version]
            assert v.last_version(OTHER_REGION, "k1") == version
            assert v.aliases(ACCOUNT, OTHER_REGION, "k1", "", 9) == [alias]
            assert v.tags(OTHER_REGION, "k1", "", 9) == [("team", "blue")]
            assert v.grant(OTHER_REGION, "k1", "g1") == grant
            assert v.grants(OTHER_REGION, "k1", None, "", 9) == [grant]
            refs = [change.ref for change in v.changes(0, 99) or [] if change.request == "there"]
            assert refs == [there.ref, alias.arn, there.ref]

        with furnished.transact("r") as t:
            assert t.erase_versions(REGION, "k1") == [a_version()]
            t.put_version(a_version(handle="again"))
            t.delete_tag(REGION, "k1", "team")
            t.delete_alias(ACCOUNT, REGION, "alias/a")
            t.delete_grant(REGION, "k1", "g1")
        with furnished.view() as v:
            assert v.versions(OTHER_REGION, "k1", 0, 9) == [version]
            assert v.alias(ACCOUNT, OTHER_REGION, "alias/a") == alias
            assert v.tags(OTHER_REGION, "k1", "", 9) == [("team", "blue")]
            assert v.grants(OTHER_REGION, "k1", None, "", 9) == [grant]
            assert v.key(REGION, "k1") == a_key()

    def test_a_destroyed_key_stays_as_a_tombstone(self, furnished: Store) -> None:
        """Its row is found by id for ever, so that the id is never used again, but no list shows it."""
        gone = a_key(
            state=State.DESTROYED,
            deletion_date=5.0,
            rotation_period_days=90,
            next_rotation=5.0,
            expires=5.0,
            key_store="cks-1",
        )
        with furnished.transact("r") as t:
            t.put_key(gone)

        with furnished.view() as v:
            assert v.key(REGION, "k1") == gone
            assert v.keys(ACCOUNT, REGION, "", 9) == []
            assert v.keys_to_destroy(9.0, 9) == []
            assert v.keys_to_rotate(9.0, 9) == []
            assert v.keys_to_expire(9.0, 9) == []
            assert v.keys_in_store("cks-1", "", 9) == []

    def test_keys_whose_deletion_is_due(self, store: Store) -> None:
        """Only keys pending deletion whose date has come, oldest date first, whatever the account."""
        pending = State.PENDING_DELETION
        with store.transact("r") as t:
            t.put_key(a_key("b", state=pending, deletion_date=20.0))
            t.put_key(a_key("a", state=pending, deletion_date=20.0, account=OTHER_ACCOUNT))
            t.put_key(a_key("c", state=pending, deletion_date=10.0))
            t.put_key(a_key("d", state=pending, deletion_date=20.5))
            t.put_key(a_key("e", state=pending))
            t.put_key(a_key("f", state=State.DISABLED, deletion_date=10.0))

        with store.view() as v:
            assert [key.id for key in v.keys_to_destroy(20.0, 9)] == ["c", "a", "b"]
            assert [key.id for key in v.keys_to_destroy(20.0, 2)] == ["c", "a"]
            assert v.keys_to_destroy(9.0, 9) == []

    def test_keys_whose_rotation_is_due(self, store: Store) -> None:
        """Only enabled keys with automatic rotation whose date has come, oldest date first."""
        on = {"rotation_period_days": 90}
        with store.transact("r") as t:
            t.put_key(a_key("b", next_rotation=20.0, **on))
            t.put_key(a_key("a", next_rotation=20.0, **on))
            t.put_key(a_key("c", next_rotation=10.0, **on))
            t.put_key(a_key("d", next_rotation=20.5, **on))
            t.put_key(a_key("e", next_rotation=10.0))
            t.put_key(a_key("f", **on))
            t.put_key(a_key("g", next_rotation=10.0, state=State.DISABLED, **on))

        with store.view() as v:
            assert [key.id for key in v.keys_to_rotate(20.0, 9)] == ["c", "a", "b"]
            assert [key.id for key in v.keys_to_rotate(20.0, 1)] == ["c"]

    def test_keys_whose_material_expires(self, store: Store) -> None:
        """Keys whose date has come, oldest date first, whatever the account and the state but the last."""
        with store.transact("r") as t:
            t.put_key(a_key("b", expires=20.0, state=State.DISABLED))
            t.put_key(a_key("a", expires=20.0, account=OTHER_ACCOUNT))
            t.put_key(a_key("a", expires=20.0, region=OTHER_REGION))
            t.put_key(a_key("c", expires=10.0, state=State.PENDING_DELETION, deletion_date=1.0))
            t.put_key(a_key("d", expires=20.5))
            t.put_key(a_key("e"))
            t.put_key(a_key("f", expires=10.0, state=State.DESTROYED))

        with store.view() as v:
            due = [(key.region, key.id) for key in v.keys_to_expire(20.0, 9)]
            assert due == [(REGION, "c"), (REGION, "a"), (REGION, "b"), (OTHER_REGION, "a")]
            assert [key.id for key in v.keys_to_expire(20.0, 2)] == ["c", "a"]
            assert v.keys_to_expire(9.0, 9) == []

    def test_offers_go_when_their_time_is_over(self, furnished: Store) -> None:
        """Oldest first, each with its line in the feed; one that is good until that very moment stays."""
        with furnished.transact("r") as t:
            for offer_id, valid_to in (("o3", 20.0), ("o5", 8.0), ("o4", 9.0)):
                t.put_import_offer(an_offer(offer_id, valid_to))
        with furnished.transact("sweep") as t:
            t.delete_import_offers(20.0)

        with furnished.view() as v:
            assert [v.import_offer(each) for each in ("o2", "o4", "o5")] == [None, None, None]
            assert v.import_offer("o1") == an_offer("o1")
            assert v.import_offer("o3") == an_offer("o3", 20.0)
            gone = [change.ref for change in v.changes(0, 99) or [] if change.request == "sweep"]
            assert gone == ["o5", "o2", "o4"]

    # --- what may not be --------------------------------------------------------------------------------

    def test_a_version_number_is_never_used_twice(self, furnished: Store) -> None:
        """Not with other material, not after it was erased; and the transaction may go on."""
        with furnished.transact("r") as t:
            t.erase_versions(REGION, "k1")
            with pytest.raises(AlreadyExists):
                t.add_version(a_version(handle="other"))
            t.add_version(a_version(number=2))

        with furnished.view() as v:
            assert [(x.number, x.handle) for x in v.versions(REGION, "k1", 0, 9)] == [(1, ""), (2, "handle")]

    def test_a_version_that_is_not_there_has_no_new_form(self, furnished: Store) -> None:
        """Putting a version changes one that exists; the transaction may go on."""
        with furnished.transact("r") as t:
            for version in (a_version(number=2), a_version("k2"), a_version(region=OTHER_REGION)):
                with pytest.raises(NotFound):
                    t.put_version(version)

        with furnished.view() as v:
            assert v.versions(REGION, "k1", 0, 9) == [a_version()]
            assert not v.changed_by("r")

    def test_a_handle_may_come_back(self, furnished: Store) -> None:
        """Imported material is deleted and imported again: its version loses its handle and gets another."""
        for handle in ("", "anew", "anew", "other"):
            with furnished.transact("r") as t:
                t.put_version(a_version(handle=handle))
            with furnished.view() as v:
                assert v.version(REGION, "k1", 1) == a_version(handle=handle)

    def test_erasing_forgets_every_handle(self, furnished: Store) -> None:
        """The versions are returned as they were, so that the custodian can destroy what they name."""
        with furnished.transact("r") as t:
            t.add_version(a_version(number=2, handle="second"))
        with furnished.transact("r") as t:
            assert t.erase_versions(REGION, "k1") == [a_version(), a_version(number=2, handle="second")]

        with furnished.transact("r2") as t:
            erased = [a_version(handle=""), a_version(number=2, handle="")]
            assert t.versions(REGION, "k1", 0, 9) == erased
            assert t.erase_versions(REGION, "k1") == erased
        with furnished.view() as v:
            assert not v.changed_by("r2")

    def test_a_subject_is_there_once(self, furnished: Store) -> None:
        """Neither another value gets a subject's commitment, nor a value two of them."""
        for other in (replace(a_subject("1"), lookup="l9"), replace(a_subject("9"), lookup="l1")):
            with pytest.raises(AlreadyExists), furnished.transact("r") as t:
                t.add_subject(other)
        with furnished.view() as v:
            assert v.subjects("source", "", 10) == [a_subject("1")]

    def test_an_erased_subject_is_found_by_nothing(self, furnished: Store) -> None:
        """Its value may come back, as another subject; until then there is room for one more."""
        with furnished.transact("r") as t:
            t.erase_subject("sha256:1")
            assert t.room_for_subjects(2)
            assert t.subject("l1") is None
        with furnished.view() as v:
            assert (v.subject("l1"), v.subject_of("sha256:1"), v.subjects("source", "", 10)) == (
                None,
                None,
                [],
            )
            assert v.subjects("source_identity", "", 10) == [a_subject("2", "source_identity")]
        again = replace(a_subject("5"), lookup="l1")
        with furnished.transact("r") as t:
            t.add_subject(again)
        with furnished.view() as v:
            assert v.subject("l1") == v.subject_of("sha256:5") == again
            assert not v.room_for_subjects(2)

    def test_subjects_come_in_pages(self, furnished: Store) -> None:
        """By commitment, and those of one member only."""
        with furnished.transact("r") as t:
            for name in ("4", "3"):
                t.add_subject(a_subject(name))
        with furnished.view() as v:
            assert [each.commitment for each in v.subjects("source", "", 2)] == ["sha256:1", "sha256:3"]
            assert [each.commitment for each in v.subjects("source", "sha256:3", 2)] == ["sha256:4"]

    def test_the_last_seal_slot_cannot_go(self, furnished: Store) -> None:
        """Without a slot nothing opens the root key, so the last one stays."""
        with furnished.transact("r") as t:
            t.delete_seal_slot("s1")
            with pytest.raises(InvalidRequest):
                t.delete_seal_slot("s2")

        with furnished.view() as v:
            assert v.seal_slots() == [a_slot("s2")]

    def test_nothing_refers_to_what_is_not_there(self, furnished: Store) -> None:
        """A version, alias, tag, grant or access key of nothing is refused; the transaction may go on."""
        writes: list[Callable[[Transaction], object]] = [
            lambda t: t.add_version(a_version("nothing")),
            lambda t: t.put_alias(an_alias(key_id="nothing")),
            lambda t: t.put_tag(REGION, "nothing", "team", "red"),
            lambda t: t.put_grant(a_grant("g2", "nothing")),
            lambda t: t.add_version(a_version(number=2, region=OTHER_REGION)),
            lambda t: t.put_alias(an_alias("alias/b", region=OTHER_REGION)),
            lambda t: t.put_tag(OTHER_REGION, "k1", "team", "red"),
            lambda t: t.put_grant(a_grant("g2", region=OTHER_REGION)),
            lambda t: t.put_access_key(an_access_key("AKIA2", name="nobody")),
        ]
        with furnished.transact("r") as t:
            for write in writes:
                with pytest.raises(NotFound):
                    write(t)
            t.put_tag(REGION, "k1", "team", "blue")

        with furnished.view() as v:
            assert v.tags(REGION, "k1", "", 9) == [("team", "blue")]
            assert [change.ref for change in v.changes(0, 99) or [] if change.request == "r"] == [K1]

    def test_a_principal_goes_with_its_access_keys(self, furnished: Store) -> None:
        """No credential outlives whom it stood for, and nobody else's goes with it."""
        with furnished.transact("r") as t:
            t.put_access_key(an_access_key("AKIA0"))
            t.put_principal(a_principal("bob"))
            t.put_access_key(an_access_key("AKIA9", name="bob"))
            t.delete_principal(a_principal().arn)

        with furnished.view() as v:
            assert v.principal(a_principal().arn) is None
            assert v.access_keys(a_principal().arn) == []
            assert [v.access_key(each) for each in ("AKIA0", "AKIA1")] == [None, None]
            assert v.access_key("AKIA9") == an_access_key("AKIA9", name="bob")

    # --- transactions -----------------------------------------------------------------------------------

    def test_an_exception_undoes_all_of_it(self, furnished: Store) -> None:
        """After an exception inside, of whatever class, nothing is different: rows, epoch, change feed."""

        class Surprise(BaseException):
            pass

        with furnished.view() as view:
            before = everything(view)

        def fail(error: BaseException) -> None:
            with furnished.transact("undone") as t:
                for write, _ in WRITES.values():
                    write(t)
                raise error

        for error in (ValueError("x"), NotFound("x"), Surprise()):
            with pytest.raises(type(error)) as raised:
                fail(error)
            assert raised.value is error

        with furnished.view() as view:
            assert everything(view) == before
            assert not view.changed_by("undone")

    def test_a_transaction_reads_what_it_wrote(self, furnished: Store) -> None:
        """Inside it the new is there already, epoch included; outside it is not, until the block ends."""
        with furnished.transact("r") as t:
            epoch = t.newest_change()
            t.put_setting("colour", "blue")

            assert t.setting("colour") == "blue"
            assert t.newest_change() == epoch + 1
            assert t.changed_by("r")
            with furnished.view() as view:
                assert view.setting("colour") == "red"
                assert view.newest_change() == epoch
        with furnished.view() as view:
            assert view.setting("colour") == "blue"

    def test_a_view_stands_still(self, furnished: Store) -> None:
        """Once it has been asked something, a view does not see what is committed after."""
        with furnished.view() as view:
            before = everything(view)
            with furnished.transact("r") as t:
                for write, _ in WRITES.values():
                    write(t)

            assert everything(view) == before
        with furnished.view() as view:
            assert everything(view) != before

    @pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS.keys())
    def test_a_view_ends_with_its_block(self, furnished: Store, ask: Callable[[View], object]) -> None:
        """Used after its block it raises, instead of reading something from another moment."""
        with furnished.view() as view:
            ask(view)

        with pytest.raises(StoreUnavailable):
            ask(view)

    @pytest.mark.parametrize("write", [write for write, _ in WRITES.values()], ids=WRITES.keys())
    def test_a_transaction_ends_with_its_block(
        self, furnished: Store, write: Callable[[Transaction], object]
    ) -> None:
        """Used after its block it raises, and nothing is written."""
        with furnished.transact("r") as t:
            pass
        with furnished.view() as view:
            before = everything(view)

        with pytest.raises(StoreUnavailable):
            write(t)

        with furnished.view() as view:
            assert everything(view) == before

    def test_writers_are_serial(self, store: Store) -> None:
        """What a transaction has read still holds when it writes: no increment of many threads is lost."""

        def increment(number: int) -> None:
            with store.transact(f"r{number}") as t:
                t.put_setting("count", str(int(t.setting("count") or "0") + 1))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(increment, range(64)))

        with store.view() as view:
            assert view.setting("count") == "64"
            assert view.newest_change() == 64

    def test_views_do_not_wait_for_a_writer(self, furnished: Store) -> None:
        """Many threads read while a transaction is open, each the state before it."""
        with furnished.transact("r") as t:
            t.put_setting("colour", "blue")

            def read(_: int) -> str | None:
                with furnished.view() as view:
                    return view.setting("colour")

            with ThreadPoolExecutor(8) as pool:
                assert set(pool.map(read, range(64))) == {"red"}

    # --- the change feed --------------------------------------------------------------------------------

    @pytest.mark.parametrize(("write", "expected"), WRITES.values(), ids=WRITES.keys())
    def test_every_write_appends_its_change(
        self, furnished: Store, write: Callable[[Transaction], object], expected: list[tuple[str, str]]
    ) -> None:
        """The change comes with the write and says what changed and whose request it was; once, not twice."""
        with furnished.view() as view:
            epoch = view.newest_change()
        with furnished.transact("the-request") as t:
            write(t)
            if write not in (WRITES["add_version"][0], WRITES["add_subject"][0]):  # what is not repeated
                write(t)

        with furnished.view() as view:
            assert view.changes(epoch, 100) == [
                Change(epoch + number, kind, ref, "the-request")
                for number, (kind, ref) in enumerate(expected, start=1)
            ]
            assert view.newest_change() == epoch + len(expected)
            assert view.changed_by("the-request") is bool(expected)

    def test_a_mark_is_stored_and_not_told_of(self, furnished: Store) -> None:
        """It is read as a setting, the newest one counts, and nobody's epoch passes for it."""
        with furnished.view() as view:
            epoch = view.newest_change()
        for value in ("high", "low"):
            with furnished.transact("marking") as t:
                t.put_mark("tide", value)
                assert t.setting("tide") == value

        with furnished.view() as view:
            assert view.setting("tide") == "low"
            assert view.newest_change() == epoch
            assert not view.changed_by("marking")

    @pytest.mark.parametrize("write", IDLE.values(), ids=IDLE.keys())
    def test_what_changes_nothing_appends_nothing(
        self, furnished: Store, write: Callable[[Transaction], object]
    ) -> None:
        """Removing what is not there succeeds, and no epoch passes for it."""
        with furnished.view() as view:
            epoch = view.newest_change()
        with furnished.transact("idle") as t:
            write(t)

        with furnished.view() as view:
            assert view.newest_change() == epoch
            assert not view.changed_by("idle")

    def test_the_feed_comes_in_pages(self, store: Store) -> None:
        """Changes are numbered in the order of their commits and read from any number on."""
        for number in range(1, 6):
            with store.transact(f"r{number}") as t:
                t.put_setting(f"s{number}", "x")
        feed = [Change(number, "setting", f"s{number}", f"r{number}") for number in range(1, 6)]

        with store.view() as view:
            assert view.changes(0, 9) == feed
            assert view.changes(1, 2) == feed[1:3]
            assert view.changes(5, 9) == []

    def test_a_number_from_the_future_is_not_kept(self, store: Store) -> None:
        """A reader who remembers more than the store does (it was restored) starts from an empty cache."""
        with store.view() as view:
            assert view.changes(0, 9) == []
            assert view.changes(1, 9) is None

    # --- the pulse --------------------------------------------------------------------------------------

    def test_the_pulse_differs_after_a_commit(self, store: Store) -> None:
        """Whichever thread commits; and it stays the same as long as nobody does."""
        pulses = [store.pulse()]

        def write() -> None:
            with store.transact("r") as t:
                t.put_setting("colour", "blue")

        write()
        pulses.append(store.pulse())
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        pulses.append(store.pulse())

        assert len(set(pulses)) == 3
        with store.view() as view:
            view.setting("colour")
        assert store.pulse() == pulses[-1]

    def test_the_pulse_differs_when_the_block_has_ended_and_not_before(self, store: Store) -> None:
        """What is not committed has no pulse, and what is undone never gets one."""

        def undo() -> None:
            with store.transact("r") as t:
                t.put_setting("colour", "blue")
                assert store.pulse() == before
                raise ValueError("undo")

        before = store.pulse()
        with pytest.raises(ValueError, match="undo"):
            undo()
        assert store.pulse() == before

        with store.transact("r") as t:
            t.put_setting("colour", "blue")
            assert store.pulse() == before
        assert store.pulse() != before

    # --- the end ----------------------------------------------------------------------------------------

    def test_a_closed_store_refuses(self, furnished: Store) -> None:
        """After `close`, which may be repeated, every way in says that the store is unavailable."""
        furnished.pulse()
        furnished.close()
        furnished.close()

        with pytest.raises(StoreUnavailable):
            furnished.view().__enter__()
        with pytest.raises(StoreUnavailable):
            furnished.transact("r").__enter__()
        with pytest.raises(StoreUnavailable):
            furnished.pulse()
