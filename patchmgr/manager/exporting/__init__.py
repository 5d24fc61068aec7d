"""Exporting: what is read, and where it is put; :mod:`patchmgr.manager.export` is the verb."""
