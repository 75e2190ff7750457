"""Audit anybody's labels: scores read off models that never saw the row, how sure they are, and a report to send."""

from datadiet.audit.found import Audit

__all__ = ["Audit"]
