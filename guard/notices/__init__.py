"""Telling people outside: what is said, in whose form, and how it gets there."""
