"""boto3, unmodified, against the real service: every operation, and the errors that tools match on."""

import json
from base64 import b64encode
from typing import Any
from uuid import UUID, uuid4

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.e2e


@pytest.fixture
def key(kms: Any) -> str:
    """A new key's id."""
    return str(kms.create_key()["KeyMetadata"]["KeyId"])


def arn_of(kms: Any, key: str) -> str:
    """The key's ARN."""
    return str(kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"])


def alias_name() -> str:
    """A name that no other test uses."""
    return f"alias/test-{uuid4()}"


class Refused:
    """The error of a call, which must fail."""

    def __init__(self, call: Any, **arguments: Any) -> None:
        with pytest.raises(ClientError) as caught:
            call(**arguments)
        self.code = caught.value.response["Error"]["Code"]
        self.message = caught.value.response["Error"]["Message"]
        self.status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
        self.request = caught.value.response["ResponseMetadata"]["RequestId"]


def test_a_key_is_created_with_what_aws_says_of_one(kms: Any) -> None:
    """CreateKey without anything gives a symmetric, enabled key, described as AWS does."""
    made = kms.create_key()["KeyMetadata"]
    assert made == kms.describe_key(KeyId=made["Arn"])["KeyMetadata"]
    assert len(made.pop("CurrentKeyMaterialId")) == 64
    assert made.pop("Arn") == f"arn:aws:kms:{kms.meta.region_name}:{made['AWSAccountId']}:key/{made['KeyId']}"
    for varying in ("AWSAccountId", "KeyId", "CreationDate"):
        assert made.pop(varying)
    assert made == {
        "Enabled": True,
        "Description": "",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }


def test_what_was_encrypted_is_decrypted_with_its_context(kms: Any, key: str) -> None:
    """Decrypt gives back what Encrypt took, names the key, and needs the same encryption context."""
    context = {"tenant": "a", "purpose": "prüfung"}
    sealed = kms.encrypt(KeyId=key, Plaintext=b"\x00secret\xff", EncryptionContext=context)
    assert sealed["KeyId"] == arn_of(kms, key)
    opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context)
    assert opened["Plaintext"] == b"\x00secret\xff"
    assert opened["KeyId"] == sealed["KeyId"]
    assert opened["EncryptionAlgorithm"] == sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert opened["KeyMaterialId"] == kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    for wrong in ({}, {"tenant": "a"}, {**context, "more": ""}, {"tenant": "A", "purpose": "prüfung"}):
        refused = Refused(kms.decrypt, CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=wrong)
        assert refused.code == "InvalidCiphertextException"


@pytest.mark.parametrize("length", [1, 32, 4096])
def test_every_length_that_aws_takes_is_taken(kms: Any, key: str, length: int) -> None:
    """Up to 4,096 bytes are encrypted, and the blob fits what Decrypt takes."""
    plaintext = bytes(range(256)) * 16
    sealed = kms.encrypt(KeyId=key, Plaintext=plaintext[:length])["CiphertextBlob"]
    assert len(sealed) <= 6144
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == plaintext[:length]


def test_too_much_plaintext_is_refused_without_saying_it_back(kms: Any, key: str) -> None:
    """4,097 bytes are a validation error in AWS's words, and the value is not in it."""
    refused = Refused(kms.encrypt, KeyId=key, Plaintext=b"x" * 4097)
    assert refused.code == "ValidationException"
    assert refused.message == (
        "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: "
        "Member must have length less than or equal to 4096"
    )


def test_data_keys_come_in_the_clear_and_sealed(kms: Any, key: str) -> None:
    """GenerateDataKey's blob opens to its plaintext; without plaintext there is only the blob."""
    pair = kms.generate_data_key(KeyId=key, KeySpec="AES_128", EncryptionContext={"a": "b"})
    assert len(pair["Plaintext"]) == 16
    opened = kms.decrypt(CiphertextBlob=pair["CiphertextBlob"], EncryptionContext={"a": "b"})
    assert opened["Plaintext"] == pair["Plaintext"]
    assert opened["KeyMaterialId"] == pair["KeyMaterialId"]
    sealed = kms.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=57)
    assert "Plaintext" not in sealed
    assert len(kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])["Plaintext"]) == 57
    assert Refused(kms.generate_data_key, KeyId=key).code == "ValidationException"
    both = Refused(kms.generate_data_key, KeyId=key, KeySpec="AES_256", NumberOfBytes=32)
    assert both.code == "ValidationException"


