"""ASL Guard: everything that touches a socket, a file, a clock or a policy."""

__version__ = "0.1.0"
