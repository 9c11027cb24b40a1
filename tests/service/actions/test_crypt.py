"""The hot actions: what they give, what they refuse, and what is written down of either."""

from hashlib import sha256

import pytest

from keystead.core.context import canonical, digest
from keystead.core.names import KeyReference
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.testing.installation import ACCOUNT, REGION
from keystead.testing.service import ServiceBench, key_arn

CONTEXT = {"tenant": "acme", "purpose": "billing"}
OTHER_CONTEXT = {"tenant": "acme"}
PLAINTEXT = b"the plaintext of a customer"
UNKNOWN = KeyReference("00000000-0000-4000-8000-000000000000")
UNKNOWN_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{UNKNOWN.name}"
REFERS_TO_NOTHING = (
    "AccessDenied: The ciphertext refers to a customer master key that does not exist, does not exist in this "
    "region, or you are not allowed to access."
)
INCORRECT = "IncorrectKey: The key ID in the request does not identify a CMK that can perform this operation."
WOULD_SUCCEED = "DryRun: The request would have succeeded, but the DryRun option is set."


@pytest.fixture
def bench() -> ServiceBench:
    """An installation with an admin and a user who may do nothing."""
    bench = ServiceBench()
    bench.house.user("mallory")
    return bench


def denied(action: str, resource: str) -> str:
    """What a user without any permission is told."""
    return (
        f"AccessDenied: User: arn:aws:iam::{ACCOUNT}:user/mallory is not authorized to perform: {action} "
        f"on resource: {resource} because no identity-based policy allows the {action} action"
    )


def hot_commands(key: KeyReference) -> list[tuple[str, Command]]:
    """One command of each hot action that names a key."""
    return [
        ("kms:Encrypt", c.Encrypt(key, PLAINTEXT, CONTEXT)),
        ("kms:Decrypt", c.Decrypt(b"", key)),
        ("kms:GenerateDataKey", c.GenerateDataKey(key, 32)),
        ("kms:GenerateDataKeyWithoutPlaintext", c.GenerateDataKeyWithoutPlaintext(key, 32)),
    ]


# --- what they give --------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [None, {}, CONTEXT])
def test_what_was_encrypted_is_decrypted(bench: ServiceBench, context: dict[str, str] | None) -> None:
    """The blob names its key, so Decrypt needs only the context."""
    key = bench.key()
    sealed = bench.do(c.Encrypt(key, PLAINTEXT, context))
    opened = bench.do(c.Decrypt(sealed.blob, context=context))

    assert opened.plaintext == PLAINTEXT
    assert sealed.key == opened.key == key_arn(key)
    assert opened.material_id == bench.do(c.DescribeKey(key)).material_id


def test_a_use_is_written_down(bench: ServiceBench) -> None:
    """The record says who used which key and version for what, and digests what was given out."""
    key = bench.key()
    caller = bench.caller()
    sealed = bench.do(c.Encrypt(key, PLAINTEXT, CONTEXT), caller)
    record = bench.records[-1]

    assert (record.action, record.outcome, record.stage) == ("kms:Encrypt", "Success", "")
    assert (record.key, record.version) == (key_arn(key), 1)
    assert (record.principal, record.account, record.region) == (caller.identity.arn, ACCOUNT, REGION)
    assert (record.request, record.auth) == (caller.request, "internal")
    assert record.ciphertext == sha256(sealed.blob).hexdigest()
    assert record.context == digest(canonical(CONTEXT))
    assert (record.decision, record.decided_by, record.statement) == ("Allow", "identity-policy", "All")
    assert record.time == bench.house.clock.now() * 1e6
    assert (record.v, record.dry_run) == (1, False)