def test_random_bytes_are_random(kms: Any) -> None:
    """GenerateRandom gives as many bytes as asked, different each time."""
    assert len(kms.generate_random(NumberOfBytes=1024)["Plaintext"]) == 1024
    assert (
        kms.generate_random(NumberOfBytes=32)["Plaintext"]
        != kms.generate_random(NumberOfBytes=32)["Plaintext"]
    )
    refused = Refused(kms.generate_random)
    assert (refused.code, refused.message) == ("ValidationException", "NumberOfBytes is required.")


def test_a_blob_moves_to_another_key_and_context(kms: Any, key: str) -> None:
    """ReEncrypt names both keys, and the old context no longer opens the new blob."""
    other = kms.create_key()["KeyMetadata"]["Arn"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"moved", EncryptionContext={"v": "1"})["CiphertextBlob"]
    moved = kms.re_encrypt(
        CiphertextBlob=sealed,
        SourceEncryptionContext={"v": "1"},
        DestinationKeyId=other,
        DestinationEncryptionContext={"v": "2"},
    )
    assert (moved["SourceKeyId"], moved["KeyId"]) == (arn_of(kms, key), other)
    opened = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"v": "2"})
    assert opened["Plaintext"] == b"moved"
    assert opened["KeyMaterialId"] == moved["DestinationKeyMaterialId"]
    refused = Refused(kms.decrypt, CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"v": "1"})
    assert refused.code == "InvalidCiphertextException"


def test_a_named_key_must_be_the_ciphertexts(kms: Any, key: str) -> None:
    """Decrypt with another KeyId than the blob's is IncorrectKeyException, in AWS's words."""
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed, KeyId=key)["Plaintext"] == b"x"
    refused = Refused(kms.decrypt, CiphertextBlob=sealed, KeyId=other)
    assert refused.code == "IncorrectKeyException"
    assert refused.message == (
        "The key ID in the request does not identify a CMK that can perform this operation."
    )


def test_rotation_keeps_old_ciphertext_readable(kms: Any, key: str) -> None:
    """After a rotation new blobs have new material, and the old ones still open."""
    old = kms.encrypt(KeyId=key, Plaintext=b"old")
    before = kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    assert kms.rotate_key_on_demand(KeyId=key)["KeyId"] == arn_of(kms, key)
    after = kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    assert before != after
    opened = kms.decrypt(CiphertextBlob=old["CiphertextBlob"])
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"old", before)
    new = kms.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=new)["KeyMaterialId"] == after
    rotations = kms.list_key_rotations(KeyId=key)["Rotations"]
    assert [(r["RotationType"], r["KeyMaterialId"]) for r in rotations] == [("ON_DEMAND", after)]
    everything = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert [(r["KeyMaterialId"], r["KeyMaterialState"]) for r in everything] == [
        (before, "NON_CURRENT"),
        (after, "CURRENT"),
    ]
    assert "RotationDate" not in everything[0]


def test_rotations_on_demand_are_limited_as_at_aws(kms: Any, key: str) -> None:
    """The 26th rotation on demand is LimitExceededException, and lists of rotations have pages."""
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=key)
    assert Refused(kms.rotate_key_on_demand, KeyId=key).code == "LimitExceededException"
    pages = list(
        kms.get_paginator("list_key_rotations").paginate(KeyId=key, PaginationConfig={"PageSize": 10})
    )
    assert [len(page["Rotations"]) for page in pages] == [10, 10, 5]


def test_automatic_rotation_is_set_and_told(kms: Any, key: str) -> None:
    """The status says period and date only while rotation is on."""
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(KeyId=key)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 90)
    made = kms.describe_key(KeyId=key)["KeyMetadata"]["CreationDate"]
    assert (status["NextRotationDate"] - made).days == 90
    kms.disable_key_rotation(KeyId=key)
    status = kms.get_key_rotation_status(KeyId=key)
    assert "NextRotationDate" not in status
    assert "RotationPeriodInDays" not in status


