"""Documentation that is generated from the code, and the tests that hold it to the code."""
