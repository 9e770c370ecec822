"""Drills of the kill switch: a real exchange with a model of the guard's own is stopped, timed, and resumed."""
