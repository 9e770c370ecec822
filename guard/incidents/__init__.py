"""Incidents: what was found, how bad it is, what was done about it where, and which clocks run (rows C7, C8, F10).

``events`` are immutable statements with one written form, ``incident`` is what a set of them means, ``clocks`` when
what is due, ``folder`` the files. ``case`` puts an incident beside its configuration, ``desk`` says what may be done to
one, by whichever way, ``story`` has the words of each event, ``bundle`` makes it up for somebody else. Like stop orders
they are files of one host: nothing to lock, readable with ``cat``.
"""
