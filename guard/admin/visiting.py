"""What somebody who is signed in may do on the page, and how a page says that it is not theirs to do."""

from __future__ import annotations

from starlette.responses import Response

from guard.admin.answers import html
from guard.admin.entrance import Inside
from guard.admin.page import acts
from guard.admin.page.frame import Visitor
from guard.policy.roles import Act, may


def may_stop(inside: Inside) -> bool:
    """Whether it may stop."""
    return may(inside.person.role, Act.STOP)


def may_resume(inside: Inside) -> bool:
    """Whether it may resume."""
    return may(inside.person.role, Act.RESUME)


def may_open(inside: Inside) -> bool:
    """Whether it may open an incident."""
    return may(inside.person.role, Act.OPEN_INCIDENT)


def may_handle(inside: Inside) -> bool:
    """Whether it may triage, mitigate and close incidents."""
    return may(inside.person.role, Act.HANDLE_INCIDENT)


def may_export(inside: Inside) -> bool:
    """Whether it may take along what is on record of an incident."""
    return may(inside.person.role, Act.READ_RECORDS)


def may_approve(inside: Inside) -> bool:
    """Whether it may look at what waits for approval, and approve it where operators.yaml gives the right."""
    return may(inside.person.role, Act.APPROVE) or may_resume(inside)


def anybody(_: Inside) -> bool:
    """Whoever is signed in."""
    return True


def visitor(inside: Inside) -> Visitor:
    """Return who looks at a page, with what the page may offer."""
    person = inside.person
    return Visitor(
        person.name,
        person.role.value,
        may_stop(inside),
        may_resume(inside),
        inside.session.form,
        may_open(inside),
        may_handle(inside),
        may_export(inside),
        may_approve=may_approve(inside),
    )


def refuse(status: int, inside: Inside, title: str, words: str) -> Response:
    """Return a page that says what was not done."""
    return html(acts.problem(title, words, visitor(inside)), status)
