"""Webhooks: messages of alerting and chat that may stop, and never resume."""
