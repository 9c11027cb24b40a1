"""Policy as code: plan, apply, drift, revert, and the keys of templates.

Exit codes of `plan` and `drift` are for scripts: 0 when there is nothing to do, 2 when there is.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.text import Text

from keystead.cli import live
from keystead.cli.client import DEFAULT_URL, URL_VARIABLE, Control
from keystead.cli.documents import directory
from keystead.core.errors import InvalidRequest, NotFound
from keystead.plan.carry import Stopped, carry
from keystead.plan.compare import Plan, Request, Step, Verb, compare
from keystead.plan.drift import Drift
from keystead.plan.drift import drift as find_drift
from keystead.plan.linting import findings
from keystead.plan.present import Present, Record, look, record, things_of
from keystead.plan.reading import read

CHANGES: Final = 2
"""The exit code of `plan` and `drift` when there is something to do."""

_REFUSED: Final = 1
_SIGNS: Final = {Verb.CREATE: ("+", "green"), Verb.CHANGE: ("~", "yellow"), Verb.DELETE: ("-", "red")}
_LINES: Final = {"+": "green", "-": "red", "@": "cyan"}

_url = click.option("--control-url", help=f"The control plane. [default: {URL_VARIABLE}, or {DEFAULT_URL}]")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_comment = click.option("--comment", default="", help="What the revision is for; kept with it.")
_take_over = click.option(
    "--take-over", is_flag=True, help="Go on although somebody has begun and not finished."
)
_dir = click.argument("path", metavar="DIR", type=click.Path(path_type=Path))


@click.command(
    epilog="\b\nExamples:\n  keystead plan accounts/main\n  keystead plan accounts/main --json | jq .counts\n\n"
    "Exit codes: 0 nothing to do, 1 it cannot be done, 2 there are changes."
)
@_dir
@_url
@_json
def plan(path: Path, control_url: str | None, as_json: bool) -> int:  # noqa: FBT001 - click hands options over by name
    """Say what it takes to make the account what DIR declares. Changes nothing.

    It also says what is probably wrong with the policies that are declared, as `keystead policy lint` does.
    """
    made = _plan(Control(control_url), path)
    if as_json:
        click.echo(json.dumps(_plan_json(made), indent=2))
    else:
        _show(made)
    if made.refused:
        return _REFUSED
    return CHANGES if made.steps else 0


@click.command(epilog="\b\nExample:\n  keystead apply accounts/main --comment 'CHG-1234: payments team'")
@_dir
@_comment
@_yes
@_take_over
@_url
@_json
def apply(
    path: Path,
    comment: str,
    yes: bool,  # noqa: FBT001 - click hands options over by name
    take_over: bool,  # noqa: FBT001 - as above
    control_url: str | None,
    as_json: bool,  # noqa: FBT001 - as above
) -> int:
    """Make the account what DIR declares, and keep that as a revision.

    Every step is a request of its own, decided and recorded as such. At the first that fails it stops; what is done
    stays done, and the next apply goes on from there.
    """
    control = Control(control_url)
    return _carry(control, _plan(control, path), comment, yes=yes, take_over=take_over, as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n  keystead revert\n  keystead revert 7 --comment 'CHG-1235: back to Monday'"
)
@click.argument("number", metavar="[REVISION]", type=click.IntRange(min=1), required=False)
@_comment
@_yes
@_take_over
@_url
@_json
def revert(
    number: int | None,
    comment: str,
    yes: bool,  # noqa: FBT001 - as above
    take_over: bool,  # noqa: FBT001 - as above
    control_url: str | None,
    as_json: bool,  # noqa: FBT001 - as above
) -> int:
    """Make the account what a revision declared, by default the one before the last.

    The result is a new revision. Keys that have lost their aliases get them back; access keys of users that were
    deleted do not come back.
    """
    control = Control(control_url)
    known = record(control.ask)
    target = _target(control, known, number)
    wanted = things_of(target)
    made = compare(wanted, look(control.ask, live.regions(wanted, known)), known)
    comment = comment or f"revert to revision {target['number']}"
    return _carry(control, made, comment, yes=yes, take_over=take_over, as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n  keystead drift\n  keystead drift accounts/main --json\n\n"
    "Exit codes: 0 as declared, 2 there is drift."
)
@click.argument("path", metavar="[DIR]", type=click.Path(path_type=Path), required=False)
@_url
@_json
def drift(path: Path | None, control_url: str | None, as_json: bool) -> int:  # noqa: FBT001 - as above
    """Say what somebody has changed by hand since the last revision. Changes nothing.

    With DIR it also says whether that declares something else than the revision. What was never declared is listed, and
    is no drift.
    """
    control = Control(control_url)
    known = record(control.ask)
    present = look(control.ask, live.regions(known.state, known))
    found = find_drift(present, known)
    ahead = None if path is None else _ahead(path, present, known)
    if as_json:
        click.echo(json.dumps(_drift_json(found, ahead), indent=2))
    else:
        _show_drift(found, ahead)
    return CHANGES if found.found else 0


@click.group(epilog="\b\nExample:\n  keystead key ensure web checkout --parameter team=payments")
def key() -> None:
    """Have keys made from templates."""


@key.command(
    "ensure", epilog="\b\nExample:\n  keystead key ensure web checkout -p team=payments --json | jq -r .arn"
)
@click.argument("template_name", metavar="TEMPLATE")
@click.argument("name")
@click.option(
    "--parameter", "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="As the template asks."
)
@click.option("--region", default="", help="Where the key is. [default: AWS_REGION]")
@_url
@_json
def key_ensure(
    template_name: str,
    name: str,
    parameters: tuple[str, ...],
    region: str,
    control_url: str | None,
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """See to it that there is a key as TEMPLATE has it: made, corrected, or left as it is. May be repeated."""
    given = {}
    for each in parameters:
        parameter, equals, value = each.partition("=")
        if not equals or parameter in given:
            raise click.BadParameter(f"{each} is not NAME=VALUE, or the second of that name")
        given[parameter] = value
    told = Control(control_url).ask(
        "EnsureKey", template=template_name, name=name, parameters=given, region=region
    )
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    what = f" ({', '.join(told['changed'])})" if told["changed"] else ""
    click.echo(f"{told['arn']}\n{told['alias']}: {told['outcome']}{what}")


@click.group(epilog="\b\nExample:\n  keystead template show web")
def template() -> None:
    """Look at key templates. They are made by `keystead apply`."""


@template.command("list")
@_url
@_json
def template_list(control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """List the account's key templates."""
    found = list(_all(Control(control_url), "ListTemplates", "templates"))
    if as_json:
        click.echo(json.dumps([_template(each) for each in found], indent=2))
    for each in [] if as_json else found:
        needs = " ".join(_template(each)["parameters"])
        click.echo(f"{each['name']}  {_date(each['updated'])}  {needs}".rstrip())


