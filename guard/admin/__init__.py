"""The admin listener: its own address, its own credentials, never reachable through a data port."""
