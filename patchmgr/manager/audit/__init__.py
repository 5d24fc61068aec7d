"""The audit trail: who did what, whether the record still holds, and what an auditor asks of it."""