def test_a_disabled_key_cannot_be_used(kms: Any, key: str) -> None:
    """DisabledException in AWS's words for every use; enabling brings everything back."""
    arn = arn_of(kms, key)
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=key)
    calls = [
        (kms.encrypt, {"KeyId": key, "Plaintext": b"x"}),
        (kms.decrypt, {"CiphertextBlob": sealed}),
        (kms.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
        (kms.re_encrypt, {"CiphertextBlob": sealed, "DestinationKeyId": key}),
        (kms.rotate_key_on_demand, {"KeyId": key}),
        (kms.enable_key_rotation, {"KeyId": key}),
    ]
    for call, arguments in calls:
        refused = Refused(call, **arguments)
        assert (refused.code, refused.message) == ("DisabledException", f"{arn} is disabled.")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Enabled"] is False
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"


def test_a_deletion_is_scheduled_told_and_cancelled(kms: Any, key: str) -> None:
    """A key pending deletion refuses everything but reading; cancelling leaves it disabled."""
    arn = arn_of(kms, key)
    answer = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert (answer["KeyId"], answer["KeyState"], answer["PendingWindowInDays"]) == (arn, "PendingDeletion", 7)
    described = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert (described["KeyState"], described["Enabled"]) == ("PendingDeletion", False)
    assert described["DeletionDate"] == answer["DeletionDate"]
    calls: list[tuple[Any, dict[str, Any]]] = [
        (kms.encrypt, {"KeyId": key, "Plaintext": b"x"}),
        (kms.enable_key, {"KeyId": key}),
        (kms.schedule_key_deletion, {"KeyId": key}),
        (kms.tag_resource, {"KeyId": key, "Tags": [{"TagKey": "a", "TagValue": "b"}]}),
        (kms.update_key_description, {"KeyId": key, "Description": "x"}),
    ]
    for call, arguments in calls:
        refused = Refused(call, **arguments)
        assert (refused.code, refused.message) == ("KMSInvalidStateException", f"{arn} is pending deletion.")
    assert kms.cancel_key_deletion(KeyId=key)["KeyId"] == arn
    described = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert described["KeyState"] == "Disabled"
    assert "DeletionDate" not in described
    refused = Refused(kms.cancel_key_deletion, KeyId=key)
    assert (refused.code, refused.message) == ("KMSInvalidStateException", f"{arn} is not pending deletion.")
    assert Refused(kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=6).code == "ValidationException"


def test_aliases_name_keys_and_move(kms: Any, key: str) -> None:
    """An alias works wherever AWS takes one, moves at once, and is listed with its dates."""
    name, other = alias_name(), kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=name, TargetKeyId=key)
    sealed = kms.encrypt(KeyId=name, Plaintext=b"x")
    assert sealed["KeyId"] == arn_of(kms, key) == kms.describe_key(KeyId=name)["KeyMetadata"]["Arn"]
    (listed,) = kms.list_aliases(KeyId=key)["Aliases"]
    assert (listed["AliasName"], listed["TargetKeyId"]) == (name, key)
    assert kms.encrypt(KeyId=listed["AliasArn"], Plaintext=b"x")["KeyId"] == sealed["KeyId"]
    kms.update_alias(AliasName=name, TargetKeyId=arn_of(kms, other))
    assert kms.encrypt(KeyId=name, Plaintext=b"x")["KeyId"] == arn_of(kms, other)
    assert kms.list_aliases(KeyId=key)["Aliases"] == []
    duplicate = Refused(kms.create_alias, AliasName=name, TargetKeyId=key)
    assert duplicate.code == "AlreadyExistsException"
    assert duplicate.message == f"An alias with the name {listed['AliasArn']} already exists"
    kms.delete_alias(AliasName=name)
    gone = Refused(kms.encrypt, KeyId=name, Plaintext=b"x")
    assert (gone.code, gone.message) == ("NotFoundException", f"Alias {listed['AliasArn']} is not found.")


def test_alias_names_are_checked_as_aws_checks_them(kms: Any, key: str) -> None:
    """Prefix, reserved names, characters and targets have AWS's own errors."""
    assert Refused(kms.create_alias, AliasName="x", TargetKeyId=key).message.startswith(
        'Alias must start with the prefix "alias/".'
    )
    assert (
        Refused(kms.create_alias, AliasName="alias/aws/x", TargetKeyId=key).code == "NotAuthorizedException"
    )
    colon = Refused(kms.create_alias, AliasName="alias/x:y", TargetKeyId=key)
    assert colon.message == "alias/x:y contains invalid characters for an alias"
    aliased = Refused(kms.create_alias, AliasName=alias_name(), TargetKeyId="alias/other")
    assert aliased.message == "Aliases must refer to keys. Not aliases"
    for call in (kms.enable_key, kms.schedule_key_deletion, kms.list_resource_tags, kms.get_key_policy):
        refused = Refused(call, KeyId="alias/some")
        assert (refused.code, refused.message) == ("NotFoundException", "Invalid keyId 'alias/some'")


