"""The tables of a fleet's orders in PostgreSQL, as the SQL that their owner runs once: ``guard state schema``.

Nobody but the owner may write the tables. The guards' role may read them and call four functions: ``put`` only ever
adds, ``beat``, ``forget`` and ``head`` touch no order. So whoever steals the guards' password can give orders, as
whoever may write into a host's folder of orders can, and cannot remove or change one. Each function is one statement,
so a guard that freezes holds no lock.
"""

from __future__ import annotations

import re
from typing import Final

from guard.state.engine import TAKEN_SECONDS

_ROLE: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_SCHEMA: Final = """\
-- Run once as the database's owner, in the database of the fleet; the role {role} must exist.
begin;
create schema guard;
create table guard.orders (
  position bigint primary key check (position > 0),
  id text not null unique check (id ~ '^[0-7][0-9A-HJKMNP-TV-Z]{{25}}$'),
  body bytea not null check (length(body) between 1 and 65536),
  written timestamptz not null default clock_timestamp()
);
create table guard.history (
  single boolean primary key default true check (single),
  engine text not null default gen_random_uuid()::text,
  position bigint not null default 0,
  digest bytea not null default decode(repeat('00', 32), 'hex') check (length(digest) = 32)
);
insert into guard.history default values;
create table guard.replicas (
  name text primary key check (name ~ '^[A-Za-z0-9._-]{{1,64}}$'),
  incarnation text not null check (length(incarnation) between 1 and 64),
  report bytea not null check (length(report) <= 65536),
  seen timestamptz not null default clock_timestamp()
);
create function guard.put(order_id text, order_body bytea) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  there record;
  last record;
begin
  -- The row of the history is the writers' turnstile: positions are in the order of commits, without a gap.
  select h.position, h.digest into last from guard.history h for update;
  select o.position, o.body into there from guard.orders o where o.id = order_id;
  if found then
    if there.body = order_body then
      return there.position;
    end if;
    raise unique_violation using message = 'another order has this id';
  end if;
  last.position := last.position + 1;
  last.digest := sha256(last.digest || int8send(last.position)
    || sha256(convert_to(order_id, 'UTF8')) || sha256(order_body));
  insert into guard.orders (position, id, body) values (last.position, order_id, order_body);
  update guard.history set position = last.position, digest = last.digest;
  perform pg_notify('guard_orders', '');
  return last.position;
end $$;
create function guard.head(out engine text, out head_position bigint, out digest bytea, out standby boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp
as 'select h.engine, h.position, h.digest, pg_is_in_recovery() from guard.history h';
create function guard.beat(
  replica text, started text, said bytea, out engine text, out head_position bigint, out digest bytea
) returns setof record
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into guard.replicas as r (name, incarnation, report) values (replica, started, said)
    on conflict (name) do update
    set incarnation = excluded.incarnation, report = excluded.report, seen = clock_timestamp()
    where r.incarnation = excluded.incarnation or r.seen < clock_timestamp() - interval '{taken} seconds';
  if found then
    return query select h.engine, h.position, h.digest from guard.history h;
  end if;
end $$;
create function guard.forget(replica text) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as 'delete from guard.replicas where name = replica';
revoke all on all functions in schema guard from public;
grant usage on schema guard to {role};
grant select on guard.orders, guard.replicas to {role};
grant execute on all functions in schema guard to {role};
commit;
"""


def schema(role: str) -> str:
    """Return the SQL that makes the tables for this role of the guards; raises ValueError for an odd name."""
    if _ROLE.fullmatch(role) is None:
        raise ValueError("role: 1 to 63 of a-z 0-9 _, not beginning with a digit")
    return _SCHEMA.format(role=role, taken=TAKEN_SECONDS)
