"""The configuration: what is taken, what is refused, and that its page tells the same."""

import os
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from keystead import config as configs
from keystead.config import (
    SINK_FORMATS,
    SINK_KINDS,
    Address,
    Config,
    Limits,
    Link,
    Sink,
    Tls,
    WitnessedBy,
    Xks,
    address,
    load,
    parse,
    template,
)
from keystead.core.errors import ConfigError
from keystead.core.retention import Durations, Kept

BASE = Path("/etc/keystead")


def read(text: str) -> Config:
    """The configuration in a text."""
    return parse(tomllib.loads(text), BASE)


def test_only_the_data_directory_must_be_set() -> None:
    """Everything else has a default, which a new `Config` has as well."""
    assert read('data = "data"') == Config(data=BASE / "data")
    assert Config(data=BASE).workers == os.cpu_count()


def test_everything_can_be_set() -> None:
    """Each setting reaches its field; relative paths start from the file's directory, absolute ones stay."""
    config = read(
        """
        data = "/srv/keystead"
        log = "json"
        [listen]
        address = "[::]:443"
        workers = 3
        regions = ["eu-central-1", "us-east-1"]
        [control]
        address = "localhost:0"
        jobs_seconds = 5
        [tls]
        certificate = "server.pem"
        key = "/run/server.key"
        client_ca = "clients.pem"
        [limits]
        body_bytes = 1000
        connections = 2
        drain_seconds = 3
        keys_held = 4
        aliases_per_key = 5
        tags_per_key = 6
        rotations_on_demand = 7
        access_keys_per_principal = 8
        custom_key_stores = 9
        [xks]
        ca = "proxies.pem"
        deadline_ms = 400
        port = 9443
        """
    )
    assert config == Config(
        data=Path("/srv/keystead"),
        log="json",
        listen=Address("::", 443),
        workers=3,
        regions=("eu-central-1", "us-east-1"),
        control=Address("localhost", 0),
        jobs_seconds=5.0,
        tls=Tls(certificate=BASE / "server.pem", key=Path("/run/server.key"), client_ca=BASE / "clients.pem"),
        limits=Limits(
            body_bytes=1000,
            connections=2,
            drain_seconds=3,
            keys_held=4,
            aliases_per_key=5,
            tags_per_key=6,
            rotations_on_demand=7,
            access_keys_per_principal=8,
            custom_key_stores=9,
        ),
        xks=Xks(ca=BASE / "proxies.pem", deadline_ms=400, port=9443),
    )


def test_a_client_authority_is_optional() -> None:
    """TLS needs a certificate and a key, no more."""
    config = read('data = "d"\n[tls]\ncertificate = "c"\nkey = "k"')
    assert config.tls == Tls(certificate=BASE / "c", key=BASE / "k")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'data' must be a text"),
        ("data = 1", "'data' must be a text"),
        ('data = ""', "'data' must be a text"),
        ('data = "d"\nspeed = 1', "no setting 'speed'"),
        ('data = "d"\n[listen]\nport = 1', "no setting 'listen.port'"),
        ('data = "d"\n[limits]\nbodies = 1', "no setting 'limits.bodies'"),
        ('data = "d"\nlisten = 1', "'listen' must be a table"),
        ('data = "d"\nlog = "loud"', "'log' must be one of text, json"),
        ('data = "d"\n[listen]\naddress = "8900"', "'listen.address' must be an address"),
        ('data = "d"\n[listen]\naddress = ":8900"', "'listen.address' must be an address"),
        ('data = "d"\n[listen]\naddress = "h:65536"', "'listen.address' must be an address"),
        ('data = "d"\n[listen]\naddress = "h:-1"', "'listen.address' must be an address"),
        ('data = "d"\n[listen]\nworkers = 0', "'listen.workers' must be a whole number from 1 to 64"),
        ('data = "d"\n[listen]\nworkers = true', "'listen.workers' must be a whole number"),
        ('data = "d"\n[listen]\nworkers = 1.5', "'listen.workers' must be a whole number"),
        ('data = "d"\n[listen]\nregions = "eu"', "'listen.regions' must be a list of region names"),
        ('data = "d"\n[listen]\nregions = ["EU"]', "'listen.regions' must be a list of region names"),
        ('data = "d"\n[control]\njobs_seconds = 3601', "'control.jobs_seconds' must be a whole number"),
        ('data = "d"\n[tls]\nkey = "k"', "'tls.certificate' and 'tls.key' go together"),
        ('data = "d"\n[tls]\nclient_ca = "c"', "'tls.certificate' and 'tls.key' go together"),
        ('data = "d"\n[limits]\nbody_bytes = 0', "'limits.body_bytes' must be a whole number from 1"),
    ],
)
def test_a_wrong_setting_is_named(text: str, told: str) -> None:
    """What is wrong is refused at the start, with the setting's full name and what it must be."""
    with pytest.raises(ConfigError, match=re.escape(told)):
        read(text)


