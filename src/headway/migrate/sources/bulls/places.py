"""Where jobs lie in a queue, and which state that is."""

from __future__ import annotations

from msgspec import Struct

from headway.migrate.found import FoundState


class Place(Struct, frozen=True):
    """A list or a sorted set of jobs. Its jobs may be in any of `states`; which one, the job says."""

    name: str
    is_list: bool
    states: frozenset[FoundState]
    scale: int = 0  # of its scores to milliseconds, where they say when a job is due


def _place(name: str, *states: FoundState, is_list: bool = False, scale: int = 0) -> Place:
    return Place(name, is_list, frozenset(states), scale)


WAIT = _place(
    "wait",
    FoundState.WAITING,
    FoundState.PAUSED,
    FoundState.PRIORITISED,
    FoundState.RETRYING,
    is_list=True,
)
PAUSED = _place("paused", FoundState.PAUSED, FoundState.PRIORITISED, FoundState.RETRYING, is_list=True)
PRIORITIZED = _place("prioritized", FoundState.PRIORITISED, FoundState.RETRYING)
DELAYED = _place("delayed", FoundState.DELAYED, FoundState.RETRYING, scale=4096)
ACTIVE = _place("active", FoundState.ACTIVE, is_list=True)
WAITING_CHILDREN = _place("waiting-children", FoundState.PARENT)
FAILED = _place("failed", FoundState.FAILED)
COMPLETED = _place("completed", FoundState.COMPLETED)


def usual_state(place: Place, *, paused: bool) -> FoundState:
    """Return the state of most jobs of a place."""
    if place is WAIT:
        return FoundState.PAUSED if paused else FoundState.WAITING
    if place is PAUSED:
        return FoundState.PAUSED
    if place is ACTIVE:
        return FoundState.ACTIVE
    if place is DELAYED:
        return FoundState.DELAYED
    (state,) = place.states - {FoundState.RETRYING}
    return state


def state_of(place: Place, *, paused: bool, retried: bool, prioritised: bool = False) -> FoundState:
    """Return the state of a job by its place and what it went through."""
    usual = usual_state(place, paused=paused)
    if retried and FoundState.RETRYING in place.states:
        return FoundState.RETRYING
    if prioritised and usual is FoundState.WAITING:
        return FoundState.PRIORITISED
    return usual
