"""The shipped fixtures are those of the domain; a bad file is named with its line."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import pytest

from alpimonitor_api import ids
from alpimonitor_seed.fixture_files import BadFixtures
from alpimonitor_seed.fixtures import SHIPPED, TABLES, load

STATIONS = [
    # code, name, river, latitude, longitude, altitude, flow, operator, source, sourcing, vigilance, alert
    ("2346", "Brig", "Rhône", 46.3169, 7.9751, 677, "NATURAL", "OFEV", "LIVE", "CONFIRMED", 200, 400),
    ("2011", "Sion", "Rhône", 46.2191, 7.3579, 483, "NATURAL", "OFEV", "LIVE", "CONFIRMED", 500, 800),
    ("2630", "Sion", "Sionne", 46.2305, 7.3660, 510, "NATURAL", "OFEV", "LIVE", "CONFIRMED", 5, 15),
    ("2009", "Porte du Scex", "Rhône", 46.35, 6.889, 377, "NATURAL", "OFEV", "LIVE", "CONFIRMED", 600, 1000),
    (
        *("TBD-BRAMOIS", "Borgne — Bramois", "La Borgne", 46.2333, 7.3833, 490),
        *("NATURAL", "CREALP", "RESEARCH", "CONFIRMED", 50, 100),
    ),
    (
        *("TBD-HAUDERES", "Borgne — Les Haudères", "La Borgne", 46.0833, 7.5167, 1450),
        *("RESIDUAL", "CREALP", "RESEARCH", "ILLUSTRATIVE", 20, 40),
    ),
    (
        *("TBD-EVOLENE", "Borgne — Evolène", "La Borgne", 46.1167, 7.4983, 1370),
        *("RESIDUAL", "CREALP", "RESEARCH", "ILLUSTRATIVE", 25, 50),
    ),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped fixtures, to be spoilt."""
    return Path(shutil.copytree(SHIPPED, tmp_path / "fixtures"))


def spoil(file: Path, before: str, after: str) -> int:
    """Replace the first `before` in a file and return the line it was in."""
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    return text[: text.index(before)].count("\n") + 1


def problems(folder: Path) -> list[tuple[str, int, str]]:
    with pytest.raises(BadFixtures) as raised:
        load(folder)
    return [(Path(found.file).name, found.line, found.reason) for found in raised.value.problems]


def test_the_shipped_rows_are_as_many_as_the_domain_declares() -> None:
    assert {table: len(rows) for table, rows in load().rows.items()} == {
        "catchment": 1,
        "station": 7,
        "sensor": 14,
        "threshold": 7,
        "glacier": 2,
        "station_glacier": 6,
        "withdrawal": 2,
    }


def test_the_shipped_stations_and_thresholds_are_those_of_the_domain() -> None:
    fixtures = load()
    thresholds = {row["station_id"]: row for row in fixtures.rows["threshold"]}
    shipped = [
        (
            *(row["ofev_code"], row["name"], row["river_name"], row["latitude"], row["longitude"]),
            *(row["altitude_m"], row["flow_type"], row["operator_name"], row["data_source"]),
            *(row["sourcing_status"], thresholds[row["id"]]["vigilance_value"]),
            thresholds[row["id"]]["alert_value"],
        )
        for row in fixtures.rows["station"]
    ]
    assert shipped == STATIONS
    assert {(row["parameter"], row["direction"]) for row in thresholds.values()} == {("DISCHARGE", "ABOVE")}
    assert all(row["is_active"] for row in fixtures.rows["station"])


def test_every_shipped_station_has_a_discharge_and_a_level_sensor() -> None:
    fixtures = load()
    assert {(row["station_id"], row["parameter"], row["unit"]) for row in fixtures.rows["sensor"]} == {
        (station["id"], parameter, unit)
        for station in fixtures.rows["station"]
        for parameter, unit in (("DISCHARGE", "m3/s"), ("WATER_LEVEL", "m"))
    }


