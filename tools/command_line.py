"""Draw docs/reference/command-line.md from the commands themselves; a test compares.

python tools/command_line.py > docs/reference/command-line.md
"""

from collections.abc import Iterator

import click

from keystead.cli.app import cli

HEAD = """\
# Command line

<!-- Drawn by tools/command_line.py from the commands themselves. -->

Output is for people; `--json` makes it for programs. Everything that is not the answer goes to standard error. A
failure that was foreseen is one sentence that says what happened and what to do, and an exit code:

| Code | Meaning |
| --- | --- |
| 0 | done |
| 1 | refused or failed; for `status`, a process cannot do its work |
| 2 | the command was used wrongly |
| 3 | the service cannot be reached |
| 4 | `verify` or `audit cat` found damage |
| 78 | a setting, the seal or the data is not in order, so the service cannot start |

Commands that ask a running service (`principal`, `policy put`, `plan` and the like) sign with `AWS_ACCESS_KEY_ID` and
`AWS_SECRET_ACCESS_KEY`, and find it by `--control-url` or `KEYSTEAD_CONTROL_URL`; without
either they look at `http://127.0.0.1:8901`.
"""
WIDTH = 80


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """The full name and the help text of a command and of all below it."""
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from commands(below, _context(below, name, context))


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, text in commands(cli, _context(cli, "keystead", None)):
        heading = "keystead" if name == "keystead" else name.removeprefix("keystead ")
        parts.append(f"## {heading}\n\n```text\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(
        command,
        parent,
        info_name=name,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )


if __name__ == "__main__":
    print(page(), end="")
