"""The dashboards: current with their builder, on metrics that exist, readable."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.api_metrics import healthy_page
from tests.sidecar_metrics import healthy_metrics, tick

CHECKOUT = Path(__file__).resolve().parents[2]
DASHBOARDS = CHECKOUT / "dashboards"


def published() -> set[str]:
    """The names of every series of a sidecar that has looked once, and of an API whose database answers."""
    metrics = healthy_metrics()
    tick(metrics)
    return {
        sample.name
        for page in (metrics.render().decode(), healthy_page())
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def overview() -> dict[str, Any]:
    board: dict[str, Any] = json.loads((DASHBOARDS / "overview.json").read_text())
    return board


def panels() -> list[dict[str, Any]]:
    return [panel for panel in overview()["panels"] if panel["type"] != "row"]


def panel_queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def rule_queries() -> list[str]:
    files = sorted((DASHBOARDS / "rules").glob("*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def metrics_in(query: str) -> set[str]:
    without_comments = re.sub(r"#.*", "", query)
    return set(re.findall(r"\b(?:watchdog|alpimonitor)_\w+", without_comments))


def test_the_json_is_what_its_builder_writes(tmp_path: Path) -> None:
    for file in DASHBOARDS.glob("*.py"):
        shutil.copy(file, tmp_path)
    subprocess.run([sys.executable, "-W", "error", tmp_path / "overview.py"], check=True, timeout=120)
    assert (tmp_path / "overview.json").read_text() == (DASHBOARDS / "overview.json").read_text(), (
        "dashboards/overview.json is not current: run python dashboards/overview.py"
    )


@pytest.mark.parametrize("query", [*panel_queries(), *rule_queries()])
def test_a_query_uses_only_metrics_that_the_sidecar_or_the_api_publishes(query: str) -> None:
    assert metrics_in(query)
    assert metrics_in(query) <= published()


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_and_reads_the_chosen_data_source(panel: dict[str, Any]) -> None:
    assert len(panel["description"].split()) >= 5
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["targets"]


def test_the_data_source_is_a_variable_of_the_dashboard() -> None:
    (variable,) = overview()["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )


def test_panels_neither_overlap_nor_share_a_number() -> None:
    numbers = [panel["id"] for panel in overview()["panels"]]
    assert len(numbers) == len(set(numbers))
    taken: set[tuple[int, int]] = set()
    for panel in overview()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_promtool_parses_every_query_of_a_panel(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install --no-install-recommends prometheus")
    recorded = [
        # Grafana puts durations there.
        {"record": f"panel:{number}", "expr": re.sub(r"\$__(rate_interval|range)", "5m", query)}
        for number, query in enumerate(panel_queries())
    ]
    rules = tmp_path / "panels.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    done = subprocess.run(
        [promtool, "check", "rules", rules], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_is_provisioned_with_the_prometheus_and_the_folder_of_compose() -> None:
    provisioning = DASHBOARDS / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "alpimonitor.yml").read_text())["providers"]
    services = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())["services"]
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"]
    assert "prometheus" in services
    mounted = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounted
