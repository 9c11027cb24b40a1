"""Principals: `keystead principal` for users and service accounts, `role`, `group`, and `revoke`.

The three groups have the same commands, with the options that their kinds know.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, Final, TypeVar

import click

from keystead.cli import asking
from keystead.cli.client import Control
from keystead.core.policy.lint import Kind, Policy, Severity, lint
from keystead.core.principal import GROUP, HOUR, ROLE, SERVICE_ACCOUNT, USER

_EXAMPLES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("principal", "create"): (
        "alice --group operators --tag team=payroll",
        "billing --kind service-account --policy policy.json --access-key",
    ),
    ("principal", "update"): (
        "alice --attach arn:aws:iam::aws:policy/KeysteadAuditor --leave operators",
        "billing --kind service-account --disable",
    ),
    ("principal", "tag"): ("alice team=payroll --remove site",),
    ("role", "create"): ("deploy --trust trust.json --session-seconds 7200",),
    ("role", "update"): ("deploy --trust trust.json", "deploy --detach readers --no-boundary"),
    ("role", "tag"): ("deploy team=payroll --remove site",),
    ("group", "create"): ("operators --attach arn:aws:iam::aws:policy/KeysteadOperator",),
    ("group", "update"): ("operators --attach readers --policy ''",),
    ("group", "tag"): ("operators team=payroll --remove site",),
}
"""By the group and the command."""

F = TypeVar("F", bound=Callable[..., Any])

_PEOPLE: Final = (USER, SERVICE_ACCOUNT)
_CALLED: Final[Mapping[str, str]] = {
    USER: "user",
    SERVICE_ACCOUNT: "service account",
    ROLE: "role",
    GROUP: "group",
}


@click.group(
    epilog="\b\nExamples:\n"
    "  keystead principal create alice --group operators --tag team=payroll --access-key\n"
    "  keystead principal create billing --kind service-account --policy policy.json --access-key\n"
    "  keystead principal update alice --attach arn:aws:iam::aws:policy/KeysteadAuditor --leave operators\n"
    "  keystead principal mfa enable alice"
)
def principal() -> None:
    """Make, change, list and delete users and service accounts."""


@click.group(
    epilog="\b\nExamples:\n"
    "  keystead role create deploy --trust trust.json --attach arn:aws:iam::aws:policy/KeysteadKeyUser\n"
    "  keystead role list"
)
def role() -> None:
    """Make, change, list and delete roles, which users and programs assume for a while."""


@click.group(
    epilog="\b\nExamples:\n"
    "  keystead group create operators --attach arn:aws:iam::aws:policy/KeysteadOperator\n"
    "  keystead group show operators"
)
def group() -> None:
    """Make, change, list and delete groups of users and service accounts."""


@click.group(epilog="\b\nExample:\n  keystead revoke principal deploy --kind role --dry-run")
def revoke() -> None:
    """Take away at once all that somebody has."""


@revoke.command(
    "principal",
    epilog="\b\nExamples:\n"
    "  keystead revoke principal alice --dry-run\n"
    "  keystead revoke principal alice --disable\n"
    "  keystead revoke principal deploy --kind role --yes",
)
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice([USER, SERVICE_ACCOUNT, ROLE]),
    default=USER,
    show_default=True,
    help="What NAME is.",
)
@click.option("--disable", is_flag=True, help="Also disable it, so that it gets nothing new.")
@click.option("--dry-run", "foresee", is_flag=True, help="Say what would stop, and change nothing.")
@asking.yes
@asking.url
@asking.as_json
def revoke_principal(
    name: str,
    kind: str,
    disable: bool,  # noqa: FBT001 - click hands options over by name
    foresee: bool,  # noqa: FBT001 - as above
    yes: bool,  # noqa: FBT001 - as above
    control_url: str | None,
    as_json: bool,  # noqa: FBT001 - as above
) -> None:
    """End every session, access key and grant of a principal.

    One change, in force on every worker when the command returns. Access keys are disabled and grants removed; sessions
    that began before are over, and so are those that it has opened of roles. Without --disable it may be given new
    ones.
    """
    control = Control(control_url)
    if foresee or not yes:
        told = control.see("ForeseeRevocation", name=name, kind=kind)
        if foresee:
            asking.say(told, lambda: [f"Would end {_ended(told)}"], as_json=as_json)
            return
        more = ", and disable it" if disable else ""
        click.confirm(
            f"Revoke {told['principal']}? This ends {_ended(told)}{more}. What uses them stops working at once",
            abort=True,
            err=True,
        )
    told = control.ask("RevokePrincipal", name=name, kind=kind, disable=disable)
    asking.say(told, lambda: [f"Revoked {told['principal']}: it has lost {_ended(told)}"], as_json=as_json)


def _ended(told: dict[str, Any]) -> str:
    keys = f" ({', '.join(told['access_keys'])})" if told["access_keys"] else ""
    grants = _count(told["grants"], "grant")
    return f"every session, {_count(len(told['access_keys']), 'access key')}{keys} and {grants}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@principal.group(epilog="\b\nExample:\n  keystead principal mfa enable alice")
def mfa() -> None:
    """Give users one-time passwords, or take them away."""


@mfa.command("enable")
@click.argument("name")
@asking.url
@asking.as_json
def mfa_enable(name: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
    """Give a user one-time passwords (TOTP). Their secret is shown this once."""
    told = Control(control_url).ask("EnableMfa", name=name)
    asking.say(
        told,
        lambda: [
            f"One-time passwords of {told['principal']}. The secret is shown this once:",
            f"  secret         {told['secret']}",
            f"  for apps       {told['uri']}",
            f"  serial number  {told['serial']}",
        ],
        as_json=as_json,
    )


@mfa.command("disable")
@click.argument("name")
@asking.yes
@asking.url
def mfa_disable(name: str, yes: bool, control_url: str | None) -> None:  # noqa: FBT001 - as above
    """Take a user's one-time passwords away."""
    if not yes:
        click.confirm(
            f"Take the one-time passwords of {name} away? What asks for one is denied then",
            abort=True,
            err=True,
        )
    Control(control_url).ask("DisableMfa", name=name)
    click.echo(f"{name} has no one-time passwords any more")


