"""Copies of the request log elsewhere: in S3-compatible storage or on a file share.

``store`` is the port, ``folder`` and ``s3`` its two implementations, ``pieces`` cuts what the log's folder holds,
``edges`` what proves the newest of it, ``heads`` says how far that goes, ``cursor`` remembers how far it was shipped,
``shipper`` does a round, ``status`` is what it tells the supervisor and the workers. ``otlp`` tells a collector.
"""
