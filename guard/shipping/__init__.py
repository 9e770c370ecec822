"""Copies of the request log elsewhere: in S3-compatible storage or on a file share.

``store`` is the port, ``folder`` and ``s3`` its two implementations, ``layout`` the names, ``pieces`` cuts what the
log's folder holds, ``cursor`` remembers how far it was shipped, ``shipper`` does a round, ``status`` is what it tells
the supervisor and the workers.
"""
