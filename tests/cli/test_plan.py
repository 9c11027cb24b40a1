"""Policy as code as people type it: plan, apply, drift, revert, and keys of templates."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MAY_LOOK = ["keystead:List*", "keystead:Describe*"]
GROUPS = "kind: group\nname: {}\n"


def allow(*actions: str) -> str:
    """A policy that allows these."""
    return json.dumps({"Statement": {"Effect": "Allow", "Action": actions, "Resource": "*"}})


class Account:
    """A running service, and a directory that says what its account is to be."""

    def __init__(self, service: Any, run: Callable[..., Any], place: Path) -> None:
        self.service = service
        self.directory = place
        self._run = run

    def __call__(self, *arguments: str, **more: str) -> Any:
        """Run a command; how it ended."""
        return self._run(*arguments, **{**self.service.settings, **more})

    def value(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        done = self(*arguments, "--json")
        assert done.err == "", done
        return json.loads(done.out)

    def declare(self, text: str) -> str:
        """Declare this and nothing else; returns the directory's path."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        (self.directory / "account.yaml").write_text(text)
        return str(self.directory)

    def apply(self, text: str, *arguments: str) -> Any:
        """Make the account this; how that ended."""
        return self("apply", self.declare(text), "--yes", *arguments)


@pytest.fixture
def account(
    dev: Any, keystead: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Account]:
    """Whatever a test declares is gone after it. Nobody is there to answer a question."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    made = Account(dev, keystead, tmp_path / "account")
    yield made
    assert made.apply("").code == 0


@pytest.mark.e2e
def test_plan_and_apply_a_new_group(account: Account) -> None:
    """The plan shows what would be, and its exit code says that there is something; after the apply it is empty."""
    place = account.declare(GROUPS.format("ops"))
    planned = account("plan", place)
    assert planned.code == 2
    assert planned.out.splitlines() == [
        "+ group/ops",
        "    @@ -0,0 +1,6 @@",
        "    +{",
        '    +  "attached": [],',
        '    +  "enabled": true,',
        '    +  "policy": null,',
        '    +  "tags": {}',
        "    +}",
        "1 to create, 0 to change, 0 to delete",
    ]
    applied = account("apply", place, "--yes", "--comment", "CHG-1")
    assert applied.code == 0
    assert "\n  [1/1] CreatePrincipal group/ops\nDone: this is revision " in applied.out
    again = account("plan", place)
    assert (again.code, again.out) == (0, "0 to create, 0 to change, 0 to delete\n")
    assert account("apply", place).code == 0  # nothing to do, so nobody is asked
    listed = account("revision", "list").out.splitlines()[-1]
    assert "  finished  " in listed
    assert listed.endswith("  CHG-1")


@pytest.mark.e2e
def test_a_plan_tells_programs_everything(account: Account) -> None:
    """Steps, dangers, differences, counts, and what is left by hand."""
    account.apply("kind: key\nname: json/one\n---\nkind: group\nname: json\nattached: [KeysteadAuditor]\n")
    place = account.declare("kind: group\nname: json\n")
    told = account.value("plan", place)
    assert told["counts"] == {"create": 0, "change": 1, "delete": 1}
    change, delete = told["steps"]
    assert (change["thing"], change["verb"], change["requests"]) == (
        "group/json",
        "change",
        ["UpdatePrincipal"],
    )
    assert change["dangers"] == ["the group loses arn:aws:iam::aws:policy/KeysteadAuditor"]
    assert '-    "arn:aws:iam::aws:policy/KeysteadAuditor"' in change["diff"]
    assert delete["thing"].endswith("/json/one")
    assert "aws kms schedule-key-deletion" in told["by_hand"][0]
    assert (told["refused"], told["left_out"], told["recorded"]) == ([], 0, False)
    shown = account("plan", place).out
    assert "    ! the group loses arn:aws:iam::aws:policy/KeysteadAuditor\n" in shown
    assert "By hand:\n  key/" in shown
    applied = account.value("apply", place, "--yes")
    assert applied["revision"] == told["base"] + 1
    assert account.value("apply", place, "--yes")["revision"] == applied["revision"]


@pytest.mark.e2e
def test_a_plan_tells_what_is_probably_wrong_with_policies(account: Account) -> None:
    """As `policy lint` does; to people and to programs, and whether or not there is anything to do."""
    place = account.declare(f"kind: policy\nname: typo\npolicy: {allow('kms:Encript')}\n")
    shown = account("plan", place)
    assert shown.code == 2
    assert "Worth another look:\n  policy/typo" in shown.out
    assert "PL005" in shown.out
    told = account.value("plan", place)["findings"]
    assert ("policy/typo", "PL005", "#0") in [
        (each["policy"], each["code"], each["statement"]) for each in told
    ]


@pytest.mark.e2e
def test_nothing_is_applied_unless_somebody_says_so(account: Account) -> None:
    """Without an answer it stops; programs must say --yes; dangerous steps are counted."""
    account.apply(GROUPS.format("asked"))
    place = account.declare("")
    stopped = account("apply", place)
    assert stopped.code == 1
    assert "Apply these 1 steps (1 of them dangerous)?" in stopped.out
    assert account("apply", place, "--json").code == 2
    assert account("plan", place).code == 2


@pytest.mark.e2e
def test_what_is_wrong_with_a_directory_is_told_before_the_server_is_asked(account: Account) -> None:
    """All of it, with file and line; the server need not be there."""
    place = account.declare("kind: usr\nname: a\n---\nkind: group\nname: b\ncolour: red\n")
    done = account("plan", place, KEYSTEAD_CONTROL_URL="http://127.0.0.1:1")
    assert done.code == 1
    assert done.err == (
        "keystead: InvalidRequest: 2 problems in the declarations:\n"
        "  account.yaml:1: there is no kind usr; did you mean user?\n"
        "  account.yaml:6: a group has no member colour\n"
    )


@pytest.mark.e2e
def test_credentials_of_another_account_are_refused(account: Account) -> None:
    """A directory may say which account it is of."""
    done = account("plan", account.declare('kind: account\nid: "999999999999"\n'))
    assert done.code == 1
    assert "The directory is of account 999999999999, and the credentials are of account " in done.err


@pytest.mark.e2e
def test_what_cannot_be_done_is_told_and_not_begun(account: Account) -> None:
    """A key's spec is for ever."""
    account.apply("kind: key\nname: fixed\n")
    place = account.declare("kind: key\nname: fixed\nspec: HMAC_256\nusage: GENERATE_VERIFY_MAC\n")
    planned = account("plan", place)
    assert planned.code == 1
    assert "Cannot be done:\n  key/" in planned.out
    assert account("apply", place, "--yes").code == 1
    told = account.value("apply", place, "--yes")
    assert (told["revision"], len(told["refused"])) == (None, 1)


