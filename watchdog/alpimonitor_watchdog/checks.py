"""What `alpimonitor watchdog check` looks at: everything an incident would rest on, before there is one.

Only reads; plans are made, nothing is healed and nothing is sent.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from .core.seen import HealthSeen
from .core.words import Mode, Tag
from .heal.child import Child
from .heal.command import CommandHealer, programs, shown
from .leadership.ledger import check_ledger
from .notify import Channel, ChannelError
from .probe.answers import asked_too_often
from .probe.catalog import Guarded
from .probe.outside import OutsideProbe
from .probe.rights import Right, Standing, check_rights
from .recorder.readiness import Readiness
from .recorder.readiness_look import measure
from .service import application_name, declared_command, environment_of_programs
from .settings import Settings

_CONNECT_SECONDS = 3.0
Say = Callable[[str], None]


def check_all(settings: Settings, environ: Mapping[str, str], say: Say | None = None) -> tuple[Right, ...]:
    """Every check, in the order in which a person would mend what fails. Never raises."""
    say = say or (lambda _: None)
    results: list[Right] = [
        Right("settings", Standing.WARNING, warning, remedy=f"set the variable, or edit {settings.config}")
        for warning in settings.warnings
    ]
    say("the database")
    url, name = settings.database_url.get_secret_value(), application_name("check")
    results += check_rights(
        url,
        [Guarded(table.name, table.columns) for table in settings.tables],
        revision_query=settings.revision.query if settings.revision else None,
        application_name=name,
    )
    if settings.healing.mode is Mode.ON:
        results += check_ledger(url, application_name=name)
    say("the API")
    results += _outside(settings)
    say("the healer's plan")
    results += _healer(settings, environ)
    say("the channels")
    for channel in settings.channels:
        results.append(_channel(channel.name, channel.url.get_secret_value(), channel.tags))
    return tuple(results)


def readiness(settings: Settings) -> Readiness:
    """What could be said of who did it, if rows were lost now. Never raises."""
    return measure(settings, application_name=application_name("check"))


def unreachable(results: tuple[Right, ...]) -> bool:
    """Whether the guarded database could not be reached."""
    return any(right.subject == "connection" and right.standing is Standing.GAP for right in results)


def _outside(settings: Settings) -> Iterator[Right]:
    probe = OutsideProbe.of(settings, application_name("check"))
    if probe is None:
        yield Right(
            "API",
            Standing.WARNING,
            "no [[health]] and no [ingestion] is declared",
            "a heal is proven by rows alone, not by what consumers see",
            "declare [[health]] addresses",
        )
        return
    for health in probe.look_once().health:
        yield of_health(health)


def of_health(health: HealthSeen) -> Right:
    """What an address of `[[health]]` that was asked once says of it, with the remedy."""
    if health.ok:
        return Right(health.url, Standing.HOLDS, "answers as expected")
    remedy = "start the API, or correct the address in watchdog.toml"
    if health.context_empty:
        remedy = "it is up, and its tables are empty: put the rows back, or let the sidecar do so"
    elif asked_too_often(health.detail):
        remedy = (
            "let `token_env` name a variable with a token that the API does not limit (AlpiMonitor's: "
            "`alpimonitor token create --scope watchdog`, in WATCHDOG_API_TOKEN; it limits one that it does "
            "not know), or raise the API's limit or [policy] outside_interval"
        )
    return Right(
        health.url,
        Standing.GAP,
        health.detail,
        "a heal cannot be proven to consumers, and api_unhealthy opens after a while",
        remedy,
    )


def _healer(settings: Settings, environ: Mapping[str, str]) -> Iterator[Right]:
    if settings.healing.mode is not Mode.ON:
        yield Right(
            "healing",
            Standing.WARNING,
            f"mode is {settings.healing.mode.value}",
            "a loss is noticed and notified, and a person has to put the rows back",
            'set mode = "on" under [healing] when its plans have convinced you',
        )
    command = declared_command(settings)
    if command is None:
        yield Right(
            "healer",
            # Watching is a rung of its own: without healing nothing is amiss.
            Standing.GAP if settings.healing.mode is Mode.ON else Standing.WARNING,
            "none is declared",
            "no heal ever runs",
            "declare [heal.command] with plan and run",
        )
        return
    child_environ = environment_of_programs(settings, environ)
    missing = False
    for argv in programs(command):
        if shutil.which(argv[0], path=child_environ["PATH"]) is None:
            missing = True
            yield Right(
                f"program {argv[0]}",
                Standing.GAP,
                f"`{shown(argv)}` cannot be started: not found on PATH",
                "no heal runs",
                "install it, or write its full path in watchdog.toml",
            )
    if missing:
        return
    plan = CommandHealer(command, Child(child_environ)).plan()
    if plan.failed:
        yield Right(
            "plan",
            Standing.GAP,
            plan.failed,
            "no heal runs",
            "run that command by hand and mend what it says",
        )
    elif plan.deletes or plan.updates:
        rows = ", ".join(f"{count} of {table}" for table, count in plan.deletes + plan.updates)
        yield Right(
            "plan",
            Standing.GAP,
            f"it would delete or change rows: {rows}",
            "no heal runs: a plan may only insert",
            "declare a command that only inserts what is missing",
        )
    else:
        rows = ", ".join(f"+{count} {table}" for table, count in plan.inserts) or "nothing is missing"
        yield Right("plan", Standing.HOLDS, f"`{shown(command.plan)}`: {rows}")


def _channel(name: str, url: str, tags: frozenset[Tag]) -> Right:
    subject = f"channel {name}"
    try:
        channel = Channel(name, url)
    except ChannelError as error:
        return Right(subject, Standing.GAP, str(error), "its notifications reach nobody", "correct its URL")
    carries = f"carries {', '.join(sorted(tag.value for tag in tags))}"
    host, port = urlsplit(url).hostname, _port(url)
    if host is None or port is None:
        return Right(subject, Standing.HOLDS, f"{channel.address}: valid, {carries}; try test-notification")
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except OSError as error:
        return Right(
            subject,
            Standing.GAP,
            f"{channel.address} cannot be reached: {error.strerror or type(error).__name__}",
            "notifications wait in the outbox and arrive late or never",
            "start that service, or correct the channel's URL",
        )
    return Right(subject, Standing.HOLDS, f"{channel.address} accepts connections, {carries}")


def _port(url: str) -> int | None:
    """The port that an address names; None where the service's own host and port are not in its URL."""
    try:
        return urlsplit(url).port
    except ValueError:
        return None