def test_a_decryption_is_written_down_with_the_blobs_version(bench: ServiceBench) -> None:
    """After a rotation the record of an old blob says the old version."""
    key = bench.key()
    sealed = bench.do(c.Encrypt(key, PLAINTEXT))
    bench.do(c.RotateKeyOnDemand(key))
    bench.do(c.Decrypt(sealed.blob))
    record = bench.records[-1]

    assert (record.key, record.version) == (key_arn(key), 1)
    assert (record.ciphertext, record.context) == (sha256(sealed.blob).hexdigest(), "")


def test_a_key_is_used_by_its_alias(bench: ServiceBench) -> None:
    """An alias leads to its key, alone and as an ARN, and the record says which one was named."""
    key = bench.key()
    bench.do(c.CreateAlias("alias/app", key))
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/app"
    for reference in (
        KeyReference("alias/app", is_alias=True),
        KeyReference("alias/app", is_alias=True, account=ACCOUNT, region=REGION),
    ):
        assert bench.do(c.Encrypt(reference, PLAINTEXT)).key == key_arn(key)
        assert (bench.records[-1].key, bench.records[-1].subject) == (key_arn(key), arn)


def test_old_versions_go_on_opening(bench: ServiceBench) -> None:
    """Whatever was sealed before rotations opens after them, by the material that sealed it."""
    key = bench.key()
    blobs = []
    for _ in range(3):
        blobs.append(bench.do(c.Encrypt(key, PLAINTEXT)).blob)
        bench.do(c.RotateKeyOnDemand(key))
    opened = [bench.do(c.Decrypt(blob)) for blob in blobs]
    ids = [version.material_id for version in bench.do(c.ListKeyRotations(key, all_material=True)).versions]

    assert [result.plaintext for result in opened] == [PLAINTEXT] * 3
    assert [result.material_id for result in opened] == ids[:3]
    assert len(set(ids)) == 4


@pytest.mark.parametrize("length", [16, 32, 64])
def test_a_data_key_comes_in_the_clear_and_sealed(bench: ServiceBench, length: int) -> None:
    """The sealed form opens to the same bytes; without plaintext there is the sealed form only."""
    key = bench.key()
    made = bench.do(c.GenerateDataKey(key, length, CONTEXT))
    record = bench.records[-1]
    hidden = bench.do(c.GenerateDataKeyWithoutPlaintext(key, length, CONTEXT))

    assert len(made.plaintext) == length
    assert bench.do(c.Decrypt(made.blob, context=CONTEXT)).plaintext == made.plaintext
    assert hidden.plaintext is None
    assert len(bench.do(c.Decrypt(hidden.blob, context=CONTEXT)).plaintext) == length
    assert made.material_id == hidden.material_id == bench.do(c.DescribeKey(key)).material_id
    assert (record.ciphertext, record.version) == (sha256(made.blob).hexdigest(), 1)


def test_data_keys_differ(bench: ServiceBench) -> None:
    """Each is fresh."""
    key = bench.key()
    assert len({bench.do(c.GenerateDataKey(key, 32)).plaintext for _ in range(5)}) == 5


def test_random_bytes_need_no_key(bench: ServiceBench) -> None:
    """GenerateRandom is decided by the caller's own policy, and recorded without the bytes."""
    data = bench.do(c.GenerateRandom(24)).data
    record = bench.records[-1]

    assert len(data) == 24
    assert data != bench.do(c.GenerateRandom(24)).data
    assert (record.action, record.key, record.decision) == ("kms:GenerateRandom", "", "Allow")
    mallory = bench.caller("mallory")
    for _ in range(2):  # decided, and remembered
        assert bench.refusal(c.GenerateRandom(24), mallory) == denied("kms:GenerateRandom", "*")


