"""What is wrong now, what happens next, and what a person has to do: one home for message and status page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC

from .guards import seconds_to_heal
from .model import Incident, Policy, State
from .remedies import REFUSALS, SYMPTOMS
from .seen import Expectation, Findings, Loss
from .verdict import Circumstance
from .words import CONTEXT_LOSS, Mode, Phase, Reason, Symptom

_WAITS_FOR_TIME = frozenset({Reason.NOT_PROVEN_YET, Reason.NOT_QUIET, Reason.PLANNING, Reason.BACKING_OFF})
_BY_HAND = frozenset({Reason.HEALING_OFF, Reason.DRY_RUN, Reason.BUDGET_SPENT, Reason.CIRCUIT_OPEN})
_BRAKE = "alpimonitor watchdog hold --reason …"


@dataclass(frozen=True)
class Situation:
    """An incident as it stands after a tick."""

    incident: Incident
    state: State
    findings: Findings
    refusal: Reason | None
    obstacle: Reason | None
    policy: Policy
    expected: Expectation

    @property
    def lost(self) -> bool:
        return self.findings.context_lost

    @property
    def out_of_sight(self) -> bool:
        """Rows were lost, and whether they still are cannot be seen."""
        return bool(self.incident.losses) and not self.lost and not self.findings.context_whole

    @property
    def rows_back(self) -> bool:
        return bool(self.incident.losses) and self.findings.context_whole

    @property
    def intended(self) -> bool:
        """Whoever took the rows stated a reason."""
        verdict = self.incident.verdict
        return verdict is not None and Circumstance.INTENDED in verdict.circumstances

    @property
    def overdue(self) -> bool:
        """Open for longer than waiting alone explains."""
        open_for = self.state.lived - self.incident.opened_lived
        return open_for >= self.policy.page_after + self.policy.confirm_for


@dataclass(frozen=True)
class Advice:
    """`act`: a person is needed. `sentence` says for what, or why not."""

    act: bool
    sentence: str


def words(value: str) -> str:
    """An enumeration's value for people."""
    return value.replace("_", " ")


def shown(loss: Loss) -> str:
    """`station 0/7`."""
    return f"{loss.table} {'gone' if loss.rows is None else loss.rows}/{loss.expected}"


def lost_rows(losses: tuple[Loss, ...]) -> str:
    """The loss in a few words: `7 tables empty (station 0/7, sensor 0/14, …)`."""
    by_word: dict[str, list[Loss]] = {}
    for loss in losses:
        word = "missing" if loss.rows is None else "empty" if loss.rows == 0 else "below the floor"
        by_word.setdefault(word, []).append(loss)
    parts = []
    for word, of_word in by_word.items():
        noun = "table" if len(of_word) == 1 else "tables"
        some = ", ".join(shown(loss) for loss in of_word[:2]) + (", …" if len(of_word) > 2 else "")
        parts.append(f"{len(of_word)} {noun} {word} ({some})")
    return ", ".join(parts)


def what_is_wrong(now: Situation) -> str:
    """In a few words, as it is at this moment: not the worst that was."""
    if now.lost:
        return lost_rows(now.findings.losses)
    found = [words(finding.symptom) for finding in now.findings.found]
    beside = f", but {', '.join(found)}" if found else ""
    if now.out_of_sight:
        return f"rows cannot be seen{beside}; before: {lost_rows(now.incident.losses)}"
    if now.rows_back:
        return f"the rows are back{beside}; before: {lost_rows(now.incident.losses)}"
    return ", ".join(found or [words(symptom) for symptom in now.incident.symptoms])


def what_is_next(now: Situation) -> str:
    """What the sidecar does by itself, in a few words."""
    if now.state.phase is Phase.HEALING and not now.rows_back:
        return "healing"
    if now.lost and now.obstacle is not None:
        return f"not healing: {now.obstacle.value}"
    if now.lost and now.refusal in _WAITS_FOR_TIME:
        seconds = seconds_until_heal(now)
        return f"heals in {seconds:.0f} s" if seconds >= 1 else "heals now"
    if now.refusal is Reason.NOT_LEADING:
        return "another sidecar heals"
    if now.refusal is not None:
        return f"waiting: {words(now.refusal)}"
    if now.rows_back:
        return "verifying"
    return "watching"


def seconds_until_heal(now: Situation) -> float:
    """The least seconds until the guard rails that wait for time can hold; 0 when none waits for time."""
    if now.refusal not in _WAITS_FOR_TIME:
        return 0.0
    lasted = [streak.lasted for streak in now.state.streaks if streak.symptom in CONTEXT_LOSS]
    proven_in = now.policy.confirm_for - max(lasted, default=0.0)
    quiet_in = now.state.losses_lived + now.policy.quiet_for - now.state.lived
    return max(0.0, proven_in, quiet_in, seconds_to_heal(now.state, now.policy))


