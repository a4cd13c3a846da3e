"""`alpimonitor boot`, the API's entry point: wait for the database, migrate, seed if asked, serve.

Lines begin with `[boot]` and go to stderr. Waiting is bounded; a failed migration is fatal; a failed seed is
a warning. The server replaces this process, so that signals reach it, and starts without the credentials of
the administrator, the owner, the seed and the watchdog.

Where ADMIN_DATABASE_URL is set, the roles are made before the owner migrates, and get their rights when there
is something to have rights on; else the owner gives what is the owner's to give.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Annotated, NoReturn

import typer

from alpimonitor_seed.target import Target, UnusableUrl, from_environment, is_local
from alpimonitor_seed.variables import Read

DEFAULT_WAIT = 60.0  # seconds
SEED_DEADLINE = 300  # seconds
USAGE, UNREACHABLE, MIGRATION_FAILED = 2, 5, 6
SERVER = (sys.executable, "-m", "alpimonitor_api.server")

# What the server has no use for and so must not be able to lose: the credentials of other roles, and the
# permission to seed production, which belongs to one command.
NOT_FOR_THE_SEED = re.compile(r"(ADMIN|OWNER)_DATABASE_URL|\w+_DATABASE_PASSWORD|WATCHDOG_\w*(URL|TOKEN)")
NOT_FOR_THE_SERVER = re.compile(NOT_FOR_THE_SEED.pattern + r"|SEED_DATABASE_URL|ALLOW_PROD_SEED")

# Those of boot and db; the server reads its own.
VARIABLES = {
    "OWNER_DATABASE_URL": Read("`DATABASE_URL`", "the database, as the role that migrates"),
    "SEED_DATABASE_URL": Read("`DATABASE_URL`", "the database, as the role that seeds"),
    "DATABASE_URL": Read(None, "the database, as the API's role; boot tries it before it changes anything"),
    "DEPLOYMENT_ENVIRONMENT": Read(
        "development",
        "such as `production` or `staging`, written into the database by the first migration; "
        "the default holds for a database on this machine only, elsewhere it has to be set",
    ),
    "SEED_ON_BOOT": Read(None, "`true`: insert the fixtures that are missing; anything else: do not"),
    "ALLOW_PROD_SEED": Read(None, "set by boot for its own seed; set for the whole process: a warning"),
    "BOOT_WAIT_SECONDS": Read(f"{DEFAULT_WAIT:g}", "seconds to wait for the database at most"),
}

app = typer.Typer(rich_markup_mode=None, add_completion=False)


class Unusable(Exception):
    """A setting cannot be used. The text names it and says what to do."""


@app.command(
    epilog="Exit codes: 0 prepared, or the server was stopped by SIGTERM; 2 usage, settings, or the server's "
    "address cannot be used; 5 database unreachable, or it refuses the credentials; 6 migration failed, or "
    "the roles could not be made; 130 interrupted."
)
def main(
    prepare: Annotated[bool, typer.Option("--prepare", help="Stop before the server is started.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Only start the server.")] = False,
) -> None:
    """Wait for the database, migrate, seed if SEED_ON_BOOT=true, then become the API server.

    Migrates as OWNER_DATABASE_URL and seeds as SEED_DATABASE_URL; both fall back to DATABASE_URL. Makes the
    roles as ADMIN_DATABASE_URL, where that is set. Waits BOOT_WAIT_SECONDS (60) for the database.

    \b
    Examples:
      alpimonitor boot                       everything, then serve
      alpimonitor boot --prepare             wait, migrate, seed; for a job that holds the owner's credentials
      alpimonitor boot --serve               serve; for a container that never sees them
      SEED_ON_BOOT=true alpimonitor boot     also insert the fixtures that are missing
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    if prepare and serve:
        _fail(USAGE, "--prepare and --serve exclude each other: without both, boot does everything")
    if not serve:
        _prepare(os.environ, serving=not prepare)
    if not prepare:
        _become_the_server(os.environ)


def _stop(signum: int, _frame: FrameType | None) -> NoReturn:
    say(f"stopped by {signal.Signals(signum).name}")
    raise KeyboardInterrupt


def _prepare(environ: Mapping[str, str], *, serving: bool) -> None:
    try:
        seconds = _wait_seconds(environ)
        admin = None
        if environ.get("ADMIN_DATABASE_URL", "").strip():
            admin = from_environment(environ, "ADMIN_DATABASE_URL")
        owner = from_environment(environ, "OWNER_DATABASE_URL")
        targets = [owner]
        # The server's own credentials are tried now, rather than at the first request.
        if not owner.fell_back and (serving or environ.get("DATABASE_URL")):
            targets.append(from_environment(environ, "DATABASE_URL"))
    except (UnusableUrl, Unusable) as error:
        _fail(USAGE, str(error))
    if owner.fell_back and not is_local(owner):
        say("warning: OWNER_DATABASE_URL is not set, so this migrates as the role of DATABASE_URL:")
        say("warning: give the owner a role of its own, and the API one that can neither drop nor truncate")
    if admin is not None:
        _wait(admin, seconds)
        _roles(admin, environ, told=False)
    for target in targets:
        _wait(target, seconds)
    _migrate(owner, environ)
    if admin is not None:
        _roles(admin, environ, told=True)
    else:
        _rights(owner, environ)
    _seed(environ)