@pytest.mark.e2e
def test_drift_finds_what_was_changed_by_hand(account: Account) -> None:
    """It tells of what has changed or gone, and of what was never declared; its exit code says whether there is any."""
    text = "kind: user\nname: bea\ntags: {team: a}\n---\nkind: user\nname: cay\n"
    account.apply(text)
    clean = account("drift")
    assert clean.code == 0
    assert "Never declared:\n" in clean.out
    assert "user/admin\n" in clean.out
    assert clean.out.splitlines()[-1].startswith("0 drifted from revision ")
    account("principal", "delete", "cay", "--yes")
    account(
        "principal", "put-policy", "bea", '{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}'
    )
    found = account("drift", str(account.directory))
    assert found.code == 2
    assert "~ user/bea\n" in found.out
    assert "~ user/cay is gone\n" in found.out
    assert "The directory declares what the revision has." in found.out
    told = account.value("drift", account.declare(text + "---\nkind: group\nname: new\n"))
    assert [(each["thing"], each["gone"]) for each in told["drifted"]] == [
        ("user/bea", False),
        ("user/cay", True),
    ]
    assert (told["directory_differs"], told["unfinished"], told["untagged"]) == (True, False, [])
    assert account.apply(text).code == 0
    assert account.value("drift")["directory_differs"] is None


@pytest.mark.e2e
def test_drift_tells_of_keys_that_lack_required_tags(account: Account) -> None:
    """They were made before the tags were required."""
    account.apply("kind: key\nname: old\n")
    account.apply("")
    account.apply("kind: required-tags\ntags: {team: [a, b]}\n")
    found = account("drift")
    assert found.code == 2
    assert "Lack required tags:\n" in found.out
    assert ": has no tag team\n" in found.out


@pytest.mark.e2e
def test_revert_goes_back_to_a_revision(account: Account) -> None:
    """By default to the one before, or to the one that is named; as a new revision that says so."""
    account.apply(GROUPS.format("one"))
    first = account.value("revision", "list")[-1]["number"]
    account.apply(GROUPS.format("two"))
    assert account("revert").code == 1  # nobody has said yes
    done = account("revert", "--yes")
    assert done.code == 0
    assert "+ group/one\n" in done.out
    assert "- group/two\n" in done.out
    shown = json.loads(account("revision", "show").out)
    assert (shown["number"], shown["comment"]) == (first + 2, f"revert to revision {first}")
    assert shown["state"]["things"].keys() == {"group/one"}
    told = json.loads(account("revert", str(first + 1), "--yes", "--json", "--comment", "again").out)
    assert told["revision"] == first + 3
    assert json.loads(account("revision", "show", str(first + 3)).out)["comment"] == "again"
    assert account("revert", "99999", "--yes").err.startswith(
        "keystead: NotFound: There is no revision 99999"
    )