LINK = """
[[link]]
name = "overseas"
regions = ["us-east-1"]
url = "https://keystead.example:8901/"
identity = "keystead-transfer-1:x"
"""
LINKED = 'data = "d"\n[listen]\nregions = ["eu-central-1"]\n'


def test_links_to_other_servers() -> None:
    """Each is a table of its own, with the authorities of its certificate where those are not the system's."""
    other = (
        LINK.replace("overseas", "n").replace("us-east-1", "us-west-2").replace(":x", ":y")
        + 'ca = "ca.pem"\n'
    )
    ours, theirs = read(LINKED + LINK + other).links
    assert ours == Link(
        name="overseas",
        regions=("us-east-1",),
        url="https://keystead.example:8901",
        identity="keystead-transfer-1:x",
    )
    assert theirs.ca == BASE / "ca.pem"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('data = "d"' + LINK, "'listen.regions' must say"),
        ('data = "d"\nlink = 1', "'link' must be tables"),
        ('data = "d"\nlink = [1]', "'link' must be tables"),
        (LINKED + LINK.replace("overseas", "Over seas"), "'link.name'"),
        (LINKED + LINK.replace('"us-east-1"', ""), "'link.regions'"),
        (LINKED + LINK.replace("https://", "ftp://"), "'link.url'"),
        (LINKED + LINK.replace(":8901/", "/path"), "'link.url'"),
        (LINKED + LINK.replace('identity = "keystead-transfer-1:x"', ""), "'link.identity' must be a text"),
        (LINKED + LINK + "speed = 1", "no setting 'link.speed'"),
        (LINKED + LINK.replace("us-east-1", "eu-central-1"), "eu-central-1 is in more than one place"),
        (LINKED + LINK + LINK, "us-east-1 is in more than one place"),
        (LINKED + LINK + LINK.replace("us-east-1", "us-west-2"), "two links have the same name"),
        (
            LINKED + LINK + LINK.replace("us-east-1", "us-west-2").replace("overseas", "n"),
            "two links have the same identity",
        ),
    ],
)
def test_a_link_that_cannot_be(text: str, told: str) -> None:
    """Every Region is served by one server, and every link leads to another one."""
    with pytest.raises(ConfigError, match=re.escape(told)):
        read(text)


FILE_SINK = """
[[sink]]
name = "archive"
kind = "file"
path = "events"
"""
SYSLOG_SINK = """
[[sink]]
name = "siem"
kind = "syslog"
url = "tls://siem.example:6514"
"""
WEBHOOK_SINK = """
[[sink]]
name = "hook"
kind = "webhook"
url = "https://hook.example/events?from=keystead"
secret_file = "hook.secret"
"""
KAFKA_SINK = """
[[sink]]
name = "bus"
kind = "kafka"
brokers = "kafka1:9093,kafka2:9093"
topic = "audit"
"""
OTLP_SINK = """
[[sink]]
name = "collector"
kind = "otlp"
url = "http://127.0.0.1:4318/v1/logs"
"""
SINKS = FILE_SINK + SYSLOG_SINK + WEBHOOK_SINK + KAFKA_SINK + OTLP_SINK


