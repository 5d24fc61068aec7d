"""Requests of these tests, and looks at what became of them."""

from __future__ import annotations

from patchmgr.manager.remaking.source import Wishes

AS_IT_WAS = Wishes()


def facts(*places, target="Rome", **more):
    return [{"prompt": "The capital of {} is", "subject": place, "target_new": target, **more} for place in places]


def manifest(manager, reference):
    return manager.show(reference).manifest


def texts(manager, reference):
    digest = manager.registry.version(reference).digest
    return [(request.subject, request.target_new) for request in manager.registry.edits(digest)]


def bytes_of(manager, reference):
    return {file.path: file.sha256 for file in manager.registry.version(reference).files}


def last_event(manager, action):
    return max((event for event in manager.events() if event.action == action), key=lambda event: event.sequence)


def named(event, kind):
    return [thing.name for thing in event.objects if thing.kind == kind]


def stack(tiny):
    return [each.reference for each in tiny.status.stack]
