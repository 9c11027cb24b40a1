"""Reading key identifiers and ARNs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.errors import InvalidArn, NotFound
from keystead.core.names import KeyReference
from keystead.core.principal import root_arn, user_arn
from keystead.fronts.aws.names import PrincipalName, claimed_access_key, key_reference, principal_name

ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
MULTI_REGION_ID = "mrk-1234abcd12ab34cd56ef1234567890ab"
HERE = "arn:aws:kms:eu-central-1:111122223333"


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (ID, KeyReference(ID)),
        (MULTI_REGION_ID, KeyReference(MULTI_REGION_ID)),
        ("alias/app", KeyReference("alias/app", is_alias=True)),
        ("alias/team/app_2-B", KeyReference("alias/team/app_2-B", is_alias=True)),
        ("alias/aws/ebs", KeyReference("alias/aws/ebs", is_alias=True)),
        (f"{HERE}:key/{ID}", KeyReference(ID, account="111122223333", region="eu-central-1")),
        (
            f"{HERE}:key/{MULTI_REGION_ID}",
            KeyReference(MULTI_REGION_ID, False, "111122223333", "eu-central-1"),
        ),
        (f"{HERE}:alias/app", KeyReference("alias/app", True, "111122223333", "eu-central-1")),
        (f"arn:aws:kms:home:111122223333:key/{ID}", KeyReference(ID, account="111122223333", region="home")),
    ],
)
def test_a_key_is_named_in_four_ways(text: str, reference: KeyReference) -> None:
    """Ids and aliases, bare or in an ARN, are read with the account and region they carry."""
    assert key_reference(text) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fake-key-id",
        ID.replace("-", ""),
        ID.upper(),
        f" {ID}",
        f"{ID}\n",
        f"{ID}-0",
        "mrk-fake",
        f"mrk-{ID}",
        "alias/",
        "alias/x:y",
        "alias/x\n",
        f"alias/{'x' * 251}",
        "Alias/app",
        f"{HERE}:key/",
        f"{HERE}:key/alias/app",
        f"{HERE}:{ID}",
        f"{HERE}:key/{ID}/more",
        f"arn:aws:kms::111122223333:key/{ID}",
        f"arn:aws:kms:eu-central-1:1234:key/{ID}",
        f"arn:aws:kms:eu-central-1::key/{ID}",
        f"arn:aws-cn:kms:eu-central-1:111122223333:key/{ID}",
        f"arn:aws:s3:eu-central-1:111122223333:key/{ID}",
        f"arn:aws:kms:eu-central-1:\N{ARABIC-INDIC DIGIT ONE}11122223333:key/{ID}",
    ],
)
def test_anything_else_names_no_key(text: str) -> None:
    """What is in none of the four forms is not found, in AWS's words."""
    with pytest.raises(NotFound) as refusal:
        key_reference(text)

    assert str(refusal.value) == f"Invalid keyId '{text}'"


@given(text=st.text(max_size=60))
def test_no_text_breaks_the_reading(text: str) -> None:
    """Any text is a reference of the very same text, or not found."""
    try:
        reference = key_reference(text)
    except NotFound:
        return
    assert text.endswith(reference.name)


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        (root_arn("111122223333"), PrincipalName("root", "111122223333")),
        (user_arn("111122223333", "alice"), PrincipalName("user", "111122223333", "alice")),
        (
            "arn:aws:iam::111122223333:user/division/team/a.b+c=d,e@f-g_h",
            PrincipalName("user", "111122223333", "a.b+c=d,e@f-g_h", "/division/team/"),
        ),
        ("arn:aws:iam::111122223333:role/app", PrincipalName("role", "111122223333", "app")),
        (
            "arn:aws:iam::111122223333:role/service-role/app",
            PrincipalName("role", "111122223333", "app", "/service-role/"),
        ),
        (
            "arn:aws:sts::111122223333:assumed-role/app/session@example",
            PrincipalName("assumed-role", "111122223333", "app", session="session@example"),
        ),
    ],
)
def test_a_principal_is_read_and_written_back(arn: str, name: PrincipalName) -> None:
    """Roots, users, roles and sessions are read into parts that make the same ARN again."""
    assert principal_name(arn) == name
    assert name.arn == arn


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "*",
        "111122223333",
        "arn:aws:iam::111122223333:user/",
        "arn:aws:iam::111122223333:user//",
        "arn:aws:iam::111122223333:user/a b",
        "arn:aws:iam::111122223333:user/alice\n",
        "arn:aws:iam::111122223333:group/admins",
        "arn:aws:iam:eu-central-1:111122223333:root",
        "arn:aws:iam::1111:root",
        "arn:aws:sts::111122223333:assumed-role/app",
        "arn:aws:sts::111122223333:assumed-role/path/app/session",
        "arn:aws:iam::111122223333:user/" + "a" * 65,
        "arn:aws:iam::111122223333:user/" + "p/" * 1100 + "a",
    ],
)
def test_what_names_no_principal_is_an_invalid_arn(arn: str) -> None:
    """Groups, half ARNs, wildcards and over-long paths name nobody."""
    with pytest.raises(InvalidArn, match="ARN does not refer to a valid principal"):
        principal_name(arn)


@pytest.mark.parametrize(
    ("authorization", "claimed"),
    [
        (
            b"AWS4-HMAC-SHA256 Credential=AKIDALICE/20260304/eu-central-1/kms/aws4_request, Signature=0",
            "AKIDALICE",
        ),
        (b"AWS4-HMAC-SHA256 Signature=0,Credential=AKIDALICE/x", "AKIDALICE"),
        (b"AWS4-HMAC-SHA256 Credential=AKID\xff/x", ""),
        (b"AWS4-HMAC-SHA256 Credential=" + b"A" * 200 + b"/x", ""),
        (b"AWS4-HMAC-SHA256 Credential=/x", ""),
        (b"Bearer secret", ""),
        (b"", ""),
    ],
)
def test_the_claimed_access_key_is_read_from_any_header(authorization: bytes, claimed: str) -> None:
    """What the audit notes of a refused request is a well-formed access key id or nothing."""
    assert claimed_access_key(authorization) == claimed
