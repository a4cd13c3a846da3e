"""What may stand behind the `?` of a route: its own parameters, each at most once.

A misspelt filter that is silently left out answers another question than the one asked, and nobody notices.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from alpimonitor_api.errors import Problem, invalid

MOST_TOLD = 10
"""An address may hold thousands of parameters; whoever mistook ten knows enough."""

LONGEST_SHOWN = 60
"""Characters of a name: a longer one resembles none that is known."""


class KnownParameters(APIRoute):
    """A route that refuses with a 400 what it does not know, instead of ignoring it as the framework does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        known = tuple(_query_parameters(self.dependant))

        async def checked(request: Request) -> Response:
            if request.scope["query_string"]:
                problems = misunderstood((name for name, _ in request.query_params.multi_items()), known)
                if problems:
                    raise invalid(*problems)
            return await answer(request)

        return checked


def misunderstood(given: Iterable[str], known: Iterable[str]) -> list[Problem]:
    """What is wrong with these names, each told once, the first ten of them."""
    names = tuple(known)
    counts: dict[str, int] = {}
    for name in given:
        counts[name] = counts.get(name, 0) + 1
    problems = []
    for name, times in counts.items():
        if name not in names:
            problems.append(Problem(_shown(name), _remedy(name, names)))
        elif times > 1:
            problems.append(Problem(name, f"is given {times} times: give it once"))
        if len(problems) == MOST_TOLD:
            break
    return problems


def _remedy(name: str, known: tuple[str, ...]) -> str:
    if not known:
        return "is not known here: this route takes no query parameter"
    alike = {told.lower(): told for told in known}
    nearest = get_close_matches(name.lower()[:LONGEST_SHOWN], alike, n=1)
    meant = f"; did you mean {alike[nearest[0]]}?" if nearest else "."
    return f"is not known here{meant} This route takes {', '.join(known)}"


def _shown(name: str) -> str:
    return name if len(name) <= LONGEST_SHOWN else f"{name[:LONGEST_SHOWN]}…"


def _query_parameters(dependant: Dependant) -> Iterator[str]:
    """As clients write them, those of what the route depends on included."""
    for parameter in dependant.query_params:
        yield parameter.alias
    for inner in dependant.dependencies:
        yield from _query_parameters(inner)
