"""Protocol knowledge and nothing else: server-sent events, strict JSON, tables, one file per dialect."""
