"""What the sidecar takes from the environment: secrets, references, addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpimonitor_watchdog.settings import SHIPPED_PROFILE, Settings, SettingsError, load

URL = "postgresql://watch:sesame@db/hydro"
TABLE = '[[table]]\nname = "station"\nexpected = 7\n'
CHANNEL = '[[channel]]\nname = "ops"\nurl_env = "OPS_URL"\ntags = ["notify", "page"]\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "watchdog.toml"
    path.write_text(TABLE, encoding="utf-8")
    return path


def loaded(config: Path, **environ: str) -> Settings:
    return load({"WATCHDOG_DATABASE_URL": URL, **environ}, config)


def refusal(config: Path, **environ: str) -> str:
    with pytest.raises(SettingsError) as raised:
        loaded(config, **environ)
    assert "sesame" not in str(raised.value)
    return str(raised.value)


def test_without_any_file_named_the_shipped_profile_is_used() -> None:
    assert load({"WATCHDOG_DATABASE_URL": URL}).config == SHIPPED_PROFILE
    assert load({"WATCHDOG_DATABASE_URL": URL, "WATCHDOG_CONFIG": ""}).config == SHIPPED_PROFILE


def test_a_variable_names_the_file_and_an_argument_beats_it(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(TABLE.replace("station", "glacier"), encoding="utf-8")
    environ = {"WATCHDOG_DATABASE_URL": URL, "WATCHDOG_CONFIG": str(config)}
    assert load(environ).tables[0].name == "station"
    assert load(environ, other).tables[0].name == "glacier"


def test_the_places_have_defaults_and_can_be_set(config: Path, tmp_path: Path) -> None:
    usual = loaded(config)
    assert (usual.state_dir, usual.listen_host, usual.listen_port) == (
        Path("var/watchdog"),
        "127.0.0.1",
        9877,
    )
    assert (usual.log_level, usual.log_format) == ("info", "plain")
    set_ = loaded(
        config,
        WATCHDOG_STATE_DIR=str(tmp_path),
        WATCHDOG_LISTEN="[::1]:0",
        LOG_LEVEL="WARNING",
        LOG_FORMAT="json",
    )
    assert (set_.state_dir, set_.listen_host, set_.listen_port) == (tmp_path, "::1", 0)
    assert (set_.log_level, set_.log_format) == ("warning", "json")


@pytest.mark.parametrize(
    "written", ["9877", "host", "host:", ":9877", "host:port", "host:70000", "a b:1", "::1:9877"]
)
def test_an_address_to_listen_on_is_host_and_port(config: Path, written: str) -> None:
    assert refusal(config, WATCHDOG_LISTEN=written) == (
        f"WATCHDOG_LISTEN is {written!r}: set it to host:port such as 127.0.0.1:9877 or [::1]:9877"
    )


def test_the_public_address_is_the_one_that_people_open(config: Path) -> None:
    assert loaded(config).public_url is None
    assert loaded(config, WATCHDOG_PUBLIC_URL="https://watch.example/").public_url == "https://watch.example/"


@pytest.mark.parametrize(
    "written", ["watch.example", "ftp://watch.example/", "https://u:sesame@watch.example/"]
)
def test_a_public_address_that_cannot_be_shown_is_refused(config: Path, written: str) -> None:
    said = refusal(config, WATCHDOG_PUBLIC_URL=written)
    assert said.startswith("WATCHDOG_PUBLIC_URL is not an address that can be shown to people")
    assert "sesame" not in said


@pytest.mark.parametrize("name", ["LOG_LEVEL", "LOG_FORMAT"])
def test_a_word_of_a_closed_list_is_one_of_it(config: Path, name: str) -> None:
    assert refusal(config, **{name: "loud"}).startswith(f"{name} is 'loud': set it to one of ")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", "is not set"),
        ("  ", "is not set"),
        ("host=db password=sesame", "does not begin with postgresql://"),
        ("mysql://u:sesame@db/x", "does not begin with postgresql://"),
        ("postgresql://u:se same@db/x", "is not a URL that PostgreSQL's client understands"),
        ("postgresql://u:sesame%zz@db/x", "is not a URL that PostgreSQL's client understands"),
        ("postgresql://u:sesame@db", "names no database"),
        ("postgresql://u:sesame@db:https/x", "has a port that is not a number"),
    ],
)
def test_a_database_url_that_cannot_be_used_is_refused_and_never_shown(
    config: Path, written: str, says: str
) -> None:
    line = refusal(config, WATCHDOG_DATABASE_URL=written)
    assert line.startswith(f"WATCHDOG_DATABASE_URL {says}")
    assert "postgresql://role:password@host:5432/name" in line


def test_a_secret_may_come_from_a_file(config: Path, tmp_path: Path) -> None:
    config.write_text(TABLE + CHANNEL, encoding="utf-8")
    database, ops = tmp_path / "database", tmp_path / "ops"
    database.write_text(f"{URL}\n", encoding="utf-8")
    ops.write_text("json://pager/\n", encoding="utf-8")
    settings = load({"WATCHDOG_DATABASE_URL_FILE": str(database), "OPS_URL_FILE": str(ops)}, config)
    assert settings.database_url.get_secret_value() == URL
    assert settings.channels[0].url.get_secret_value() == "json://pager/"


def test_a_file_of_a_secret_that_cannot_be_read_is_named(config: Path, tmp_path: Path) -> None:
    config.write_text(TABLE + CHANNEL, encoding="utf-8")
    missing, empty, binary = tmp_path / "missing", tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n", encoding="utf-8")
    binary.write_bytes(b"\xff\xff")
    for path, says in ((missing, "No such file"), (empty, "is empty"), (binary, "it is not a text")):
        line = refusal(config, OPS_URL_FILE=str(path))
        assert f"OPS_URL_FILE names {path}" in line
        assert says in line


def test_a_channel_without_its_variable_is_an_error_that_names_it(config: Path) -> None:
    config.write_text(TABLE + CHANNEL, encoding="utf-8")
    line = refusal(config, OPS_URL="")
    assert line.startswith("[[channel]] 'ops' needs the environment variable OPS_URL, which is not set")
    assert "OPS_URL_FILE" in line
    assert "required = false" in line


def test_a_channel_that_is_not_required_is_left_out_with_a_warning(config: Path) -> None:
    config.write_text(TABLE + CHANNEL + "required = false\n", encoding="utf-8")
    settings = loaded(config)
    assert settings.channels == ()
    assert settings.warnings == (
        "channel 'ops' is left out: OPS_URL is not set",
        "no channel: nobody is notified of anything",
    )
    assert loaded(config, OPS_URL="json://pager/").warnings == ()


@pytest.mark.parametrize(("tag", "lacks"), [("notify", "page"), ("page", "notify")])
def test_a_tag_that_no_channel_carries_is_warned_of(config: Path, tag: str, lacks: str) -> None:
    config.write_text(TABLE + CHANNEL.replace('"notify", "page"', f'"{tag}"'), encoding="utf-8")
    (warning,) = loaded(config, OPS_URL="json://pager/").warnings
    assert warning.startswith(f"no channel with the tag {lacks}: ")


def test_a_section_without_effect_is_warned_of(config: Path) -> None:
    config.write_text(TABLE + CHANNEL + '[heartbeat]\nurl_env = "BEAT"\n', encoding="utf-8")
    assert loaded(config, OPS_URL="json://pager/").warnings == (
        "[heartbeat] is declared and has no effect in this version",
    )


def test_addresses_and_environments_may_refer_to_variables(config: Path) -> None:
    text = TABLE + '[[health]]\nurl = "http://${HOST}:${PORT:-8000}/health"\n'
    config.write_text(text, encoding="utf-8")
    assert loaded(config, HOST="api").health[0].url == "http://api:8000/health"
    assert loaded(config, HOST="api", PORT="81").health[0].url == "http://api:81/health"
    for environ in ({}, {"HOST": ""}):
        assert refusal(config, **environ) == (
            f"{config}: ${{HOST}} names an environment variable that is not set: "
            "set HOST, or write ${HOST:-default}"
        )


def test_programs_and_queries_are_taken_as_they_are_written(config: Path) -> None:
    text = TABLE + '[heal.command]\nplan = ["sh", "-c", "echo ${HOST}"]\nrun = ["r"]\n'
    config.write_text(text, encoding="utf-8")
    command = loaded(config).heal_command
    assert command is not None
    assert command.plan == ("sh", "-c", "echo ${HOST}")


def test_a_reference_to_a_wrong_value_does_not_show_the_value(config: Path) -> None:
    config.write_text(TABLE + '[[health]]\nurl = "${ADDRESS}"\n', encoding="utf-8")
    assert "not an address" in refusal(config, ADDRESS="http://u:sesame@[bad")


def test_the_sidecars_own_secrets_are_named_for_those_who_start_programs(config: Path) -> None:
    config.write_text(
        TABLE + CHANNEL + ASKED_WITH_TOKENS + '[heartbeat]\nurl_env = "BEAT"\n', encoding="utf-8"
    )
    own = ("WATCHDOG_DATABASE_URL", "WATCHDOG_HEAL_DATABASE_URL", "OPS_URL", "BEAT", "A_TOKEN", "B_TOKEN")
    assert loaded(config, OPS_URL="json://pager/").secret_names == {
        f"{name}{suffix}" for name in own for suffix in ("", "_FILE")
    }


ASKED_WITH_TOKENS = """
[[health]]
url = "http://api/health"
token_env = "A_TOKEN"

