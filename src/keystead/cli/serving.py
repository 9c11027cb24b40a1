"""Commands that make and serve installations: dev, init, serve, migrate."""

import os
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from keystead import config as configs
from keystead.config import Address, Config
from keystead.core.errors import ConfigError

if TYPE_CHECKING:
    from keystead.app.installation import Founded, Installation, SecretSource

ACCOUNT_DIGITS: Final = 12
DEV_REGION: Final = "eu-central-1"
_ANY_REGION: Final = "any region is served, also one that a client names by mistake: set listen.regions"
_LOOK_SECONDS: Final = 0.02
_PORT: Final = click.IntRange(0, 65_535)
_EXPORT: Final = "export AWS_ENDPOINT_URL_KMS="  # how a file of settings begins


@click.command(
    epilog="""\b
Examples:
  keystead dev
  keystead dev --port 0 --env-file /tmp/keystead.env --workers 1
  . /tmp/keystead.env && aws kms create-key"""
)
@click.option(
    "--port", type=_PORT, default=8900, show_default=True, help="Port of the AWS KMS API; 0 takes a free one."
)
@click.option(
    "--control-port",
    type=_PORT,
    default=8901,
    show_default=True,
    help="Port of the control plane; 0 as well.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Where to keep the data. [default: a directory of the user]",
)
@click.option("--env-file", type=click.Path(path_type=Path), help="Also write the settings there.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes. [default: one for each core]")
@click.option(
    "--accept-audit-loss",
    is_flag=True,
    help="Start although audit logs were removed or set back, and put that on record.",
)
def dev(
    port: int,
    control_port: int,
    data: Path | None,
    env_file: Path | None,
    workers: int | None,
    accept_audit_loss: bool,  # noqa: FBT001 - click hands options over by name
) -> int:
    """Serve for development, on this machine only.

    Makes an installation if there is none, with one account and one admin, and a key file beside the data. Any
    region is served. Once the service answers, the settings for AWS tools are printed, and written as `export`
    lines to the --env-file. Ctrl-C stops it.
    """
    os.umask(0o077)
    data = (data or _dev_data()).absolute()
    if env_file is not None:
        _clear(env_file)
    config = Config(
        data=data,
        listen=Address("127.0.0.1", port),
        control=Address("127.0.0.1", control_port),
        jobs_seconds=5.0,
    )
    config = config if workers is None else replace(config, workers=workers)
    if not _exists(config):
        _found(config, "file", path=str(data / "root.key"))
    installation = open_installation(config)
    access_key_id, secret = installation.admin_access_key()

    def ready(data_port: int, its_control_port: int) -> None:
        endpoint = f"http://127.0.0.1:{data_port}"
        settings = {
            "AWS_ENDPOINT_URL_KMS": endpoint,
            "AWS_ENDPOINT_URL_STS": endpoint,
            "AWS_ACCESS_KEY_ID": access_key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": DEV_REGION,
            "AWS_DEFAULT_REGION": DEV_REGION,
            "KEYSTEAD_CONTROL_URL": f"http://127.0.0.1:{its_control_port}",
        }
        _announce(settings, env_file)

    return _serve(installation, ready, accept_audit_loss=accept_audit_loss)


