"""Which transactions a look reads the recorded events of: what it was handed before is never among them."""

from __future__ import annotations

from alpimonitor_watchdog.probe.unread import Position, Span

NEWEST = 2**63 - 1


def test_a_cursor_begins_with_its_transaction() -> None:
    assert Position.at(700).unread() == [Span(700, NEWEST)]
    assert Position.at(700).cursor == 700


def test_what_was_in_progress_is_read_when_it_is_done_and_what_ended_before_is_not() -> None:
    position = Position("700:710:700,705")
    assert position.unread() == [Span(700, 700), Span(705, 705), Span(710, NEWEST)]
    assert position.cursor == 700


def test_a_walk_ends_where_it_began_and_leaves_out_what_was_in_progress_then() -> None:
    position = Position("700:710:700,705", "705:720:705,712,719", (700, 3))
    assert position.unread() == [Span(700, 700, 3), Span(710, 711), Span(713, 718)]
    assert Position(position.known, position.reading, (713, 9)).unread() == [Span(713, 718, 9)]


def test_a_whole_page_goes_on_in_the_first_snapshot_and_the_last_one_ends_with_it() -> None:
    begun = Position.at(700).next("720:720:", (705, 500), in_recovery=False)
    assert begun == Position("700:700:", "720:720:", (705, 500))
    again = begun.next("730:730:", (710, 1000), in_recovery=False)
    assert again == Position("700:700:", "720:720:", (710, 1000))
    assert again.next("740:740:", None, in_recovery=False) == Position("720:720:")


def test_a_standby_reads_again_whatever_may_have_been_in_progress() -> None:
    assert Position.at(700).next("705:720:", None, in_recovery=True) == Position("705:705:")
