"""`policy lint` and `policy test`: files, directories, tables, output and exit codes."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keystead.core.policy import default_key_policy
from keystead.core.policy.actions import USES
from keystead.core.policy.builtin import AUDITOR

Keystead = Callable[..., Any]

ACCOUNT = "111122223333"
WIDE: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": {"Sid": "All", "Effect": "Allow", "Action": "kms:*", "Resource": "*"},
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    ],
}
DENY = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "kms:Decyrpt", "Resource": "*"}]}
TABLE = f"""\
policies:
  principals:
    app:
      arn: arn:aws:iam::{ACCOUNT}:user/app
      identity: [KeysteadKeyUser, own/app.yaml]
  keys:
    orders:
      arn: arn:aws:kms:eu-central-1:{ACCOUNT}:key/1234abcd
cases:
  - {{who: app, action: kms:Decrypt, resource: orders, expect: allow}}
  - {{who: app, action: [kms:Sign, kms:PutKeyPolicy], resource: orders, expect: allow}}
"""
OWN = """\
Version: "2012-10-17"
Statement:
  Effect: Deny
  Action: kms:Sign
  Resource: "*"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a policy of each kind, and a table."""
    for name, policy in {"wide.json": WIDE, "trust.json": TRUST, "guardrail-a.json": DENY}.items():
        (tmp_path / name).write_text(json.dumps(policy))
    (tmp_path / "boundary.yml").write_text(json.dumps(WIDE))
    (tmp_path / "key.json").write_text(default_key_policy(ACCOUNT))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "app.yaml").write_text(OWN)
    (tmp_path / "notes.txt").write_text("no policy")
    (tmp_path / "table.yaml").write_text(TABLE)
    return tmp_path


def test_lint_says_where_what_and_how_to_cure_it(place: Path, keystead: Keystead) -> None:
    """One line for a finding, the sum on standard error, and exit code 1 for an error."""
    code, out, err = keystead("policy", "lint", str(place / "wide.json"))
    assert code == 1
    path = place / "wide.json"
    assert out.splitlines()[1] == (
        f"{path} All: error PL001: it allows kms:*. "
        "List the actions that are needed, or attach a built-in policy."
    )
    assert out.startswith(f"{path}: error PL013: its holder reaches uses (kms:")
    assert err == "1 policy: 2 errors, 0 warnings\n"


def test_lint_takes_directories_and_tells_kinds_apart(place: Path, keystead: Keystead) -> None:
    """All JSON and YAML files below are looked at: by principals, resources and names they are what they look like."""
    code, out, err = keystead("policy", "lint", str(place))
    assert code == 1
    found = sorted({(line.split()[0].rstrip(":"), *re.findall(r"PL\d+", line)) for line in out.splitlines()})
    assert found == [
        (str(place / "guardrail-a.json"), "PL005"),
        (str(place / "wide.json"), "PL001"),
        (str(place / "wide.json"), "PL013"),
    ]
    assert err == "8 policies: 3 errors, 0 warnings\n"


def test_what_a_policy_is_can_be_said(place: Path, keystead: Keystead) -> None:
    """As a boundary, a wide policy is a high ceiling; as a key policy it names nobody and is none."""
    wide = str(place / "wide.json")
    assert keystead("policy", "lint", wide, "--kind", "boundary") == (
        0,
        "",
        "1 policy: 0 errors, 0 warnings\n",
    )
    code, out, _ = keystead("policy", "lint", wide, "--kind", "key")
    assert (code, "PL000" in out) == (1, True)


def test_lint_reads_standard_input_and_prints_json(
    keystead: Keystead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning alone is no failure; programs get each finding with all that is known of it."""
    policy = {**WIDE, "Statement": {**WIDE["Statement"], "Action": "kms:Decrypt"}}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(policy).encode())))
    code, out, err = keystead("policy", "lint", "-", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "policies": 1,
        "errors": 0,
        "findings": [
            {
                "code": "PL002",
                "severity": "warning",
                "policy": "standard input",
                "statement": "All",
                "text": "it allows kms:Decrypt with every key of the account",
                "cure": "Name the keys in Resource, or add a condition such as aws:ResourceTag.",
            }
        ],
    }


@pytest.mark.parametrize("text", ["[]", "a text", "{Statement: []}", "{Statement: [a]}", ""])
def test_what_is_no_policy_is_a_finding(text: str, tmp_path: Path, keystead: Keystead) -> None:
    """A file that holds something else is named, whatever it holds."""
    (tmp_path / "a.yaml").write_text(text)
    code, out, _ = keystead("policy", "lint", str(tmp_path / "a.yaml"))
    assert code == 1
    assert out.startswith(f"{tmp_path / 'a.yaml'}: error PL000: ")