@pytest.mark.e2e
def test_keys_are_ensured_from_a_template(account: Account) -> None:
    """Made, left alone, and corrected; the parameters are the template's to check."""
    text = (
        "kind: template\nname: web\nparameters: {team: [a, b]}\ntags: {team: <<team>>}\nalias: web/<<name>>\n"
    )
    account.apply(text)
    made = account("key", "ensure", "web", "x", "-p", "team=a")
    assert made.out.endswith("\nalias/web/x: created\n")
    assert account.value("key", "ensure", "web", "x", "-p", "team=a")["outcome"] == "unchanged"
    assert account("key", "ensure", "web", "x", "-p", "team=b").out.endswith("alias/web/x: changed (tags)\n")
    refused = account("key", "ensure", "web", "x", "-p", "team=c")
    assert refused.err == "keystead: InvalidRequest: The parameter team must be a or b.\n"
    for wrong in (["-p", "team"], ["-p", "team=a", "-p", "team=b"]):
        assert account("key", "ensure", "web", "x", *wrong).code == 2
    elsewhere = account.value("key", "ensure", "web", "x", "-p", "team=a", "--region", "eu-west-3")
    assert elsewhere["arn"].startswith("arn:aws:kms:eu-west-3:")
    assert account("template", "list").out.split()[::3] == ["web", "team"]
    assert account.value("template", "list")[0]["alias"] == "web/<<name>>"
    assert json.loads(account("template", "show", "web").out)["parameters"] == {"team": ["a", "b"]}


@pytest.mark.e2e
def test_long_lists_are_shown_whole(account: Account) -> None:
    """Page by page, until there is no more."""
    account.apply("---\n".join(f"kind: template\nname: t{number}\n" for number in range(101)))
    assert len(account.value("template", "list")) == 101


@pytest.mark.e2e
def test_an_apply_that_stops_says_how_far_it_came(account: Account) -> None:
    """And the next one goes on from there; meanwhile drift says that the last did not finish."""
    account(
        "principal",
        "create",
        "auditor",
        "--policy",
        allow(*MAY_LOOK, "keystead:PutRevision", "keystead:PutPolicy"),
    )
    made = account.value("access-key", "create", "auditor")
    weak = {"AWS_ACCESS_KEY_ID": made["access_key_id"], "AWS_SECRET_ACCESS_KEY": made["secret_access_key"]}
    place = account.declare(
        f"kind: policy\nname: p\npolicy: {allow('kms:Sign')}\n---\nkind: group\nname: g\n---\nkind: user\nname: zoe\n"
    )
    stopped = account("apply", place, "--yes", **weak)
    assert stopped.code == 1
    said, refused, why = stopped.err.splitlines()
    assert why.startswith("Why: keystead policy explain ")
    assert said.startswith(
        "stopped at CreatePrincipal of group/g: 1 steps are done and in force, 1 have not begun."
    )
    assert refused.startswith("keystead: AccessDenied: ")
    assert account("drift").out.startswith("The last apply did not finish.\n")
    assert "stopped" in account("revision", "list").out
    assert account.value("plan", place)["counts"] == {"create": 2, "change": 0, "delete": 0}
    assert account("apply", place, "--yes").code == 0
    newest = account.value("revision", "list")[-1]["number"]
    assert (
        account("revert", "--yes").code == 0
    )  # to the one before that, since the one between was not finished
    assert account.value("revision", "list")[-1]["comment"] == f"revert to revision {newest - 2}"
    account("principal", "delete", "auditor", "--yes")


@pytest.mark.e2e
def test_keys_that_are_not_ones_to_see_are_counted(account: Account) -> None:
    """A plan and a drift that did not look at everything say so."""
    account.apply("kind: key\nname: hidden\n---\nkind: key\nname: hidden-too\n")
    account(
        "principal",
        "create",
        "looker",
        "--policy",
        allow(*MAY_LOOK),
    )
    made = account.value("access-key", "create", "looker")
    weak = {"AWS_ACCESS_KEY_ID": made["access_key_id"], "AWS_SECRET_ACCESS_KEY": made["secret_access_key"]}
    sentence = "keys are not yours to see, and were not compared."
    assert sentence in account("plan", str(account.directory), **weak).out
    assert sentence in account("drift", **weak).out
    account("principal", "delete", "looker", "--yes")


@pytest.mark.e2e
def test_the_example_is_planned_and_applied(account: Account, checkout: Path) -> None:
    """What stands in the repository works, in whatever account it is put."""
    number = account.value("revision", "list")
    shutil.copytree(checkout / "examples" / "policy-as-code", account.directory)
    me = json.loads(account("revision", "show").out)["account"]
    for path in account.directory.rglob("*.yaml"):
        path.write_text(path.read_text().replace("111122223333", me))
    done = account("apply", str(account.directory), "--yes")
    assert done.code == 0, done
    assert len(account.value("revision", "list")) == len(number) + 1
    assert account("plan", str(account.directory)).code == 0


@pytest.mark.e2e
def test_a_new_account_has_nothing_to_compare_with(
    make_dev: Callable[..., Any], keystead: Callable[..., Any], tmp_path: Path
) -> None:
    """Neither revisions to go back to, nor drift."""
    settings = make_dev(tmp_path).settings
    assert keystead("drift", **settings).out.startswith(
        "Nothing was applied yet: there is nothing to compare with.\n"
    )
    (tmp_path / "none").mkdir()
    planned = keystead("plan", str(tmp_path / "none"), **settings)
    assert (planned.code, planned.out) == (0, "0 to create, 0 to change, 0 to delete; not recorded yet\n")
    refused = keystead("revert", **settings)
    assert refused.err.startswith("keystead: NotFound: There is no revision before the last one")
