"""Alert rules and the dashboard ask only for metrics that there are, and each alert says what to do (OPS-8)."""

import json
import re
import shutil
import subprocess
from operator import itemgetter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
ALERTS = ROOT / "deploy" / "monitoring" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "monitoring" / "dashboard.json"
RULES = [one for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"] for one in group["rules"]]


def listed() -> dict[str, set[str]]:
    """Metric → its labels, as docs/metrics.md lists them; of a histogram its series too."""
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    found = {}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| .+ \|$", page, re.MULTILINE):
        known = set(re.findall(r"`(\w+)`", labels))
        names = [f"{name}_bucket", f"{name}_sum", f"{name}_count"] if kind == "histogram" else [name]
        found |= dict.fromkeys(names, known | ({"le"} if kind == "histogram" else set()))
    return found


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [rule["expr"] for rule in RULES] + [target["expr"] for panel in panels for target in panel["targets"]]


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_asks_for_metrics_and_labels_that_there_are(expression):
    known = listed()
    named = re.findall(r"\b((?:reminders|process|python)_\w+)(?:\{([^}]*)\})?", expression)
    assert named
    for name, selector in named:
        assert name in known, name
        assert set(re.findall(r"(\w+)\s*!?=", selector)) <= known[name], expression
    by = set(re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", expression))))
    assert by <= set().union(*(known[name] for name, _ in named)), expression


@pytest.mark.parametrize("rule", RULES, ids=itemgetter("alert"))
def test_each_alert_has_a_summary_and_a_runbook(rule):
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"].endswith(".")
    assert (ROOT / rule["annotations"]["runbook"]).is_file()


def test_promtool_takes_the_alerts():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    subprocess.run([promtool, "check", "rules", str(ALERTS)], check=True, capture_output=True)
