"""Drills of the kill switch: a real exchange with a model of the guard's own is stopped, timed, and resumed.

Every way in which people and machines stop a model is walked, as far as that needs no weaker guard:

| way | how it is drilled |
|---|---|
| `guard stop` on the host | `order`: an order file, written by the code that the command uses |
| a touched file | `file`: a STOP file |
| admin API, also as one guard's word to another | `admin`: a token made at each start, for this model alone |
| control page | `page`: signed in with that token, which opens one page, and that stops this model alone |
| webhooks | `webhook`: a hook of each sender's kind, with that token as its secret, for this model alone |
| the engine of a fleet | `engine`: an order put there alone, for the self-test model of this host (its version) |
| lease expiry | a lease of this model's own, which lapses once a day in a fleet |

A served model is stopped by a drill only where a person names it twice (`disruptive`).

A webhook of the operator's cannot be walked: it would stop what it is bound to, and the guard would only show that it
knows its own secret, not that the sender does (`guard_hook_last_authentic_timestamp_seconds` shows that). An emergency
token, and a sign-in by a trusted proxy, are known here by a digest and a name: nobody here can say them.
"""
