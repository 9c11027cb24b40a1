"""The configuration: one frozen value, parsed once, refused at start when anything in it is wrong.

It is written in TOML. ``keystead init`` writes a commented one; every setting has a default but ``data``.

    data = "/var/lib/keystead"
    [listen]
    address = "127.0.0.1:8900"
    workers = 2
    [control]
    address = "127.0.0.1:8901"
    [tls]
    certificate = "/etc/keystead/server.pem"
    key = "/etc/keystead/server.key"
    [limits]
    body_bytes = 131072

``docs/reference/configuration.md`` describes each setting; a test compares.
"""

import json
import os
import re
import tomllib
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from typing_extensions import override

from keystead.core.address import is_loopback
from keystead.core.errors import ConfigError
from keystead.core.retention import Durations, Kept
from keystead.core.subject import MEMBERS

DATABASE: Final = "keystead.db"
AUDIT: Final = "audit"
FILE: Final = "keystead.toml"
WITNESS_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a host and a TCP port, 0 for any free one."""

    host: str
    port: int

    @override
    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files of the data plane's certificate."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that an operator may move."""

    body_bytes: int = 131_072  # of a request
    connections: int = 10_000  # of one worker
    drain_seconds: int = 15  # for answers that are under way when the server stops
    keys_held: int = 100_000  # in the working set of one worker
    aliases_per_key: int = 50
    tags_per_key: int = 50
    grants_per_key: int = 50_000
    rotations_on_demand: int = 25
    access_keys_per_principal: int = 2
    custom_key_stores: int = 10  # of one account in one Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Xks:
    """How the proxies of external key stores are asked."""

    ca: Path | None = None  # whose certificates count; the system's authorities otherwise
    deadline_ms: int = 250  # of one request, whatever of it is slow
    port: int = 443


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Another installation, whose Regions this one's multi-Region keys may have members in, and the reverse."""

    name: str
    regions: tuple[str, ...]  # that are served there
    url: str  # of its control plane
    identity: str  # what `keystead link show` prints there
    ca: Path | None = None  # whose certificates count; the system's authorities otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """Somebody else's system that gets the audit: which of these count depends on its kind (`SINK_KINDS`)."""

    name: str
    kind: str
    format: str = "keystead"
    checkpoint_entries: int = 1000  # between two checkpoint events while entries come
    deadline_seconds: int = 10  # for one delivery, whatever of it is slow
    path: Path | None = None  # a directory
    rotate_bytes: int = 64 << 20
    rotate_seconds: int = 3600
    url: str = ""
    brokers: str = ""
    topic: str = ""
    username: str = ""
    secret_file: Path | None = None
    authorization_file: Path | None = None
    ca: Path | None = None  # whose certificates count; the system's authorities otherwise
    certificate: Path | None = None  # our own
    key: Path | None = None
    cleartext: bool = False  # the audit may leave this machine unencrypted
    overlap: int = 1000  # events sent again when a connection is made again


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessedBy:
    """A witness that this installation's audit logs are sent to (C2SP tlog-witness)."""

    name: str
    url: str  # its submission prefix
    vkey: str
    ca: Path | None = None  # whose certificates count; the system's authorities otherwise
    seconds: int = WITNESS_SECONDS  # between two checkpoints that it is sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set."""

    data: Path
    listen: Address = Address("127.0.0.1", 8900)
    control: Address = Address("127.0.0.1", 8901)
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    regions: tuple[str, ...] = ()  # empty: any
    tls: Tls | None = None
    log: str = "text"  # or "json"
    jobs_seconds: float = 60.0  # between two looks for what is due
    limits: Limits = Limits()
    xks: Xks = Xks()
    links: tuple[Link, ...] = ()
    sinks: tuple[Sink, ...] = ()
    witnessed: tuple[str, ...] = ()  # verifier keys of the logs that this installation is a witness of
    witnesses: tuple[WitnessedBy, ...] = ()
    durations: Durations = field(default_factory=Durations)  # for which the audit is kept
    redactable: frozenset[str] = frozenset()  # members of audit entries that hold commitments

    @property
    def store(self) -> str:
        """The store's URL."""
        return f"sqlite:///{self.data.absolute() / DATABASE}"

    @property
    def audit(self) -> Path:
        """The directory of the audit logs."""
        return self.data / AUDIT


