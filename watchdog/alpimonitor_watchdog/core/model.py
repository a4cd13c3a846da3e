"""Where an incident stands and what is decided.

One tick is observe → decide → save → perform. An `Observation` goes in, a `Decision` comes out; neither
holds a connection, a clock or a file.

Phases and the transitions between them (checked against the code by a test):

    from        to          reasons
    healthy     suspected   symptom_seen
    healthy     open        loss_confirmed, symptom_lasted
    suspected   healthy     symptoms_cleared
    suspected   open        loss_confirmed, symptom_lasted
    open        healing     guards_hold
    open        resolved    symptoms_cleared, ingestion_complete, accepted
    open        escalated   not_restored_in_time
    healing     verifying   context_restored
    healing     open        heal_failed, heal_interrupted, proof_failed
    healing     escalated   consumers_not_served
    verifying   open        lost_again
    verifying   resolved    ingestion_complete, symptoms_cleared, accepted
    verifying   escalated   verification_late
    escalated   healing     guards_hold
    escalated   resolved    ingestion_complete, symptoms_cleared, accepted
    resolved    healthy     episode_over
    resolved    suspected   symptom_seen
    resolved    open        loss_confirmed, symptom_lasted

Durations are measured on `State.lived`, the monotonic seconds this state has been watched, restarts included
and down-time left out: a stepped wall clock neither hastens nor delays a heal. Wall-clock times are
for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .acts import Answer
from .brakes import Circuit, Hold, Pause, Window
from .evidence import Event
from .fingerprint import Fingerprint
from .good import Candidate, LastGood
from .seen import Findings, Loss, PlanSeen
from .verdict import Verdict
from .words import Kind, Mode, Phase, Reason, Symptom, Tag

_ENDS = frozenset({Reason.SYMPTOMS_CLEARED, Reason.INGESTION_COMPLETE, Reason.ACCEPTED})

TRANSITIONS: dict[tuple[Phase, Phase], frozenset[Reason]] = {
    (Phase.HEALTHY, Phase.SUSPECTED): frozenset({Reason.SYMPTOM_SEEN}),
    (Phase.HEALTHY, Phase.OPEN): frozenset({Reason.LOSS_CONFIRMED, Reason.SYMPTOM_LASTED}),
    (Phase.SUSPECTED, Phase.HEALTHY): frozenset({Reason.SYMPTOMS_CLEARED}),
    (Phase.SUSPECTED, Phase.OPEN): frozenset({Reason.LOSS_CONFIRMED, Reason.SYMPTOM_LASTED}),
    (Phase.OPEN, Phase.HEALING): frozenset({Reason.GUARDS_HOLD}),
    (Phase.OPEN, Phase.RESOLVED): _ENDS,
    (Phase.OPEN, Phase.ESCALATED): frozenset({Reason.NOT_RESTORED_IN_TIME}),
    (Phase.HEALING, Phase.VERIFYING): frozenset({Reason.CONTEXT_RESTORED}),
    (Phase.HEALING, Phase.OPEN): frozenset(
        {Reason.HEAL_FAILED, Reason.HEAL_INTERRUPTED, Reason.PROOF_FAILED}
    ),
    (Phase.HEALING, Phase.ESCALATED): frozenset({Reason.CONSUMERS_NOT_SERVED}),
    (Phase.VERIFYING, Phase.OPEN): frozenset({Reason.LOST_AGAIN}),
    (Phase.VERIFYING, Phase.RESOLVED): _ENDS,
    (Phase.VERIFYING, Phase.ESCALATED): frozenset({Reason.VERIFICATION_LATE}),
    (Phase.ESCALATED, Phase.HEALING): frozenset({Reason.GUARDS_HOLD}),
    (Phase.ESCALATED, Phase.RESOLVED): _ENDS,
    (Phase.RESOLVED, Phase.HEALTHY): frozenset({Reason.EPISODE_OVER}),
    (Phase.RESOLVED, Phase.SUSPECTED): frozenset({Reason.SYMPTOM_SEEN}),
    (Phase.RESOLVED, Phase.OPEN): frozenset({Reason.LOSS_CONFIRMED, Reason.SYMPTOM_LASTED}),
}


@dataclass(frozen=True)
class Policy:
    """The numbers of deciding. Durations in seconds."""

    mode: Mode = Mode.ON
    healer: str | None = "command"
    confirm_for: float = 10.0
    confirm_probes: int = 3
    quiet_for: float = 5.0
    page_after: float = 60.0
    heal_budget: int = 3
    heal_window: float = 3600.0
    backoff_first: float = 10.0
    backoff_max: float = 300.0
    backoff_reset_after: float = 600.0
    circuit_after_failures: int = 3
    circuit_after_wipes: int = 3
    circuit_trial_after: float = 1800.0  # doubles with each trial that is undone or fails
    shrink_fraction: float = 0.5
    accept_after: float = 600.0  # an unexplained change that lost no row and stays as it is
    clear_for: float = 30.0  # before what cleared by itself is over
    flap_window: float = 600.0  # what comes again within it has to be clear for twice as long
    reminder_every: float = 1800.0
    escalate_after: float = 900.0
    proof_within: float = 30.0
    verify_grace: float = 120.0
    unreachable_after: float = 30.0
    unhealthy_after: float = 120.0
    settle_after: float = 10.0  # schema and ingestion have to be wrong for this long
    straggler_after: float = 7200.0  # one station missing
    maintenance: tuple[Window, ...] = ()


@dataclass(frozen=True)
class Streak:
    """A symptom that was seen in every observation that could see it, `probes` of them.

    `lasted`: the seconds between successive sightings; time in which nothing could be seen does not count.
    """

    symptom: Symptom
    since: datetime
    probes: int
    lasted: float = 0.0
    stalled: bool = False  # the last observation could not see it


@dataclass(frozen=True)
class Incident:
    """One episode of one or more symptoms."""

    id: str
    opened_at: datetime
    opened_lived: float
    symptoms: tuple[Symptom, ...]
    losses: tuple[Loss, ...] = ()  # the worst seen
    repeated: bool = False  # the context was lost again soon after a heal
    pages: bool = True  # False: only warnings so far
    refused: Reason | None = None
    refusals_notified: tuple[Reason, ...] = ()
    paged: bool = False
    reminded_lived: float = 0.0
    rows_back: bool = False  # they were whole at some look since the last loss
    restored_at: datetime | None = None
    restored_lived: float | None = None
    proof_since: datetime | None = None  # a run of ingestion has to start after this
    known_run: datetime | None = None  # start of the last run before the loss: whatever its clock, no proof
    key: str = ""  # the same in every sidecar that watches this database
    told: tuple[Kind, ...] = ()  # every notification so far
    recurrence: int = 0  # incidents before it that had just cleared by themselves
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    verdict: Verdict | None = None  # what happened, as far as is concluded; stays when it is over


@dataclass(frozen=True)
class Heal:
    """The heal that is running, or has ended and is not yet proven."""

    id: str
    started_at: datetime
    started_lived: float
    ended_at: datetime | None = None
    ended_lived: float | None = None


@dataclass(frozen=True)
class HealRecord:
    """A heal of the past; `lived` is when it started."""

    lived: float
    ended_lived: float
    succeeded: bool
    undone: bool = False  # the context was lost again afterwards


@dataclass(frozen=True)
class State:
    """All that the next decision depends on besides the observation. Saved with every change."""

    phase: Phase = Phase.HEALTHY
    lived: float = 0.0
    phase_lived: float = 0.0  # when this phase began
    streaks: tuple[Streak, ...] = ()
    clear_probes: int = 0  # successive observations without any finding
    incident: Incident | None = None
    plan: PlanSeen | None = None
    plan_number: int = 0  # of the newest request
    planning: bool = False  # that request is not answered yet
    planned_for: tuple[Loss, ...] = ()  # the losses it was asked for
    planned_lived: float = 0.0  # when it was asked for
    heal: Heal | None = None
    after_due: bool = False  # what follows a heal was asked for, and is not known to have run
    heals: tuple[HealRecord, ...] = ()  # within the window
    series: int = 0  # heals since the last long healthy stretch: the back-off's exponent
    circuit: Circuit | None = None
    circuit_since: float = 0.0  # heals before it no longer count for the circuit
    ledger: tuple[float, ...] = ()  # when heals began that the database recorded, by any sidecar; `lived`
    good: LastGood | None = None
    candidate: Candidate | None = None
    losses: tuple[Loss, ...] = ()  # as last seen
    losses_lived: float = 0.0  # when they last changed
    clear_lasted: float = 0.0  # seconds between the clear observations in a row
    cleared_lived: float | None = None  # when the last incident ended that cleared by itself
    recurrence: int = 0  # of that incident
    fingerprint: Fingerprint | None = None  # the newest
    events: tuple[Event, ...] = ()  # recorded lately, or since an incident began; in the order of their ids
    events_lived: tuple[float, ...] = ()  # when each was read
    unlike_lived: float | None = None  # since when the fingerprint differs remarkably though rows are whole
    whole_lived: float = 0.0  # when the context was last seen as it last was good
    destroyed_lived: float | None = None  # when the last destructive statement was read
    cursor: int | None = None  # transactions before it have been read
    hold: Hold | None = None
    pause: Pause | None = None
    asked_lived: float | None = None  # when an operator asked for a heal that has not begun
    episode: int = 0  # the number of the present or next incident, agreed with the other sidecars
    largest_keyed: int = 0  # the largest episode that gave an incident its key
    next_id: int = 1  # of incidents
    next_heal: int = 1


# ---- what is decided --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transition:
    """A change of phase, and why."""

    before: Phase
    after: Phase
    reason: Reason
    detail: str = ""


@dataclass(frozen=True)
class Notify:
    """Tell people; `tags` says which channels."""

    kind: Kind
    tags: frozenset[Tag]
    reason: Reason | None = None
    detail: str = ""
    number: int = 1  # of its kind in this incident


@dataclass(frozen=True)
class MakePlan:
    """Ask the healer what it would do; the answer carries the number."""

    number: int


@dataclass(frozen=True)
class StartHeal:
    """Run the healer once; `id` was reserved with the state."""

    id: str


@dataclass(frozen=True)
class RunAfter:
    """The context is back: run what is declared to follow a heal, such as one ingestion."""


Effect = Notify | MakePlan | StartHeal | RunAfter


@dataclass(frozen=True)
class Decision:
    """What follows from an observation: the next state, why it changed, and what to do about it."""

    state: State
    findings: Findings
    transitions: tuple[Transition, ...] = ()
    effects: tuple[Effect, ...] = ()
    refusal: Reason | None = None  # why no heal runs now, while context is lost or cannot be seen
    obstacle: Reason | None = None  # what will refuse the heal even when all that passes by itself has passed
    refusal_is_new: bool = False
    incident: Incident | None = None  # what this decision is about, also when it just ended
    answers: tuple[Answer, ...] = ()  # to operators
