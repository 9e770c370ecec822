"""Metrics, logs and traces: functions of one frozen record of how an exchange ended."""
