"""The policy: its frozen types, strict loading, the floor a standard sets, and what `guard check` says about it."""
