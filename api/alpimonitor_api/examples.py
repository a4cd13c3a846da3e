"""An example of each resource for /openapi.json, as a deployment with the fixtures
would answer it.

The tests hold each against its shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Example = Mapping[str, Any]

_SION_NAME: Example = {"id": "b36a232c-8d03-51bc-8495-ccff8bd89f3e", "name": "Sion", "ofevCode": "2011"}

_HAUDERES_NAME: Example = {
    "id": "21a27e09-0719-5377-acb1-edf8c601eccd",
    "name": "Borgne — Les Haudères",
    "ofevCode": "TBD-HAUDERES",
}

_STATION: Example = {
    **_SION_NAME,
    "riverName": "Rhône",
    "latitude": 46.2191,
    "longitude": 7.3579,
    "altitudeM": 483,
    "flowType": "NATURAL",
    "operatorName": "OFEV",
    "dataSource": "LIVE",
    "sourcingStatus": "CONFIRMED",
    "latestMeasurements": [
        {
            "parameter": "DISCHARGE",
            "unit": "m3/s",
            "value": 512.25,
            "recordedAt": "2026-04-21T11:50:00Z",
            "status": "VIGILANCE",
        },
        {
            "parameter": "WATER_LEVEL",
            "unit": "m",
            "value": 484.612,
            "recordedAt": "2026-04-21T11:50:00Z",
            "status": "NORMAL",
        },
    ],
    "activeAlertsCount": 1,
}

_ALERT: Example = {
    "id": "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    "station": _SION_NAME,
    "type": "THRESHOLD_EXCEEDED",
    "level": "VIGILANCE",
    "parameter": "DISCHARGE",
    "triggerValue": 512.25,
    "thresholdValue": 500,
    "openedAt": "2026-04-21T11:50:00Z",
    "closedAt": None,
    "durationSeconds": 600,
}

_ERROR: Example = {
    "code": "VALIDATION_ERROR",
    "message": "isActive: must be true or false",
    "details": [{"parameter": "isActive", "message": "must be true or false"}],
}

EXAMPLES: Mapping[str, Example] = {
    "Station": _STATION,
    "Catchment": {
        "id": "4974d5a3-968b-5996-b407-6d5f18380aca",
        "name": "Bassin de la Borgne",
        "areaKm2": 383,
        "description": "Left bank of the Rhône, fed by the glaciers of Ferpècle, Mont Miné and Arolla.",
        "stationsCount": 7,
    },
    "Glacier": {
        "id": "ce315887-2e9e-5dd2-96d2-72bbbcf9a054",
        "name": "Ferpècle",
        "altitudeMinM": 1900,
        "altitudeMaxM": 3700,
        "stations": [_HAUDERES_NAME],
    },
    "Withdrawal": {
        "id": "d8933d70-da09-5fbb-b472-347428e41992",
        "name": "Station de pompage d'Arolla",
        "operatorName": "Grande Dixence SA",
        "latitude": 46.03,
        "longitude": 7.48,
        "altitudeM": 2009,
        "annualVolumeM3": None,
        "station": _HAUDERES_NAME,
    },
    "Alert": _ALERT,
    "HistoryData": {
        "stationId": _SION_NAME["id"],
        "from": "2026-04-21T00:00:00Z",
        "to": "2026-04-22T00:00:00Z",
        "aggregate": "raw",
        "series": [
            {
                "parameter": "DISCHARGE",
                "unit": "m3/s",
                "points": [
                    {"t": "2026-04-21T11:40:00Z", "v": 498.75},
                    {"t": "2026-04-21T11:50:00Z", "v": 512.25},
                ],
            }
        ],
    },
    "Health": {"status": "ok", "timestamp": "2026-04-21T12:00:00Z", "database": "ok"},
    "Envelope": {"error": _ERROR},
}
"""The name of a shape -> an answer of it."""
