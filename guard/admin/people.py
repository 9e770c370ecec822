"""Whom the admin listener lets in: entries of guard.yaml, each of a person of operators.yaml if there is one."""

from __future__ import annotations

from guard.admin.api import Person
from guard.credentials import Holder
from guard.policy.compile import first_moment
from guard.policy.config import Config
from guard.policy.process import AdminConfig


def holders(config: Config) -> dict[str, Holder[Person]]:
    """Return by digest who holds a token, and until when: none outlives its person's entry (row D2)."""
    found = {}
    for token in config.guard.admin.tokens:
        person = None if config.operators is None else config.operators.person(token.person)
        ends = token.expires if person is None else min(token.expires, person.expires)
        found[token.digest] = Holder(Person(token.id, token.person, token.role), first_moment(ends))
    return found


def admin_of(config: Config) -> AdminConfig:
    """Return the section `admin`, where nobody whom the proxy names outlives the person's entry (row D2)."""
    admin, operators = config.guard.admin, config.operators
    if admin.proxy is None or operators is None:
        return admin
    people = []
    for each in admin.proxy.people:
        person = operators.person(each.person)
        ends = each.expires if person is None else min(each.expires, person.expires)
        people.append(each.model_copy(update={"expires": ends}))
    return admin.model_copy(update={"proxy": admin.proxy.model_copy(update={"people": tuple(people)})})
