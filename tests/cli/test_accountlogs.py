"""An account's own part of the audit, fetched from a running service and checked offline."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def vkey(dev: Any) -> str:
    """The file of the verifier key."""
    return str(dev.data / "audit.vkey")


def other_account(value: Callable[..., Any], name: str) -> tuple[str, dict[str, str]]:
    """A second account and the settings of its administrator."""
    made = value("account", "create", name)
    key = made["access_key"]
    return made["id"], {
        "AWS_ACCESS_KEY_ID": key["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
    }


def fetched(file: Path) -> list[dict[str, Any]]:
    """The entries in a file."""
    lines = [json.loads(line) for line in file.read_text().splitlines()[1:]]
    return [json.loads(line["entry"]) for line in lines if line.get("entry")]


def test_two_accounts_each_get_their_own(
    dev: Any, ask: Callable[..., Any], value: Callable[..., Any], vkey: str, tmp_path: Path
) -> None:
    """Each file checks out, holds what its account did, and nothing of the other's."""
    account, settings = other_account(value, "tenant")
    dev.until(lambda: ask("principal", "create", "somebody", **settings).code == 0)
    dev.until(lambda: ask("principal", "create", "own").code == 0)
    ours, theirs = tmp_path / "ours.jsonl", tmp_path / "theirs.jsonl"

    def covered() -> bool:
        assert ask("audit", "fetch", "-o", str(theirs), **settings).code == 0
        assert ask("audit", "fetch", "-o", str(ours)).code == 0
        return any(each.get("subject", "").endswith("/somebody") for each in fetched(theirs)) and any(
            each.get("subject", "").endswith("/own") for each in fetched(ours)
        )

    dev.until(covered)
    assert {each["account"] for each in fetched(theirs)} == {account}
    assert account not in "".join(
        json.dumps(each) for each in fetched(ours) if each["action"] != "keystead:CreateAccount"
    )
    admin = dev.settings["AWS_ACCESS_KEY_ID"]
    assert admin in ours.read_text()
    assert admin not in theirs.read_text()
    for file in (ours, theirs):
        code, out, _ = ask("verify", str(file), "--key", vkey)
        assert (code, "are all that the log's signer says there are" in out) == (0, True)
    assert ask("audit", "fetch", "--account", account, "-o", str(tmp_path / "x")).err.startswith(
        "keystead: InvalidRequest: the credentials are of the account"
    )


def test_what_is_missing_from_a_file_is_named(
    ask: Callable[..., Any], vkey: str, tmp_path: Path, dev: Any
) -> None:
    """An entry that somebody takes out of the file is said to be missing."""
    file = tmp_path / "ours.jsonl"

    def enough() -> bool:
        assert ask("audit", "fetch", "-o", str(file)).code == 0
        return len(fetched(file)) > 2

    dev.until(enough)
    lines = file.read_text().splitlines()
    taken = next(number for number, line in enumerate(lines) if number > 1 and '"entry"' in line)
    file.write_text("\n".join([*lines[:taken], *lines[taken + 1 :]]) + "\n")
    code, _, err = ask("verify", str(file), "--key", vkey)
    assert code == 4
    assert "missing" in err
    code, out, _ = ask("verify", str(file), "--key", vkey, "--json")
    assert (code, json.loads(out)["ok"]) == (4, False)


def test_heads_are_kept_and_gone_on_from(
    dev: Any, ask: Callable[..., Any], vkey: str, tmp_path: Path
) -> None:
    """A newer head leads on from the one that was kept, and an auditor finds that neither left anything out."""
    old, new, all_of_it = (tmp_path / name for name in ("old.json", "new.json", "all.jsonl"))
    assert ask("audit", "account-head", "-o", str(old)).code == 0
    before = sum(part["entries"] for part in json.loads(old.read_text())["logs"])

    def more() -> bool:
        assert ask("audit", "account-head", "--since", str(old), "-o", str(new)).code == 0
        return bool(sum(part["entries"] for part in json.loads(new.read_text())["logs"]) > before)

    dev.until(more)
    code, out, _ = ask("verify", str(new), "--since", str(old), "--key", vkey)
    assert (code, "were there before" in out) == (0, True)
    assert ask("audit", "fetch", "-o", str(all_of_it)).code == 0
    told = ask("verify", str(all_of_it), "--since", str(old), "--key", vkey, "--json")
    assert sum(log["since"] for log in json.loads(told.out)["logs"]) == before
    code, out, _ = ask("verify", str(dev.data / "audit"), "--key", vkey, "--head", str(new))
    assert (code, "account heads leave nothing out" in out) == (0, True)
    assert json.loads(ask("audit", "account-head").out)["complete"] is False


def test_what_is_no_file_of_an_accounts(ask: Callable[..., Any], vkey: str, tmp_path: Path, dev: Any) -> None:
    """A file of another kind is refused, as an older one and as one of heads."""
    junk = tmp_path / "junk"
    junk.write_text("{}\n")
    assert "is not a file of an account's heads" in ask("audit", "account-head", "--since", str(junk)).err
    audit = str(dev.data / "audit")
    assert (
        "does not begin as an account's file" in ask("verify", audit, "--key", vkey, "--head", str(junk)).err
    )
    file = tmp_path / "file"
    assert ask("audit", "account-head", "-o", str(file)).code == 0
    assert "not a verifier key" in ask("verify", str(file), "--key", "a+b+c").err
