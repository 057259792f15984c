"""Check what works on this machine: mindvox doctor [--json]."""

import json
from collections.abc import Sequence
from typing import Optional

from mindvox.arguments import Parser
from mindvox.doctor import BROKEN, WORKS, Finding, examine, machine


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Check which engines, readers, models and extras work here, and print what to install for the rest.

    Each engine runs a tiny model. The exit code is 1 if something is broken, or if something is missing that every
    command for recordings needs.
    """
    parser = Parser(prog="mindvox doctor", description=main.__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    about, findings = machine(), examine()
    if arguments.json:
        print(json.dumps({"machine": about, "parts": [finding._asdict() for finding in findings]}, indent=2))
    else:
        print("\n".join([*about, "", *_lines(findings)]))
    return 1 if any(_is_fault(finding) for finding in findings) else 0


def _is_fault(finding: Finding) -> bool:
    return finding.state != WORKS and (finding.is_needed or finding.state == BROKEN)


def _lines(findings: Sequence[Finding]) -> list[str]:
    width = max(len(finding.part) for finding in findings)
    lines = []
    for part, state, detail, advice, is_needed in findings:
        words = f"{state}, but needed" if is_needed and state != WORKS else state
        lines.append(f"{part:{width}}  {words:7} {detail}")
        if advice:
            lines.append(f"{'':{width}}  -> {advice}")
    return lines
