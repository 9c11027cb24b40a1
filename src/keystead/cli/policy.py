"""Commands for policies: `policy lint` and `policy test`; `policy explain` is another module's.

The first two read files in JSON or YAML, and need no service. A file is a policy, or a table: policies, and cases of
who may do what with them (`keystead.core.policy.cases`). `policy lint --account` reads what is live instead.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from keystead.cli import asking, live, named, yaml
from keystead.cli.client import Control
from keystead.cli.explain import explain
from keystead.core.errors import InvalidRequest
from keystead.core.policy import cases
from keystead.core.policy.lint import Finding, Holder, Kind, Policy, Severity, lint
from keystead.plan import linting
from keystead.plan.present import look, record

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_paths = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
_SUFFIXES: Final = (".json", ".yaml", ".yml")
_KINDS: Final = {
    "boundary": Kind.BOUNDARY,
    "guardrail": Kind.GUARDRAIL,
    "identity": Kind.IDENTITY,
    "key": Kind.KEY,
    "session": Kind.SESSION,
    "trust": Kind.TRUST,
}


@click.group()
def policy() -> None:
    """Check and test policies, put those that are attached by name, and explain decisions."""


policy.add_command(explain)
for command in (named.policy_put, named.policy_show, named.policy_list, named.policy_delete):
    policy.add_command(command)


@policy.command(
    "lint",
    epilog="""\b
Examples:
  keystead policy lint key-policy.json
  keystead policy lint policies/ --json | jq '.findings[] | select(.severity == "error")'
  aws kms get-key-policy --key-id ... --query Policy --output text | keystead policy lint -
  keystead policy lint --account --json | jq '.findings[] | select(.code == "PL013") | .policy'""",
)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH...]")
@click.option(
    "--kind", type=click.Choice(list(_KINDS)), help="What the policies are. [default: what they look like]"
)
@click.option("--account", is_flag=True, help="Look at all that is live in the account, instead of at files.")
@click.option(
    "--region",
    "regions",
    multiple=True,
    help="With --account: also look at the keys there. Repeatable. "
    "[default: AWS_REGION, and where keys were ever declared]",
)
@asking.url
@_json
def policy_lint(
    paths: tuple[Path, ...],
    kind: str | None,
    account: bool,  # noqa: FBT001 - click's way
    regions: tuple[str, ...],
    control_url: str | None,
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """Say what is probably wrong with policies, and how to cure it.

    Takes files, directories of .json, .yaml and .yml files, and - for standard input. A policy that names principals is
    a key policy, or a role's trust policy if it has no resources; one of denials in a file whose name has "guardrail"
    in it is a guardrail, one in a file with "boundary" in its name a permission boundary, and any other an identity
    policy. Of a table of cases the policies are looked at. Exits with 1 when there is an error among the findings.

    With --account a running service is asked, as by `keystead drift`, for all principals, groups, roles, policies,
    guardrails and keys, declared or not. Each is found by its name, such as user/alice, and every principal is judged
    by all that it holds together.
    """
    if account and (paths or kind):
        raise click.UsageError("--account looks at what is live: leave PATH and --kind out.")
    if not account and (regions or control_url):
        raise click.UsageError("--region and --control-url go with --account.")
    if not account and not paths:
        raise click.UsageError("Name files or directories to look at, or say --account.")
    about: dict[str, Any] = {}
    if account:
        count, findings, about = _of_account(Control(control_url), regions)
    else:
        count, findings = _of_files(paths, kind)
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    if as_json:
        told = {
            **about,
            "policies": count,
            "errors": errors,
            "findings": [_finding(each) for each in findings],
        }
        click.echo(json.dumps(told, indent=2))
    else:
        for finding in findings:
            click.echo(finding.line)
        if about:
            click.echo(
                f"account {about['account']}, with the keys of {', '.join(about['regions'])}", err=True
            )
        if about.get("left_out"):
            click.echo(live.left_out(about["left_out"], "looked at"), err=True)
        click.echo(f"{_count(count, 'policy', 'policies')}: {_sum(findings)}", err=True)
    click.get_current_context().exit(1 if errors else 0)


@policy.command(
    "test",
    epilog="""\b
