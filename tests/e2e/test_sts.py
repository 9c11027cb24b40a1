"""AWS STS as people's tools speak it: boto3, the AWS command line, profiles, and tokens of an issuer."""

import hmac
import json
import os
import subprocess
import sys
import time
from base64 import b32decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError

from keystead.crypto.totp import STEP_SECONDS, password
from keystead.testing.issuer import Issuer, base64, compact
from mockserver import MockServer

pytestmark = pytest.mark.e2e

CONNECTIONS = 12
ROUNDS = 5


def allow(*actions: str, **more: Any) -> str:
    """A policy that allows actions."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def trust(who: dict[str, Any], *actions: str, condition: Any = None) -> str:
    """A trust policy."""
    statement = {"Effect": "Allow", "Principal": who, "Action": list(actions or ["sts:AssumeRole"])}
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {**statement, "Condition": condition} if condition else statement,
        }
    )


class House:
    """A running service, with a user and roles that are made for each test."""

    def __init__(self, service: Any) -> None:
        self.service = service
        self._number = 0
        self.account = self.client("sts").get_caller_identity()["Account"]
        self.key = service.call("CreateKey")["KeyMetadata"]["KeyId"]

    def name(self) -> str:
        """One that nobody has."""
        self._number += 1
        return f"n{self._number}-{time.monotonic_ns()}"

    def user(self, **fields: Any) -> dict[str, str]:
        """A new user's name and credentials."""
        name = self.name()
        self.service.administer("CreatePrincipal", name=name, **fields)
        made = self.service.administer("CreateAccessKey", name=name)
        return {
            "name": name,
            "aws_access_key_id": made["access_key_id"],
            "aws_secret_access_key": made["secret_access_key"],
        }

    def role(self, trusts: str, **fields: Any) -> str:
        """A new role's ARN."""
        fields.setdefault("policy", allow("kms:*", "sts:*"))
        made = self.service.administer(
            "CreatePrincipal", name=self.name(), kind="role", trust=trusts, **fields
        )
        return str(made["arn"])

    def arn(self, user: dict[str, str]) -> str:
        """The ARN of a user."""
        return f"arn:aws:iam::{self.account}:user/{user['name']}"

    def client(self, name: str, who: Any = None) -> Any:
        """A client as somebody: a user, the credentials in an answer, or the admin."""
        settings = self.service.settings
        credentials = {
            "aws_access_key_id": settings["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": settings["AWS_SECRET_ACCESS_KEY"],
        }
        if who is not None and "Credentials" in who:
            given = who["Credentials"]
            credentials = {
                "aws_access_key_id": given["AccessKeyId"],
                "aws_secret_access_key": given["SecretAccessKey"],
                "aws_session_token": given["SessionToken"],
            }
        elif who is not None:
            credentials = {name: value for name, value in who.items() if name.startswith("aws_")}
        config = BotoConfig(retries={"total_max_attempts": 1}, read_timeout=20, connect_timeout=5)
        make: Any = boto3.client
        return make(
            name,
            endpoint_url=settings["AWS_ENDPOINT_URL_KMS"],
            region_name=settings["AWS_REGION"],
            config=config,
            **credentials,
        )

    def ends(self, request: str) -> dict[str, Any]:
        """How a request ended, as the audit has it."""
        return dict(self.service.ends({request})[request])

    def refused(self, code: str, call: Any, *arguments: Any, **members: Any) -> dict[str, Any]:
        """Ask what must be refused, with that code; returns the record of it."""
        with pytest.raises(ClientError) as raised:
            call(*arguments, **members)
        answer: Any = raised.value.response
        assert answer["Error"]["Code"] == code, answer
        record = self.ends(answer["ResponseMetadata"]["RequestId"])
        assert record["outcome"] != "Success"
        return record


@pytest.fixture(scope="module")
def house(service: Any) -> House:
    """The running service."""
    return House(service)


def test_a_role_is_assumed_and_its_session_uses_a_key(house: House) -> None:
    """From the identity of a user to a decrypted plaintext, each step on record as the one who took it."""
    user = house.user()
    role = house.role(trust({"AWS": house.arn(user)}))
    sts = house.client("sts", user)
    me = sts.get_caller_identity()
    assert (me["Arn"], me["Account"], me["UserId"][:4]) == (house.arn(user), house.account, "AIDA")
    opened = sts.assume_role(RoleArn=role, RoleSessionName="ci-7")
    session = house.client("sts", opened).get_caller_identity()
    assert session["Arn"] == opened["AssumedRoleUser"]["Arn"] == f"{_session_arn(role)}/ci-7"
    kms = house.client("kms", opened)
    blob = kms.encrypt(KeyId=house.key, Plaintext=b"x")["CiphertextBlob"]
    answer = kms.decrypt(CiphertextBlob=blob)
    assert answer["Plaintext"] == b"x"
    record = house.ends(answer["ResponseMetadata"]["RequestId"])
    assert (record["principal"], record["outcome"]) == (session["Arn"], "Success")
    house.refused("AccessDeniedException", house.client("kms", user).encrypt, KeyId=house.key, Plaintext=b"x")


def _session_arn(role: str) -> str:
    return role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/")


def test_a_session_policy_narrows(house: House) -> None:
    """What it leaves out is denied."""
    role = house.role(trust({"AWS": house.account}))
    opened = house.client("sts").assume_role(
        RoleArn=role, RoleSessionName="ci-7", Policy=allow("kms:Encrypt")
    )
    assert opened["PackedPolicySize"] > 0
    kms = house.client("kms", opened)
    blob = kms.encrypt(KeyId=house.key, Plaintext=b"x")["CiphertextBlob"]
    record = house.refused("AccessDeniedException", kms.decrypt, CiphertextBlob=blob)
    assert record["decided_by"] == "session-policy"


def test_tags_decide_and_go_along_a_chain(house: House) -> None:
    """A session's tags are the principal's in policies; a transitive one is still there two roles on."""
    policy = allow("sts:*", Condition={"StringEquals": {"aws:PrincipalTag/team": "a"}})
    first = house.role(trust({"AWS": house.account}, "sts:AssumeRole", "sts:TagSession"), policy=policy)
    tagged = allow("kms:*", Condition={"StringEquals": {"aws:PrincipalTag/team": "a"}})
    second = house.role(trust({"AWS": first}, "sts:AssumeRole", "sts:TagSession"), policy=tagged)
    sts = house.client("sts")
    opened: Any = None
    for team, works in (("a", True), ("b", False)):
        tags = [{"Key": "team", "Value": team}]
        opened = sts.assume_role(RoleArn=first, RoleSessionName="ci-7", Tags=tags, TransitiveTagKeys=["team"])
        chained = house.client("sts", opened).assume_role(RoleArn=second, RoleSessionName="x-1")
        kms = house.client("kms", chained)
        if works:
            assert kms.encrypt(KeyId=house.key, Plaintext=b"x")["CiphertextBlob"]
        else:
            house.refused("AccessDeniedException", kms.encrypt, KeyId=house.key, Plaintext=b"x")
    too_long = {"RoleArn": second, "RoleSessionName": "x-1", "DurationSeconds": 3601}
    house.refused("ValidationError", house.client("sts", opened).assume_role, **too_long)


def test_a_confused_deputy_is_refused(house: House) -> None:
    """Whoever makes a service ask for another's role does not know that one's external id."""
    role = house.role(trust({"AWS": house.account}, condition={"StringEquals": {"sts:ExternalId": "12345"}}))
    sts = house.client("sts")
    for given in ({}, {"ExternalId": "12346"}):
        record = house.refused("AccessDenied", sts.assume_role, RoleArn=role, RoleSessionName="ci-7", **given)
        assert (record["decision"], record["subject"]) == ("Deny", role)
    assert sts.assume_role(RoleArn=role, RoleSessionName="ci-7", ExternalId="12345")["Credentials"]


def test_a_role_that_is_not_there_looks_forbidden(house: House) -> None:
    """The answers differ in nothing but what was asked."""
    sts = house.client("sts", house.user())
    there = house.role(trust({"AWS": house.role(trust({"AWS": house.account}))}))
    told = []
    for role in (there, f"{there}x"):
        with pytest.raises(ClientError) as raised:
            sts.assume_role(RoleArn=role, RoleSessionName="ci-7")
        error: Any = raised.value.response["Error"]
        told.append((error["Code"], error["Message"].replace(role, "ROLE"), error["Type"]))
    assert told[0] == told[1]


def test_a_user_shows_a_one_time_password(house: House) -> None:
    """What wants one is denied without, and allowed with the session that has seen it; none counts twice."""
    user = house.user(policy=allow("kms:*", Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}))
    device = house.service.administer("EnableMfa", name=user["name"])
    secret = _unbase32(device["secret"])
    kms, sts = house.client("kms", user), house.client("sts", user)
    house.refused("AccessDeniedException", kms.encrypt, KeyId=house.key, Plaintext=b"x")
    shown = {
        "SerialNumber": device["serial"],
        "TokenCode": password(secret, int(time.time() // STEP_SECONDS)),
    }
    opened = sts.get_session_token(DurationSeconds=900, **shown)
    assert house.client("sts", opened).get_caller_identity()["Arn"] == house.arn(user)
    assert house.client("kms", opened).encrypt(KeyId=house.key, Plaintext=b"x")["CiphertextBlob"]
    record = house.refused("AccessDenied", sts.get_session_token, **shown)
    assert (record["action"], record["stage"]) == ("sts:GetSessionToken", "outcome")


def _unbase32(text: str) -> bytes:
    return b32decode(text + "=" * (-len(text) % 8))


@pytest.mark.parametrize("end", ["revoke", "disable", "delete"])
def test_a_session_ends_everywhere_at_once(house: House, end: str) -> None:
    """On every connection to both workers, which have it in use, from the moment that the change was answered."""
    trusted = trust({"AWS": house.account})
    name = house.name()
    role = house.service.administer(
        "CreatePrincipal", name=name, kind="role", trust=trusted, policy=allow("kms:*")
    )
    opened = house.client("sts").assume_role(RoleArn=role["arn"], RoleSessionName="ci-7")
    request = _encrypt(house, opened["Credentials"])
    wires = [house.service.wire() for _ in range(CONNECTIONS)]
    try:
        for _ in range(ROUNDS):
            assert _ask_all(wires, request) == {""}
        if end == "revoke":
            house.service.administer("RevokePrincipal", name=name, kind="role")
        elif end == "disable":
            house.service.administer("UpdatePrincipal", name=name, kind="role", enabled=False)
        else:
            house.service.administer("DeletePrincipal", name=name, kind="role")
        assert _ask_all(wires, request) == {"UnrecognizedClientException"}
    finally:
        for wire in wires:
            wire.close()


@pytest.mark.parametrize("end", ["revoke", "disable", "delete", "access key"])
def test_the_sessions_of_a_chain_end_everywhere_with_whoever_began_it(house: House, end: str) -> None:
    """All that a user has opened, by one role and on to the next, is refused by both workers from the answer on."""
    user = house.user(policy=allow("kms:*", "sts:*"))
    first = house.role(trust({"AWS": house.arn(user)}))
    second = house.role(trust({"AWS": first}))
    sts = house.client("sts", user)
    opened = [sts.get_session_token(), sts.assume_role(RoleArn=first, RoleSessionName="a-1")]
    opened.append(house.client("sts", opened[1]).assume_role(RoleArn=second, RoleSessionName="b-1"))
    requests = [_encrypt(house, each["Credentials"]) for each in opened]
    wires = [house.service.wire() for _ in range(CONNECTIONS)]
    try:
        for _ in range(ROUNDS):
            for request in requests:
                assert _ask_all(wires, request) == {""}
        if end == "revoke":
            house.service.administer("RevokePrincipal", name=user["name"])
        elif end == "disable":
            house.service.administer("UpdatePrincipal", name=user["name"], enabled=False)
        elif end == "delete":
            house.service.administer("DeletePrincipal", name=user["name"])
        else:
            key = user["aws_access_key_id"]
            house.service.administer("SetAccessKeyStatus", access_key_id=key, enabled=False)
        for request in requests:
            assert _ask_all(wires, request) == {"UnrecognizedClientException"}
    finally:
        for wire in wires:
            wire.close()
    renew = house.client("sts", opened[1]).assume_role
    house.refused("InvalidClientTokenId", renew, RoleArn=second, RoleSessionName="b-2")


def _encrypt(house: House, given: dict[str, str]) -> bytes:
    sign = house.service.signer(access_key=given["AccessKeyId"], secret=given["SecretAccessKey"])
    members = {"KeyId": house.key, "Plaintext": "eA=="}
    request: bytes = sign("Encrypt", members, extra={"x-amz-security-token": given["SessionToken"]})
    return request


def _ask_all(wires: list[Any], request: bytes) -> set[str]:
    for wire in wires:
        wire.send(request)
    return {wire.reply().error for wire in wires}


def test_a_session_of_a_disabled_user_is_refused(house: House) -> None:
    """With what it had in its hands."""
    user = house.user(policy=allow("kms:*"))
    opened = house.client("sts", user).get_session_token()
    kms = house.client("kms", opened)
    blob = kms.encrypt(KeyId=house.key, Plaintext=b"x")["CiphertextBlob"]
    house.service.administer("UpdatePrincipal", name=user["name"], enabled=False)
    house.refused("UnrecognizedClientException", kms.decrypt, CiphertextBlob=blob)
    house.refused("InvalidClientTokenId", house.client("sts", opened).get_caller_identity)


def test_credentials_that_were_put_together_are_refused(house: House) -> None:
    """Another session's token, a changed one, none, or an access key's with a token."""
    role = house.role(trust({"AWS": house.account}))
    sts = house.client("sts")
    one, two = (sts.assume_role(RoleArn=role, RoleSessionName=f"ci-{n}") for n in (1, 2))
    token = one["Credentials"]["SessionToken"]
    for changed in (
        {**one["Credentials"], "SessionToken": two["Credentials"]["SessionToken"]},
        {**one["Credentials"], "SessionToken": token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]},
        {**one["Credentials"], "AccessKeyId": two["Credentials"]["AccessKeyId"]},
    ):
        record = house.refused(
            "InvalidClientTokenId", house.client("sts", {"Credentials": changed}).get_caller_identity
        )
        assert record["outcome"] == "UnknownCredentials"
    wrong = {**one["Credentials"], "SecretAccessKey": two["Credentials"]["SecretAccessKey"]}
    house.refused("SignatureDoesNotMatch", house.client("sts", {"Credentials": wrong}).get_caller_identity)


def test_what_is_not_served_says_so(house: House) -> None:
    """As an action that there is not."""
    record = house.refused("InvalidAction", house.client("sts").get_federation_token, Name="somebody")
    assert record["outcome"] == "InvalidAction"


# --- people's tools --------------------------------------------------------------------------------------


def _aws(house: House, home: Path, *arguments: str, **environment: str) -> Any:
    """What the AWS command line prints, in an environment that knows the service's settings and no more."""
    program = Path(sys.executable).with_name("aws")
    done = subprocess.run(
        [sys.executable, str(program), *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "AWS_PAGER": "",
            "AWS_EC2_METADATA_DISABLED": "true",
            **house.service.settings,
            **environment,
        },
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_aws_command_line_assumes_a_role(house: House, tmp_path: Path) -> None:
    """By the settings that ``dev`` prints."""
    role = house.role(trust({"AWS": house.account}))
    opened = _aws(house, tmp_path, "sts", "assume-role", "--role-arn", role, "--role-session-name", "cli")
    given = opened["Credentials"]
    me = _aws(
        house,
        tmp_path,
        *("sts", "get-caller-identity"),
        AWS_ACCESS_KEY_ID=given["AccessKeyId"],
        AWS_SECRET_ACCESS_KEY=given["SecretAccessKey"],
        AWS_SESSION_TOKEN=given["SessionToken"],
    )
    assert me["Arn"] == f"{_session_arn(role)}/cli"


def test_a_profile_with_a_role_is_all_that_a_tool_needs(house: House, tmp_path: Path) -> None:
    """``role_arn`` and ``source_profile``: boto3 assumes the role by itself."""
    role = house.role(trust({"AWS": house.account}))
    settings = house.service.settings
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        f"[profile deploy]\nrole_arn = {role}\nsource_profile = base\nrole_session_name = by-profile\n"
        f"[profile base]\naws_access_key_id = {settings['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {settings['AWS_SECRET_ACCESS_KEY']}\n"
    )
    without = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    me = _aws(house, tmp_path, "sts", "get-caller-identity", "--profile", "deploy", **without)
    assert me["Arn"] == f"{_session_arn(role)}/by-profile"


# --- tokens of an issuer ---------------------------------------------------------------------------------


@pytest.fixture
def issuer(authority: Any) -> Iterator[MockServer]:
    """Somebody else's issuer."""
    with MockServer(*authority.issue("issuer")) as issuer:
        yield issuer


def test_unmodified_boto3_comes_with_a_token_in_a_file(
    house: House, issuer: MockServer, authority: Any, tmp_path: Path
) -> None:
    """AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, as Kubernetes sets them, and no credentials of ours at all."""
    arn = house.service.administer(
        "CreateProvider", url=issuer.url, audiences=["keystead"], authorities=authority.file.read_text()
    )["arn"]
    condition = {"StringEquals": {f"{issuer.url.removeprefix('https://')}:sub": "system:serviceaccount:a:b"}}
    role = house.role(trust({"Federated": arn}, "sts:AssumeRoleWithWebIdentity", condition=condition))
    file = tmp_path / "token"
    file.write_text(issuer.token(sub="system:serviceaccount:a:b", aud="keystead"))
    program = (
        "import boto3\n"
        "kms = boto3.client('kms')\n"
        f"blob = kms.encrypt(KeyId='{house.key}', Plaintext=b'x')['CiphertextBlob']\n"
        "assert kms.decrypt(CiphertextBlob=blob)['Plaintext'] == b'x'\n"
        "print(boto3.client('sts').get_caller_identity()['Arn'])\n"
    )
    settings = {name: value for name, value in house.service.settings.items() if "KEY" not in name}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(file),
            "AWS_ROLE_ARN": role,
            "AWS_ROLE_SESSION_NAME": "pod",
            **settings,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{_session_arn(role)}/pod"
    records = [
        record
        for record in house.service.until(lambda: _of(house, "sts:AssumeRoleWithWebIdentity", arn))
        if record["outcome"] == "Success"
    ]
    assert records[-1]["subject"] == f"{_session_arn(role)}/pod system:serviceaccount:a:b"
    assert (records[-1]["auth"], records[-1]["account"]) == ("anonymous", house.account)


def _of(house: House, action: str, principal: str) -> list[dict[str, Any]]:
    return [
        each
        for each in house.service.records()
        if (each.get("action"), each.get("principal")) == (action, principal)
    ]


def test_tokens_that_are_not_right_are_refused_and_on_record(house: House) -> None:
    """Forged, over, for others, from others, unsigned, signed with the public key as a secret: none opens anything."""
    with Issuer() as issuer, Issuer() as stranger:
        arn = house.service.administer(
            "CreateProvider", url=issuer.url, audiences=["keystead"], authorities=issuer.authority
        )["arn"]
        condition = {"StringEquals": {f"{issuer.url.removeprefix('https://')}:sub": "app"}}
        role = house.role(trust({"Federated": arn}, "sts:AssumeRoleWithWebIdentity", condition=condition))
        sts = house.client("sts")

        def ask(token: str) -> Any:
            return sts.assume_role_with_web_identity(
                RoleArn=role, RoleSessionName="ci-7", WebIdentityToken=token
            )

        opened = ask(issuer.token())
        assert (opened["SubjectFromWebIdentityToken"], opened["Audience"]) == ("app", "keystead")
        good = issuer.token()
        head, claims, signature = good.split(".")
        now = int(time.time())
        refusals = [
            ("forged", "InvalidIdentityToken", stranger.signer.token(issuer.claims())),
            ("forged under its name", "InvalidIdentityToken", _as(stranger, issuer)),
            ("changed", "InvalidIdentityToken", f"{head}.{claims[:-4]}{claims[-4:][::-1]}.{signature}"),
            ("expired", "ExpiredTokenException", issuer.token(exp=now - 1, iat=now - 100)),
            ("not yet", "InvalidIdentityToken", issuer.token(nbf=now + 3600)),
            ("wrong audience", "InvalidIdentityToken", issuer.token(aud="others")),
            ("wrong issuer", "InvalidIdentityToken", stranger.token()),
            ("alg=none", "InvalidIdentityToken", issuer.signer.token(issuer.claims(), alg="none")),
            ("no signature", "InvalidIdentityToken", f"{head}.{claims}."),
            ("key confusion", "InvalidIdentityToken", _by_public_key(issuer)),
            ("somebody else", "AccessDenied", issuer.token(sub="eve")),
        ]
        record: dict[str, Any] = {}
        for what, code, token in refusals:
            record = house.refused(code, ask, token)
            assert record["action"] == "sts:AssumeRoleWithWebIdentity", what
            assert record["auth"] == "anonymous", what
            assert token not in json.dumps(record), what
        assert record["decision"] == "Deny"
        assert record["principal"] == arn


def _as(stranger: Issuer, issuer: Issuer) -> str:
    """A token by a stranger's key, which says that it is the issuer's."""
    return stranger.signer.token(issuer.claims(), kid=issuer.signer.kid)


def _by_public_key(issuer: Issuer) -> str:
    """A token signed with the issuer's public key, as though that were a secret that it shares."""
    message = compact({"alg": "HS256", "kid": issuer.signer.kid}, issuer.claims())
    public = json.dumps(issuer.signer.jwk).encode()
    return f"{message}.{base64(hmac.digest(public, message.encode(), 'sha256'))}"