@template.command("show")
@click.argument("name")
@_url
def template_show(name: str, control_url: str | None) -> None:
    """Show a key template, as JSON."""
    click.echo(json.dumps(_template(Control(control_url).ask("DescribeTemplate", name=name)), indent=2))


@click.group(epilog="\b\nExample:\n  keystead revision show 7 | jq '.state.things | keys'")
def revision() -> None:
    """Look at what the account was declared to be."""


@revision.command("list")
@_url
@_json
def revision_list(control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """List the revisions, the oldest first."""
    found = list(_all(Control(control_url), "ListRevisions", "revisions"))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    for each in [] if as_json else found:
        state = "finished" if each["finished"] else "stopped" if each["closed"] else "under way"
        comment = f"  {each['comment']}" if each["comment"] else ""
        click.echo(f"{each['number']}  {_date(each['created'])}  {state}  {each['by']}{comment}")


@revision.command("show")
@click.argument("number", metavar="[REVISION]", type=click.IntRange(min=1), required=False)
@_url
def revision_show(number: int | None, control_url: str | None) -> None:
    """Show a revision with all that it declares, as JSON; by default the newest."""
    click.echo(json.dumps(Control(control_url).ask("DescribeRevision", number=number or 0), indent=2))


# --- what they share -------------------------------------------------------------------------------------


def _plan(control: Control, path: Path) -> Plan:
    declared = read(directory(path), live.region())
    known = record(control.ask)
    present = look(control.ask, live.regions(declared.state, known))
    _check_account(declared.account, present)
    return compare(declared.state, present, known)


def _ahead(path: Path, present: Present, known: Record) -> bool:
    declared = read(directory(path), live.region())
    _check_account(declared.account, present)
    return not compare(declared.state, present, known).recorded


def _check_account(account: str, present: Present) -> None:
    if account not in ("", present.account):
        raise InvalidRequest(
            f"The directory is of account {account}, and the credentials are of account {present.account}."
        )


def _target(control: Control, known: Record, number: int | None) -> dict[str, Any]:
    if number is not None:
        return control.ask("DescribeRevision", number=number)
    for before in range(known.finished - 1, 0, -1):
        found = control.ask("DescribeRevision", number=before)
        if found["finished"]:
            return found
    raise NotFound(
        "There is no revision before the last one that was finished: there is nothing to go back to."
    )


def _carry(control: Control, made: Plan, comment: str, *, yes: bool, take_over: bool, as_json: bool) -> int:
    if as_json and not yes:
        raise click.UsageError("--json takes --yes as well: nobody can be asked.")
    if not as_json:
        _show(made)
    if made.refused:
        if as_json:
            click.echo(json.dumps({**_plan_json(made), "revision": None}, indent=2))
        return _REFUSED
    if not made.steps and made.recorded:
        if as_json:
            click.echo(json.dumps({**_plan_json(made), "revision": made.base}, indent=2))
        return 0
    dangerous = sum(bool(step.dangers) for step in made.steps)
    warning = f" ({dangerous} of them dangerous)" if dangerous else ""
    if not yes:
        click.confirm(f"Apply these {len(made.steps)} steps{warning}?", abort=True)
    try:
        number = carry(made, control.ask, _teller(made, quiet=as_json), comment=comment, take_over=take_over)
    except Stopped as stopped:
        click.echo(
            f"stopped at {stopped.request.operation} of {stopped.at.thing}: {len(stopped.done)} steps are done and in "
            f"force, {len(stopped.left)} have not begun. Mend what is wrong and apply again: it goes on from there.",
            err=True,
        )
        raise stopped.error from None
    if as_json:
        click.echo(json.dumps({**_plan_json(made), "revision": number}, indent=2))
    else:
        click.echo(f"Done: this is revision {number}")
    return 0


def _teller(made: Plan, *, quiet: bool) -> Callable[[Step, Request], None]:
    """Says which request is next, and how far that is."""
    places = {id(step): number for number, step in enumerate(made.steps, 1)}

    def tell(step: Step, request: Request) -> None:
        click.echo(f"  [{places[id(step)]}/{len(places)}] {request.operation} {step.thing}")

    return (lambda _step, _request: None) if quiet else tell


def _show(made: Plan) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for step in made.steps:
        sign, style = _SIGNS[step.verb]
        console.print(Text(f"{sign} {step.thing}", style=f"bold {style}"))
        for danger in step.dangers:
            console.print(Text(f"    ! {danger}", style="bold magenta"))
        _show_diff(console, step.diff)
    _show_lines(console, "Worth another look:", (each.line for each in findings(made.declared)), "yellow")
    _show_lines(console, "Cannot be done:", made.refused, "bold red")
    _show_lines(console, "By hand:", made.by_hand, "yellow")
    if made.left_out:
        console.print(live.left_out(made.left_out, "compared"))
    console.print(made.summary if made.steps or made.recorded else f"{made.summary}; not recorded yet")


def _show_diff(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(Text(f"    {line}", style=_LINES.get(line[:1], "")))


def _show_lines(console: Console, title: str, lines: Iterable[str], style: str) -> None:
    for number, line in enumerate(lines):
        if number == 0:
            console.print(Text(title, style=style))
        console.print(Text(f"  {line}"))


def _show_drift(found: Drift, ahead: bool | None) -> None:  # noqa: FBT001 - None is not known
    console = Console(highlight=False, soft_wrap=True)
    if not found.revision:
        console.print("Nothing was applied yet: there is nothing to compare with.")
    if found.unfinished:
        console.print(Text("The last apply did not finish.", style="yellow"))
    for each in found.drifted:
        gone = " is gone" if each.now is None else ""
        console.print(Text(f"~ {each.thing}{gone}", style="bold yellow"))
        _show_diff(console, each.diff)
    _show_lines(console, "Lack required tags:", found.untagged, "yellow")
    _show_lines(console, "Never declared:", found.unmanaged, "dim")
    if found.left_out:
        console.print(live.left_out(found.left_out, "compared"))
    if ahead is not None:
        console.print(
            "The directory declares " + ("something else than" if ahead else "what") + " the revision has."
        )
    console.print(
        f"{len(found.drifted)} drifted from revision {found.revision}, {len(found.untagged)} lack tags"
    )


def _plan_json(made: Plan) -> dict[str, Any]:
    return {
        "base": made.base,
        "counts": {str(verb): made.count(verb) for verb in Verb},
        "steps": [
            {
                "thing": step.thing,
                "verb": step.verb,
                "dangers": step.dangers,
                "diff": step.diff,
                "requests": [request.operation for request in step.requests],
            }
            for step in made.steps
        ],
        "findings": [
            {
                "policy": each.policy,
                "statement": each.statement,
                "severity": each.severity,
                "code": each.code,
                "text": each.text,
                "cure": each.cure,
            }
            for each in findings(made.declared)
        ],
        "refused": made.refused,
        "by_hand": made.by_hand,
        "left_out": made.left_out,
        "recorded": made.recorded,
    }


def _drift_json(found: Drift, ahead: bool | None) -> dict[str, Any]:  # noqa: FBT001 - as above
    return {
        "revision": found.revision,
        "unfinished": found.unfinished,
        "drifted": [
            {"thing": each.thing, "gone": each.now is None, "diff": each.diff} for each in found.drifted
        ],
        "untagged": found.untagged,
        "unmanaged": found.unmanaged,
        "left_out": found.left_out,
        "directory_differs": ahead,
    }


def _all(control: Control, operation: str, member: str) -> Iterable[dict[str, Any]]:
    marker = ""
    while True:
        page = control.ask(operation, marker=marker)
        yield from page[member]
        marker = page["marker"]
        if not marker:
            return


def _template(told: dict[str, Any]) -> dict[str, Any]:
    return {"name": told["name"], **json.loads(told["text"])}


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