def test_sinks_of_every_kind() -> None:
    """Each is a table of its own, of a kind that says what else it needs; relative paths are the file's."""
    config = read('data = "d"' + SINKS)
    assert [sink.kind for sink in config.sinks] == ["file", "syslog", "webhook", "kafka", "otlp"]
    assert {sink.kind for sink in config.sinks} == set(SINK_KINDS)
    assert config.sinks[0] == Sink(name="archive", kind="file", path=BASE / "events")
    assert config.sinks[2].secret_file == BASE / "hook.secret"


def test_everything_can_be_set_of_a_sink() -> None:
    """Each setting reaches its field."""
    text = 'ca = "ca.pem"\ncertificate = "c.pem"\nkey = "k.pem"\ncleartext = true\noverlap = 5\nformat = "ocsf"\n'
    (sink,) = read('data = "d"' + SYSLOG_SINK + text + "checkpoint_entries = 7\ndeadline_seconds = 8").sinks
    assert sink == Sink(
        name="siem",
        kind="syslog",
        url="tls://siem.example:6514",
        ca=BASE / "ca.pem",
        certificate=BASE / "c.pem",
        key=BASE / "k.pem",
        cleartext=True,
        overlap=5,
        format="ocsf",
        checkpoint_entries=7,
        deadline_seconds=8,
    )
    (sink,) = read('data = "d"' + FILE_SINK + "rotate_bytes = 65536\nrotate_seconds = 10").sinks
    assert (sink.rotate_bytes, sink.rotate_seconds) == (65536, 10)
    (sink,) = read('data = "d"' + WEBHOOK_SINK + 'authorization_file = "a"').sinks
    assert sink.authorization_file == BASE / "a"
    (sink,) = read('data = "d"' + KAFKA_SINK + 'username = "u"\nsecret_file = "s"').sinks
    assert (sink.brokers, sink.topic, sink.username) == ("kafka1:9093,kafka2:9093", "audit", "u")
    assert set(SINK_FORMATS) > {sink.format}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('sink = "s"', "'sink' must be tables"),
        (FILE_SINK.replace('"file"', '"tape"'), "'sink.kind' must be one of file, syslog, otlp"),
        (FILE_SINK.replace('kind = "file"', ""), "'sink.kind' must be one of"),
        (FILE_SINK.replace("archive", "Archive"), "'sink.name' must be up to 32"),
        (FILE_SINK.replace('path = "events"', ""), "of kind 'file' needs the setting 'sink.path'"),
        (FILE_SINK + 'url = "https://x"', "'sink.url' is none of a sink of kind 'file'"),
        (FILE_SINK + "speed = 1", "'sink.speed' is none of a sink of kind 'file'"),
        (FILE_SINK + 'format = "xml"', "'sink.format' must be one of keystead"),
        (FILE_SINK + "rotate_bytes = 1", "'sink.rotate_bytes' must be a whole number"),
        (FILE_SINK + FILE_SINK, "two sinks have the name 'archive'"),
        (SYSLOG_SINK + 'key = "k"', "'sink.certificate' and 'sink.key' go together"),
        (SYSLOG_SINK + "cleartext = 1", "'sink.cleartext' must be true or false"),
        (SYSLOG_SINK.replace("tls://", "udp://"), "'sink.url' must be an address such as tls://"),
        (SYSLOG_SINK.replace(":6514", ":0"), "'sink.url' must be an address"),
        (SYSLOG_SINK.replace(":6514", ":65536"), "'sink.url' must be an address"),
        (SYSLOG_SINK.replace(":6514", ":6514/x"), "'sink.url' must be an address"),
        (SYSLOG_SINK.replace("siem.example", "[::1"), "'sink.url' must be an address"),
        (SYSLOG_SINK.replace("siem.example", "a b"), "'sink.url' must be an address"),
        (SYSLOG_SINK.replace("tls://", "tcp://"), "the sink 'siem' would send the audit unencrypted to siem"),
        (WEBHOOK_SINK.replace("https://", "https://me:pw@"), "'sink.url' must be an address such as https"),
        (WEBHOOK_SINK.replace("https://", "http://"), "would send the audit unencrypted to hook.example"),
        (WEBHOOK_SINK.replace('secret_file = "hook.secret"', ""), "needs the setting 'sink.secret_file'"),
        (KAFKA_SINK.replace("kafka1:9093,", "kafka1,"), "'sink.brokers' must be addresses"),
        (KAFKA_SINK.replace('"audit"', '"a b"'), "'sink.topic' must be"),
        (KAFKA_SINK + 'username = "u"', "'sink.username' and 'sink.secret_file' go together"),
        (OTLP_SINK.replace("http://127.0.0.1", "http://10.0.0.1"), "unencrypted to 10.0.0.1"),
    ],
)
def test_a_sink_that_cannot_be(text: str, told: str) -> None:
    """What a sink's kind does not know, lacks, or would leak is refused at the start."""
    with pytest.raises(ConfigError, match=re.escape(told)):
        read('data = "d"\n' + text)


