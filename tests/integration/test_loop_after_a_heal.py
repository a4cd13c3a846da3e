"""What follows a heal, such as one run of ingestion, is run though the process that asked for it ended."""

from __future__ import annotations

from pathlib import Path

from alpimonitor_watchdog.core.words import Phase
from tests.integration.test_loop import Sidecar, World


class Followed(World):
    """Counts what follows its heals."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.followed = 0

    def after(self) -> tuple[str, ...]:
        self.followed += 1
        return super().after()


def test_the_next_process_runs_what_the_last_one_left_and_runs_it_once(tmp_path: Path) -> None:
    world = Followed(tmp_path)
    first = Sidecar(world)
    world.wipe()
    first.until(Phase.HEALING)
    first.tick(work=False)  # it asks for what follows, and is killed before that begins
    first.store.close()
    assert (world.rows["station"], world.followed) == (7, 0)
    for _ in range(2):
        later = Sidecar(world)
        for _ in range(5):
            later.tick()
        later.store.close()
        assert world.followed == 1
