"""The last use of a key: every cryptographic operation counts when it succeeds, and nothing else."""

from collections.abc import Callable

import pytest

from keystead.core.names import KeyReference
from keystead.core.principal import user_arn
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.entry import CRYPTOGRAPHIC
from keystead.service.results.kms import LastUsage
from keystead.testing.installation import ACCOUNT, REGION
from keystead.testing.service import ServiceBench, key_arn


@pytest.fixture
def bench() -> ServiceBench:
    """An installation."""
    return ServiceBench()


def last(bench: ServiceBench, key: KeyReference, region: str = REGION) -> tuple[str, str] | None:
    """The last use of a key: the action and the request."""
    use = bench.do(c.GetKeyLastUsage(key), region=region).last
    return None if use is None else (use.action, use.request)


def made(bench: ServiceBench, spec: str, usage: str | None = None) -> KeyReference:
    """A new key of a spec."""
    return bench.key(c.CreateKey(spec=spec, usage=usage))


def secret_sharing(bench: ServiceBench) -> tuple[KeyReference, Command]:
    """A key for key agreement, and a use of it."""
    key, peer = (made(bench, "ECC_NIST_P256", "KEY_AGREEMENT") for _ in range(2))
    return key, c.DeriveSharedSecret(key, bench.do(c.GetPublicKey(peer)).public_key)


def encapsulating(bench: ServiceBench) -> tuple[KeyReference, Command]:
    """A key for encapsulation, and a use of it."""
    key = made(bench, "ML_KEM_768", "ENCAPSULATE_DECAPSULATE")
    return key, c.Encapsulate(key)


def decapsulating(bench: ServiceBench) -> tuple[KeyReference, Command]:
    """A key for encapsulation, and a use of its private half."""
    key = made(bench, "ML_KEM_768", "ENCAPSULATE_DECAPSULATE")
    return key, c.Decapsulate(key, bench.do(c.Encapsulate(key)).ciphertext)


def signing(bench: ServiceBench) -> tuple[KeyReference, Command]:
    """A signing key, and a signature."""
    key = made(bench, "ECC_NIST_P256", "SIGN_VERIFY")
    return key, c.Sign(key, b"message", "ECDSA_SHA_256")


def verifying(bench: ServiceBench) -> tuple[KeyReference, Command]:
    """A signing key, and a check of a signature."""
    key, sign = signing(bench)
    return key, c.Verify(key, b"message", bench.do(sign).signature, "ECDSA_SHA_256")


def coding(bench: ServiceBench) -> tuple[KeyReference, Command]:
    """A MAC key, and a code."""
    key = made(bench, "HMAC_256", "GENERATE_VERIFY_MAC")
    return key, c.GenerateMac(key, b"message", "HMAC_SHA_256")


def checking(bench: ServiceBench) -> tuple[KeyReference, Command]:
    """A MAC key, and a check of a code."""
    key, code = coding(bench)
    return key, c.VerifyMac(key, b"message", bench.do(code).mac, "HMAC_SHA_256")


def symmetric(
    make: Callable[[KeyReference], Command],
) -> Callable[[ServiceBench], tuple[KeyReference, Command]]:
    """A symmetric key, and a use of it."""

    def use(bench: ServiceBench) -> tuple[KeyReference, Command]:
        key = bench.key()
        return key, make(key)

    return use


def decrypting(bench: ServiceBench) -> tuple[KeyReference, Command]:
    """A symmetric key, and the opening of what it has sealed."""
    key = bench.key()
    return key, c.Decrypt(bench.do(c.Encrypt(key, b"x")).blob)


def moving(bench: ServiceBench) -> tuple[KeyReference, Command]:
    """A symmetric key, and the sealing anew of what it has sealed."""
    key = bench.key()
    return key, c.ReEncrypt(bench.do(c.Encrypt(key, b"x")).blob, key)