def test_lint_of_a_table_judges_principals_by_all_they_hold(place: Path, keystead: Keystead) -> None:
    """The finding names the table and the principal; what is denied by another policy is not found."""
    table = place / "table.yaml"
    assert keystead("policy", "lint", str(table))[:2] == (0, "")
    table.write_text(TABLE.replace("KeysteadKeyUser", "wide.json"))
    code, out, _ = keystead("policy", "lint", str(table))
    assert code == 1
    assert [line.partition(": its")[0].partition(": it")[0] for line in out.splitlines()] == [
        f"{table}: app: error PL013",
        f"{table}: wide.json All: error PL001",
    ]


def test_a_directory_without_policies_is_refused(tmp_path: Path, keystead: Keystead) -> None:
    """To have looked at nothing is no success."""
    assert keystead("policy", "lint", str(tmp_path)) == (
        1,
        "",
        f"keystead: InvalidRequest: {tmp_path} has no .json, .yaml or .yml files\n",
    )


def test_cases_that_do_not_come_out_are_shown_with_the_reason(place: Path, keystead: Keystead) -> None:
    """Each with the statements that decided; the others only if asked for."""
    table = place / "table.yaml"
    failed = (
        f"FAIL  {table} case 2: app kms:Sign orders: expected allow\n"
        "      denied by identity-policy own/app.yaml #0\n"
        f"FAIL  {table} case 2: app kms:PutKeyPolicy orders: expected allow\n"
        "      denied by identity-policy KeysteadKeyUser NoWriting\n"
    )
    assert keystead("policy", "test", str(table)) == (1, failed, "3 cases, 2 not as expected\n")
    shown = (
        f"ok    {table} case 1: app kms:Decrypt orders: allowed by key-policy the default policy of orders "
        "Enable IAM User Permissions, identity-policy KeysteadKeyUser Use\n"
    )
    assert keystead("policy", "test", "--all", str(table)).out == shown + failed


def test_cases_that_come_out_are_a_success(place: Path, keystead: Keystead) -> None:
    """Nothing is shown but the sum; programs get every case."""
    table = place / "table.yaml"
    text = TABLE.replace(
        "[kms:Sign, kms:PutKeyPolicy], resource: orders, expect: allow",
        "kms:Sign, resource: orders, expect: deny",
    )
    table.write_text(text)
    assert keystead("policy", "test", str(table)) == (0, "", "2 cases, 0 not as expected\n")
    code, out, _ = keystead("policy", "test", "--json", str(table))
    told = json.loads(out)
    assert (code, told["ok"], told["failed"]) == (0, True, 0)
    assert told["cases"][1] == {
        "ok": True,
        "file": str(table),
        "case": 2,
        "who": "app",
        "action": "kms:Sign",
        "resource": "orders",
        "expect": "deny",
        "allowed": False,
        "source": "identity-policy",
        "problem": "",
        "explanation": "denied by identity-policy own/app.yaml #0",
    }


def test_what_is_no_table_is_refused(place: Path, keystead: Keystead) -> None:
    """A policy has no cases, and a case that is wrong is named with its file."""
    assert keystead("policy", "test", str(place / "wide.json")).err == (
        f"keystead: InvalidRequest: {place / 'wide.json'} is no table of cases: it has no member called cases\n"
    )
    (place / "table.yaml").write_text(
        TABLE.replace("who: app, action: kms:Decrypt", "who: ap, action: kms:Decrypt")
    )
    assert keystead("policy", "test", str(place / "table.yaml")).err == (
        f"keystead: InvalidRequest: {place / 'table.yaml'}: case 1: ap is not one of the principals\n"
    )
    (place / "own" / "app.yaml").unlink()
    code, _, err = keystead("policy", "test", str(place / "table.yaml"))
    assert (code, "own/app.yaml: No such file or directory" in err) == (1, True)