def test_a_ciphertext_moves_to_another_key_and_context(bench: ServiceBench) -> None:
    """ReEncrypt gives no plaintext out; the record names both keys and both versions."""
    source, destination = bench.key(), bench.key()
    old = bench.do(c.Encrypt(source, PLAINTEXT, OTHER_CONTEXT)).blob
    bench.do(c.RotateKeyOnDemand(source))
    bench.do(c.RotateKeyOnDemand(destination))
    moved = bench.do(c.ReEncrypt(old, destination, context=CONTEXT, source_context=OTHER_CONTEXT))
    record = bench.records[-1]

    assert (moved.source_key, moved.key) == (key_arn(source), key_arn(destination))
    assert bench.do(c.Decrypt(moved.blob, destination, CONTEXT)).plaintext == PLAINTEXT
    first = bench.do(c.ListKeyRotations(source, all_material=True)).versions[0]
    assert moved.source_material_id == first.material_id
    assert moved.material_id == bench.do(c.DescribeKey(destination)).material_id
    assert (record.action, record.from_key, record.from_version) == ("kms:ReEncrypt", key_arn(source), 1)
    assert (record.key, record.version) == (key_arn(destination), 2)
    assert record.ciphertext == sha256(moved.blob).hexdigest()


# --- what they refuse ------------------------------------------------------------------------------------


def test_a_blob_that_does_not_open_is_refused_without_a_word(bench: ServiceBench) -> None:
    """Damage, another context, another version and no blob at all are one answer."""
    key = bench.key()
    blob = bench.do(c.Encrypt(key, PLAINTEXT, CONTEXT)).blob
    version_at = 6 + len(key.name)
    for data, context in [
        (blob, None),
        (blob, {**CONTEXT, "more": ""}),
        (blob, OTHER_CONTEXT),
        (blob[:-1], CONTEXT),
        (blob + b"\0", CONTEXT),
        (b"", CONTEXT),
        (b"\0" * 200, CONTEXT),
        (blob[: version_at + 3] + b"\2" + blob[version_at + 4 :], CONTEXT),  # a version yet to come
        (blob[: version_at + 3] + b"\0" + blob[version_at + 4 :], CONTEXT),
    ]:
        assert bench.refusal(c.Decrypt(data, context=context)) == "InvalidCiphertext: "
        assert bench.refusal(c.ReEncrypt(data, key, source_context=context)) == "InvalidCiphertext: "


def test_any_flipped_bit_is_found(bench: ServiceBench) -> None:
    """Wherever a blob is damaged it does not open; a damaged key id names another key, or none."""
    key = bench.key()
    blob = bench.do(c.Encrypt(key, b"x", CONTEXT)).blob
    for position in range(len(blob)):
        damaged = bytearray(blob)
        damaged[position] ^= 1 << (position % 8)
        error = bench.refusal(c.Decrypt(bytes(damaged), context=CONTEXT))
        named = 5 <= position < 6 + len(key.name)  # the length of the key id, and the id
        assert error in ("InvalidCiphertext: ", *([REFERS_TO_NOTHING] if named else []))
        pinned = bench.refusal(c.Decrypt(bytes(damaged), key, CONTEXT))
        assert pinned in ("InvalidCiphertext: ", *([INCORRECT] if named else []))


def test_a_blob_of_another_key_is_not_this_keys(bench: ServiceBench) -> None:
    """Naming a key pins it, by id and by alias; the right one opens."""
    key, other = bench.key(), bench.key()
    bench.do(c.CreateAlias("alias/key", key))
    bench.do(c.CreateAlias("alias/other", other))
    blob = bench.do(c.Encrypt(key, PLAINTEXT)).blob

    for wrong in (other, KeyReference("alias/other", is_alias=True)):
        assert bench.refusal(c.Decrypt(blob, wrong)) == INCORRECT
        assert bench.refusal(c.ReEncrypt(blob, key, source=wrong)) == INCORRECT
    for right in (key, KeyReference("alias/key", is_alias=True)):
        assert bench.do(c.Decrypt(blob, right)).plaintext == PLAINTEXT


def test_a_key_that_is_not_there(bench: ServiceBench) -> None:
    """It is named with its ARN, also in the record, and again from memory the second time."""
    for action, command in hot_commands(UNKNOWN)[:1] + hot_commands(UNKNOWN)[2:]:
        for _ in range(2):
            assert bench.refusal(command) == f"NotFound: Key '{UNKNOWN_ARN}' does not exist"
            assert (bench.records[-1].action, bench.records[-1].key) == (action, UNKNOWN_ARN)