# --- the commands that all kinds have ----------------------------------------------------------------------


def _fixed(kind: str) -> Callable[[F], F]:
    """Hands a command the one kind that its group is about."""

    def decorate(command: F) -> F:
        @wraps(command)
        def run(**given: Any) -> Any:  # noqa: ANN401 - the command's own
            return command(kind=kind, **given)

        return run  # type: ignore[return-value]  # click hands options over by name, to either

    return decorate


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_policy = click.option("--policy", help="Its own identity policy: JSON, or the path of a file.")
_attach = click.option("--attach", multiple=True, help="A policy, by name or ARN. Repeatable.")
_boundary = click.option("--boundary", help="The policy that limits what all others give it, by name or ARN.")
_tag = click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
_trust = click.option("--trust", help="The policy that says who may assume it: JSON, or the path of a file.")
_seconds = click.option(
    "--session-seconds", type=click.IntRange(HOUR, 12 * HOUR), help="How long a session may last."
)
_detach = click.option("--detach", multiple=True, help="A policy to take away, by name or ARN. Repeatable.")
_leave = click.option("--leave", multiple=True, help="A group to take it out of. Repeatable.")
_no_boundary = click.option("--no-boundary", is_flag=True, help="Take its boundary away.")
_untag = click.option("--untag", multiple=True, metavar="NAME", help="A tag to take away. Repeatable.")
_status = click.option(
    "--enable/--disable", "enabled", default=None, help="Put all its credentials into use, or out of it."
)


def _new_options(kinds: tuple[str, ...]) -> list[Callable[[F], F]]:
    options = [_policy, _attach]
    if kinds == _PEOPLE:
        options.append(click.option("--group", "groups", multiple=True, help="By name or ARN. Repeatable."))
    if kinds != (GROUP,):
        options.append(_boundary)
    if kinds == (ROLE,):
        options += [
            click.option(
                "--trust", required=True, help="Who may assume it: a policy as JSON, or the path of a file."
            ),
            _seconds,
        ]
    options.append(_tag)
    if kinds == _PEOPLE:
        options.append(
            click.option(
                "--access-key", "with_key", is_flag=True, help="Also make an access key, and print it."
            )
        )
    return options


def _change_options(kinds: tuple[str, ...]) -> list[Callable[[F], F]]:
    options = [_policy, _attach, _detach]
    if kinds == _PEOPLE:
        options += [
            click.option("--join", multiple=True, help="A group to put it into. Repeatable."),
            _leave,
        ]
    if kinds != (GROUP,):
        options += [_boundary, _no_boundary]
    if kinds == (ROLE,):
        options += [_trust, _seconds]
    return [*options, _tag, _untag, _status]