Examples:
  keystead policy test policies/cases.yaml
  keystead policy test policies/*.test.yaml --json | jq '.cases[] | select(.ok | not)'""",
)
@_paths
@click.option("--all", "show_all", is_flag=True, help="Show the cases that are as expected, too.")
@_json
def policy_test(paths: tuple[Path, ...], show_all: bool, as_json: bool) -> None:  # noqa: FBT001 - click's way
    """Ask tables of cases who may do what.

    The policies of a table decide as they would in the service, but nothing is asked of one. A case that does not come
    out as expected is shown with the statements that decided, or with what was missing. Exits with 1 when there is one.
    """
    told = [each for path in _files(paths) for each in _outcomes(path)]
    failed = sum(not each["ok"] for each in told)
    if as_json:
        click.echo(json.dumps({"ok": not failed, "failed": failed, "cases": told}, indent=2))
    else:
        for each in told:
            if not each["ok"] or show_all:
                click.echo(_case_line(each))
        click.echo(f"{_count(len(told), 'case', 'cases')}, {failed} not as expected", err=True)
    click.get_current_context().exit(1 if failed else 0)


# --- lint ------------------------------------------------------------------------------------------------


def _of_account(control: Control, regions: tuple[str, ...]) -> tuple[int, list[Finding], dict[str, Any]]:
    """How many policies are live, the findings about them, and what was looked at."""
    known = record(control.see)
    places = live.regions(known.state, known, regions)
    present = look(control.see, places)
    state = linting.live(present)
    about = {"account": present.account, "regions": sorted(places), "left_out": present.left_out}
    return sum(1 for _ in linting.policies(state)), linting.findings(state), about


def _of_files(paths: tuple[Path, ...], kind: str | None) -> tuple[int, list[Finding]]:
    """How many policies there are in files, and the findings about them."""
    policies = list[Policy]()
    holders = list[Holder]()
    for path in _files(paths):
        raw = yaml.load_file(path)
        if cases.is_table(raw):
            table = _table(raw, path)
            policies += [_within(each, path) for each in table.policies]
            holders += [_held(each, path) for each in table.holders]
        else:
            wanted = _kind(raw, path) if kind is None else _KINDS[kind]
            policies.append(Policy(wanted, yaml.called(path), _text(raw)))
    return len(policies), lint(policies, holders)


def _kind(raw: object, path: Path) -> Kind:
    """What a policy looks like."""
    found = raw.get("Statement") if isinstance(raw, dict) else None
    statements = [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, dict)]
    if any("Principal" in each or "NotPrincipal" in each for each in statements):
        about = any("Resource" in each or "NotResource" in each for each in statements)
        return Kind.KEY if about else Kind.TRUST
    name = path.name.lower()
    if "guardrail" in name and all(each.get("Effect") == "Deny" for each in statements):
        return Kind.GUARDRAIL
    return Kind.BOUNDARY if "boundary" in name else Kind.IDENTITY


def _within(policy: Policy, path: Path) -> Policy:
    """A policy of a table, under a name that says which table."""
    return policy._replace(name=f"{yaml.called(path)}: {policy.name}")


def _held(holder: Holder, path: Path) -> Holder:
    return Holder(
        f"{yaml.called(path)}: {holder.name}",
        tuple(_within(each, path) for each in holder.policies),
        holder.boundary,
        holder.guardrails,
    )


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "policy": finding.policy,
        "statement": finding.statement,
        "text": finding.text,
        "cure": finding.cure,
    }


def _sum(findings: list[Finding]) -> str:
    counts = (
        _count(
            sum(finding.severity is severity for finding in findings), severity.value, f"{severity.value}s"
        )
        for severity in Severity
        if severity is not Severity.INFO
    )
    return ", ".join(counts)


# --- test ------------------------------------------------------------------------------------------------


def _outcomes(path: Path) -> Iterator[dict[str, Any]]:
    """What came out of each case of a file."""
    raw = yaml.load_file(path)
    if not cases.is_table(raw):
        raise InvalidRequest(f"{yaml.called(path)} is no table of cases: it has no member called cases")
    for case, ruling, problem in cases.run(_table(raw, path)):
        yield {
            "ok": not problem,
            "file": yaml.called(path),
            "case": case.row,
            "who": case.who,
            "action": case.action,
            "resource": case.resource,
            "expect": "allow" if case.allowed else "deny",
            "allowed": ruling.allowed,
            "source": ruling.source,
            "problem": problem,
            "explanation": ruling.explain(),
        }


def _case_line(told: dict[str, Any]) -> str:
    case = f"case {told['case']}: {told['who']} {told['action']} {told['resource']}"
    if told["ok"]:
        return f"ok    {told['file']} {case}: {told['explanation']}"
    return f"FAIL  {told['file']} {case}: {told['problem']}\n      {told['explanation']}"


# --- files -----------------------------------------------------------------------------------------------


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    """The files that are meant, those of a directory in the order of their names."""
    for path in paths:
        if path.is_dir():
            found = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
            if not found:
                raise InvalidRequest(f"{path} has no {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]} files")
            yield from found
        else:
            yield path


def _table(raw: object, path: Path) -> cases.Table:
    """A table, whose files are named as seen from its own place."""

    def read(name: str) -> str:
        return _text(yaml.load_file(path.parent / name))

    try:
        return cases.read_table(raw, read)
    except InvalidRequest as error:
        raise InvalidRequest(f"{yaml.called(path)}: {error}") from None


def _text(raw: object) -> str:
    """The JSON text of a policy."""
    return json.dumps(raw, ensure_ascii=False)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
