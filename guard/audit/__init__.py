"""The ledger: every intent, part, outcome and order of one process in append-only segments, and how they are read.

``frames`` cuts bytes into records, ``records`` says what they hold, ``disk``, ``directory`` and ``segments`` are the
files, ``recovery`` repairs what a crash left, ``commit`` makes batches durable, ``ledger`` writes, ``read`` and
``render`` serve the commands.

The CRC finds accidents, not forgery: whoever can write the directory can rewrite the ledger.
"""
