"""Which orders are a drill's: they concern the self-test model alone, so they may be forgotten once they are over.

Every other order is kept for ever. A drill an hour would fill the directory in a year, and what nobody can be stopped
by any more says nothing: a drill's stop and the resume that lifted it are removed together, and processes forget both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from guard.state.orders import Order, ResumeOrder, Source, StopOrder


def drills_stop(order: Order) -> bool:
    """Whether this is a stop that only the self-test model could be covered by."""
    return isinstance(order, StopOrder) and order.scope.of_self_test


def drills_own(order: Order, find: Callable[[str], Order | None]) -> bool:
    """Whether this order concerns drills alone, so that it stays on its host; ``find`` returns an order by its id.

    That is so by what it covers: a resume that says to be a drill's is one as long as it lifts nothing else that is
    known here.
    """
    if not isinstance(order, ResumeOrder):
        return drills_stop(order)
    lifted = map(find, order.lifts)
    return order.source is Source.DRILL and all(each is None or drills_stop(each) for each in lifted)


def drilled(orders: Mapping[str, Order]) -> frozenset[str]:
    """Return the ids of all that drills ordered: their stops, and the resumes by drills of nothing else.

    A resume that names a stop which is not among the orders is a drill's if its source says so: that stop is gone.
    """
    stops = frozenset(each.id for each in orders.values() if drills_stop(each))
    resumes = (each.id for each in orders.values() if isinstance(each, ResumeOrder) and drills_own(each, orders.get))
    return stops | frozenset(resumes)


def forgettable(orders: Mapping[str, Order], gone: Collection[str]) -> frozenset[str]:
    """Return which of the orders whose files are gone were a drill's."""
    return drilled(orders).intersection(gone) if gone else frozenset()
