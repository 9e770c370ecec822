"""From an open inference server to a guarded one: look at it without touching it, write the first configuration."""