def _commands(owner: click.Group, kinds: tuple[str, ...]) -> None:
    """Add the commands that make, show, change and delete principals of these kinds."""
    what = " or a ".join(_CALLED[kind] for kind in kinds)
    kind_is = (
        _fixed(kinds[0])
        if len(kinds) == 1
        else click.option(
            "--kind", type=click.Choice(kinds), default=kinds[0], show_default=True, help="What NAME is."
        )
    )

    def add(name: str, help_text: str) -> Callable[[F], click.Command]:
        examples = _EXAMPLES.get((str(owner.name), name), ())
        lines = "\n".join(f"  keystead {owner.name} {name} {each}" for each in examples)
        return owner.command(name, help=help_text, epilog=f"\b\nExamples:\n{lines}" if lines else None)

    @add("create", f"Make a {what}. Without a policy it may do nothing but what keys' own policies allow it.")
    @click.argument("name")
    @kind_is
    @_options(*_new_options(kinds))
    @asking.url
    @asking.as_json
    def create(
        name: str,
        kind: str,
        control_url: str | None,
        as_json: bool,  # noqa: FBT001 - as above
        with_key: bool = False,  # noqa: FBT001, FBT002 - as above
        **given: Any,  # noqa: ANN401 - the options of each kind
    ) -> None:
        control = Control(control_url)
        wanted = _new(given)
        _warn_of_trust(name, wanted)
        told = control.ask("CreatePrincipal", name=name, kind=kind, **wanted)
        if with_key:
            told["access_key"] = control.ask("CreateAccessKey", name=name, kind=kind)
        asking.say(
            told,
            lambda: [f"Made {told['arn']}", *(asking.new_key(told["access_key"]) if with_key else [])],
            as_json=as_json,
        )

    @add("show", f"Show a {what}.")
    @click.argument("name")
    @kind_is
    @asking.url
    @asking.as_json
    def show(name: str, kind: str, control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
        told = Control(control_url).see("DescribePrincipal", name=name, kind=kind)
        asking.say(told, lambda: _shown(told), as_json=as_json)

    @add("list", f"List all {what.replace(' or a ', 's and ')}s.")
    @asking.url
    @asking.as_json
    def list_(control_url: str | None, as_json: bool) -> None:  # noqa: FBT001 - as above
        control = Control(control_url)
        found = [
            each
            for kind in kinds
            for each in asking.everything(control, "ListPrincipals", "principals", kind=kind)
        ]
        asking.say(found, lambda: map(_line, found), as_json=as_json)

    @add("update", f"Change a {what}; what is not named stays as it is. In force when it returns.")
    @click.argument("name")
    @kind_is
    @_options(*_change_options(kinds))
    @asking.url
    @asking.as_json
    def update(name: str, kind: str, control_url: str | None, as_json: bool, **given: Any) -> None:  # noqa: FBT001, ANN401 - as above
        control = Control(control_url)
        wanted = _changes(control, name, kind, given)
        _warn_of_trust(name, wanted)
        told = control.ask("UpdatePrincipal", name=name, kind=kind, **wanted)
        asking.say(told, lambda: [f"Changed {told['arn']}"], as_json=as_json)

    @add(
        "put-policy", f"Replace a {what}'s own policy: JSON, or the path of a file. In force when it returns."
    )
    @click.argument("name")
    @click.argument("policy")
    @kind_is
    @asking.url
    def put_policy(name: str, policy: str, kind: str, control_url: str | None) -> None:
        Control(control_url).ask("PutPrincipalPolicy", name=name, kind=kind, policy=asking.document(policy))
        click.echo(f"The policy of {name} is in force")

    @add("tag", f"Set tags of a {what}, and take others away.")
    @click.argument("name")
    @click.argument("tags", nargs=-1, metavar="[NAME=VALUE]...")
    @click.option("--remove", multiple=True, metavar="NAME", help="A tag to take away. Repeatable.")
    @kind_is
    @asking.url
    @asking.as_json
    def tag(
        name: str,
        tags: tuple[str, ...],
        remove: tuple[str, ...],
        kind: str,
        control_url: str | None,
        as_json: bool,  # noqa: FBT001 - as above
    ) -> None:
        control = Control(control_url)
        given = {"tags": tags, "untag": remove}
        told = control.ask("UpdatePrincipal", name=name, kind=kind, **_changes(control, name, kind, given))
        asking.say(told["tags"], lambda: _tags(told["tags"]), as_json=as_json)

    @add("delete", f"Remove a {what}. In force when it returns.")
    @click.argument("name")
    @kind_is
    @asking.yes
    @asking.url
    def delete(name: str, kind: str, yes: bool, control_url: str | None) -> None:  # noqa: FBT001 - as above
        if not yes:
            loss = "" if kind == GROUP else ", what it was granted and all credentials of it"
            click.confirm(f"Delete {name}{loss}? What uses it stops working at once", abort=True, err=True)
        Control(control_url).ask("DeletePrincipal", name=name, kind=kind)
        click.echo(f"Deleted {name}")


def _new(given: dict[str, Any]) -> dict[str, Any]:
    """What a new principal is given, as the API takes it."""
    wanted = {
        "policy": asking.document(given.get("policy") or ""),
        "attached": given.get("attach"),
        "groups": given.get("groups"),
        "boundary": given.get("boundary"),
        "tags": asking.pairs(given.get("tags", ())),
        "trust": asking.document(given.get("trust") or ""),
        "session_seconds": given.get("session_seconds"),
    }
    return {name: value for name, value in wanted.items() if value}


def _changes(control: Control, name: str, kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """What is to be changed, as the API takes it: lists and tags as wholes, made from what there is now."""
    wanted: dict[str, Any] = {
        part: asking.document(given[part]) for part in ("policy", "trust") if given.get(part) is not None
    }
    for part in ("boundary", "session_seconds", "enabled"):
        if given.get(part) is not None:
            wanted[part] = given[part]
    if given.get("no_boundary"):
        wanted["boundary"] = ""
    if not any(given.get(option) for option in ("attach", "detach", "join", "leave", "tags", "untag")):
        return wanted
    now = control.see("DescribePrincipal", name=name, kind=kind)
    for part, more, less in (("attached", "attach", "detach"), ("groups", "join", "leave")):
        if given.get(more) or given.get(less):
            gone = given.get(less, ())  # names or ARNs
            left = [arn for arn in now[part] if arn not in gone and arn.rpartition("/")[2] not in gone]
            wanted[part] = [*left, *given.get(more, ())]
    if given.get("tags") or given.get("untag"):
        tags = {**now["tags"], **asking.pairs(given.get("tags", ()))}
        wanted["tags"] = {key: value for key, value in tags.items() if key not in given.get("untag", ())}
    return wanted


def _warn_of_trust(name: str, wanted: dict[str, Any]) -> None:
    """Say on standard error what lint has for errors in a trust policy: it is taken and obeyed nevertheless."""
    for each in lint([Policy(Kind.TRUST, f"the trust policy of {name}", wanted.get("trust", ""))]):
        # What is no policy at all is the service's to refuse.
        if each.severity is Severity.ERROR and each.code != "PL000":
            click.echo(f"warning: {each.line}", err=True)


def _line(one: dict[str, Any]) -> str:
    state = "" if one["enabled"] else "  disabled"
    by = ["policy"] if one["policy"] else []
    by += [arn.rpartition("/")[2] for arn in (*one["attached"], *one["groups"])]
    return f"{one['arn']}  {asking.date(one['created'])}  {', '.join(by) or 'no policy'}{state}"


def _shown(one: dict[str, Any]) -> Iterator[str]:
    yield one["arn"]
    yield f"  made           {asking.date(one['created'])}"
    yield f"  enabled        {'yes' if one['enabled'] else 'no'}"
    for title, member in (("attached", "attached"), ("group", "groups"), ("member", "members")):
        for each in one[member]:
            yield f"  {title:14} {each}"
    if one["boundary"]:
        yield f"  boundary       {one['boundary']}"
    for name, value in sorted(one["tags"].items()):
        yield f"  tag            {name}={value}"
    if one["kind"] == ROLE:
        yield f"  sessions       up to {one['session_seconds']:,} seconds"
    if one["kind"] == USER:
        yield f"  one-time passwords {'yes' if one['mfa'] else 'no'}"
    for title, member in (("policy", "policy"), ("trust", "trust")):
        if one[member]:
            yield f"  {title}:"
            yield from (f"    {line}" for line in one[member].splitlines())


def _tags(tags: dict[str, str]) -> Iterator[str]:
    yield from (f"{name}={value}" for name, value in sorted(tags.items()))


_commands(principal, _PEOPLE)
_commands(role, (ROLE,))
_commands(group, (GROUP,))
