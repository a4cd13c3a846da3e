"""The demo's watchdog.toml: the profile that ships with the sidecar, at another pace if wished."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

SIDECAR = "alpimonitor_watchdog"
PROFILE = Path("profiles", "alpimonitor.toml")

QUICK = {
    "confirm_for": "1s",
    "quiet_for": "1s",
    "page_after": "20s",
    "backoff_first": "1s",
    "backoff_max": "2s",
}
"""For those in a hurry: every guard rail stands, its durations are shorter."""


def shipped_profile() -> str:
    """The text of the profile. The sidecar is found and not imported: it is a program like any other here.

    Raises FileNotFoundError when it is not installed.
    """
    spec = importlib.util.find_spec(SIDECAR)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        return Path(folder, PROFILE).read_text(encoding="utf-8")
    raise FileNotFoundError(f"the package {SIDECAR} is not installed: install alpimonitor whole")


def with_policy(profile: str, durations: Mapping[str, str]) -> str:
    """`profile` with these values in its [policy], everything else as it was, comments included.

    Raises ValueError when the profile's [policy] does not have one of the keys.
    """
    before, header, after = profile.partition("\n[policy]\n")
    section, *rest = re.split(r"(?m)^(?=\[)", after, maxsplit=1)
    for key, value in durations.items():
        section, replaced = re.subn(rf"(?m)^{re.escape(key)}\s*=.*$", f'{key} = "{value}"', section)
        if replaced != 1:
            raise ValueError(f"the shipped profile's [policy] has no {key}")
    changed = before + header + section + "".join(rest)
    wanted = tomllib.loads(profile)
    wanted["policy"] |= durations
    if tomllib.loads(changed) != wanted:
        raise ValueError("changing [policy] changed something else in the shipped profile")
    return changed


def heal_budget(config: str) -> int:
    """How many heals a window the [policy] of a watchdog.toml allows."""
    return int(tomllib.loads(config)["policy"]["heal_budget"])
