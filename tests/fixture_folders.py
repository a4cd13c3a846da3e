"""Folders of fixtures of any size, for what has to hold with ten thousand rows as with thirty-nine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

Value = str | int | float
PARAMETERS = ("DISCHARGE", "WATER_LEVEL")
GLACIERS = 9
TEN_THOUSAND_ROWS = 1_665  # stations


def write_folder(folder: Path, *, stations: int) -> dict[str, int]:
    """Valid fixtures of 6 × `stations` + 10 rows in a new folder; how many rows each table gets.

    Each station has two sensors, a threshold, a glacier and a withdrawal, under names with accents, as the
    real ones have.
    """
    codes = [f"S{number:05}" for number in range(stations)]
    parents: dict[str, Value] = {"catchment": "Bassin de l'Été"}
    tables: dict[str, Sequence[Mapping[str, Value]]] = {
        "catchment": [{"name": "Bassin de l'Été", "area_km2": 383}],
        "station": [
            {
                "ofev_code": code,
                "name": f"Évolène {number}",
                "river_name": "La Borgne",
                **parents,
                "latitude": 46 + number / 100_000,
                "longitude": 7 + number / 100_000,
                "altitude_m": 400 + number % 3000,
                "flow_type": "NATURAL",
                "operator_name": "CREALP",
                "data_source": "RESEARCH",
                "sourcing_status": "ILLUSTRATIVE",
            }
            for number, code in enumerate(codes)
        ],
        "sensor": [
            {"station": code, "parameter": parameter, "unit": "m"}
            for code in codes
            for parameter in PARAMETERS
        ],
        "threshold": [
            {
                "station": code,
                "parameter": "DISCHARGE",
                "vigilance_value": 20 + number,
                "alert_value": 40.5 + number,
                "direction": "ABOVE",
            }
            for number, code in enumerate(codes)
        ],
        "glacier": [
            {"name": f"Ferpècle {number}", "altitude_min_m": 1900, "altitude_max_m": 3700}
            for number in range(GLACIERS)
        ],
        "station_glacier": [
            {"station": code, "glacier": f"Ferpècle {number % GLACIERS}"} for number, code in enumerate(codes)
        ],
        "withdrawal": [
            {
                "name": f"Prise d'eau {number}",
                "station": code,
                "operator_name": "Grande Dixence SA",
                "latitude": 46.05,
                "longitude": 7.53,
                "altitude_m": 1896,
            }
            for number, code in enumerate(codes)
        ],
    }
    folder.mkdir()
    for table, rows in tables.items():
        (folder / f"{table}.toml").write_text("\n".join(_shown(table, row) for row in rows), encoding="utf-8")
    return {table: len(rows) for table, rows in tables.items()}


def _shown(table: str, row: Mapping[str, Value]) -> str:
    """JSON writes texts and numbers as TOML reads them."""
    lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in row.items())
    return "\n".join((f"[[{table}]]", *lines, ""))