def test_the_shipped_glaciers_feed_the_three_borgne_stations() -> None:
    fixtures = load()
    glaciers = {
        row["name"]: (row["altitude_min_m"], row["altitude_max_m"]) for row in fixtures.rows["glacier"]
    }
    assert glaciers == {"Ferpècle": (1900, 3700), "Mont Miné": (1980, 3500)}
    assert {(row["station_id"], row["glacier_id"]) for row in fixtures.rows["station_glacier"]} == {
        (str(ids.station_id(code)), str(ids.glacier_id(name)))
        for code in ("TBD-BRAMOIS", "TBD-HAUDERES", "TBD-EVOLENE")
        for name in glaciers
    }


def test_the_shipped_withdrawals_are_those_of_the_domain() -> None:
    shipped = {
        (row["name"], row["altitude_m"], row["latitude"], row["longitude"], row["annual_volume_m3"])
        for row in load().rows["withdrawal"]
    }
    assert shipped == {
        ("Station de pompage de Ferpècle", 1896, 46.05, 7.53, None),
        ("Station de pompage d'Arolla", 2009, 46.03, 7.48, None),
    }
    assert {(row["operator_name"], row["station_id"]) for row in load().rows["withdrawal"]} == {
        ("Grande Dixence SA", str(ids.station_id("TBD-HAUDERES")))
    }


def test_decomposed_accents_in_a_file_are_the_same_fixtures(folder: Path) -> None:
    for path in folder.glob("*.toml"):
        path.write_text(unicodedata.normalize("NFD", path.read_text()))
    assert load(folder) == load()


@pytest.mark.parametrize(
    ("file", "before", "after", "reason"),
    [
        ("station", "latitude = 46.3500", "latitude = 96.3500", "less than or equal to 90, not 96.35"),
        ("station", "latitude = 46.3500", 'latitude = "46.35"', "latitude: input should be a valid number"),
        ("station", "latitude = 46.3500", "latitude = nan", "latitude: input should be a finite number"),
        ("station", 'ofev_code = "2011"', "ofev_code = 2011", "ofev_code: input should be a valid string"),
        ("station", 'ofev_code = "2011"', 'ofev_code = "20|11"', "must not contain |"),
        ("station", 'ofev_code = "2011"', 'ofev_code = "2346"', "2346 is declared twice, first in line 6"),
        ("station", 'name = "Brig"', 'name = " Brig"', "must not be empty, nor begin or end with a space"),
        ("station", 'name = "Brig"', 'name = "Br\\u0000ig"', "must not contain control characters"),
        ("station", 'name = "Brig"', 'nam = "Brig"', "unknown key nam; did you mean name?"),
        ("station", 'name = "Brig"', 'name = "Brig', "is not TOML: Illegal character"),
        ("station", 'name = "Brig"', 'name = """Brig"""', "write a text on one line"),
        ("station", '"RESIDUAL"', '"RESIDUEL"', "input should be 'NATURAL', 'RESIDUAL' or 'DOTATION'"),
        ("station", "altitude_m = 1450", "altitude_m = 1450.5", "altitude_m: input should be a valid int"),
        ("threshold", "alert_value = 800", "alert_value = 0", "greater than 0, not 0"),
        ("withdrawal", '"TBD-HAUDERES"', '"TBD-HAUDERS"', "did you mean TBD-HAUDERES?"),
        ("sensor", '"WATER_LEVEL"', '"DISCHARGE"', "sensor 2346 / DISCHARGE is declared twice"),
    ],
)
def test_a_bad_value_is_reported_with_its_file_line_and_reason(
    folder: Path, file: str, before: str, after: str, reason: str
) -> None:
    line = spoil(folder / f"{file}.toml", before, after)
    found = [(name, number) for name, number, said in problems(folder) if reason in said]
    # What concerns a whole row is reported at its header, a few lines up.
    assert [name for name, _ in found] == [f"{file}.toml"]
    assert line - 3 <= found[0][1] <= line
    if "twice" not in reason:
        assert found[0][1] == line


