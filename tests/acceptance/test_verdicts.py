"""Every scenario of the catalogue, once: what happened, who did it, and was it put back?"""

from __future__ import annotations

from pathlib import Path

import pytest

from alpimonitor_rehearsal.scenarios import CONCLUDED, Scenario
from tests.clusters import Prepared
from tests.verdicts import differences, investigated
from tests.warm_start import Warmth

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize("scenario", CONCLUDED, ids=[scenario.name for scenario in CONCLUDED])
def test_an_investigation_concludes_what_the_catalogue_says(
    scenario: Scenario, clusters: Prepared, tmp_path: Path, warmth: Warmth
) -> None:
    found = investigated(scenario, clusters, tmp_path, warmth)
    assert not differences(scenario, found), found.said