def _wait_seconds(environ: Mapping[str, str]) -> float:
    text = environ.get("BOOT_WAIT_SECONDS", "").strip()
    if not text:
        return DEFAULT_WAIT
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text):
        raise Unusable(f"BOOT_WAIT_SECONDS is {text!r}: set it to a number of seconds, such as 60")
    return float(text)


def _wait(target: Target, seconds: float) -> None:
    from alpimonitor_cli.wait import Refusal, Refused, TimedOut, wait_for

    say(f"waiting for the database {target} as {target.variable} names it, at most {seconds:g} s")
    try:
        wait_for(
            target,
            seconds=seconds,
            pause=_pause,
            on_waiting=lambda said: say(f"not yet: {said}"),
        )
    except Refused as error:
        _fail(USAGE if error.refusal is Refusal.URL else UNREACHABLE, f"{target.variable}: {error}")
    except TimedOut as error:
        _fail(
            UNREACHABLE,
            f"{target.variable}: the database {target} did not answer within {seconds:g} s: {error}. "
            "Start it, correct the URL, or raise BOOT_WAIT_SECONDS",
        )
    say("the database answers")


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def _migrate(owner: Target, environ: Mapping[str, str]) -> None:
    from alpimonitor_cli import migrate

    wanted = environ.get("DEPLOYMENT_ENVIRONMENT", "").strip() or None
    try:
        migrated = migrate.upgrade(owner.url, environment=wanted)
    except migrate.EnvironmentUnusable as error:
        _fail(USAGE, str(error))
    except migrate.Unreachable as error:
        _fail(UNREACHABLE, f"{owner.variable}: {error}")
    except migrate.MigrationFailed as error:
        _fail(MIGRATION_FAILED, f"migration failed, the database is as it was: {error}")
    if migrated.changed:
        say(f"migrated from {migrated.before or 'empty'} to {migrated.after}")
    else:
        say(f"schema is at {migrated.after}, nothing to migrate")
    if wanted and wanted != migrated.environment:
        say(
            f"warning: DEPLOYMENT_ENVIRONMENT is {wanted}, but this database says: {migrated.environment}. "
            "Is it the one you mean?"
        )


def _roles(admin: Target, environ: Mapping[str, str], *, told: bool) -> None:
    """Make the roles what they should be, as far as there is something to have rights on.

    `told`: with what no statement could do, such as a password that was not used.
    """
    from alpimonitor_cli.roles.apply import RolesRefused, Unreachable, apply, passwords_in

    try:
        done = apply(admin.url, passwords_in(environ))
    except Unreachable as error:
        _fail(UNREACHABLE, f"{admin.variable}: {error}")
    except RolesRefused as error:
        _fail(MIGRATION_FAILED, f"the roles could not be made, and are as they were: {error}")
    count = len(done.before.steps)
    say(f"roles: {count} steps were taken" if count else "roles are as they should be")
    for left in done.after.left:
        say(f"warning: left to do, by {left.needs}: {left.step.why}; see alpimonitor roles plan")
    for note in done.after.notes if told else ():
        say(f"note: {note}")


def _rights(owner: Target, environ: Mapping[str, str]) -> None:
    """The rights on its tables, which the owner may give. Without them it goes on."""
    from alpimonitor_cli.roles.apply import RolesRefused, Unreachable, refresh, unused_passwords

    if unused := unused_passwords(environ):
        say(f"warning: {unused}")
    try:
        done = refresh(owner.url)
    except (RolesRefused, Unreachable) as error:
        say(f"warning: the roles were not given their rights on what was migrated: {error}")
        return
    if done is None:
        return
    if done.before.steps:
        say(f"roles: {len(done.before.steps)} steps were taken")
    if not done.after.holds:
        say("warning: the roles are not all as they should be: see alpimonitor roles plan")


def _seed(environ: Mapping[str, str]) -> None:
    """Seed in a process of its own, which alone is allowed to; its failure is a warning."""
    switch = environ.get("SEED_ON_BOOT", "")
    if environ.get("ALLOW_PROD_SEED"):
        say(
            "warning: ALLOW_PROD_SEED is set for this whole process: remove it, it belongs to single commands"
        )
    if switch.strip().lower() != "true":
        say(f"seed skipped: SEED_ON_BOOT is {repr(switch) if switch else 'not set'}, only true seeds")
        return
    from alpimonitor_cli import seed_child

    allowed = {name: value for name, value in environ.items() if not NOT_FOR_THE_SEED.fullmatch(name)}
    try:
        seeded = seed_child.run(allowed, deadline=SEED_DEADLINE)
    except seed_child.TooSlow:
        say(
            f"warning: the seed took longer than {SEED_DEADLINE} s and was stopped; the API starts without it"
        )
        return
    for line in seeded.said.splitlines():
        say(f"seed: {line}")
    if seeded.code:
        say(f"warning: the seed failed (exit {seeded.code}), see above; the API starts without it")


def _become_the_server(environ: Mapping[str, str]) -> NoReturn:
    kept = {name: value for name, value in environ.items() if not NOT_FOR_THE_SERVER.fullmatch(name)}
    say("starting the server")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(SERVER[0], SERVER, kept)  # noqa: S606 - no shell is meant


def say(text: str) -> None:
    """A line of the boot."""
    print(f"[boot] {text}", file=sys.stderr, flush=True)


def _fail(code: int, text: str) -> NoReturn:
    for line in text.splitlines():
        say(f"fatal: {line}")
    raise SystemExit(code)
