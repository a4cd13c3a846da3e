"""The Prometheus rules: valid, tested, complete, and readable by whom they wake."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
DASHBOARDS = CHECKOUT / "dashboards"
RULE_FILES = sorted((DASHBOARDS / "rules").glob("*.yml"))
RULE_TESTS = sorted((DASHBOARDS / "rules" / "tests").glob("*.yml"))


def rules() -> list[dict[str, Any]]:
    groups = [group for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def run(tool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which(tool)
    if program is None:
        package = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}[tool]
        pytest.skip(f"{tool} is not installed: apt-get install --no-install-recommends {package}")
    return subprocess.run([program, *arguments], check=False, capture_output=True, text=True, timeout=120)


def test_promtool_accepts_every_rule_file() -> None:
    assert RULE_FILES
    done = run("promtool", "check", "rules", *RULE_FILES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("cases", RULE_TESTS, ids=lambda path: path.stem)
def test_every_case_of_the_rules_holds(cases: Path) -> None:
    done = run("promtool", "test", "rules", cases)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "written", "changed"),
    [
        ("alpimonitor.yml", "> 30", "> 3000"),
        ("api.yml", "> 0.05", "> 0.5"),
        ("api.yml", ">= 5\n", ">= 1\n"),
        ("api.yml", "[6m]", "[1m]"),
        ("api.yml", "|.*/measurements", ""),
        ("api.yml", "archive_failing", "nothing"),
    ],
)
def test_a_rule_that_is_changed_fails_its_cases(
    tmp_path: Path, file: str, written: str, changed: str
) -> None:
    shutil.copytree(DASHBOARDS / "rules", tmp_path / "rules")
    copy = tmp_path / "rules" / file
    copy.write_text(copy.read_text().replace(written, changed))
    assert copy.read_text() != (DASHBOARDS / "rules" / file).read_text()
    assert run("promtool", "test", "rules", tmp_path / "rules" / "tests" / file).returncode != 0


def test_promtool_accepts_the_configuration_of_prometheus() -> None:
    done = run("promtool", "check", "config", DASHBOARDS / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_loads_every_rule_file_and_none_of_their_cases() -> None:
    globs = yaml.safe_load((DASHBOARDS / "prometheus.yml").read_text())["rule_files"]
    loaded = {path for glob in globs for path in DASHBOARDS.glob(glob)}
    assert loaded == set(RULE_FILES)


def test_amtool_accepts_the_configuration_of_alertmanager() -> None:
    done = run("amtool", "check-config", DASHBOARDS / "alertmanager.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_says_how_bad_it_is_what_happened_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    summary = rule["annotations"]["summary"]
    assert len(summary) <= 80
    assert summary.endswith((".", ")."))
    assert len(rule["annotations"]["description"].split()) >= 15
    assert rule["annotations"]["runbook"] == f"runbooks/rules/{rule['alert']}.md"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_rule_has_a_case_in_which_it_fires(rule: dict[str, Any]) -> None:
    written = "\n".join(path.read_text() for path in RULE_TESTS)
    fires = rf'alertname="{rule["alert"]}",alertstate="firing"|alertname: {rule["alert"]}\n\s+exp_alerts:\n'
    assert re.search(fires, written)


def test_the_symptoms_that_rules_name_are_symptoms_of_the_sidecar() -> None:
    from alpimonitor_watchdog.core.words import Symptom

    named = {
        symptom
        for rule in rules()
        for matcher in re.findall(r'symptom!?[=~]+"([^"]+)"', rule["expr"])
        for symptom in matcher.split("|")
    }
    assert named
    assert named <= {symptom.value for symptom in Symptom}


def test_two_rules_never_share_a_name() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