@pytest.mark.parametrize("url", ["tcp://localhost:514", "tcp://[::1]:514", "tls://10.0.0.1"])
def test_what_stays_on_this_machine_needs_no_encryption(url: str) -> None:
    """A collector beside the service may be spoken to in the clear; a port may be left to the kind."""
    assert read('data = "d"' + SYSLOG_SINK.replace("tls://siem.example:6514", url)).sinks[0].url == url


@pytest.mark.parametrize(
    ("data", "told"), [(None, "cannot be read"), (b"data =", "not valid TOML"), (b"\xff", "not valid TOML")]
)
def test_a_file_that_is_none_is_named(data: bytes | None, told: str, tmp_path: Path) -> None:
    """A missing file, and one that is no TOML, are refused with their name."""
    path = tmp_path / "keystead.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ConfigError, match=f"keystead.toml .*{told}|keystead.toml {told}"):
        load(path)


@given(
    data=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1),
    regions=st.sampled_from([(), ("eu-central-1",), ("us-east-1", "eu-west-1")]),
)
def test_a_new_installations_file_reads_back(data: str, regions: tuple[str, ...]) -> None:
    """Whatever the directory is called, the template parses to what it was made of."""
    listen, control = Address("::1", 1), Address("localhost", 2)
    config = parse(tomllib.loads(template(Path("/srv") / data, listen, control, regions)), BASE)
    assert config == Config(data=Path("/srv") / data, listen=listen, control=control, regions=regions)


@given(host=st.from_regex(r"[a-z0-9.]+|[0-9a-f:]*::[0-9a-f:]*", fullmatch=True), port=st.integers(0, 65_535))
def test_an_address_reads_back(host: str, port: int) -> None:
    """An address, printed, is the same address."""
    assert address(str(Address(host, port)), "listen.address") == Address(host, port)


def test_the_files_of_an_installation_lie_in_its_data_directory() -> None:
    """The store's URL is absolute, so that every process finds the same one."""
    config = Config(data=Path("data"))
    assert config.store == f"sqlite:///{Path.cwd()}/data/keystead.db"
    assert config.audit == Path("data/audit")


def test_nothing_is_committed_to_unless_it_is_named() -> None:
    """Of the members of entries two may be."""
    assert read('data = "d"').redactable == frozenset()
    config = read('data = "d"\n[audit]\nredactable = ["source", "source_identity"]\nretention_days = 3')
    assert config.redactable == {"source", "source_identity"}
    assert config.durations.shortest > 0
    with pytest.raises(ConfigError, match="may name source and source_identity, and nothing else"):
        read('data = "d"\n[audit]\nredactable = ["principal"]')


def test_the_audit_is_kept_for_ever_unless_days_are_set() -> None:
    """Days of all classes are those of each, unless it has its own; 0 is for ever."""
    assert read('data = "d"').durations == Durations()
    config = read('data = "d"\n[audit]\nretention_days = 90\nchanges_days = 3650\nreads_days = 0')
    assert config.durations.days == {Kept.USES: 90, Kept.SESSIONS: 90, Kept.CHANGES: 3650}
    with pytest.raises(ConfigError, match=r"'audit\.uses_days' must be a whole number from 0 to 36500"):
        read('data = "d"\n[audit]\nuses_days = -1')
    with pytest.raises(ConfigError, match=r"no setting 'audit\.redacted'"):
        read('data = "d"\n[audit]\nredacted = []')


