"""What a notice says, to programs and to people: no personal data, only our words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils.html import escape

from recovery import severities
from recovery.models import Alert
from recovery.states import AlertStatus, CaseSeverity

MOST_SHOWN = 20
RANKS = list(CaseSeverity)


@dataclass(frozen=True)
class Wording:
    """A notice in words: its title, and what else it says as JSON."""

    title: str
    body: Mapping[str, Any]

    @property
    def text(self) -> str:
        """As a mail of plain text."""
        shown = [_as_lines(each) for each in self.body["alerts"]]
        hidden = self.body["number"] - len(shown)
        more = [f"... and {hidden} more. {self._numbers()}"] if hidden else []
        where = f"All alerts: {_address('/admin/recovery/alert/')}"
        return "\n\n".join([self.title, *shown, *more, where]) + "\n"

    def _numbers(self) -> str:
        numbers = self.body["by_category"].items()
        return f"All: {', '.join(f'{number} {name}' for name, number in numbers)}."

    @property
    def html(self) -> str:
        """The same for mail programs that show nothing else."""
        return f"<pre>{escape(self.text)}</pre>"


def word(alerts: Sequence[Alert], *, at: datetime) -> Wording:
    """Say what there is to say of these; of many, the worst ones and their number."""
    ranked = sorted(alerts, key=lambda alert: RANKS.index(CaseSeverity(alert.severity)))
    title = _title(ranked)
    return Wording(
        title,
        {
            # Chat programs show this.
            "text": title,
            "severity": ranked[0].severity,
            "at": _moment(at),
            "number": len(ranked),
            "by_category": _by_category(ranked),
            "alerts": [_as_data(alert) for alert in ranked[:MOST_SHOWN]],
        },
    )


def _title(ranked: Sequence[Alert]) -> str:
    first = ranked[0]
    if len(ranked) == 1:
        is_over = first.status == AlertStatus.RESOLVED
        return f"[{'over' if is_over else first.severity}] {first.title}"[:200]
    severities_of = Counter(alert.severity for alert in ranked)
    numbers = ", ".join(f"{number} {name}" for name, number in severities_of.items())
    return f"[{first.severity}] {len(ranked)} alerts: {numbers}"[:200]


def _by_category(ranked: Sequence[Alert]) -> dict[str, int]:
    return dict(Counter(alert.category for alert in ranked).most_common())


def _as_data(alert: Alert) -> dict[str, Any]:
    category = severities.find(alert.category)
    case = f"/admin/recovery/case/{alert.case_id}/change/" if alert.case_id else ""
    return {
        "id": str(alert.pk),
        "category": alert.category,
        "severity": alert.severity,
        "state": alert.status,
        "title": alert.title,
        "times": alert.occurrences,
        "first_seen_at": _moment(alert.first_seen_at),
        "last_seen_at": _moment(alert.last_seen_at),
        "alert": _address(f"/admin/recovery/alert/{alert.pk}/change/"),
        "case": _address(case),
        "runbook": _address(severities.runbook_path(category)) if category else "",
        "by_itself": category.by_itself if category else "",
    }


def _as_lines(alert: Mapping[str, Any]) -> str:
    seen = f"{alert['first_seen_at']} to {alert['last_seen_at']}"
    facts = {
        "seen": f"{alert['times']} times, from {seen}",
        "by itself": alert["by_itself"],
        **{name: alert[name] for name in ("alert", "case", "runbook")},
    }
    head = f"{alert['severity'].upper()}, {alert['state'].lower()}: {alert['title']}"
    return "\n".join(
        [head, *(f"  {name}: {fact}" for name, fact in facts.items() if fact)]
    )


def _address(path: str) -> str:
    return f"{settings.BACK_OFFICE_URL.rstrip('/')}{path}" if path else ""


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
