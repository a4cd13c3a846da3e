"""Which database a URL means is said without its password, and decides whether it is local."""

from __future__ import annotations

import pytest

from alpimonitor_seed.target import UnusableUrl, from_environment, is_local, is_loopback, parse

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("host", "addresses", "local"),
    [
        ("127.0.0.1", ["127.0.0.1"], True),
        ("localhost", ["127.0.0.1", "::1"], True),
        ("both", ["127.0.0.1", "10.0.0.1"], False),  # one of its addresses is elsewhere
        ("db", ["10.0.0.1"], False),
        ("nothing", [], False),
    ],
)
def test_a_host_is_local_if_all_its_addresses_are_loopback(
    host: str, addresses: list[str], local: bool
) -> None:
    target = parse(f"postgresql://role@{host}/name", variable="DATABASE_URL")
    assert is_local(target, lambda _: addresses) is local


def test_a_host_that_cannot_be_resolved_is_not_local() -> None:
    def resolve(host: str) -> list[str]:
        raise OSError(host)

    assert not is_local(parse("postgresql://role@db/name", variable="DATABASE_URL"), resolve)


def test_every_host_of_a_list_counts() -> None:
    target = parse("postgresql://role@127.0.0.1,db.example/name", variable="DATABASE_URL")
    assert not is_local(target, lambda host: ["127.0.0.1"] if host == "127.0.0.1" else ["10.0.0.1"])


def test_a_socket_is_local() -> None:
    target = parse("postgresql:///name?host=/var/run/postgresql", variable="DATABASE_URL")
    assert is_local(target, lambda host: pytest.fail(f"a socket was resolved: {host}"))


def test_an_address_that_overrides_the_host_decides() -> None:
    target = parse("postgresql://role@localhost/name?hostaddr=10.0.0.1", variable="DATABASE_URL")
    assert not is_local(target, lambda _: ["127.0.0.1"])


def test_a_host_from_libpqs_own_variables_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    assert not is_local(parse("postgresql:///name", variable="DATABASE_URL"), lambda _: ["10.0.0.1"])


def test_a_service_file_may_lead_anywhere() -> None:
    target = parse("postgresql:///name?service=production", variable="DATABASE_URL")
    assert not is_local(target, lambda host: pytest.fail(f"resolved: {host}"))
    assert target.host == "service production"


def test_the_text_of_a_target_tells_an_ipv6_address_from_its_port() -> None:
    target = parse("postgresql://role@[::1]:5433/name", variable="DATABASE_URL")
    assert str(target) == "[::1]:5433/name"
    assert is_local(target)


def test_an_encoded_at_is_part_of_the_name() -> None:
    assert parse("postgresql://role@db/a%40b", variable="DATABASE_URL").database == "a@b"


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("0.0.0.0", False),
        ("192.168.1.1", False),
        ("localhost", False),  # a name is no address
    ],
)
def test_loopback_addresses_are_recognised(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


@pytest.mark.parametrize(
    "url",
    [
        f"postgres//role:{SECRET}@host/name",
        f"postgresql+psycopg://role:{SECRET}@host/name",
        f"postgresql://role:{SECRET}@[host/name",
        f"postgresql://role:{SECRET}%zz@host/name",
        f"postgresql://host/name?pasword={SECRET}",
        f"postgresql://role:{SECRET}/x@host/name",  # reads as host role, port s3cr3t
        f"postgresql://role:12/{SECRET}@host/name",  # reads as host role, port 12, database s3cr3t@host/name
        f"postgresql://role:x@{SECRET}@host/name",  # reads as host s3cr3t@host
        f"postgresql://role:{SECRET}@host:99999/name",
        f"host=localhost password={SECRET}",
        SECRET,
    ],
)
def test_an_unusable_url_is_refused_with_the_remedy_and_without_the_password(url: str) -> None:
    with pytest.raises(UnusableUrl) as raised:
        parse(url, variable="SEED_DATABASE_URL")
    assert SECRET not in str(raised.value)
    assert "SEED_DATABASE_URL" in str(raised.value)
    assert "postgresql://role:password@host:5432/database" in str(raised.value)
    assert raised.value.__cause__ is None


def test_neither_text_nor_repr_of_a_target_holds_the_password() -> None:
    target = parse(f"postgresql://role:{SECRET}@db:5433/name", variable="DATABASE_URL")
    assert str(target) == "db:5433/name"
    assert SECRET not in repr(target)
    assert target.role == "role"


def test_a_variable_that_is_not_set_falls_back_to_database_url() -> None:
    environ = {"DATABASE_URL": "postgresql://a@h/first", "SEED_DATABASE_URL": "postgresql://b@h/second"}
    assert from_environment(environ, "SEED_DATABASE_URL").database == "second"
    fallback = from_environment({**environ, "SEED_DATABASE_URL": " "}, "SEED_DATABASE_URL")
    assert (fallback.database, fallback.variable, fallback.fell_back) == ("first", "DATABASE_URL", True)


def test_without_any_url_both_variables_are_named() -> None:
    with pytest.raises(UnusableUrl, match=r"DATABASE_URL is not set, nor is OWNER_DATABASE_URL"):
        from_environment({}, "OWNER_DATABASE_URL")