USES = {
    "kms:Encrypt": symmetric(lambda key: c.Encrypt(key, b"x")),
    "kms:Decrypt": decrypting,
    "kms:ReEncrypt": moving,
    "kms:GenerateDataKey": symmetric(lambda key: c.GenerateDataKey(key, 32)),
    "kms:GenerateDataKeyWithoutPlaintext": symmetric(lambda key: c.GenerateDataKeyWithoutPlaintext(key, 32)),
    "kms:GenerateDataKeyPair": symmetric(lambda key: c.GenerateDataKeyPair(key, "ECC_NIST_P256")),
    "kms:GenerateDataKeyPairWithoutPlaintext": symmetric(
        lambda key: c.GenerateDataKeyPairWithoutPlaintext(key, "ECC_NIST_P256")
    ),
    "kms:Sign": signing,
    "kms:Verify": verifying,
    "kms:GenerateMac": coding,
    "kms:VerifyMac": checking,
    "kms:DeriveSharedSecret": secret_sharing,
    "kms:Encapsulate": encapsulating,
    "kms:Decapsulate": decapsulating,
}


def test_every_cryptographic_operation_is_tried_here() -> None:
    """What uses a key is one list, and this file goes through it."""
    assert USES.keys() == CRYPTOGRAPHIC


@pytest.mark.parametrize("action", USES)
def test_a_use_is_told_by_its_own_record(bench: ServiceBench, action: str) -> None:
    """The operation, the time and the request are those of the entry in the log, which its event names."""
    key, command = USES[action](bench)
    bench.house.clock.time += 100
    bench.house.logs["w0"].tend()
    answer = bench.answer(command)
    answer.outcome()
    number = len(bench.records) - 1
    found: LastUsage = bench.do(c.GetKeyLastUsage(key))
    assert found.last is not None
    assert (found.last.action, found.last.request) == (action, answer.entry.request)
    assert found.last.time == bench.house.clock.now()
    assert found.last.event == f"keystead-test/w0/{number}"
    assert found.tracked_since == found.key.created == bench.house.clock.now() - 100
    record = bench.records[-1]
    assert (record.action, record.outcome, record.key) == ("kms:GetKeyLastUsage", "Success", key_arn(key))


@pytest.mark.parametrize("action", USES)
def test_a_dry_run_is_no_use(bench: ServiceBench, action: str) -> None:
    """What only would have succeeded did not happen."""
    key, command = USES[action](bench)
    before = last(bench, key)
    fields = {name: getattr(command, name) for name in command.__struct_fields__}
    assert "DryRun" in bench.refusal(type(command)(**{**fields, "dry_run": True}))
    assert last(bench, key) == before


def test_what_fails_or_only_looks_is_no_use(bench: ServiceBench) -> None:
    """A refusal, a wrong code, a look at the key and random bytes leave it unused."""
    key, mac = bench.key(), made(bench, "HMAC_256", "GENERATE_VERIFY_MAC")
    signer = made(bench, "ECC_NIST_P256", "SIGN_VERIFY")
    bench.do(c.DescribeKey(key))
    bench.do(c.GenerateRandom(8))
    bench.do(c.GetPublicKey(signer))
    bench.refusal(c.VerifyMac(mac, b"message", bytes(32), "HMAC_SHA_256"))
    bench.do(c.DisableKey(key))
    bench.refusal(c.Encrypt(key, b"x"))
    assert [last(bench, one) for one in (key, mac, signer)] == [None] * 3


def test_moving_a_ciphertext_uses_both_keys(bench: ServiceBench) -> None:
    """ReEncrypt is a use of the key it comes from and of the key it goes to."""
    source, target = bench.key(), bench.key()
    blob = bench.do(c.Encrypt(source, b"x")).blob
    answer = bench.answer(c.ReEncrypt(blob, target))
    answer.outcome()
    assert last(bench, source) == last(bench, target) == ("kms:ReEncrypt", answer.entry.request)


