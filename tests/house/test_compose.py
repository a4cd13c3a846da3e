"""compose.yaml and the image: what three incidents taught, kept true."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from alpimonitor_api.settings import Settings
from alpimonitor_cli.roles.names import HEALER, ROLES

CHECKOUT = Path(__file__).resolve().parents[2]
COMPOSE = CHECKOUT / "compose.yaml"
DOCKERFILE = CHECKOUT / "Dockerfile"
EXAMPLE = CHECKOUT / ".env.example"

REQUIRED = re.compile(r"\$\{(\w+):\?[^}]+\}")
INTERPOLATED = re.compile(r"\$\{(\w+)[^}]*\}")


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    """The services that run the image built here."""
    return {name: service for name, service in services().items() if "build" in service}


ENDS = {"prepare"}
"""The services that do something once."""


def example() -> dict[str, str]:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_the_stack_is_whole() -> None:
    assert {"postgres", "prepare", "api", "watchdog", "prometheus", "grafana"} <= services().keys()
    assert services()["prepare"]["command"] == ["alpimonitor", "boot", "--prepare"]
    assert services()["api"]["command"] == ["alpimonitor", "boot", "--serve"]
    assert services()["watchdog"]["command"] == ["alpimonitor", "watchdog", "run"]


def test_no_network_is_declared_so_that_no_proxy_has_to_choose() -> None:
    assert "networks" not in yaml.safe_load(COMPOSE.read_text())
    assert not [name for name, service in services().items() if "networks" in service]


@pytest.mark.parametrize("name", services())
def test_a_service_runs_hardened(name: str) -> None:
    service = services()[name]
    uid, _, gid = service["user"].partition(":")
    assert uid.isdigit(), "a name would have to be looked up in the image: give the number"
    assert int(uid) > 0
    assert gid.isdigit()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")


def test_a_service_that_ends_is_waited_for_and_not_started_again() -> None:
    assert {name for name, service in services().items() if service["restart"] == "no"} == ENDS
    for name in ENDS:
        # Without somebody who waits for it `up --wait` would take its end for a failure.
        waits = [
            service
            for service in services().values()
            if isinstance(service.get("depends_on"), dict)
            and service["depends_on"].get(name) == {"condition": "service_completed_successfully"}
        ]
        assert waits


@pytest.mark.parametrize("name", sorted(services().keys() - ENDS))
def test_a_service_that_stays_has_a_health_check_without_a_shell(name: str) -> None:
    check = services()[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()


@pytest.mark.parametrize("name", services())
def test_a_port_is_published_on_loopback_only(name: str) -> None:
    for port in services()[name].get("ports", []):
        assert str(port).startswith("127.0.0.1:")


def test_the_database_is_not_published() -> None:
    assert "ports" not in services()["postgres"]


@pytest.mark.parametrize("path", [COMPOSE, DOCKERFILE, EXAMPLE], ids=lambda path: path.name)
def test_the_permission_to_seed_production_is_never_standing(path: Path) -> None:
    assert "ALLOW_PROD_SEED" not in path.read_text()


@pytest.mark.parametrize("name", services())
def test_no_secret_stands_inline(name: str) -> None:
    for variable, value in services()[name].get("environment", {}).items():
        if re.search(r"(PASSWORD|TOKEN|SECRET)(?!\w*_FILE$)", variable):
            assert REQUIRED.fullmatch(value), f"{variable} has to come from .env, and be required"
        userinfo = re.search(r"://([^/]*)@", str(value))
        if userinfo:
            role, _, password = userinfo[1].partition(":")
            assert role
            assert REQUIRED.fullmatch(password), f"the password in {variable} has to come from .env"


def test_the_example_names_every_variable_that_is_required_and_gives_no_value() -> None:
    assert set(REQUIRED.findall(COMPOSE.read_text())) <= example().keys()
    assert example().keys() <= set(INTERPOLATED.findall(COMPOSE.read_text()))
    assert not any(example().values())


def test_every_other_variable_has_a_default() -> None:
    optional = set(INTERPOLATED.findall(COMPOSE.read_text())) - set(REQUIRED.findall(COMPOSE.read_text()))
    for name in optional:
        assert re.search(rf"\$\{{{name}:-", COMPOSE.read_text()), name


def test_the_file_with_the_secrets_is_neither_committed_nor_sent_to_the_build() -> None:
    assert ".env" in (CHECKOUT / ".gitignore").read_text().split()
    ignored = (CHECKOUT / ".dockerignore").read_text().split("\n")
    patterns = [line for line in ignored if line and not line.startswith("#")]
    assert patterns[0] == "*"
    assert not [line for line in patterns if line.startswith("!.")]


def test_the_build_is_sent_everything_that_the_image_copies() -> None:
    copied = {
        word
        for line in DOCKERFILE.read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    admitted = {
        line[1:] for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert copied == admitted
    assert not [name for name in copied if not (CHECKOUT / name).exists()]


@pytest.mark.parametrize("name", ours())
def test_a_volume_of_ours_is_made_in_the_image_by_the_user_who_writes_to_it(name: str) -> None:
    dockerfile = DOCKERFILE.read_text()
    uid = re.search(r"^ARG UID=(\d+)$", dockerfile, re.MULTILINE)
    assert uid
    assert ours()[name]["user"] == f"{uid[1]}:{uid[1]}"
    assert "USER ${UID}:${UID}" in dockerfile
    owned = " ".join(re.findall(r"install --directory --owner=\$\{UID\}((?:[^\n]*\\\n)*[^\n]*)", dockerfile))
    for volume in ours()[name].get("volumes", []):
        source, target = volume.split(":")[:2]
        assert source in yaml.safe_load(COMPOSE.read_text())["volumes"]
        assert target in owned.split(), f"{target} would be created as root"


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("api", "LINDAS_ARCHIVE_DIR"),
        ("watchdog", "LINDAS_ARCHIVE_DIR"),
        ("watchdog", "WATCHDOG_STATE_DIR"),
    ],
)
def test_what_a_service_writes_is_on_a_volume(name: str, variable: str) -> None:
    folder = services()[name]["environment"][variable]
    assert folder in [volume.split(":")[1] for volume in services()[name]["volumes"]]


def test_operators_can_be_given_tokens_and_the_file_outlives_the_container() -> None:
    assert services()["api"]["environment"]["API_TOKENS_FILE"] == "${API_TOKENS_FILE:-}"
    (named,) = re.findall(r"--file (/\S+)", (CHECKOUT / "runbooks" / "api.md").read_text())
    assert str(Path(named).parent) in [volume.split(":")[1] for volume in services()["api"]["volumes"]]


def test_the_sidecar_can_be_given_a_token_in_a_file_that_outlives_its_container() -> None:
    watchdog = services()["watchdog"]
    assert watchdog["environment"]["WATCHDOG_API_TOKEN_FILE"] == "${WATCHDOG_API_TOKEN_FILE:-}"
    (written,) = re.findall(r"cat > (/[\w/.-]+)", (CHECKOUT / "runbooks" / "api.md").read_text())
    assert str(Path(written).parent) in [volume.split(":")[1] for volume in watchdog["volumes"]]


def test_every_declared_volume_is_used() -> None:
    used = {
        volume.split(":")[0]
        for service in services().values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }
    assert used == yaml.safe_load(COMPOSE.read_text())["volumes"].keys()


@pytest.mark.parametrize("name", services())
def test_a_mounted_file_of_the_checkout_exists_and_is_read_only(name: str) -> None:
    for volume in services()[name].get("volumes", []):
        if volume.startswith("."):
            source, _, mode = volume.split(":")
            assert (CHECKOUT / source).exists()
            assert mode == "ro"


def test_the_image_holds_no_test_tools() -> None:
    installs = [line for line in DOCKERFILE.read_text().splitlines() if "pip install" in line]
    assert installs
    assert not [
        line for line in installs if re.search(r"\[(dev|rehearsal)|--requirement requirements.lock", line)
    ]


def passwords_of(service: dict[str, Any]) -> set[str]:
    """The variables of .env whose passwords a service is given, in whatever way."""
    said = " ".join(map(str, service.get("environment", {}).values()))
    return {name for name in REQUIRED.findall(said) if name.endswith("_PASSWORD")}


ADMIN, OWNER, SEED = "POSTGRES_PASSWORD", "OWNER_DATABASE_PASSWORD", "SEED_DATABASE_PASSWORD"


def test_what_can_take_rows_away_or_change_them_is_held_by_what_prepares_alone() -> None:
    holders = {name: passwords_of(service) for name, service in services().items()}
    assert {name for name, held in holders.items() if held & {OWNER, SEED}} == {"prepare"}
    # The server itself begins with the administrator's; it is told no other.
    assert {name for name, held in holders.items() if ADMIN in held} == {"postgres", "prepare"}
    assert holders["postgres"] == {ADMIN}


def test_the_others_hold_what_they_work_with() -> None:
    held = {name: passwords_of(services()[name]) for name in ("api", "watchdog")}
    assert held == {
        "api": {"API_DATABASE_PASSWORD"},
        "watchdog": {"API_DATABASE_PASSWORD", "WATCHDOG_DATABASE_PASSWORD", "HEAL_DATABASE_PASSWORD"},
    }
    assert services()["watchdog"]["environment"]["SEED_DATABASE_URL"].startswith(f"postgresql://{HEALER}:")


def test_each_role_that_connects_gets_the_password_that_it_connects_with() -> None:
    given = services()["prepare"]["environment"]
    known = {role.name: role.password_variable for role in ROLES}
    connecting = re.findall(r"postgresql://(\w+):\$\{(\w+):\?", COMPOSE.read_text())
    assert len(connecting) == len(dict(connecting)) == 6
    for role, variable in connecting:
        if role != "postgres":
            assert variable == known[role]
            assert given[variable] == f"${{{variable}:?make .env from .env.example}}"


def test_prometheus_may_read_the_metrics_of_the_api_and_asks_it_directly() -> None:
    environ = services()["api"]["environment"]
    default = re.fullmatch(r"\$\{METRICS_FROM:-(.*)\}", environ["METRICS_FROM"])
    assert default
    networks = Settings(
        database_url=SecretStr("postgresql://nobody@127.0.0.1/nothing"), metrics_from=default[1]
    ).metrics_from
    for address in ("127.0.0.1", "::1", "172.18.0.5", "192.168.96.3", "10.0.1.7", "fd00::5"):
        assert any(ip_address(address) in network for network in networks), address
    for address in ("203.0.113.9", "172.32.0.1", "2001:db8::7", "11.0.0.1"):
        assert not any(ip_address(address) in network for network in networks), address
    configured = yaml.safe_load((CHECKOUT / "dashboards" / "prometheus.yml").read_text())
    (job,) = [job for job in configured["scrape_configs"] if job["job_name"] == "api"]
    assert job["static_configs"] == [{"targets": [f"api:{environ['PORT']}"]}]


def test_a_setting_of_the_api_that_a_rules_page_names_can_be_set_here() -> None:
    pages = "\n".join(page.read_text() for page in (CHECKOUT / "runbooks" / "rules").glob("*.md"))
    named = {name.upper() for name in Settings.model_fields} & set(re.findall(r"`([A-Z_]+)`", pages))
    assert "DATABASE_TIMEOUT_SECONDS" in named
    # Who follows the head of compose.yaml and puts a TLS proxy before it has to say so.
    assert named | {"BEHIND_TLS"} <= services()["api"]["environment"].keys()


def test_the_servers_log_says_who_connected_and_from_where() -> None:
    (prefix,) = [word for word in services()["postgres"]["command"] if "log-line-prefix" in word]
    assert {"%p", "%c", "%u", "%a", "%h"} <= set(re.findall(r"%\w", prefix))
    assert "--log-connections=on" in services()["postgres"]["command"]


@contextmanager
def answering(status: int) -> Iterator[tuple[str, list[str]]]:
    """A server that answers everything with `status`: its host and port, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("name", "path", "port"), [("api", "/api/v1/health", "8000"), ("watchdog", "/livez", "9877")]
)
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_a_health_check_of_ours_asks_the_service_and_believes_its_answer(
    name: str, path: str, port: str, status: int, healthy: bool
) -> None:
    program, *arguments = services()[name]["healthcheck"]["test"][1:]
    assert program == "python"
    with answering(status) as (address, asked):
        here = [argument.replace(f"127.0.0.1:{port}", address) for argument in arguments]
        assert here != arguments
        done = subprocess.run([sys.executable, *here], check=False, capture_output=True, timeout=60)
    assert asked == [path]
    assert (done.returncode == 0) is healthy
