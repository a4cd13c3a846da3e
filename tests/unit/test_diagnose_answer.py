"""What `diagnose` answers: of now, or of an incident that the sidecar keeps."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from alpimonitor_watchdog.core.evidence import RecorderSeen
from alpimonitor_watchdog.core.good import LastGood, TableGood
from alpimonitor_watchdog.core.model import Decision, Incident, Policy, State, Transition
from alpimonitor_watchdog.core.seen import DatabaseSeen, Findings, TableSeen
from alpimonitor_watchdog.core.verdict import Confidence, Verdict, What, conclude
from alpimonitor_watchdog.core.words import Phase, Reason, Symptom, Unseen
from alpimonitor_watchdog.diagnose.answer import Answer, Of, answered, as_json
from alpimonitor_watchdog.diagnose.kept import IncidentKept, Kept, read
from alpimonitor_watchdog.diagnose.target import Target
from alpimonitor_watchdog.diagnose.tell import told
from alpimonitor_watchdog.store import NoStore, Store
from tests.stored import AT, CHANNELS, INCIDENT
from tests.unit.evidence_cases import ARMED, BEFORE, EXPECTED, SEEN, after, case, event, loss, seen

TARGET = Target(SecretStr("postgresql://w:sesame@db/hydro"), (), EXPECTED, Policy(), declared=True)
DELETED = conclude(case(events=(event(1),)))
GOOD = LastGood(
    SEEN,
    BEFORE.identity,
    (TableGood("station", 7), TableGood("sensor", 14)),
    fingerprint=BEFORE,
    arming="a1",
)
KEPT = Kept(State(good=GOOD))
WHOLE = seen(fingerprint=after(), recorder=ARMED)
EMPTY = seen(0, fingerprint=after({"rows": 0}), recorder=replace(ARMED, events=(event(1),)))
AWAY = DatabaseSeen(Unseen.UNREACHABLE, "nobody answers")
OPEN = IncidentKept(
    "i-1", "k-1", Phase.OPEN, "2026-04-21T12:10:00.000Z", ("context_empty",), (loss(),), DELETED, healed=False
)


def answer(look: DatabaseSeen, kept: Kept = KEPT, **target: Any) -> Answer:
    return answered(replace(TARGET, **target), look, kept, SEEN)


def test_a_whole_database_has_no_verdict() -> None:
    said = answer(WHOLE)
    assert (said.of, said.verdict, said.wrong) == (None, None, False)
    assert told(said) == "hydro@db:5432: nothing is wrong"


def test_what_is_wrong_now_is_told_of_now() -> None:
    said = answer(EMPTY, replace(KEPT, incident=replace(OPEN, phase=Phase.RESOLVED)))
    assert said.of is Of.NOW
    assert said.verdict is not None
    assert said.verdict.what is What.ROWS_DELETED_IN_PLACE
    assert said.losses == (loss(),)
    assert "by role alpimonitor_owner, application ops-shell, from 10.0.0.7, pid 4242" in told(said)


def test_what_is_over_is_told_of_its_incident() -> None:
    said = answer(WHOLE, replace(KEPT, incident=replace(OPEN, phase=Phase.RESOLVED, healed=True)))
    assert (said.of, said.verdict, said.wrong) == (Of.INCIDENT, DELETED, False)
    assert (said.symptoms, said.losses) == (("context_empty",), (loss(),))
    second = told(said).splitlines()[1]
    assert second == (
        "That was incident i-1, opened 2026-04-21T12:10:00.000Z, resolved, healed. Nothing is wrong now."
    )


def test_of_a_database_that_does_not_answer_the_open_incident_knows_more() -> None:
    said = answer(AWAY, replace(KEPT, incident=OPEN))
    assert (said.of, said.verdict, said.wrong, said.reached) == (Of.INCIDENT, DELETED, True, False)
    assert answer(AWAY).of is Of.NOW


def test_rows_that_are_whole_do_not_hide_another_database() -> None:
    said = answer(seen(in_recovery=True, fingerprint=after(in_recovery=True), recorder=ARMED))
    assert (said.of, said.wrong, said.symptoms) == (Of.NOW, True, ())
    assert said.verdict is not None
    assert said.verdict.what is What.BECAME_STANDBY


def test_circumstances_are_told_where_nothing_is_lost() -> None:
    said = answer(seen(fingerprint=after(timeline=2), recorder=ARMED))
    assert as_json(said)["circumstances"] == ["timeline_changed"]
    assert said.verdict is None


def test_other_values_are_told_and_are_no_symptom() -> None:
    look = seen(TableSeen("station", rows=8), fingerprint=after({"rows": 8}), recorder=ARMED)
    said = answer(look)
    assert (said.symptoms, said.wrong) == ((), False)
    assert as_json(said)["evidence"] == ["not as it last was good: station 8 rows, was 7"]
    assert "Beside: not as it last was good" in told(said)


def test_a_recorder_that_is_gone_is_wrong_and_has_no_verdict() -> None:
    said = answer(seen(fingerprint=after(), recorder=RecorderSeen(installed=False)))
    assert (said.verdict, said.wrong, said.symptoms) == (None, True, ("recorder_disarmed",))
    assert told(said).startswith("hydro@db:5432: something is wrong, and nothing is lost\n")


def test_statements_of_before_all_was_well_explain_nothing() -> None:
    state = State(good=GOOD, events=(event(1),), events_lived=(5.0,), whole_lived=9.0)
    silent = replace(EMPTY, recorder=replace(ARMED, events=(event(1),)))
    said = answer(silent, Kept(state))
    assert said.verdict is not None
    assert said.verdict.attribution is None


def test_nobody_declared_how_many_rows_there_have_to_be() -> None:
    said = answer(EMPTY, Kept(gap="what a sidecar saw before: none"), declared=False)
    assert said.losses == (loss(),)
    assert "what a sidecar saw before: none" in said.not_observable


def test_a_json_answer_has_every_key_and_no_password() -> None:
    said = as_json(answer(EMPTY, replace(KEPT, incident=OPEN)))
    assert list(said) == [
        "at", "database", "of", "verdict", "confidence", "attribution", "others", "reason", "circumstances",
        "evidence", "not_observable", "symptoms", "losses", "incident",
    ]  # fmt: skip
    assert said["at"] == "2026-04-21T12:10:01.000Z"
    assert said["incident"] == {
        "id": "i-1",
        "key": "k-1",
        "phase": "open",
        "opened_at": "2026-04-21T12:10:00.000Z",
        "healed": False,
    }
    assert "sesame" not in str(said)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path, AT, CHANNELS)


def opened(incident: Incident, symptom: Symptom, verdict: Verdict | None) -> Decision:
    incident = replace(incident, symptoms=(symptom,), verdict=verdict)
    move = Transition(Phase.HEALTHY, Phase.OPEN, Reason.LOSS_CONFIRMED)
    return Decision(State(Phase.OPEN, incident=incident), Findings(), (move,), incident=incident)


def test_the_newest_incident_with_a_verdict_is_kept_in_mind(store: Store, tmp_path: Path) -> None:
    store.save(opened(INCIDENT, Symptom.CONTEXT_EMPTY, DELETED), AT)
    assert read(tmp_path).incident is not None
    later = replace(INCIDENT, id="20260421T121100Z-2", opened_at=AT + timedelta(minutes=1))
    store.save(opened(later, Symptom.RECORDER_DISARMED, None), AT)
    kept = read(tmp_path)
    store.close()
    assert kept.incident is not None
    assert (kept.incident.id, kept.incident.verdict) == (INCIDENT.id, DELETED)
    assert kept.state is not None


def test_an_incident_without_a_verdict_is_better_than_none(store: Store, tmp_path: Path) -> None:
    store.save(opened(INCIDENT, Symptom.API_UNHEALTHY, None), AT)
    kept = read(tmp_path)
    store.close()
    assert kept.incident is not None
    assert (kept.incident.id, kept.incident.verdict) == (INCIDENT.id, None)


def test_without_a_store_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoStore, match="There is no store"):
        read(tmp_path)


def test_a_verdict_survives_the_store(store: Store, tmp_path: Path) -> None:
    likely = replace(DELETED, confidence=Confidence.LIKELY, others=(DELETED.attribution,) * 2)  # type: ignore[arg-type]
    store.save(opened(INCIDENT, Symptom.CONTEXT_EMPTY, likely), AT)
    kept = read(tmp_path)
    store.close()
    assert kept.incident is not None
    assert kept.incident.verdict == likely
