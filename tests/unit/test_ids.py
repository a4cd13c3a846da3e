"""Identifiers are the same everywhere and for ever."""

from __future__ import annotations

import unicodedata
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from alpimonitor_api import ids

keys = st.text(st.characters(exclude_characters="|", exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        (ids.catchment_id("Bassin de la Borgne"), "4974d5a3-968b-5996-b407-6d5f18380aca"),
        (ids.station_id("2346"), "9d6bcfc2-15b2-5d0c-83ce-df3d4d06cd5e"),
        (ids.sensor_id("2346", "DISCHARGE"), "20836f59-be57-5f65-8b53-087348d78c86"),
        (ids.threshold_id("2346", "DISCHARGE"), "531e3fb2-2cf6-510f-9fac-0cd2582bc68d"),
        (ids.glacier_id("Ferpècle"), "ce315887-2e9e-5dd2-96d2-72bbbcf9a054"),
        (ids.station_glacier_id("TBD-BRAMOIS", "Ferpècle"), "ac38fb68-d802-5273-892c-36ed1798e6f7"),
        (ids.withdrawal_id("Station de pompage d'Arolla"), "d8933d70-da09-5fbb-b472-347428e41992"),
    ],
)
def test_an_identifier_never_changes_between_versions(identifier: UUID, expected: str) -> None:
    assert str(identifier) == expected


@given(keys)
def test_composed_and_decomposed_accents_are_one_key(key: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, key) for form in ("NFC", "NFD"))
    assert ids.glacier_id(composed) == ids.glacier_id(decomposed)


@given(keys, keys, keys, keys)
def test_different_keys_have_different_identifiers(a: str, b: str, c: str, d: str) -> None:
    assume((ids.normalised(a), ids.normalised(b)) != (ids.normalised(c), ids.normalised(d)))
    assert ids.sensor_id(a, b) != ids.sensor_id(c, d)


def test_the_table_is_part_of_the_identifier() -> None:
    assert ids.sensor_id("2346", "DISCHARGE") != ids.threshold_id("2346", "DISCHARGE")


@pytest.mark.parametrize("broken", [("a|b",), ("a", ""), ()])
def test_keys_that_two_rows_could_share_are_refused(broken: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="natural key"):
        ids.identifier("station", *broken)