def test_tags_are_set_replaced_listed_and_removed(kms: Any) -> None:
    """Tags keep one value per name, come in the order of their names, and have AWS's limits."""
    tags = [{"TagKey": "b", "TagValue": "1"}, {"TagKey": "a", "TagValue": "2"}]
    key = kms.create_key(Tags=tags)["KeyMetadata"]["KeyId"]
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "b", "TagValue": "3"}])
    assert kms.list_resource_tags(KeyId=key)["Tags"] == [
        {"TagKey": "a", "TagValue": "2"},
        {"TagKey": "b", "TagValue": "3"},
    ]
    kms.untag_resource(KeyId=key, TagKeys=["a", "never-there"])
    assert [tag["TagKey"] for tag in kms.list_resource_tags(KeyId=key)["Tags"]] == ["b"]
    reserved = Refused(kms.tag_resource, KeyId=key, Tags=[{"TagKey": "AWS:x", "TagValue": "1"}])
    assert (reserved.code, reserved.message) == ("TagException", "Tags beginning with aws: are reserved")
    twice = Refused(kms.create_key, Tags=[tags[0], tags[0]])
    assert (twice.code, twice.message) == ("TagException", "Duplicate tag keys")
    many = [{"TagKey": f"k{n}", "TagValue": ""} for n in range(50)]
    assert Refused(kms.tag_resource, KeyId=key, Tags=many).message == "Too many tags"


def test_key_policies_are_kept_to_the_letter_and_obeyed(kms: Any, key: str) -> None:
    """GetKeyPolicy gives back the text that was put; a deny in it is in force at once."""
    default = json.loads(kms.get_key_policy(KeyId=key)["Policy"])
    assert default["Id"] == "key-default-1"
    assert kms.list_key_policies(KeyId=key)["PolicyNames"] == ["default"]
    statement = {"Sid": "No", "Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"}
    text = json.dumps({**default, "Statement": [*default["Statement"], statement]}, indent=1)
    kms.put_key_policy(KeyId=key, Policy=text)
    assert kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"] == text
    refused = Refused(kms.encrypt, KeyId=key, Plaintext=b"x")
    assert refused.code == "AccessDeniedException"
    assert refused.message == (
        f"User: arn:aws:iam::{arn_of(kms, key).split(':')[4]}:user/admin is not authorized to perform: "
        f"kms:Encrypt on resource: {arn_of(kms, key)} with an explicit deny in a resource-based policy"
    )
    assert len(kms.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"]) == 32


def test_a_policy_that_locks_everybody_out_is_refused(kms: Any, key: str) -> None:
    """Bad JSON and a lockout are MalformedPolicyDocumentException, unless the check is bypassed."""
    deny = {"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*"}
    lockout = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    assert Refused(kms.put_key_policy, KeyId=key, Policy="{").code == "MalformedPolicyDocumentException"
    refused = Refused(kms.put_key_policy, KeyId=key, Policy=lockout)
    assert refused.code == "MalformedPolicyDocumentException"
    assert "Statement #0 denies it to you" in refused.message
    kms.put_key_policy(KeyId=key, Policy=lockout, BypassPolicyLockoutSafetyCheck=True)
    assert Refused(kms.describe_key, KeyId=key).code == "AccessDeniedException"


def test_a_dry_run_answers_and_does_nothing(kms: Any, key: str) -> None:
    """DryRun says that it would have worked, or fails as the call itself would."""
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    for call, arguments in [
        (kms.encrypt, {"KeyId": key, "Plaintext": b"x"}),
        (kms.decrypt, {"CiphertextBlob": sealed}),
        (kms.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
        (kms.re_encrypt, {"CiphertextBlob": sealed, "DestinationKeyId": key}),
        (kms.decrypt, {"KeyId": key, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}),
    ]:
        refused = Refused(call, **arguments, DryRun=True)
        assert refused.code == "DryRunOperationException"
        assert refused.message == "The request would have succeeded, but the DryRun option is set."
    kms.disable_key(KeyId=key)
    assert Refused(kms.encrypt, KeyId=key, Plaintext=b"x", DryRun=True).code == "DisabledException"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fake-key-id", "Invalid keyId 'fake-key-id'"),
        ("0" * 32, f"Invalid keyId '{'0' * 32}'"),
        (f"arn:aws:kms:mars-west-1:111122223333:key/{UUID(int=1)}", "Invalid arn mars-west-1"),
    ],
)
def test_what_is_no_key_here_is_not_found(kms: Any, name: str, message: str) -> None:
    """Ids that are none, and ARNs of other regions, are NotFoundException in AWS's words."""
    refused = Refused(kms.describe_key, KeyId=name)
    assert (refused.code, refused.message) == ("NotFoundException", message)