def test_an_alias_that_is_not_there(bench: ServiceBench) -> None:
    """It is named with its ARN, also in the record."""
    arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/none"
    command = c.Encrypt(KeyReference("alias/none", is_alias=True), PLAINTEXT)
    for _ in range(2):
        assert bench.refusal(command) == f"NotFound: Alias {arn} is not found."
        assert (bench.records[-1].key, bench.records[-1].subject) == ("", arn)


def test_a_key_of_another_region_is_not_here(bench: ServiceBench) -> None:
    """An id is looked for in the caller's region only, and an ARN of another one is refused as such."""
    key = bench.key()
    elsewhere = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{key.name}"
    command = c.Encrypt(key, PLAINTEXT)
    assert bench.refusal(command, region="us-east-1") == f"NotFound: Key '{elsewhere}' does not exist"
    command = c.Encrypt(KeyReference(key.name, account=ACCOUNT, region="us-east-1"), PLAINTEXT)
    assert bench.refusal(command) == "NotFound: Invalid arn us-east-1"


def test_who_may_not_is_told_what_is_missing(bench: ServiceBench) -> None:
    """The refusal names action, key and reason, and so does the record; the second comes from memory."""
    key = bench.key()
    blob = bench.do(c.Encrypt(key, PLAINTEXT)).blob
    commands = [*hot_commands(key), ("kms:Decrypt", c.Decrypt(blob, key))]
    del commands[1]
    for action, command in commands:
        mallory = bench.caller("mallory")
        for _ in range(2):
            assert bench.refusal(command, mallory) == denied(action, key_arn(key))
        record = bench.records[-1]
        assert (record.action, record.key, record.decision) == (action, key_arn(key), "Deny")
        assert (record.decided_by, record.statement) == ("none", "")
        assert record.principal == f"arn:aws:iam::{ACCOUNT}:user/mallory"


def test_a_blobs_key_is_unknown_or_forbidden(bench: ServiceBench) -> None:
    """Who did not name the key is not told which of the two, nor whether the blob would open."""
    key = bench.key()
    blob = bench.do(c.Encrypt(key, PLAINTEXT)).blob
    unknown = blob.replace(key.name.encode(), UNKNOWN.name.encode())

    assert bench.refusal(c.Decrypt(blob), "mallory") == REFERS_TO_NOTHING
    assert bench.records[-1].key == key_arn(key)
    assert bench.refusal(c.Decrypt(unknown), "mallory") == REFERS_TO_NOTHING
    assert bench.records[-1].key == UNKNOWN_ARN
    assert bench.refusal(c.Decrypt(unknown)) == REFERS_TO_NOTHING