@pytest.mark.parametrize(
    ("file", "before", "after", "header", "reason"),
    [
        (
            *("threshold", "alert_value = 800", "alert_value = 400"),
            *(11, "with direction ABOVE alert_value (400) must be above vigilance_value (500)"),
        ),
        (
            *("threshold", 'direction = "ABOVE"', 'direction = "BELOW"'),
            *(4, "with direction BELOW alert_value (400) must be below vigilance_value (200)"),
        ),
        (
            *("glacier", "altitude_min_m = 1980", "altitude_min_m = 3980"),
            *(8, "altitude_min_m (3980) must be below altitude_max_m (3500)"),
        ),
        ("station", 'river_name = "Rhône"\n', "", 6, "river_name is missing"),
    ],
)
def test_what_concerns_a_whole_row_is_reported_at_its_header(
    folder: Path, file: str, before: str, after: str, header: int, reason: str
) -> None:
    spoil(folder / f"{file}.toml", before, after)
    assert problems(folder) == [(f"{file}.toml", header, reason)]


def test_every_problem_is_reported_at_once(folder: Path) -> None:
    spoil(folder / "glacier.toml", "1900", "-1900")
    spoil(folder / "station.toml", "46.3169", "460.3169")
    assert [name for name, _, _ in problems(folder)] == ["glacier.toml", "station.toml"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1" + "0" * 5000, "cannot be read as TOML: Exceeds the limit"),
        ("[" * 20_000, "cannot be read as TOML: maximum recursion depth"),
        ("0x" + "f" * 4000, "not a number of thousands of digits"),
        ("1" + "0" * 400, "not 1" + "0" * 79 + "…"),
    ],
)
def test_a_monstrous_value_is_reported_in_few_words(folder: Path, value: str, reason: str) -> None:
    spoil(folder / "station.toml", "altitude_m = 1450", f"altitude_m = {value}")
    with pytest.raises(BadFixtures) as raised:
        load(folder)
    assert reason in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_a_missing_file_is_not_taken_for_no_rows(folder: Path) -> None:
    (folder / "withdrawal.toml").unlink()
    assert problems(folder) == [("withdrawal.toml", 1, "cannot be read: No such file or directory")]


def test_a_misspelt_file_is_not_ignored(folder: Path) -> None:
    (folder / "stations.toml").write_text("")
    assert problems(folder) == [("stations.toml", 1, "there is no table stations; did you mean station?")]


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    assert problems(tmp_path / "nowhere") == [("nowhere", 1, "there is no such folder of fixtures")]


def test_a_file_that_is_not_utf_8_is_reported_at_the_line(folder: Path) -> None:
    content = (folder / "glacier.toml").read_bytes()
    (folder / "glacier.toml").write_bytes(content.replace("Miné".encode(), "Miné".encode("latin-1")))
    assert problems(folder) == [("glacier.toml", 9, "is not UTF-8")]


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("# rows\nglacier = [{name = 'x'}]\n", 2, "write each row under a [[glacier]] of its own"),
        ("[glacier]\nname = 'x'\n", 1, "write each row under a [[glacier]] of its own"),
        ("\n[[glaciers]]\nname = 'x'\n", 2, "only [[glacier]] belongs here, not glaciers"),
    ],
)
def test_rows_in_another_form_are_reported(folder: Path, content: str, line: int, reason: str) -> None:
    (folder / "glacier.toml").write_text(content)
    assert problems(folder) == [("glacier.toml", line, reason)]


def test_a_table_may_be_declared_without_rows(folder: Path) -> None:
    (folder / "withdrawal.toml").write_text("# none\n")
    assert load(folder).rows["withdrawal"] == ()
    assert list(load(folder).rows) == list(TABLES)
