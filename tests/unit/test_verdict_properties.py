"""What holds of every verdict, whatever the signals."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from alpimonitor_watchdog.core.evidence import DESTRUCTIVE, Attribution, Event, Operation, RecorderSeen
from alpimonitor_watchdog.core.fingerprint import Fingerprint, Identity, TablePrint
from alpimonitor_watchdog.core.seen import DatabaseSeen, Loss, TableSeen
from alpimonitor_watchdog.core.verdict import (
    OF_THE_DATABASE,
    Case,
    Circumstance,
    Verdict,
    conclude,
    explains,
    same,
    session_busy,
)
from alpimonitor_watchdog.core.words import Unseen
from tests.unit.evidence_cases import (
    BEFORE,
    BOOT,
    DONE,
    ELDER_CLUSTER,
    EXPECTED,
    NEW_CLUSTER,
    OLD_CLUSTER,
    SEEN,
    WELL,
    after,
    seen,
)

TABLES = ("station", "sensor")
few = st.sampled_from([None, 0, 1, 3, 7, 14, 10_000])
moments = st.sampled_from([BOOT, WELL, DONE, SEEN, SEEN + timedelta(days=1)])
identities = st.builds(
    Identity,
    system=st.sampled_from([None, OLD_CLUSTER, NEW_CLUSTER, ELDER_CLUSTER, "0", "-1", "nonsense", "9" * 30]),
    database_oid=st.sampled_from([None, 16000, 16384, 17000]),
    deployment=st.sampled_from([None, "d-1", "d-2"]),
    environment=st.sampled_from([None, "production", "staging"]),
)


def prints(name: str) -> st.SearchStrategy[TablePrint]:
    return st.builds(
        TablePrint,
        name=st.just(name),
        oid=st.sampled_from([None, 16402, 20000]),
        filenode=st.sampled_from([None, 16402, 20001]),
        rows=few,
        capped=st.booleans(),
        inserted=few,
        updated=few,
        deleted=few,
        readable=st.booleans(),
        hidden=st.booleans(),
        secured=st.booleans(),
        application_reads=st.sampled_from([None, True, False]),
    )


fingerprints = st.builds(
    Fingerprint,
    at=moments,
    identity=identities,
    in_recovery=st.booleans(),
    timeline=st.sampled_from([None, 1, 2]),
    lsn=st.sampled_from([None, 0, 9_000_000, 10_000_000]),
    next_transaction=st.sampled_from([None, 500, 740]),
    started=st.none() | moments,
    statistics_reset=st.none() | moments,
    revision=st.sampled_from([None, "0003"]),
    tables=st.tuples(*(prints(name) for name in TABLES)) | st.just(()),
)
events = st.lists(
    st.builds(
        Event,
        id=st.integers(1, 6),
        at=moments,
        operation=st.sampled_from(Operation),
        table=st.sampled_from([*TABLES, "measurement"]),
        rows=few,
        remaining=few,
        session_role=st.just("owner"),
        role=st.sampled_from(["owner", "api"]),
        application_name=st.sampled_from(["", "psql"]),
        client_addr=st.sampled_from([None, "10.0.0.7", "127.0.0.1"]),
        pid=st.integers(1, 3),
        backend_start=st.none() | moments,
        transaction=st.integers(740, 744),
        statement=st.sampled_from(["DELETE FROM station", "DELETE FROM station WHERE id = $1"]),
        reason=st.sampled_from([None, "", "closed"]),
    ),
    max_size=6,
).map(tuple)
losses = st.lists(
    st.builds(
        Loss,
        table=st.sampled_from(TABLES),
        rows=st.sampled_from([None, 0, 3]),
        expected=st.sampled_from([7, 14]),
    ),
    max_size=2,
    unique_by=lambda loss: loss.table,
).map(tuple)
looks = st.builds(
    DatabaseSeen,
    unseen=st.sampled_from([None, None, *Unseen]),
    detail=st.sampled_from(["", "said the server", "said\n\tthe server: \x1b[31m" + "x" * 5000]),
    tables=st.tuples(
        *(
            st.builds(
                TableSeen,
                name=st.just(name),
                exists=st.booleans(),
                rows=few,
                unseen=st.sampled_from([None, None, *Unseen]),
            )
            for name in TABLES
        )
    ),
    revision=st.sampled_from([None, "0003"]),
    in_recovery=st.booleans(),
    identity=st.none() | identities,
    clock=st.none() | moments,
    code=st.sampled_from([None, "3D000", "28P01", "28000", "42501", "57P03"]),
    fingerprint=st.none() | fingerprints,
)
recorders = st.none() | st.builds(
    RecorderSeen,
    installed=st.booleans(),
    readable=st.booleans(),
    unarmed=st.sampled_from([(), ("station",)]),
    drops=st.booleans(),
    arming=st.sampled_from(["", "a1", "a2"]),
)
anything = st.builds(
    Case,
    seen=looks,
    expected=st.just(EXPECTED),
    losses=losses,
    before=st.none() | fingerprints,
    after=st.none() | fingerprints,
    events=events,
    recorder=recorders,
    arming_before=st.sampled_from([None, "", "a1"]),
)
# Rows are missing in the database that it was: what is recorded and counted decides.
everyday = st.builds(
    Case,
    seen=st.builds(seen, station=st.sampled_from([0, 3]), sensor=st.sampled_from([0, 14])),
    expected=st.just(EXPECTED),
    losses=losses,
    before=st.none() | st.just(BEFORE),
    after=st.none() | st.tuples(*(prints(name) for name in TABLES)).map(lambda now: after(tables=now)),
    events=events,
    recorder=recorders,
    arming_before=st.sampled_from([None, "", "a1"]),
)
cases = anything | everyday


def named(verdict: Verdict) -> list[Attribution]:
    return [*([verdict.attribution] if verdict.attribution else []), *verdict.others]


def took(event: Event, lost: dict[str, Loss]) -> bool:
    """Whether a statement can have taken anything of what is lost."""
    if event.table not in lost or event.operation not in DESTRUCTIVE:
        return False
    return event.rows != 0 or event.operation is Operation.DROP


@given(cases)
def test_there_is_a_verdict_always_and_always_the_same(case: Case) -> None:
    assert conclude(case) == conclude(replace(case))


@given(cases, st.randoms(use_true_random=False))
def test_the_order_of_equal_inputs_does_not_matter(case: Case, random: Any) -> None:
    def shuffled(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(values, len(values)))

    def print_shuffled(found: Fingerprint | None) -> Fingerprint | None:
        return replace(found, tables=shuffled(found.tables)) if found else None

    other = replace(
        case,
        events=shuffled((*case.events, *case.events)),
        losses=shuffled(case.losses),
        before=print_shuffled(case.before),
        after=print_shuffled(case.after),
        seen=replace(case.seen, tables=shuffled(case.seen.tables)),
    )
    one, two = conclude(case), conclude(other)
    assert replace(two, not_observable=()) == replace(one, not_observable=())
    assert sorted(two.not_observable) == sorted(one.not_observable)


@given(cases)
def test_no_session_is_named_that_took_nothing_of_what_is_lost(case: Case) -> None:
    verdict = conclude(case)
    lost = {loss.table: loss for loss in case.losses}
    guilty = {(event.pid, event.transaction) for event in case.events if took(event, lost)}
    assert {(found.pid, found.transaction) for found in named(verdict)} <= guilty
    assert not (verdict.what in OF_THE_DATABASE and named(verdict))


@given(cases)
def test_it_is_intended_only_if_all_that_explains_it_states_a_reason(case: Case) -> None:
    verdict = conclude(case)
    assert (Circumstance.INTENDED in verdict.circumstances) == (verdict.reason is not None)
    if verdict.reason is None:
        return
    # Whoever is named stated one in each statement that took something; an older one may have been undone.
    assert all(found.reason for found in named(verdict))
    for loss in case.losses:
        assert any(event.reason and took(event, {loss.table: loss}) for event in case.events)


@given(cases)
def test_a_reason_is_for_all_of_it_or_for_a_part_or_for_none(case: Case) -> None:
    found = conclude(case).circumstances
    assert not {Circumstance.INTENDED, Circumstance.PARTLY_INTENDED} <= set(found)
    unreasoned = tuple(replace(event, reason=None) for event in case.events)
    assert Circumstance.PARTLY_INTENDED not in conclude(replace(case, events=unreasoned)).circumstances


@given(cases)
def test_a_verdict_is_bounded_and_each_sentence_one_visible_line(case: Case) -> None:
    verdict = conclude(case)
    sentences = (*verdict.evidence, *verdict.not_observable)
    assert all(sentence.isprintable() and len(sentence) <= 1000 for sentence in sentences)
    assert max(len(verdict.evidence), len(verdict.not_observable)) <= 41


@given(cases)
def test_a_verdict_is_the_same_whatever_figures_it_quotes(case: Case) -> None:
    verdict = conclude(case)
    assert same(verdict, replace(verdict, evidence=("7 bytes",), not_observable=("8 rows",)))


@given(cases)
def test_a_statement_without_a_reason_makes_the_loss_unintended(case: Case) -> None:
    silent = replace(case, events=tuple(replace(event, reason=None) for event in case.events))
    assert conclude(silent).reason is None


@given(cases)
def test_a_verdict_of_tables_has_a_sentence_for_each_loss(case: Case) -> None:
    verdict = conclude(case)
    if verdict.what in OF_THE_DATABASE or case.seen.code == "42501":
        return
    for loss in case.losses:
        assert any(sentence.startswith(f"{loss.table}: ") for sentence in verdict.evidence)


@given(events, losses)
def test_what_explains_a_loss_is_independent_of_order(
    found: tuple[Event, ...], lost: tuple[Loss, ...]
) -> None:
    assert explains(found, lost) == explains(found[::-1], lost[::-1])
    assert explains(found, ()) is False
    assert session_busy(found, ()) is None
