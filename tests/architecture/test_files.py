"""What no tracked file may hold: machine paths, registry addresses, checks silenced without a reason."""

import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

# Written in pieces, so that this file does not hold what it looks for.
ROOTS = ("wo" + "rk", "fa" + "rm", "ro" + "ot", r"home/\w+")
MACHINE_PATHS = re.compile(rf"(?<![\w.])/(?:{'|'.join(ROOTS)})/")
REGISTRIES = re.compile(
    "|".join(
        [
            "pypi" + r"\.org",
            "python" + r"hosted\.org",
            "registry" + r"\.npmjs",
            "npmjs" + r"\.(?:com|org)",
            "deb" + r"\.debian\.org",
            "proxy" + r"\.golang",
            "crates" + r"\.io",
        ]
    )
)
PIN = re.compile(r"[a-z0-9-]+==\S+ (?:; .*)?\\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
MARKER = re.compile(
    r"(?P<noqa>noqa)(?P<codes>:\s*[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)?"
    r"|(?P<type>type:\s*ignore)(?P<kinds>\[[\w, -]+\])?"
    r"|pragma: no (?:cover|branch)"
)


@pytest.fixture(scope="module")
def tracked(checkout: Path) -> dict[str, str]:
    """The text of every tracked file; binary ones are left out."""
    if not (checkout / ".git").exists():
        pytest.skip("this is not a git checkout, so there is no list of tracked files")
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - whichever git made this checkout
        cwd=checkout,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = {}
    for name in filter(None, listed.split("\0")):
        path = checkout / name
        if path.is_file():
            data = path.read_bytes()
            if b"\0" not in data:
                found[name] = data.decode("utf-8", "replace")
    return found


def unexplained(source: str) -> list[int]:
    """Lines whose comment silences a check without naming it, or without a word of reason."""
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        markers = list(MARKER.finditer(token.string))
        if not markers:
            continue
        nameless = any((m["noqa"] and not m["codes"]) or (m["type"] and not m["kinds"]) for m in markers)
        if nameless or not re.search(r"[A-Za-z]{4}", MARKER.sub("", token.string)):
            found.append(token.start[0])
    return found


def test_no_file_names_a_path_of_one_machine(tracked: dict[str, str]) -> None:
    """A checkout works wherever it lies, so no file says where one of them lay."""
    assert [name for name, text in tracked.items() if MACHINE_PATHS.search(text)] == []


def test_no_file_names_a_registry(tracked: dict[str, str]) -> None:
    """Packages come from whatever registry the user has set up; the hashes say which they must be."""
    assert [name for name, text in tracked.items() if REGISTRIES.search(text)] == []


def test_locks_hold_hashed_pins_and_nothing_else(checkout: Path) -> None:
    """Every line of a lock is a pinned package or a hash of it, so an install takes exactly those bytes."""
    locks = sorted((checkout / "requirements").glob("*.txt"))
    assert [path.stem for path in locks] == ["bench", "dev", "run"]
    for path in locks:
        lines = path.read_text().splitlines()
        packages = [line for line in lines if not line.startswith(" ")]
        assert [line for line in packages if not re.match(r"[a-z0-9-]+==\S+ (; .*)?\\$", line)] == [], (
            path.name
        )
        hashes = [line for line in lines if line.startswith(" ")]
        assert [
            line for line in hashes if not re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line)
        ] == []


def test_a_silenced_check_says_which_and_why(tracked: dict[str, str]) -> None:
    """Whoever reads a silenced check learns the reason on the same line."""
    python = {name: text for name, text in tracked.items() if name.endswith(".py")}
    broken = [f"{name}:{line}" for name, text in python.items() for line in unexplained(text)]
    assert broken == []


@pytest.mark.parametrize(
    "source",
    [
        "x = 1  # no" + "qa",
        "x = 1  # no" + "qa: S101",
        "x = 1  # no" + "qa: S101, PLR2004 -",
        "x = 1  # type: ig" + "nore  # the stubs are wrong here",
        "x = 1  # type: ig" + "nore[attr-defined]",
        "x = 1  # pragma: no " + "cover",
        "x = 1  # pragma: no " + "cover - why",
    ],
)
def test_an_unexplained_silence_is_seen(source: str) -> None:
    """The scan finds silences without a code, without a reason, or with a word too short to be one."""
    assert unexplained(source) == [1]


@pytest.mark.parametrize(
    "source",
    [
        "x = 1  # no" + "qa: S101 - the reader needs it",
        "x = 1  # type: ig" + "nore[attr-defined]  # set by the parser",
        "x = 1  # pragma: no " + "cover - only on other systems",
        'x = "# no' + 'qa"',
    ],
)
def test_an_explained_silence_passes(source: str) -> None:
    """The scan lets a reason in words through, and does not read strings."""
    assert unexplained(source) == []


@pytest.mark.parametrize(
    "text", ["see /" + "root/x", "cd /home/" + "me/keystead", "at https://py" + "pi.org/simple"]
)
def test_a_trace_of_one_machine_is_seen(text: str) -> None:
    """The patterns find what they are for."""
    assert MACHINE_PATHS.search(text) or REGISTRIES.search(text)
