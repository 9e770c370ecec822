"""Each check and each safeguard is switched off in turn: the test that claims to prove it must then fail."""