[ingestion]
url = "http://api/status"
json_path = "last"
expected = 4
token_env = "B_TOKEN"
"""


def test_a_token_comes_from_its_variable_or_from_the_file_that_it_names(config: Path) -> None:
    config.write_text(TABLE + ASKED_WITH_TOKENS, encoding="utf-8")
    file = config.with_name("token")
    file.write_text("alpi_sesame\n")
    settings = loaded(config, A_TOKEN=" alpi_opens ", B_TOKEN_FILE=str(file))
    assert {name: token.get_secret_value() for name, token in settings.tokens.items()} == {
        "A_TOKEN": "alpi_opens",
        "B_TOKEN": "alpi_sesame",
    }
    assert "alpi_" not in repr(settings)
    assert loaded(config).tokens == loaded(config, A_TOKEN="", B_TOKEN_FILE="").tokens == {}


@pytest.mark.parametrize("token", ["two words", "sesame\nX-Evil: 1", "sésame", "sesame\x00", "s" * 4097])
def test_a_token_that_fits_into_no_header_is_refused_and_not_shown(config: Path, token: str) -> None:
    config.write_text(TABLE + ASKED_WITH_TOKENS, encoding="utf-8")
    said = refusal(config, A_TOKEN=token)
    assert said.startswith("A_TOKEN is not a bearer token (its value is not shown here): ")
    assert token not in said
    assert "sesame" not in said


def test_an_empty_file_of_a_token_says_what_to_write_into_it(config: Path) -> None:
    config.write_text(TABLE + ASKED_WITH_TOKENS, encoding="utf-8")
    file = config.with_name("token")
    file.write_text("\n")
    assert refusal(config, A_TOKEN_FILE=str(file)) == (
        f"A_TOKEN_FILE names {file}, which is empty: write the token into it"
    )


def test_a_token_without_an_address_is_refused(config: Path) -> None:
    written = ASKED_WITH_TOKENS.replace('url = "http://api/status"\njson_path = "last"', 'query = "SELECT 4"')
    config.write_text(TABLE + written, encoding="utf-8")
    assert "`token_env` is sent to `url`, which is not given" in refusal(config)


def test_the_database_is_named_without_user_and_password(config: Path) -> None:
    assert loaded(config).database_place == "hydro@db:5432"