def test_a_use_by_one_process_is_seen_by_all_at_once(bench: ServiceBench) -> None:
    """Whoever is asked reads every process's log."""
    other = ServiceBench(bench.house, "w1")
    key = bench.key()
    for turn in range(6):
        user, asked = (bench, other) if turn % 2 else (other, bench)
        bench.house.clock.time += 1
        answer = user.answer(c.Encrypt(key, b"x"))
        assert last(asked, key) == ("kms:Encrypt", answer.entry.request)
        bench.house.logs[user.slot].tend()


def test_a_key_is_asked_about_in_every_state_and_only_in_its_own_region(bench: ServiceBench) -> None:
    """A key that waits for its end is what one asks about; another Region does not know it."""
    key = bench.key()
    bench.do(c.Encrypt(key, b"x"))
    bench.do(c.DisableKey(key))
    assert last(bench, key) is not None
    bench.do(c.ScheduleKeyDeletion(key, 7))
    assert last(bench, key) is not None
    assert bench.refusal(c.GetKeyLastUsage(key), region="eu-west-1").startswith("NotFound")


def test_an_alias_names_no_key_here(bench: ServiceBench) -> None:
    """The operation takes a key's id or ARN, as with AWS."""
    key = bench.key()
    bench.do(c.CreateAlias("alias/one", key))
    told = bench.refusal(c.GetKeyLastUsage(KeyReference("alias/one", is_alias=True)))
    assert told == "NotFound: Invalid keyId 'alias/one'"


def test_it_needs_its_own_permission(bench: ServiceBench) -> None:
    """Who may use a key need not know who else does."""
    key = bench.key()
    bench.house.user("user", '{"Statement": {"Effect": "Allow", "Action": "kms:Encrypt", "Resource": "*"}}')
    bench.do(c.Encrypt(key, b"x"), user_arn(ACCOUNT, "user"))
    told = bench.refusal(c.GetKeyLastUsage(key), "user")
    assert "is not authorized to perform: kms:GetKeyLastUsage" in told
    assert bench.records[-1].decision == "Deny"


def test_a_log_that_began_after_the_key_says_so(bench: ServiceBench) -> None:
    """Of a key that is older than the log nobody knows whether it was used before."""
    key = bench.key()
    with bench.house.store.transact("restore") as tx:
        found = tx.key(REGION, key.name)
        assert found is not None
        began = found.created
        tx.put_key(type(found)(**{**{n: getattr(found, n) for n in found.__slots__}, "created": began - 50}))
    bench.house.clock.time += 5
    bench.house.logs["w0"].tend()
    answer: LastUsage = bench.do(c.GetKeyLastUsage(key))
    assert (answer.tracked_since, answer.key.created) == (began, began - 50)


def test_without_any_log_nothing_was_tracked_before_now(bench: ServiceBench) -> None:
    """After the logs were lost it is not said of a key that it was tracked since its creation and never used."""
    key = bench.key()
    bench.house.clock.time += 50
    used = bench.house.clock.now()
    answer: LastUsage = bench.do(c.GetKeyLastUsage(key))  # no checkpoint covers anything yet
    assert answer.last is None
    assert answer.tracked_since == used > answer.key.created

    bench.do(c.Encrypt(key, b"x"))
    bench.house.clock.time += 50
    answer = bench.do(c.GetKeyLastUsage(key))
    assert answer.last is not None
    assert answer.tracked_since == answer.last.time == used


def test_a_question_that_cannot_be_answered_is_refused(bench: ServiceBench) -> None:
    """An audit log that cannot be read is no reason to say that a key was not used."""
    key = bench.key()
    bench.house.clock.time += 5
    bench.house.logs["w0"].tend()
    checkpoint = bench.house.audit.directory / "checkpoint"
    data = bench.house.audit.disk.read(checkpoint)
    bench.house.books.pages.clear()
    bench.house.audit.disk.remove(checkpoint)
    assert bench.refusal(c.GetKeyLastUsage(key)).startswith("AuditUnavailable: the audit logs cannot be read")
    bench.house.audit.disk.create(checkpoint).write(data, 0)
    assert last(bench, key) is None
