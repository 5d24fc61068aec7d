"""The verbs: everything that the command line and the Python API can do, on one registry."""

from patchmgr.manager.manager import Manager
from patchmgr.manager.settings import Settings, load_settings

__all__ = ["Manager", "Settings", "load_settings"]
