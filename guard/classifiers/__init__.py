"""Implementations of the Classifier port."""
