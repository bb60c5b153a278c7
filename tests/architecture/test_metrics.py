"""docs/metrics.md names the metrics the code registers, with their kinds and labels, and no other ones."""

import importlib
import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from chassis.tally import REQUEST_LABELS, SECONDS_LABELS, TALLY

ROOT = Path(__file__).resolve().parents[2]
COMPOSITIONS = [f"services.{path.parent.name}.app" for path in sorted(ROOT.glob("services/*/app.py"))] + ["gateway.app"]
ROW = re.compile(r"^\| `(btrst_[a-z_]+)` \| (counter|gauge|histogram) \| ([a-z, ]*)\| \S")


def registered() -> dict[str, tuple[str, tuple[str, ...]]]:
    for module in [*COMPOSITIONS, "chassis.bus_kafka"]:  # the bus is imported when BUS_URL names it
        importlib.import_module(module)
    found: dict[str, tuple[str, tuple[str, ...]]] = {
        "btrst_http_requests_total": ("counter", REQUEST_LABELS),
        "btrst_http_request_seconds": ("histogram", SECONDS_LABELS),
    }
    assert {family.name for family in TALLY.describe()} == {name.removesuffix("_total") for name in found}
    for collector in REGISTRY._collector_to_names:
        if isinstance(collector, MetricWrapperBase) and collector._name.startswith("btrst_"):
            name = collector._name + ("_total" if collector._type == "counter" else "")
            found[name] = (collector._type, tuple(collector._labelnames))
    return found


@pytest.mark.unit
def test_every_metric_is_documented() -> None:
    documented = {}
    for line in (ROOT / "docs/metrics.md").read_text().splitlines():
        if match := ROW.match(line):
            labels = tuple(label.strip() for label in match[3].split(",") if label.strip())
            documented[match[1]] = (match[2], labels)
    assert len(documented) > 20
    assert documented == registered()
