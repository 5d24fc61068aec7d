"""A Hub on this machine, for tests: the Hub's API over HTTP, spoken to by the real ``huggingface_hub`` client.

``server`` starts and stops it, ``wire`` is its ASGI application, ``store`` holds the repositories; every other module
answers one family of requests.
"""

from hub.testhub.client import use_hub
from hub.testhub.faults import Faults
from hub.testhub.server import Hub
from hub.testhub.wire import Recorded

__all__ = ["Faults", "Hub", "Recorded", "use_hub"]