def test_an_unknown_key_is_named_by_its_arn(kms: Any, key: str) -> None:
    """A well-formed id that does not exist is named as an ARN of the caller's account and region."""
    unknown = str(uuid4())
    arn = arn_of(kms, key).rpartition("/")[0] + "/" + unknown
    for call, arguments in [(kms.describe_key, {}), (kms.encrypt, {"Plaintext": b"x"})]:
        refused = Refused(call, KeyId=unknown, **arguments)
        assert (refused.code, refused.message) == ("NotFoundException", f"Key '{arn}' does not exist")


def test_regions_do_not_see_each_others_keys(service: Any, kms: Any, key: str) -> None:
    """A key belongs to the region of the signature that made it."""
    elsewhere = service.client(region_name="us-east-1")
    assert Refused(elsewhere.describe_key, KeyId=key).code == "NotFoundException"
    assert Refused(elsewhere.encrypt, KeyId=key, Plaintext=b"x").code == "NotFoundException"
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert Refused(elsewhere.decrypt, CiphertextBlob=sealed).code == "AccessDeniedException"


def test_lists_have_pages_that_add_up(service: Any) -> None:
    """Every key is on exactly one page, and markers cannot be made up or moved."""
    kms = service.client(region_name="eu-north-1")
    made = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(7)}
    pages = list(kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 3}))
    assert [len(page["Keys"]) for page in pages] == [3, 3, 1]
    assert [page["Truncated"] for page in pages] == [True, True, False]
    assert {entry["KeyId"] for page in pages for entry in page["Keys"]} == made
    assert Refused(kms.list_keys, Marker="bogus").code == "InvalidMarkerException"
    assert Refused(kms.list_aliases, Marker=pages[0]["NextMarker"]).code == "InvalidMarkerException"
    assert Refused(kms.list_aliases, Limit=101).code == "ValidationException"


def test_garbage_is_no_ciphertext(kms: Any, key: str) -> None:
    """Whatever is not an untouched blob is InvalidCiphertextException without a message."""
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    for broken in (
        b"x",
        sealed[:-1],
        sealed[:-1] + bytes([sealed[-1] ^ 1]),
        b"\0" + sealed,
        b64encode(sealed),
    ):
        assert Refused(kms.decrypt, CiphertextBlob=broken).code == "InvalidCiphertextException"


def test_a_stranger_learns_nothing(service: Any, kms: Any, key: str) -> None:
    """Wrong secrets and unknown access keys have AWS's errors; another account's keys look forbidden."""
    wrong = service.client(aws_secret_access_key="x" * 40)
    assert Refused(wrong.list_keys).code == "InvalidSignatureException"
    nobody = service.client(aws_access_key_id="AKIAAAAAAAAAAAAAAAAA")
    assert Refused(nobody.list_keys).code == "UnrecognizedClientException"
    foreign = f"arn:aws:kms:{kms.meta.region_name}:999999999999:key/{uuid4()}"
    assert Refused(kms.describe_key, KeyId=foreign).code == "AccessDeniedException"


def test_every_answer_has_a_request_id_and_a_checksum(kms: Any, key: str) -> None:
    """Successes and errors alike carry AWS's request id; the body's CRC32 is in the head."""
    headers = kms.encrypt(KeyId=key, Plaintext=b"x")["ResponseMetadata"]["HTTPHeaders"]
    assert len(headers["x-amzn-requestid"]) == 36
    assert headers["content-type"] == "application/x-amz-json-1.1"
    assert int(headers["x-amz-crc32"]) > 0
    assert len(Refused(kms.describe_key, KeyId="nope").request) == 36
