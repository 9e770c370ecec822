"""Processes: a supervisor that owns the admin listener and its workers, and the workers that own the streams."""
