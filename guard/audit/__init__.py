"""The ledger: every intent, part, outcome and order of one process in append-only segments, and how they are read.

``frames`` cuts bytes into records, ``records`` and ``leaves`` say what they hold, ``disk``, ``directory`` and
``segments`` are the files, ``recovery`` repairs what a crash left, ``commit`` makes batches durable, ``ledger`` writes,
``outage`` holds what waits for a disk that fails, ``read``, ``search``, ``render`` and ``export`` serve the commands.

Texts lie apart: ``sealing`` and ``wrapping`` are the cryptography, ``keys`` the folder of wrapped data keys, ``bodies``
and ``body_places`` the sealed segments, ``body_recovery`` their torn tails, ``keeping`` says which text lies where,
``contents`` opens them, ``retention`` and ``holds`` say when they go.

The CRC finds accidents, not forgery: whoever can write the directory can rewrite the ledger.
"""