def test_both_keys_of_a_move_are_asked_about(bench: ServiceBench) -> None:
    """Leaving one key and entering another are permissions of their own."""
    source, destination = bench.key(), bench.key()
    blob = bench.do(c.Encrypt(source, PLAINTEXT)).blob
    bench.house.user(
        "mover",
        '{"Statement": {"Effect": "Allow", "Action": "kms:ReEncryptFrom", "Resource": "*"}}',
    )
    told = bench.refusal(c.ReEncrypt(blob, destination), "mover")
    record = bench.records[-1]

    assert "is not authorized to perform: kms:ReEncryptTo" in told
    assert (record.from_key, record.from_version) == (key_arn(source), 1)
    assert (record.key, record.version) == (key_arn(destination), 1)
    assert bench.refusal(c.ReEncrypt(blob, destination), "mallory") == REFERS_TO_NOTHING
    assert "perform: kms:ReEncryptFrom" in bench.refusal(c.ReEncrypt(blob, destination, source), "mallory")
    assert bench.refusal(c.ReEncrypt(blob, UNKNOWN)) == f"NotFound: Key '{UNKNOWN_ARN}' does not exist"
    assert (bench.records[-1].from_key, bench.records[-1].key) == (key_arn(source), UNKNOWN_ARN)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (c.DisableKey, "KeyDisabled: {} is disabled."),
        (c.ScheduleKeyDeletion, "InvalidKeyState: {} is pending deletion."),
    ],
)
def test_a_key_out_of_use_is_not_used(bench: ServiceBench, change: type[c.DisableKey], told: str) -> None:
    """Every hot action is refused by the key's state, and the record says so beside the permission."""
    key, other = bench.key(), bench.key()
    blob = bench.do(c.Encrypt(key, PLAINTEXT)).blob
    foreign = bench.do(c.Encrypt(other, PLAINTEXT)).blob
    bench.do(change(key))
    commands = [command for _, command in hot_commands(key)]
    commands[1] = c.Decrypt(blob)
    commands += [c.Decrypt(blob, key), c.ReEncrypt(blob, other), c.ReEncrypt(foreign, key)]
    for command in commands:
        assert bench.refusal(command) == told.format(key_arn(key))
        assert bench.records[-1].decision == "Allow"


def test_a_destroyed_key_is_unknown(bench: ServiceBench) -> None:
    """Nobody is told that there ever was one."""
    key = bench.key()
    blob = bench.do(c.Encrypt(key, PLAINTEXT)).blob
    bench.do(c.ScheduleKeyDeletion(key, 7))
    bench.house.clock.time += 7 * 86_400
    bench.do(c.DestroyKey(key))

    assert bench.refusal(c.Encrypt(key, PLAINTEXT)) == f"NotFound: Key '{key_arn(key)}' does not exist"
    assert bench.refusal(c.Decrypt(blob)) == REFERS_TO_NOTHING


def test_the_usage_of_a_key_is_asked_after_its_state(bench: ServiceBench) -> None:
    """A key for something else is refused with AWS's words; a disabled one as disabled first."""
    key = bench.key(c.CreateKey(spec="HMAC_256", usage="GENERATE_VERIFY_MAC"))
    told = f"InvalidKeyUsage: {key_arn(key)} key usage is GENERATE_VERIFY_MAC which is not valid for Encrypt."
    assert bench.refusal(c.Encrypt(key, PLAINTEXT)) == told
    bench.do(c.DisableKey(key))
    assert bench.refusal(c.Encrypt(key, PLAINTEXT)) == f"KeyDisabled: {key_arn(key)} is disabled."


def test_a_context_too_large_is_refused(bench: ServiceBench) -> None:
    """The limit counts names and values together."""
    key = bench.key()
    large = {"name": "v" * 8189}
    for command in (
        c.Encrypt(key, b"x", large),
        c.Decrypt(b"", context=large),
        c.GenerateDataKey(key, 32, large),
    ):
        assert bench.refusal(command).startswith("InvalidRequest: The encryption context is too large")


# --- dry runs --------------------------------------------------------------------------------------------


def test_a_dry_run_does_everything_but_the_use(bench: ServiceBench) -> None:
    """It says that it would have succeeded, and is recorded as what it was."""
    key, other = bench.key(), bench.key()
    blob = bench.do(c.Encrypt(key, PLAINTEXT, CONTEXT)).blob
    for command in (
        c.Encrypt(key, PLAINTEXT, CONTEXT, dry_run=True),
        c.Decrypt(blob, None, CONTEXT, dry_run=True),
        c.Decrypt(None, key, dry_run=True),
        c.ReEncrypt(blob, other, None, None, CONTEXT, dry_run=True),
        c.ReEncrypt(None, other, key, dry_run=True),
        c.GenerateDataKey(key, 32, dry_run=True),
        c.GenerateDataKeyWithoutPlaintext(key, 32, dry_run=True),
    ):
        assert bench.refusal(command) == WOULD_SUCCEED
        assert (bench.records[-1].dry_run, bench.records[-1].decision) == (True, "Allow")