def advise(now: Situation) -> Advice:
    """What a person has to do at this moment."""
    if now.rows_back:
        return _of_rows_that_are_back(now)
    if now.state.phase is Phase.HEALING:
        return Advice(False, "Nothing to do yet: the healer runs; how it ends is told.")
    if now.lost or now.out_of_sight:
        return _of_missing_rows(now)
    still = [finding.symptom for finding in now.findings.found if finding.symptom in SYMPTOMS]
    remedy = SYMPTOMS[(still or list(now.incident.symptoms))[0]]
    return Advice(now.incident.pages, remedy)


def _of_rows_that_are_back(now: Situation) -> Advice:
    if now.state.phase is Phase.ESCALATED:
        if now.findings.found:
            return Advice(True, "the rows are back, but " + SYMPTOMS[now.findings.found[0].symptom])
        return Advice(
            True, "the rows are back, but ingestion has not seen every station since: look at its last run."
        )
    if now.incident.proof_since is None and now.state.phase is not Phase.HEALING:
        left = [each.symptom for each in now.findings.found if each.symptom is not Symptom.CONTEXT_CHANGED]
        if Symptom.IDENTITY_CHANGED in left:  # that never clears by itself
            return Advice(True, "the rows are back, but " + SYMPTOMS[Symptom.IDENTITY_CHANGED])
        if left:
            clears = ", ".join(words(symptom) for symptom in left)
            return Advice(False, f"Nothing to do yet: the rows are back; it ends when this clears: {clears}.")
        return Advice(False, "Nothing to do: the rows are back by themselves; it ends when it stays so.")
    awaited = (
        "a run of ingestion has to see every station"
        if now.expected.stations is not None
        else "it is checked"
    )
    return Advice(False, f"Nothing to do yet: the rows are back; {awaited}.")


def _of_missing_rows(now: Situation) -> Advice:
    brake = braked_by(now.state, now.policy, now.refusal)
    if brake:
        return Advice(False, f"Nothing to do unless you know nothing of it: {brake}")
    if now.intended and now.refusal is not None and now.obstacle in (None, Reason.LOSS_INTENDED):
        return Advice(False, f"Nothing to do if it was meant: {REFUSALS[Reason.LOSS_INTENDED]}")
    if now.obstacle is not None:
        return Advice(True, REFUSALS[now.obstacle])
    if now.incident.repeated:
        return Advice(
            True,
            "the rows are lost again after a heal: find and stop the session that does it. "
            "The sidecar puts them back meanwhile, as long as its budget lasts.",
        )
    if now.refusal is None:
        return Advice(False, "Nothing to do: the sidecar puts the rows back and says when it is done.")
    if now.overdue or now.state.phase is Phase.ESCALATED:
        return Advice(True, REFUSALS[now.refusal])
    if now.refusal in _WAITS_FOR_TIME:
        return Advice(False, "Nothing to do: the sidecar puts the rows back and says when it is done.")
    if now.refusal is Reason.NOT_LEADING:
        return Advice(
            False, "Nothing to do yet: another sidecar heals this database; if it ends, this one takes over."
        )
    return Advice(False, f"Nothing to do yet: the sidecar heals when this has passed: {words(now.refusal)}.")


def braked_by(state: State, policy: Policy, refusal: Reason | None) -> str:
    """Who keeps healing back, why and until when, and how it goes on; "" when nobody does."""
    hold, pause = state.hold, state.pause
    resume = "`alpimonitor watchdog resume --reason …` lets it go on."
    if refusal is Reason.HELD and hold is not None:
        return f"{hold.by} holds healing since {hold.at:%H:%M:%S} UTC ({hold.reason}); {resume}"
    if refusal is Reason.PAUSED and pause is not None:
        until = f"{pause.until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"{pause.by} has paused healing until {until} ({pause.reason}); {resume}"
    if refusal is Reason.MAINTENANCE:
        windows = "; ".join(
            f"{window.reason}, until {window.end.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            for window in policy.maintenance
        )
        return f"a maintenance window is declared ({windows}); healing goes on when it has ended."
    return ""


def by_hand(now: Situation, healer: str) -> str:
    """The program that puts the rows back, where a person may run what the sidecar may not; else ""."""
    return f"By hand: {healer}" if healer and now.lost and now.obstacle in _BY_HAND else ""


def plan(now: Situation, healer: str, after: str) -> str:
    """What a heal will do, as far as it is known: "" when none will, or another sidecar's."""
    if now.policy.healer is None or now.policy.mode is Mode.OFF or now.obstacle not in {None, Reason.DRY_RUN}:
        return ""
    if now.refusal is Reason.NOT_LEADING:
        return ""  # a hold here would not hold it
    inserts = now.state.plan.inserts if now.state.plan else ()
    rows = ", ".join(f"+{count} {table}" for table, count in inserts)
    verified = "then ingestion has to see every station" if now.expected.stations is not None else ""
    steps = [f"{healer} ({rows})" if rows else healer, after, verified]
    dry = " (dry run: not carried out)" if now.policy.mode is Mode.DRY_RUN else ""
    brake = "" if now.policy.mode is Mode.DRY_RUN else f" To hold it: {_BRAKE}"
    return f"Plan{dry}: " + "; ".join(step for step in steps if step) + f".{brake}"