def load(path: Path) -> Config:
    """The configuration in a file; raises `ConfigError` that names the setting and the cure."""
    try:
        with path.open("rb") as file:
            raw = tomllib.load(file)
    except OSError as error:
        raise ConfigError(
            f"the configuration {path} cannot be read ({error.strerror}): name another"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration {path} is not valid TOML: {error}") from None
    return parse(raw, path.parent)


def parse(raw: Mapping[str, Any], base: Path) -> Config:
    """A configuration from parsed TOML; relative paths start from ``base``."""
    table = _Table("", raw)
    listen, control, tls = table.table("listen"), table.table("control"), table.table("tls")
    audit = table.table("audit")
    config = Config(data=base / table.text("data", required=True))
    config = replace(
        config,
        listen=listen.address("address", config.listen),
        workers=listen.number("workers", config.workers, 1, 64),
        regions=listen.regions("regions"),
        control=control.address("address", config.control),
        jobs_seconds=float(control.number("jobs_seconds", int(config.jobs_seconds), 1, 3600)),
        log=table.choice("log", config.log, ("text", "json")),
        tls=_tls(tls, base),
        limits=_limits(table.table("limits")),
        xks=_xks(table.table("xks"), base),
        links=tuple(_link(each, base) for each in table.tables("link")),
        redactable=_redactable(audit),
        durations=_durations(audit),
        sinks=tuple(_sink(each, base) for each in table.tables("sink")),
        witnessed=_witnessed(table.table("witness")),
        witnesses=tuple(_witness(each, base) for each in table.tables("witness_by")),
    )
    for part in (listen, control, tls, table):
        part.finish()
    _check_links(config)
    _check_sinks(config)
    _check_witnesses(config)
    return config


class _Table:
    """One table of the file; every value is taken once, and what is left over is a mistake."""

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        self._name = name
        self._values = dict(values)

    def table(self, name: str) -> "_Table":
        value = self._values.pop(name, {})
        if not isinstance(value, dict):
            raise self._wrong(name, "a table")
        return _Table(name, value)

    def tables(self, name: str) -> list["_Table"]:
        values = self._values.pop(name, [])
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise self._wrong(name, f"tables that each begin with [[{name}]]")
        return [_Table(name, value) for value in values]

    def text(self, name: str, default: str = "", *, required: bool = False) -> str:
        value = self._values.pop(name, default)
        if not isinstance(value, str) or (required and not value):
            raise self._wrong(name, "a text")
        return value

    def number(self, name: str, default: int, low: int, high: int) -> int:
        value = self._values.pop(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._wrong(name, f"a whole number from {low} to {high}")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._values.pop(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def path(self, name: str, base: Path) -> Path | None:
        value = self.text(name)
        return base / value if value else None

    def refuse_all_but(self, names: frozenset[str], what: str) -> None:
        """What is a setting, but none of these, is a mistake of another kind than what is none."""
        for name in sorted(set(self._values) - names):
            raise ConfigError(f"the setting {self._path(name)!r} is none of {what}: remove it")

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise self._wrong(name, f"one of {', '.join(choices)}")
        return value

    def address(self, name: str, default: Address) -> Address:
        value = self.text(name)
        return address(value, self._path(name)) if value else default

    def regions(self, name: str) -> tuple[str, ...]:
        value = self._values.pop(name, [])
        if not isinstance(value, list) or not all(isinstance(r, str) and REGION.fullmatch(r) for r in value):
            raise self._wrong(name, 'a list of region names such as ["eu-central-1"]')
        return tuple(value)

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._values.pop(name, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise self._wrong(name, "a list of texts")
        return tuple(value)

    def finish(self) -> None:
        if self._values:
            raise ConfigError(
                f"the configuration has no setting {self._path(min(self._values))!r}: remove it"
            )

    def _path(self, name: str) -> str:
        return f"{self._name}.{name}" if self._name else name

    def _wrong(self, name: str, expected: str) -> ConfigError:
        return ConfigError(f"the setting {self._path(name)!r} must be {expected}")


_URL: Final = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PREFIX: Final = re.compile(_URL.pattern + r"(?:/[A-Za-z0-9._~/-]*)?")
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
REGION: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_MOST: Final = 100_000_000
_MOST_DAYS: Final = 36_500


def address(text: str, setting: str) -> Address:
    """``host:port``, with brackets round an IPv6 host."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - the largest port
        raise ConfigError(f"the setting {setting!r} must be an address such as 127.0.0.1:8900")
    return Address(host.strip("[]"), int(port))


def _tls(table: _Table, base: Path) -> Tls | None:
    certificate, key, client_ca = table.text("certificate"), table.text("key"), table.text("client_ca")
    if not certificate and not key and not client_ca:
        return None
    if not certificate or not key:
        raise ConfigError("the settings 'tls.certificate' and 'tls.key' go together: set both or neither")
    return Tls(
        certificate=base / certificate, key=base / key, client_ca=base / client_ca if client_ca else None
    )


def _xks(table: _Table, base: Path) -> Xks:
    defaults, authorities = Xks(), table.text("ca")
    xks = Xks(
        ca=base / authorities if authorities else None,
        deadline_ms=table.number("deadline_ms", defaults.deadline_ms, 50, 5000),
        port=table.number("port", defaults.port, 1, 65_535),
    )
    table.finish()
    return xks


def _link(table: _Table, base: Path) -> Link:
    authorities = table.text("ca")
    link = Link(
        name=table.text("name", required=True),
        regions=table.regions("regions"),
        url=table.text("url", required=True).rstrip("/"),
        identity=table.text("identity", required=True),
        ca=base / authorities if authorities else None,
    )
    table.finish()
    if _NAME.fullmatch(link.name) is None:
        raise ConfigError("the setting 'link.name' must be up to 32 lower-case letters, digits and hyphens")
    if not link.regions:
        raise ConfigError("the setting 'link.regions' must name the regions that the linked server serves")
    if _URL.fullmatch(link.url) is None:
        raise ConfigError("the setting 'link.url' must be an address such as https://keystead.example:8901")
    return link


def _witnessed(table: _Table) -> tuple[str, ...]:
    logs = table.texts("logs")
    table.finish()
    return logs


def _witness(table: _Table, base: Path) -> WitnessedBy:
    authorities = table.text("ca")
    witness = WitnessedBy(
        name=table.text("name", required=True),
        url=table.text("url", required=True).rstrip("/"),
        vkey=table.text("vkey", required=True),
        ca=base / authorities if authorities else None,
        seconds=table.number("seconds", WITNESS_SECONDS, 1, 3600),
    )
    table.finish()
    if _NAME.fullmatch(witness.name) is None:
        raise ConfigError(
            "the setting 'witness_by.name' must be up to 32 lower-case letters, digits and hyphens"
        )
    if _PREFIX.fullmatch(witness.url) is None:
        raise ConfigError(
            "the setting 'witness_by.url' must be an address such as https://witness.example:8901"
        )
    return witness


def _check_witnesses(config: Config) -> None:
    names = [witness.name for witness in config.witnesses]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two witnesses have the name {name!r}: each must have its own")


def _check_links(config: Config) -> None:
    """Every Region is served by one server, and every link leads to another."""
    if not config.links:
        return
    if not config.regions:
        raise ConfigError("with links, the setting 'listen.regions' must say which regions are served here")
    regions = [*config.regions, *(region for link in config.links for region in link.regions)]
    twice = sorted({region for region in regions if regions.count(region) > 1})
    if twice:
        raise ConfigError(f"the region {twice[0]} is in more than one place: one server serves it")
    for what in ("name", "identity"):
        values = [getattr(link, what) for link in config.links]
        if len(set(values)) < len(values):
            raise ConfigError(f"two links have the same {what}: each must have its own")


_EVERY_SINK: Final = frozenset({"name", "kind", "format", "checkpoint_entries", "deadline_seconds"})
_TLS_OF_SINKS: Final = frozenset({"ca", "certificate", "key", "cleartext"})
SINK_KINDS: Final[Mapping[str, frozenset[str]]] = {
    "file": frozenset({"path", "rotate_bytes", "rotate_seconds"}),
    "syslog": frozenset({"url", "overlap"}) | _TLS_OF_SINKS,
    "otlp": frozenset({"url", "authorization_file"}) | _TLS_OF_SINKS,
    "webhook": frozenset({"url", "authorization_file", "secret_file"}) | _TLS_OF_SINKS,
    "kafka": frozenset({"brokers", "topic", "username", "secret_file"}) | _TLS_OF_SINKS,
}
"""The kinds of sinks, with the settings that each has besides those of every sink."""
SINK_FORMATS: Final = ("keystead", "cloudtrail", "ocsf", "ecs", "cef")
_SINK_SCHEMES: Final[Mapping[str, tuple[str, str]]] = {
    "syslog": ("tls", "tcp"),  # the encrypted one first
    "otlp": ("https", "http"),
    "webhook": ("https", "http"),
}
_BROKERS: Final = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}(?:,[A-Za-z0-9.-]+:[0-9]{1,5})*")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


def _sink(table: _Table, base: Path) -> Sink:
    kind = table.choice("kind", "", tuple(SINK_KINDS))
    table.refuse_all_but(SINK_KINDS[kind] | _EVERY_SINK, f"a sink of kind {kind!r}")
    defaults = Sink(name="", kind=kind)
    sink = Sink(
        name=table.text("name", required=True),
        kind=kind,
        format=table.choice("format", defaults.format, SINK_FORMATS),
        checkpoint_entries=table.number("checkpoint_entries", defaults.checkpoint_entries, 1, 1_000_000),
        deadline_seconds=table.number("deadline_seconds", defaults.deadline_seconds, 1, 300),
        path=table.path("path", base),
        rotate_bytes=table.number("rotate_bytes", defaults.rotate_bytes, 1 << 16, 1 << 30),
        rotate_seconds=table.number("rotate_seconds", defaults.rotate_seconds, 10, 30 * 86_400),
        url=table.text("url"),
        brokers=table.text("brokers"),
        topic=table.text("topic"),
        username=table.text("username"),
        secret_file=table.path("secret_file", base),
        authorization_file=table.path("authorization_file", base),
        ca=table.path("ca", base),
        certificate=table.path("certificate", base),
        key=table.path("key", base),
        cleartext=table.flag("cleartext", default=False),
        overlap=table.number("overlap", defaults.overlap, 0, 100_000),
    )
    if _NAME.fullmatch(sink.name) is None:
        raise ConfigError("the setting 'sink.name' must be up to 32 lower-case letters, digits and hyphens")
    required = {"file": ("path",), "kafka": ("brokers", "topic"), "webhook": ("url", "secret_file")}
    for name in required.get(kind, ("url",)):
        if not getattr(sink, name):
            raise ConfigError(f"a sink of kind {kind!r} needs the setting 'sink.{name}'")
    if (sink.certificate is None) != (sink.key is None):
        raise ConfigError("the settings 'sink.certificate' and 'sink.key' go together: set both or neither")
    if kind == "kafka":
        _check_brokers(sink)
    elif kind != "file":
        _check_url(sink)
    return sink


def _check_url(sink: Sink) -> None:
    """A sink's address is of its kind, and encrypted where it leads away from this machine."""
    encrypted, clear = _SINK_SCHEMES[sink.kind]
    try:
        url = urllib.parse.urlsplit(sink.url)
        whole = bool(url.hostname) and "@" not in url.netloc and not url.fragment and url.port != 0
        whole = whole and (sink.kind != "syslog" or not (url.path or url.query))
    except ValueError:  # of a port or an IPv6 address that is none
        whole = False
        url = urllib.parse.urlsplit("")
    if not whole or url.scheme not in {encrypted, clear} or not re.fullmatch(r"[!-~]+", sink.url):
        raise ConfigError(
            f"the setting 'sink.url' must be an address such as {encrypted}://siem.example:6514"
        )
    if url.scheme == clear and not (sink.cleartext or is_loopback(url.hostname or "")):
        raise ConfigError(
            f"the sink {sink.name!r} would send the audit unencrypted to {url.hostname}: "
            f"use {encrypted}://, or allow it by 'cleartext = true'"
        )


def _check_brokers(sink: Sink) -> None:
    if _BROKERS.fullmatch(sink.brokers) is None:
        raise ConfigError("the setting 'sink.brokers' must be addresses such as kafka1:9093,kafka2:9093")
    if _TOPIC.fullmatch(sink.topic) is None:
        raise ConfigError("the setting 'sink.topic' must be up to 249 letters, digits, dots, hyphens and _")
    if (sink.secret_file is None) != (not sink.username):
        raise ConfigError("'sink.username' and 'sink.secret_file' go together: set both or neither")


def _durations(table: _Table) -> Durations:
    """What ``retention_days`` says of all classes, unless a class has days of its own."""
    whole = table.number("retention_days", 0, 0, _MOST_DAYS)
    days = {kept: table.number(f"{kept}_days", whole, 0, _MOST_DAYS) for kept in Kept}
    table.finish()
    return Durations({kept: each for kept, each in days.items() if each})


def _redactable(table: _Table) -> frozenset[str]:
    members = frozenset(table.texts("redactable"))
    if not members <= frozenset(MEMBERS):
        raise ConfigError(
            f"the setting 'audit.redactable' may name {' and '.join(MEMBERS)}, and nothing else"
        )
    return members


def _check_sinks(config: Config) -> None:
    names = [sink.name for sink in config.sinks]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two sinks have the name {name!r}: each must have its own")


def _limits(table: _Table) -> Limits:
    defaults = Limits()
    values = {f.name: table.number(f.name, getattr(defaults, f.name), 1, _MOST) for f in fields(Limits)}
    table.finish()
    return Limits(**values)


def template(data: Path, listen: Address, control: Address, regions: Sequence[str] = ()) -> str:
    """A commented configuration for a new installation."""
    served = f"regions = {json.dumps(list(regions))}" if regions else '# regions = ["eu-central-1"]'
    # A path may hold quotes and backslashes; a JSON string is a TOML basic string but for DEL.
    quoted = json.dumps(str(data), ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"""\
# The configuration of Keystead. Lines that begin with # show the defaults.
# Every setting is described in docs/reference/configuration.md.

data = {quoted}
# log = "text"                    # or "json", on standard error

[listen]                          # the data plane: AWS KMS for your applications
address = "{listen}"
# workers = 2                     # processes; the default is one for each core
{served:33} # without it, any region that a client names

[control]                         # health, metrics and administration: keep it on a private network
address = "{control}"
# jobs_seconds = 60               # between two looks for keys that are due for deletion or rotation

# [tls]                           # without it, put a TLS proxy in front or stay on loopback
# certificate = "server.pem"
# key = "server.key"
# client_ca = "clients.pem"       # then every client must show a certificate

# [xks]                           # external key stores: key managers behind XKS proxies
# ca = "proxies.pem"              # the authorities of their certificates; the default is the system's
# deadline_ms = 250               # of one request to a proxy

# [[link]]                        # another server whose regions are regions for keys of this one
# name = "overseas"
# regions = ["us-east-1"]
# url = "https://keystead.example:8901"
# identity = "keystead-transfer-1:..."  # what `keystead link show` prints there

# [[sink]]                        # every audit entry to another system as well: docs/guides/siem.md
# name = "siem"
# kind = "syslog"                 # or "file", "otlp", "webhook", "kafka"
# url = "tls://siem.example:6514"
# format = "keystead"             # or "cloudtrail", "ocsf", "ecs", "cef"

# [[witness_by]]                  # who cosigns the audit, so that it cannot be rolled back: docs/guides/audit.md
# name = "auditors"
# url = "https://witness.example:8901"
# vkey = "..."                    # what `keystead audit witness-key` prints there

# [audit]                         # how long its entries are kept; the default is for ever
# retention_days = 400
# changes_days = 3650
# redactable = ["source", "source_identity"]  # what can be taken out of it for one subject

# [limits]
# body_bytes = 131072
# connections = 10000
# drain_seconds = 15
"""