def test_a_dry_run_that_would_fail_fails_the_same_way(bench: ServiceBench) -> None:
    """Each error comes as it would without the option, and the record still tells it from the real thing."""
    key, other = bench.key(), bench.key()
    blob = bench.do(c.Encrypt(key, PLAINTEXT, CONTEXT)).blob
    for command, who, told in [
        (c.Encrypt(key, PLAINTEXT, dry_run=True), "mallory", denied("kms:Encrypt", key_arn(key))),
        (c.Decrypt(blob, dry_run=True), "admin", "InvalidCiphertext: "),
        (c.Decrypt(None, key, dry_run=True), "mallory", denied("kms:Decrypt", key_arn(key))),
        (c.Decrypt(blob, other, CONTEXT, dry_run=True), "admin", INCORRECT),
        (c.ReEncrypt(blob, other, dry_run=True), "admin", "InvalidCiphertext: "),
        (c.ReEncrypt(None, other, key, dry_run=True), "mallory", denied("kms:ReEncryptFrom", key_arn(key))),
        (c.GenerateDataKey(key, 32, dry_run=True), "mallory", denied("kms:GenerateDataKey", key_arn(key))),
    ]:
        assert bench.refusal(command, who) == told
        assert bench.records[-1].dry_run


def test_a_dry_run_without_a_ciphertext_names_its_key(bench: ServiceBench) -> None:
    """Without a blob there is nothing else that could say which key it is about."""
    key = bench.key()
    assert bench.refusal(c.Decrypt(None, dry_run=True)) == (
        "InvalidRequest: KeyId is required when the ciphertext is left out."
    )
    assert bench.refusal(c.ReEncrypt(None, key, dry_run=True)) == (
        "InvalidRequest: SourceKeyId is required when the ciphertext is left out."
    )


# --- strangers -------------------------------------------------------------------------------------------


def test_a_stranger_cannot_tell_forbidden_from_unknown(bench: ServiceBench) -> None:
    """To another account a key or alias that exists and one that does not give the same answer."""
    key = bench.key()
    bench.do(c.CreateAlias("alias/real", key))
    stranger = bench.caller()
    stranger.identity.account, stranger.identity.arn = "999988887777", "arn:aws:iam::999988887777:user/eve"
    answers = []
    for name in (key.name, UNKNOWN.name, "alias/real", "alias/none"):
        reference = KeyReference(name, name.startswith("alias/"), ACCOUNT, REGION)
        told = bench.refusal(c.Encrypt(reference, PLAINTEXT), stranger)
        answers.append(told.replace(name, "it").replace("key/it", "it"))
    assert len(set(answers)) == 1
    assert answers[0] == (
        f"AccessDenied: User: arn:aws:iam::999988887777:user/eve is not authorized to perform: kms:Encrypt on "
        f"resource: arn:aws:kms:{REGION}:{ACCOUNT}:it because the resource does not exist in this Region, no "
        f"resource-based policies allow access, or a resource-based policy explicitly denies access"
    )


def test_an_id_alone_is_looked_for_in_the_callers_account(bench: ServiceBench) -> None:
    """Another account's key is unknown by its id, even where its policy would let the caller in."""
    policy = '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}'
    key = bench.key(c.CreateKey(policy=policy))
    stranger = bench.caller()
    stranger.identity.account, stranger.identity.arn = "999988887777", "arn:aws:iam::999988887777:user/eve"
    arn = f"arn:aws:kms:{REGION}:999988887777:key/{key.name}"
    assert bench.refusal(c.Encrypt(key, PLAINTEXT), stranger) == f"NotFound: Key '{arn}' does not exist"
    by_arn = KeyReference(key.name, account=ACCOUNT, region=REGION)
    assert bench.do(c.Encrypt(by_arn, PLAINTEXT), stranger).key == key_arn(key)
