"""Policy as code against a whole service: two who apply at once, a client that is killed, a large account."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.e2e

USERS = "kind: user\nname: {}\n---\n"


@pytest.fixture
def account(own_service: Any) -> Any:
    """A running service, with an account that nobody has declared anything of."""
    own_service.start()
    return own_service


def declared(place: Path, text: str) -> str:
    """A directory that declares this."""
    place.mkdir()
    (place / "account.yaml").write_text(text)
    return str(place)


def test_two_who_apply_at_once_do_not_mix(account: Any, tmp_path: Path) -> None:
    """Both start from the same revision: one makes its account whole, and the other is refused without a trace."""
    places = [
        declared(tmp_path / side, "".join(USERS.format(f"{side}-{number:02}") for number in range(40)))
        for side in ("left", "right")
    ]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "keystead", "apply", place, "--yes"],
            env=clean(account),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for place in places
    ]
    ends = [(one.communicate(timeout=60), one.returncode) for one in running]
    winners = [side for side, (_, code) in zip(("left", "right"), ends, strict=True) if code == 0]
    made = {
        each["name"].partition("-")[0]
        for each in account.administer("ListPrincipals", limit=1000)["principals"]
    }
    newest = account.administer("DescribeRevision")
    if len(winners) == 1:
        (loser,) = [errors for (_, errors), code in ends if code]
        assert loser.startswith("keystead: AlreadyExists: ")
        assert made & {"left", "right"} == set(winners)
        assert newest["number"] == 1
    else:  # the second looked when the first had finished: then it has replaced it
        assert len(winners) == 2
        assert newest["number"] == 2
        assert len(made & {"left", "right"}) == 1
    assert newest["finished"]


def test_an_apply_that_is_killed_is_taken_up_by_the_next(account: Any, tmp_path: Path) -> None:
    """What it had begun stays as far as it came; after a restart of the service, too, the next one does the rest."""
    place = declared(
        tmp_path / "account",
        "".join(USERS.format(f"u-{number:03}") for number in range(300)) + "kind: key\nname: last\n",
    )
    running = subprocess.Popen(
        [sys.executable, "-m", "keystead", "apply", place, "--yes"],
        env=clean(account),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    while "[3/" not in running.stdout.readline():
        assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait(timeout=10)
    running.stdout.close()
    account.kill()
    account.start()
    assert not account.administer("DescribeRevision")["finished"]
    refused = account.keystead("apply", place, "--yes")
    assert refused.returncode == 1
    assert "take over" in refused.stderr
    done = account.keystead("apply", place, "--yes", "--take-over")
    assert done.returncode == 0, done.stderr
    assert account.keystead("plan", place).returncode == 0
    assert len(account.administer("ListPrincipals", limit=1000, kind="user")["principals"]) == 301
    account.client().encrypt(KeyId="alias/last", Plaintext=b"x")


def test_required_tags_hold_for_aws_clients_and_for_templates(account: Any, tmp_path: Path) -> None:
    """boto3 is refused a key without them by every worker; a developer has one made that has them, and uses it."""
    template = (
        "kind: template\nname: app\nalias: app/<<name>>\ntags: {team: <<team>>}\nparameters: {team: [pay]}\n"
    )
    ensure = {"Effect": "Allow", "Action": "keystead:EnsureKey", "Resource": "*"}
    use = {"Effect": "Allow", "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [ensure, use]})
    user = f"kind: user\nname: dev\npolicy: {text}\n"
    required = "kind: required-tags\ntags: {team: [pay, risk]}\n"
    place = declared(tmp_path / "account", f"{template}---\n{user}---\n{required}")
    done = account.keystead("apply", place, "--yes")
    assert done.returncode == 0, done.stderr
    client = account.client()
    for _ in range(8):  # some of each worker's
        with pytest.raises(ClientError, match="AccessDeniedException"):
            client.create_key()
    made = account.administer("CreateAccessKey", name="dev")
    own = {"AWS_ACCESS_KEY_ID": made["access_key_id"], "AWS_SECRET_ACCESS_KEY": made["secret_access_key"]}
    ensured = subprocess.run(
        [sys.executable, "-m", "keystead", "key", "ensure", "app", "web", "-p", "team=pay", "--json"],
        env={**clean(account), **own},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    arn = json.loads(ensured.stdout)["arn"]
    mine = boto3.client(
        "kms",
        endpoint_url=account.settings["AWS_ENDPOINT_URL_KMS"],
        region_name=account.settings["AWS_REGION"],
        aws_access_key_id=made["access_key_id"],
        aws_secret_access_key=made["secret_access_key"],
    )
    sealed = mine.encrypt(KeyId="alias/app/web", Plaintext=b"x")
    assert sealed["KeyId"] == arn
    assert mine.decrypt(CiphertextBlob=sealed["CiphertextBlob"])["Plaintext"] == b"x"
    assert client.list_resource_tags(KeyId=arn)["Tags"] == [{"TagKey": "team", "TagValue": "pay"}]
    with pytest.raises(ClientError, match="AccessDeniedException"):
        client.untag_resource(KeyId=arn, TagKeys=["team"])
    account.stop()
    (record,) = [
        each
        for each in account.records()
        if each.get("action") == "keystead:EnsureKey" and each.get("stage") == "outcome"
    ]
    assert (record["key"], record["outcome"]) == (arn, "Success")
    assert record["subject"].endswith(" alias/app/web")


def test_a_large_account_has_its_revision_and_a_larger_one_is_told_the_limit(account: Any) -> None:
    """A million bytes go through the control plane, and of one that is larger the limit is said."""
    state = {"form": 1, "things": {"policy/p": {"policy": "x" * 999_900}}}
    begun = account.administer("PutRevision", expected=0, state=state)
    account.administer("CloseRevision", number=begun["number"], finished=True)
    assert account.administer("DescribeRevision")["state"] == state
    state["things"] = {"policy/p": {"policy": "x" * 1_000_000}}
    with account.control_wire() as wire:
        sign = account.signer(service="keystead")
        reply = wire.ask(sign("PutRevision", {"expected": 1, "state": state}))
    assert (reply.status, reply.error) == (413, "TooLarge")
    assert "a revision's may have 1000000" in reply.value["detail"]


def clean(service: Any) -> dict[str, str]:
    """The administrator's environment."""
    return {**os.environ, **service.settings}