def test_the_table_of_the_guide_comes_out(checkout: Path, tmp_path: Path, keystead: Keystead) -> None:
    """What the guide shows works as it says, and lint has no error in it; turned around, it fails as shown."""
    page = (checkout / "docs" / "guides" / "policies.md").read_text()
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    table = tmp_path / "payments.yaml"
    table.write_text(text)
    code, out, err = keystead("policy", "test", str(table))
    assert (code, out) == (0, "")
    assert re.fullmatch(r"9 cases, 0 not as expected\n", err)
    assert keystead("policy", "lint", str(table)).code == 0
    shown = re.findall(r"^```text\n(FAIL.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    table.write_text(text.replace("orders, expect: deny, because: identity-policy", "orders, expect: allow"))
    code, out, _ = keystead("policy", "test", str(table))
    assert (code, [out.replace(str(table), "payments.yaml")]) == (1, shown)


# --- what is live ----------------------------------------------------------------------------------------


def policy_of(*actions: str, effect: str = "Allow") -> str:
    """A policy of one statement."""
    statement = {"Sid": "One", "Effect": effect, "Action": actions, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.mark.e2e
def test_lint_of_an_account_finds_who_was_never_declared(ask: Keystead, value: Keystead) -> None:
    """By name, for people and programs, by all that they hold; without an error it is a success."""
    made = value("account", "create", "second")
    key = made["access_key"]
    own = {"AWS_ACCESS_KEY_ID": key["access_key_id"], "AWS_SECRET_ACCESS_KEY": key["secret_access_key"]}
    both = policy_of("kms:Decrypt", "kms:PutKeyPolicy")
    assert ask("principal", "create", "mallory", "--policy", both, **own).code == 0
    region = "eu-west-1"
    code, out, err = ask("policy", "lint", "--account", "--region", region, AWS_REGION="eu-central-1", **own)
    assert code == 1
    lines = out.splitlines()
    assert (
        "user/mallory: error PL013: its holder reaches uses (kms:Decrypt) and writing (kms:PutKeyPolicy). "
        "Give the two to two principals, or deny one of them."
    ) in lines
    assert any(line.startswith("user/admin: error PL013: ") for line in lines)
    assert err.splitlines() == [
        f"account {made['id']}, with the keys of eu-central-1, {region}",
        "1 policy: 2 errors, 1 warning",
    ]
    looking = value("principal", "create", "auditor", "--attach", AUDITOR, "--access-key", **own)[
        "access_key"
    ]
    auditor = {
        "AWS_ACCESS_KEY_ID": looking["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": looking["secret_access_key"],
    }
    foreseen = ask("--dry-run", "policy", "lint", "--account", "--json", **auditor)
    told = json.loads(foreseen.out)
    assert (foreseen.code, foreseen.err) == (1, "")
    assert {(each["policy"], each["code"]) for each in told["findings"]} == {
        ("user/admin", "PL013"),
        ("user/mallory", "PL013"),
        ("user/mallory", "PL002"),
    }
    assert (told["account"], told["errors"], told["left_out"], told["policies"]) == (made["id"], 2, 0, 1)

    guardrail = policy_of(*sorted(USES), effect="Deny")
    assert ask("guardrail", "put", "no-use", guardrail, **own).code == 0
    assert ask("policy", "lint", "--account", **own).code == 0


@pytest.mark.e2e
def test_lint_of_an_account_says_what_it_did_not_see(ask: Keystead, value: Keystead, tmp_path: Path) -> None:
    """Keys that are not shown are counted; who may not look at all is refused."""
    (tmp_path / "account.yaml").write_text("kind: key\nname: hidden\n")
    assert ask("apply", str(tmp_path), "--yes").code == 0
    for name, actions in (("looker", ("keystead:List*", "keystead:Describe*")), ("blind", ("kms:Sign",))):
        made = value("principal", "create", name, "--policy", policy_of(*actions), "--access-key")[
            "access_key"
        ]
        own = {"AWS_ACCESS_KEY_ID": made["access_key_id"], "AWS_SECRET_ACCESS_KEY": made["secret_access_key"]}
        ended = ask("policy", "lint", "--account", **own)
        assert ended.code == 1
        if name == "looker":
            assert "1 key is not yours to see, and was not looked at.\n" in ended.err
        else:
            assert ended.err.startswith("keystead: AccessDenied: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--account", "some.json"], "--account looks at what is live: leave PATH and --kind out."),
        (["--account", "--kind", "key"], "--account looks at what is live: leave PATH and --kind out."),
        (["some.json", "--region", "eu-west-1"], "--region and --control-url go with --account."),
        (
            ["some.json", "--control-url", "http://127.0.0.1:1"],
            "--region and --control-url go with --account.",
        ),
        ([], "Name files or directories to look at, or say --account."),
    ],
)
def test_lint_looks_at_files_or_at_an_account(arguments: list[str], told: str, keystead: Keystead) -> None:
    """Never at both, and what only one of them takes is not passed over in silence."""
    code, out, err = keystead("policy", "lint", *arguments)
    assert (code, out) == (2, "")
    assert told in err