@click.command(
    epilog="""\b
Examples:
  keystead init --data /var/lib/keystead
  keystead init --data /var/lib/keystead --region eu-central-1 --region us-east-1
  keystead init --data /var/lib/keystead --seal file --seal-file /media/usb/keystead.key
  KEYSTEAD_SEAL_KEY=$(openssl rand -base64 32) keystead init --data DIR --seal env"""
)
@click.option("--data", required=True, type=click.Path(path_type=Path), help="An empty or new directory.")
@click.option(
    "--seal",
    type=click.Choice(["passphrase", "file", "env"]),
    default="passphrase",
    show_default=True,
    help="What opens the root key at each start.",
)
@click.option("--seal-file", type=click.Path(path_type=Path), help="For --seal file: the key file to make.")
@click.option("--seal-variable", help="For --seal env: the variable's name. [default: KEYSTEAD_SEAL_KEY]")
@click.option("--listen", default="127.0.0.1:8900", show_default=True, help="Address of the AWS KMS API.")
@click.option("--control", default="127.0.0.1:8901", show_default=True, help="Address of the control plane.")
@click.option(
    "--region",
    "regions",
    multiple=True,
    default=(DEV_REGION,),
    show_default=True,
    help="A region that is served; may be given more than once. Others are refused.",
)
@click.option(
    "--account",
    default="",
    help="Its account, 12 digits; servers that are to be linked have the same. [default: drawn by lot]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def init(
    *,
    data: Path,
    seal: str,
    seal_file: Path | None,
    seal_variable: str | None,
    listen: str,
    control: str,
    regions: tuple[str, ...],
    account: str,
    as_json: bool,
) -> None:
    """Make a new installation and its configuration, and print what must be kept safe.

    The passphrase is taken from KEYSTEAD_PASSPHRASE, from the file that KEYSTEAD_PASSPHRASE_FILE names, or
    asked for. The admin's secret access key is printed this once.
    """
    os.umask(0o077)
    data = data.absolute()
    config = Config(
        data=data,
        listen=configs.address(listen, "--listen"),
        control=configs.address(control, "--control"),
        regions=regions,
    )
    if wrong := [name for name in regions if not configs.REGION.fullmatch(name)]:
        raise click.UsageError(
            f"--region takes the name of a region, such as {DEV_REGION}, and not {wrong[0]!r}."
        )
    if (seal_file and seal != "file") or (seal_variable and seal != "env"):
        raise click.UsageError("--seal-file goes with --seal file, and --seal-variable with --seal env.")
    if account and (len(account) != ACCOUNT_DIGITS or not account.isascii() or not account.isdecimal()):
        raise click.UsageError("--account takes 12 digits.")
    options = {}
    if seal == "file":
        options["path"] = str((seal_file or data / "root.key").absolute())
    elif seal_variable:
        options["variable"] = seal_variable
    if _exists(config):
        raise ConfigError(f"{data} holds an installation already: choose another directory")
    # Before the installation: once there is one, nothing may stand between its secret and its owner.
    path = _write_configuration(config)
    try:
        founded = _found(config, seal, account, **options)
    except BaseException:
        path.unlink()
        raise
    if as_json:
        import json  # noqa: PLC0415 - only where it is used

        told = {
            "instance": founded.instance,
            "account": founded.account,
            "regions": list(regions),
            "access_key_id": founded.access_key_id,
            "secret_access_key": founded.secret_access_key,
            "audit_key": founded.vkey,
            "config": str(path),
        }
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(
        f"""\
Made installation {founded.instance} in {data}, account {founded.account}, for {", ".join(regions)}.

The admin's access key. The secret is shown this once:
  AWS_ACCESS_KEY_ID={founded.access_key_id}
  AWS_SECRET_ACCESS_KEY={founded.secret_access_key}

The public key of the audit. Keep a copy away from this machine, to verify the logs with:
  {founded.vkey}

What opens the root key ({seal}) opens everything, and nothing else does: keep a second copy of it.
Start with:
  keystead serve --config {shlex.quote(str(path))}"""
    )


@click.command(
    epilog="""\b
Example:
  KEYSTEAD_PASSPHRASE_FILE=/run/credentials/keystead keystead serve --config /var/lib/keystead/keystead.toml"""
)
@click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path), help="The configuration file."
)
@click.option(
    "--accept-audit-loss",
    is_flag=True,
    help="Start although audit logs were removed or set back, and put that on record.",
)
def serve(
    path: Path,
    accept_audit_loss: bool,  # noqa: FBT001 - click hands options over by name
) -> int:
    """Serve an installation until SIGTERM; SIGHUP reads the certificate again.

    Exits with 78, and says what to do, when a setting, the seal or the data is not in order. An audit log that is
    gone, or is an older copy of itself, is not: restore it, or say once that it is meant with --accept-audit-loss.
    """
    os.umask(0o077)
    config = configs.load(path)
    return _serve(
        open_installation(config),
        lambda _data_port, _control_port: None,
        warning="" if config.regions else _ANY_REGION,
        accept_audit_loss=accept_audit_loss,
    )


@click.command(epilog="\b\nExample:\n  keystead migrate --config /var/lib/keystead/keystead.toml")
@click.option(
    "--config", "path", required=True, type=click.Path(path_type=Path), help="The configuration file."
)
def migrate(path: Path) -> None:
    """Bring the store's schema up to this version. Starting the service does it too."""
    from keystead.app.installation import migrate as run  # noqa: PLC0415 - imports the database library

    before, after = run(configs.load(path))
    click.echo(
        f"the schema was at {before} and is at {after}" if before != after else f"the schema is at {after}"
    )


def _dev_data() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "keystead" / "dev"


def _secrets() -> "SecretSource":
    from keystead.app.installation import local_secrets  # noqa: PLC0415 - see keystead.cli.app

    return local_secrets(os.environ, _Asking() if sys.stdin.isatty() else None)


