"""Benchmarks: what the guard costs beside nginx and LiteLLM, on one core, over the loopback interface.

Run `python -m tests.benchmarks` from the top of the repository; `--help` lists the options.
"""