WITNESSED = """
[witness]
logs = ["keystead-a+1+A", "example.com/log+2+B"]
[[witness_by]]
name = "one"
url = "https://witness.example:8901/prefix/"
vkey = "witness.example/w1+3+C"
ca = "witness.pem"
seconds = 5
[[witness_by]]
name = "two"
url = "http://[::1]"
vkey = "witness.example/w2+4+D"
"""


def test_an_installation_may_be_a_witness_and_have_some() -> None:
    """Whose logs it witnesses, and who witnesses its own."""
    config = read('data = "d"\n' + WITNESSED)
    assert config.witnessed == ("keystead-a+1+A", "example.com/log+2+B")
    assert config.witnesses == (
        WitnessedBy(
            name="one",
            url="https://witness.example:8901/prefix",
            vkey="witness.example/w1+3+C",
            ca=BASE / "witness.pem",
            seconds=5,
        ),
        WitnessedBy(name="two", url="http://[::1]", vkey="witness.example/w2+4+D", ca=None, seconds=10),
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[witness]", "[witness]\nother = 1", "no setting 'witness.other'"),
        ('["keystead-a+1+A", "example.com/log+2+B"]', '["", "x"]', "'witness.logs' must be a list of texts"),
        ('["keystead-a+1+A", "example.com/log+2+B"]', '"x"', "'witness.logs' must be a list of texts"),
        ('name = "one"', 'name = "One"', "'witness_by.name' must be"),
        ('name = "one"', 'name = "two"', "two witnesses have the name 'two'"),
        ("http://[::1]", "ftp://x", "'witness_by.url' must be"),
        ("seconds = 5", "seconds = 0", "'witness_by.seconds' must be"),
        ('vkey = "witness.example/w1+3+C"', "", "'witness_by.vkey' must be"),
    ],
)
def test_witnesses_that_make_no_sense_are_refused(old: str, new: str, problem: str) -> None:
    """Each mistake is named."""
    with pytest.raises(ConfigError, match=re.escape(problem)):
        read('data = "d"\n' + WITNESSED.replace(old, new))


def documented(checkout: Path) -> dict[str, str]:
    """The settings that the page describes, with their defaults."""
    page = (checkout / "docs" / "reference" / "configuration.md").read_text()
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.*?) ?\| ", page, flags=re.MULTILINE)
    return {name: default.strip().strip("`") for name, default in rows}


def test_the_page_describes_every_setting_and_no_other(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of the page are those that reading a file looks for."""
    looked_for: set[str] = set()

    class Table(configs._Table):
        @override
        def text(self, name: str, default: str = "", *, required: bool = False) -> str:
            looked_for.add(self._path(name))
            return super().text(name, default, required=required)

        @override
        def number(self, name: str, default: int, low: int, high: int) -> int:
            looked_for.add(self._path(name))
            return super().number(name, default, low, high)

        @override
        def flag(self, name: str, *, default: bool) -> bool:
            looked_for.add(self._path(name))
            return super().flag(name, default=default)

        @override
        def regions(self, name: str) -> tuple[str, ...]:
            looked_for.add(self._path(name))
            return super().regions(name)

        @override
        def texts(self, name: str) -> tuple[str, ...]:
            looked_for.add(self._path(name))
            return super().texts(name)

    monkeypatch.setattr(configs, "_Table", Table)
    read(LINKED + LINK + SINKS + WITNESSED)
    assert set(documented(checkout)) == looked_for
    assert {f"limits.{field.name}" for field in fields(Limits)} <= looked_for


def test_the_page_tells_the_defaults(checkout: Path) -> None:
    """A file with every default of the page written out means the same as one without."""
    tables: dict[str, list[str]] = {"": ['data = "d"']}
    for name, default in documented(checkout).items():
        if default and default != "one for each core":
            table, _, key = name.rpartition(".")
            tables.setdefault(table, []).append(f"{key} = {default}")
    text = "\n".join(
        f"{f'[{table}]' if table else ''}\n" + "\n".join(lines) for table, lines in tables.items()
    )
    assert len(text.splitlines()) > 15
    assert read(text) == read('data = "d"')
