"""What `make test` does after pytest: the coverage rule, and the closing lines.

The rooms that everything else trusts (`core`, `crypto`, `service`, `audit`) must have every line and every
branch tested. Other rooms are reported but not ruled. Reads `.coverage` and `.reports/junit.xml`.
"""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import coverage

RULED = ("core", "crypto", "service", "audit")
REPORTS = Path(".reports")


def gaps() -> list[str]:
    """One line for each file of a ruled room that has an untested line or branch."""
    measured = coverage.Coverage()
    measured.load()
    report = REPORTS / "coverage.json"
    measured.json_report(outfile=str(report))
    found = []
    for name, file in sorted(json.loads(report.read_text())["files"].items()):
        parts = Path(name).parts
        room = parts[parts.index("keystead") + 1] if "keystead" in parts[:-1] else ""
        if room not in RULED:
            continue
        lines = [str(line) for line in file["missing_lines"]]
        untested = set(file["missing_lines"])
        branches = [f"{start}->{end}" for start, end in file["missing_branches"] if start not in untested]
        if lines or branches:
            found.append(f"{name}: not tested: {', '.join(lines + branches)}")
    return found


def tally() -> tuple[int, int, int]:
    """How many tests passed, failed and were skipped."""
    suites = ET.parse(REPORTS / "junit.xml").getroot().iter("testsuite")  # noqa: S314 - pytest wrote this file a moment ago
    total = failed = skipped = 0
    for suite in suites:
        total += int(suite.get("tests", "0"))
        failed += int(suite.get("failures", "0")) + int(suite.get("errors", "0"))
        skipped += int(suite.get("skipped", "0"))
    return total - failed - skipped, failed, skipped


def vectors() -> tuple[int, int]:
    """How many known answers (`record_property("vectors", ...)`) were replayed: through the service, and elsewhere."""
    through = elsewhere = 0
    for case in ET.parse(REPORTS / "junit.xml").getroot().iter("testcase"):  # noqa: S314 - as above
        count = sum(
            int(each.get("value", "0")) for each in case.iterfind("properties/property[@name='vectors']")
        )
        if case.get("classname", "").startswith("tests.service."):
            through += count
        else:
            elsewhere += count
    return through, elsewhere


def main() -> int:
    """Check, print, and say by the exit code whether all is well."""
    found = gaps()
    for line in found:
        print(line)
    if found:
        print(f"coverage: {', '.join(RULED)} must be tested line by line and branch by branch")
    passed, failed, skipped = tally()
    print(f"tests: {passed} passed, {failed} failed, {skipped} skipped")
    through, elsewhere = vectors()
    print(f"known answers: {through} replayed through imported keys, {elsewhere} by the crypto room itself")
    return 1 if found or failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
