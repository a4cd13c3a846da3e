"""What the API accepts from its environment, and what it says of the rest."""

from __future__ import annotations

import traceback
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from alpimonitor_api.settings import LogFormat, LogLevel, Settings, SettingsError, load

URL = "postgresql://api:sesame@db.example:5432/alpimonitor"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def refusal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """What `load` says of this environment; a usable DATABASE_URL is given unless another one is."""
    for name, value in {"DATABASE_URL": URL, **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load()
    shown = "".join(traceback.format_exception(refused.value))
    assert "sesame" not in shown
    return str(refused.value)


def test_only_the_database_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    settings = load()
    assert settings.database_url.get_secret_value() == URL
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.cors_origins == ()
    assert settings.ingestion_enabled
    assert settings.ingestion_schedule == timedelta(minutes=10)
    assert settings.ingestion_healthy_threshold_minutes == 30
    assert settings.lindas_endpoint == "https://lindas.admin.ch/query"
    assert settings.lindas_archive_dir is None
    assert settings.deployment_environment is None
    assert (settings.log_level, settings.log_format) == (LogLevel.INFO, LogFormat.PLAIN)


def test_every_value_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "DATABASE_URL": "postgres://api@/alpimonitor?host=/run/postgresql",
        "HOST": "0.0.0.0",
        "PORT": "0",
        "CORS_ORIGINS": " https://alpimonitor.example , http://localhost:5173,",
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": "JSON",
        "INGESTION_ENABLED": "false",
        "INGESTION_SCHEDULE": "*/5 * * * *",
        "LINDAS_ENDPOINT": "http://127.0.0.1:9000/query",
        "LINDAS_ARCHIVE_DIR": "/var/lib/alpimonitor/archive",
        "INGESTION_HEALTHY_THRESHOLD_MINUTES": "45",
        "RATE_LIMIT": "600",
        "TRUSTED_PROXIES": "192.0.2.0/24, 2001:db8::1,",
        "CACHE_SECONDS": "0.5",
        "API_TOKENS_FILE": "/run/secrets/tokens.json",
        "DEPLOYMENT_ENVIRONMENT": "production",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.port == 0
    assert settings.cors_origins == ("https://alpimonitor.example", "http://localhost:5173")
    assert (settings.log_level, settings.log_format) == (LogLevel.DEBUG, LogFormat.JSON)
    assert not settings.ingestion_enabled
    assert settings.ingestion_schedule == timedelta(minutes=5)
    assert settings.lindas_archive_dir == Path("/var/lib/alpimonitor/archive")
    assert settings.ingestion_healthy_threshold_minutes == 45
    assert settings.rate_limit == 600
    assert list(map(str, settings.trusted_proxies)) == ["192.0.2.0/24", "2001:db8::1/128"]
    assert settings.cache_seconds == 0.5
    assert settings.api_tokens_file == Path("/run/secrets/tokens.json")
    assert settings.deployment_environment == "production"


def test_a_variable_set_to_nothing_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("PORT", "")
    monkeypatch.setenv("CORS_ORIGINS", "")
    assert load().port == 8000
    assert "DATABASE_URL is not set: set it to a URL such as" in refusal(monkeypatch, DATABASE_URL="")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("DATABASE_URL", "mysql://api:sesame@db/alpimonitor", "does not begin with postgresql://"),
        ("DATABASE_URL", "postgresql+psycopg://api:sesame@db/x", "does not begin with postgresql://"),
        ("DATABASE_URL", "postgresql://api:sesame@db:5432", "names no database"),
        ("DATABASE_URL", "postgresql://api:sesame%zz@db/x", "is not a URL that PostgreSQL's client"),
        ("DATABASE_URL", "postgresql://api:sesame@db:eleven/x", "its port is not a number"),
        ("DATABASE_URL", "postgresql://api:ses ame@db/x", "holds white space"),
        ("DATABASE_URL", "postgresql://api:12/sesame@db/x", "holds an @ too many"),
        ("DATABASE_URL", "postgresql://api:open@sesame@db/x", "holds an @ too many"),
        ("PORT", "http", "PORT is 'http': set it to a port from 1 to 65535"),
        ("PORT", "65536", "PORT is '65536': set it to a port"),
        ("CORS_ORIGINS", "*", "holds *"),
        ("CORS_ORIGINS", "https://a.example/", "'https://a.example/' holds more than scheme, host and port"),
        ("CORS_ORIGINS", "a.example", "'a.example' is not an origin"),
        ("TRUSTED_PROXIES", "192.0.2.7/24", "192.0.2.7/24 has host bits set"),
        ("TRUSTED_PROXIES", "192.0.2.0/24, proxy", "'proxy' does not appear to be an IPv4 or IPv6 network"),
        ("METRICS_FROM", "127.0.0.1/33", "'127.0.0.1/33' does not appear"),
        ("CACHE_SECONDS", "2", "0 (never) to 1"),
        ("CORS_ORIGINS", "https://A.example", "'https://A.example' is not in lower case"),
        ("CORS_ORIGINS", "https://user:sesame@a.example", "carries a user name"),
        ("LOG_LEVEL", "LOUD", "set it to one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT is 'xml': set it to plain or json"),
        ("INGESTION_ENABLED", "perhaps", "INGESTION_ENABLED is 'perhaps': set it to true or false"),
        ("INGESTION_SCHEDULE", "0 * * * *", "neither a number of minutes nor */N * * * *"),
        ("INGESTION_SCHEDULE", "*/60 * * * *", "out of bounds"),
        ("INGESTION_SCHEDULE", "*/0 * * * *", "out of bounds"),
        ("INGESTION_SCHEDULE", "0", "out of bounds"),
        ("INGESTION_SCHEDULE", "1441", "out of bounds"),
        ("INGESTION_SCHEDULE", "ten", "such as 10, or */10 * * * *"),
        ("INGESTION_HEALTHY_THRESHOLD_MINUTES", "0", "1 or more, such as 30"),
        ("LINDAS_ENDPOINT", "ftp://user:sesame@lindas", "not an http or https address"),
        ("LINDAS_ENDPOINT", "http://[", "LINDAS_ENDPOINT has a value that is not shown here"),
        ("LINDAS_ENDPOINT", "http://lindas:99999/", "it is not an http or https address"),
        ("LINDAS_ENDPOINT", "http://lindas:0/", "it is not an http or https address"),
        ("LINDAS_ENDPOINT", "https://lin das/", "it is not an http or https address"),
        ("RATE_LIMIT", "-1", "RATE_LIMIT is '-1': set it to requests a minute"),
        ("DEPLOYMENT_ENVIRONMENT", "Production", "name in lower case, such as production"),
        ("DATABASE_POOL_SIZE", "0", "DATABASE_POOL_SIZE is '0'"),
        ("DATABASE_TIMEOUT_SECONDS", "nan", "DATABASE_TIMEOUT_SECONDS is 'nan'"),
        ("DATABASE_TRANSACTION_POOLER", "pgbouncer", "true behind a transaction pooler"),
        ("BEHIND_TLS", "x", "BEHIND_TLS is 'x': set it to true or false"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_the_reason_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    text = refusal(monkeypatch, **{name: value})
    assert text.startswith(name)
    assert told in text
    assert text.count("\n") == 0


def test_all_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = refusal(monkeypatch, PORT="x", LOG_FORMAT="y").splitlines()
    assert [line.split()[0] for line in lines] == ["PORT", "LOG_FORMAT"]


def test_settings_never_show_the_password_and_never_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", URL)
    settings = load()
    assert "sesame" not in repr(settings) + str(settings) + settings.model_dump_json()
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
