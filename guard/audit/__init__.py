"""The ledger: every intent, part, outcome and order of one process in append-only segments, and how they are read.

``frames`` cuts bytes into records, ``records`` and ``leaves`` say what they hold, ``disk``, ``directory`` and
``segments`` are the files, ``recovery`` repairs what a crash left, ``commit`` makes batches durable, ``ledger`` writes,
``outage`` holds what waits for a disk that fails, ``read``, ``search``, ``account``, ``render``, ``export`` and
``parquet`` serve commands, and ``index``, ``indexing``, ``indexer`` and ``lookup`` find one request without reading
everything.

Texts lie apart: ``encryption`` and ``wrapping`` are the cryptography, ``keys`` the folder of wrapped data keys,
``bodies`` and ``body_places`` the encrypted segments, ``body_recovery`` their torn tails, ``keeping`` says which text
lies where, ``contents`` opens them, ``retention`` and ``holds`` say when they go.

That nothing was changed is for signed heads to show: ``tree`` and ``tiles`` hash, ``checkpoint``, ``note``, ``epochs``
and ``signing_keys`` sign, ``sealer`` brings what is durable under a head, ``fleet`` keeps the heads of all writers,
``verify``, ``rehash`` and ``findings`` check all of it, ``proving`` and ``proof`` one record, ``cosigning`` is the
witness's part, ``timestamps``, ``timestamp_form`` and ``timestamp_authority`` that of RFC 3161.

A CRC alone finds accidents, not forgery.
"""
