"""`keystead status`: how a running service is."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typing_extensions import override


@pytest.mark.e2e
def test_status_tells_people_and_programs(ask: Callable[..., Any], value: Callable[..., Any]) -> None:
    """Every process is told with its state, and how requests ended."""
    told = value("status")
    assert told["ready"] is True
    assert list(told["processes"]) == ["w0", "control"]
    assert told["processes"]["w0"]["restarts"] == 0
    assert {"ok", "denied", "internal"} <= told["requests"].keys()
    code, out, _ = ask("status")
    assert code == 0
    assert out.startswith("Keystead ")
    assert "\n  w0         green " in out


class _Red(http.server.BaseHTTPRequestHandler):
    """Answers as a control plane does whose worker is red, or as something else."""

    ready = b'{"ready": false, "processes": {"w0": {"state": "red", "reason": "audit-unavailable"}}}'

    def do_GET(self) -> None:
        """Answer."""
        body = self.ready if self.path == "/readyz" else b'{"version": "0"}'
        self.send_response(503 if self.path == "/readyz" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def other() -> Iterator[tuple[str, type[_Red]]]:
    """A server at an address, and how it answers."""

    class Handler(_Red):
        pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", Handler
        server.shutdown()
        thread.join()


def test_status_of_a_red_service(other: tuple[str, type[_Red]], keystead: Callable[..., Any]) -> None:
    """A process that cannot work is told with its reason, and the exit code is 1."""
    ended = keystead("status", "--control-url", other[0])
    assert ended.code == 1
    assert "NOT READY" in ended.out
    assert "red" in ended.out
    assert "audit-unavailable" in ended.out


def test_status_says_what_is_wrong_though_all_can_work(
    other: tuple[str, type[_Red]], keystead: Callable[..., Any]
) -> None:
    """A disk that fills, a sink that lags: keys are used all the same, and somebody should know."""
    other[1].ready = json.dumps(
        {
            "ready": True,
            "processes": {},
            "reader": {"sinks": {"siem": {"lag_entries": 12_345, "lag_seconds": 61.2, "trouble": "refused"}}},
            "warnings": ["/var/lib/keystead: 2 % free", "reader: the sink siem: refused"],
        }
    ).encode()
    ended = keystead("status", "--control-url", other[0])
    assert "  sink siem: 12,345 entries behind, for 61 s\n" in ended.out
    assert "  warning: /var/lib/keystead: 2 % free\n  warning: reader: the sink siem: refused\n" in ended.out


def test_status_of_something_else(other: tuple[str, type[_Red]], keystead: Callable[..., Any]) -> None:
    """Whatever answers otherwise than a control plane is not taken for one."""
    other[1].ready = b"<html>"
    ended = keystead("status", "--control-url", other[0])
    assert ended.code == 3
    assert "not as a Keystead control plane does" in ended.err
