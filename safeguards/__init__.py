"""What is decided: one file per safeguard, the standard library only."""