class _Asking:
    """Asks a person for a passphrase. One who has just chosen a new one is not asked for it again."""

    def __init__(self) -> None:
        self._chosen = ""

    def __call__(self, prompt: str) -> str:
        if self._chosen and prompt == "Passphrase: ":
            return self._chosen
        typed = str(click.prompt(prompt, prompt_suffix="", hide_input=True, err=True))
        if prompt != "Passphrase: ":
            self._chosen = typed
        return typed


def _exists(config: Config) -> bool:
    from keystead.app.installation import exists  # noqa: PLC0415 - see keystead.cli.app

    return exists(config)


def _write_configuration(config: Config) -> Path:
    """The new installation's configuration file, which replaces none."""
    path = config.data / configs.FILE
    try:
        config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(configs.template(config.data, config.listen, config.control, config.regions))
    except FileExistsError:
        raise ConfigError(f"{path} exists: move it away, or choose another directory") from None
    except UnicodeEncodeError:
        path.unlink()
        raise ConfigError("the name of the data directory is not UTF-8: choose another") from None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}): choose a directory that can"
        ) from None
    return path


def _found(config: Config, kind: str, account: str = "", **options: str | int) -> "Founded":
    from keystead.app.installation import SystemClock, found, system_random  # noqa: PLC0415 - see keystead.cli.app

    return found(config, kind, _secrets(), SystemClock(), system_random, account=account, **options)


def open_installation(config: Config) -> "Installation":
    """Open the installation that a configuration names, with the secrets of this environment."""
    from keystead.app.installation import Installation, SystemClock, system_random  # noqa: PLC0415 - as above

    return Installation.open(config, _secrets(), SystemClock(), system_random)


def _serve(
    installation: "Installation", ready: "Ready", *, accept_audit_loss: bool, warning: str = ""
) -> int:
    from keystead.app.service import run  # noqa: PLC0415 - as above
    from keystead.observe.log import Log  # noqa: PLC0415 - as above

    log = Log(sys.stderr, installation.config.log, time.time)
    if warning:
        log.warning(warning)
    return run(installation, log, ready, accept_audit_loss=accept_audit_loss)


if TYPE_CHECKING:
    from collections.abc import Callable

    Ready = Callable[[int, int], None]


def _clear(env_file: Path) -> None:
    """Remove the settings of an earlier run, but no other file, and refuse a place that cannot be written."""
    try:
        if env_file.exists():
            if not env_file.read_text(errors="replace").startswith(_EXPORT):
                raise ConfigError(
                    f"{env_file} is not a file that `keystead dev` wrote: name another --env-file"
                )
            env_file.unlink()
        if not os.access(env_file.parent, os.W_OK):
            raise ConfigError(f"{env_file} cannot be written: name an --env-file in a directory that can be")
    except OSError as error:
        raise ConfigError(
            f"{env_file} cannot be replaced ({error.strerror}): name another --env-file"
        ) from None


def _announce(settings: dict[str, str], env_file: Path | None) -> None:
    """Print and write the settings once the service answers.

    The supervisor, which calls this before it forks its children, must not wait and must not have threads, so a
    process of its own waits: a grandchild, which is nobody's to reap.
    """
    supervisor = os.getpid()
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        if os.fork() == 0:
            _announce_when_ready(settings, env_file, supervisor)
    except OSError as error:
        click.echo(f"keystead: the settings cannot be written ({error.strerror})", err=True)
    finally:
        os._exit(0)


def _announce_when_ready(settings: dict[str, str], env_file: Path | None, supervisor: int) -> None:
    from keystead.cli.client import Control  # noqa: PLC0415 - only this process needs it

    # The listening sockets were bound before: held here, they would outlive the service that they are of.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    control = Control(settings["KEYSTEAD_CONTROL_URL"], seconds=1.0)
    while not control.is_ready():
        if not _alive(supervisor):
            return
        time.sleep(_LOOK_SECONDS)
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())
    if env_file is not None:
        temporary = env_file.with_name(f".{env_file.name}.{os.getpid()}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(lines)
        temporary.replace(env_file)  # whoever waits for the file finds it whole
        # What is in the file need not be in whatever collects this process's output as well.
        lines = f". {shlex.quote(str(env_file.absolute()))}\n"
    click.echo(
        f"\nKeystead answers at {settings['AWS_ENDPOINT_URL_KMS']}. Settings for AWS tools:\n\n{lines}"
    )
    sys.stdout.flush()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
