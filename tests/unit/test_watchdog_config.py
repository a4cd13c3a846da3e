"""The demo's watchdog.toml is the shipped profile, and differs from it in nothing but its pace."""

from __future__ import annotations

import tomllib

import pytest

from alpimonitor_rehearsal import watchdog_config
from alpimonitor_watchdog.settings import SHIPPED_PROFILE


def test_the_profile_is_found_where_the_sidecar_has_it() -> None:
    assert watchdog_config.shipped_profile() == SHIPPED_PROFILE.read_text(encoding="utf-8")


def test_at_the_defaults_it_is_the_shipped_profile_to_the_letter() -> None:
    shipped = watchdog_config.shipped_profile()
    assert watchdog_config.with_policy(shipped, {}) == shipped


def test_the_quick_pace_changes_durations_and_no_guard_rail() -> None:
    shipped = watchdog_config.shipped_profile()
    quick = watchdog_config.with_policy(shipped, watchdog_config.QUICK)
    before, after = tomllib.loads(shipped), tomllib.loads(quick)
    changed = {key for key in before["policy"] if before["policy"][key] != after["policy"][key]}
    assert changed == set(watchdog_config.QUICK)
    assert before | {"policy": after["policy"]} == after
    assert watchdog_config.heal_budget(quick) == watchdog_config.heal_budget(shipped)


def test_a_key_that_the_profile_does_not_have_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no confirm_fro"):
        watchdog_config.with_policy(watchdog_config.shipped_profile(), {"confirm_fro": "1s"})


def test_the_same_key_in_another_section_is_left_alone() -> None:
    profile = 'a = 1\n[policy]\nquiet_for = "5s"\n[other]\nquiet_for = "7s"\n'
    assert watchdog_config.with_policy(profile, {"quiet_for": "1s"}) == profile.replace('"5s"', '"1s"')
