"""The queries: functions of a connection that take and give values, never rows.

They run inside a transaction that :mod:`patchmgr_registry.store` began and know nothing of locking. One file for each
kind of thing the registry holds.
"""
