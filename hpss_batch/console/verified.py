"""What did a verification find?"""

from rich.markup import escape

from hpss_batch.console.words import SHOWN, out
from hpss_batch.text import printable
from hpss_batch.verification.findings import Finding, Verification


def print_verification(found: Verification) -> None:
    """What a verification found, and what to do about it."""
    standing = [f for f in found.findings if not f.healed and f.level != "leftover"]
    others = [f for f in found.findings if f.healed or f.level == "leftover"]
    for finding in [*standing[:SHOWN], *others[:SHOWN]]:
        _print_finding(finding)
    hidden = sum(max(len(group) - SHOWN, 0) for group in (standing, others))
    if hidden:
        out.print(f"… and {hidden:,} more: --json has all")
    out.print(escape(printable(found.summary())))


def _print_finding(finding: Finding) -> None:
    colour = "green" if finding.healed else {"wrong": "red", "unproven": "yellow"}.get(finding.level, "dim")
    word = "healed" if finding.healed else finding.level
    out.print(f"[{colour}]{word}[/] [bold]{escape(finding.place)}[/]: {escape(printable(finding.what))}")
    rows = {"means": finding.means, "heal" if not finding.healed else "done": finding.cure}
    if finding.tracks:
        more = f" and {len(finding.tracks) - 3:,} more" if len(finding.tracks) > 3 else ""
        rows = {"tracks": ", ".join(finding.tracks[:3]) + more} | rows
    for name, text in rows.items():
        out.print(f"  {name:7}{escape(printable(text))}")
