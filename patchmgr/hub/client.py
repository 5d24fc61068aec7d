"""The Hub's own client, and its failures in words.

``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME`` and ``HF_HUB_OFFLINE`` are honoured, because the client reads them.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import socket
from collections.abc import Callable, Iterator
from json import JSONDecodeError
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from patchmgr.errors import ConflictError, HubError, NotFoundError, PatchmgrError, StorageError, UsageError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

_T = TypeVar("_T")
_PATIENCE = 6
LOCAL = "give a local folder"
"""Instead of the Hub, where something is only read."""
_LOGIN = "`hf auth login`, or set HF_TOKEN"


def client() -> HfApi:
    """The client as the settings of this machine have it, which waits for no answer for ever.

    A call for which the Hub's client sets no limit waits six times ``HF_HUB_DOWNLOAD_TIMEOUT``, which is ten seconds
    unless it is set; a limit that this process has set stays.
    """
    from httpx2 import Timeout
    from huggingface_hub import HfApi, constants, get_session

    session = get_session()
    if session.timeout == Timeout(None):
        session.timeout = Timeout(_PATIENCE * constants.HF_HUB_DOWNLOAD_TIMEOUT)
    return HfApi(library_name="patchmgr", library_version=importlib.metadata.version("patchmgr"))


def is_offline() -> bool:
    """Whether the user said that no network is to be used."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def check_known_host() -> None:
    """Make sure that the Hub's name is one, for the client asks six times in 23 seconds for a name that is none.

    Raises:
        HubError: no address belongs to it; a proxy is left to look for itself.
    """
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT).hostname
    if host is None or getproxies():
        return
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        raise HubError(
            f"the Hub cannot be reached: {host} has no address here ({error.strerror})",
            hint="check the network and HF_ENDPOINT",
        ) from None


@contextlib.contextmanager
def asking(repo_id: str, revision: str | None = None, *, instead: str | None = None) -> Iterator[None]:
    """Turn every expected failure of the Hub and of the way there into words.

    Args:
        repo_id: the repository that is asked about.
        revision: the branch, tag or commit; for messages.
        instead: what would do as well, where the Hub's cache or something of one's own would; for hints.

    Raises:
        UsageError: the id cannot be one.
        NotFoundError: no such repository, revision or file, or no access to it.
        ConflictError: the repository was changed meanwhile.
        HubError: it cannot be reached, or refuses.
        StorageError: its cache cannot be written.
    """
    try:
        from httpx2 import HTTPError, InvalidURL
        from huggingface_hub import errors as hf
    except ValueError as error:  # the client takes its settings apart when it is imported
        raise UsageError(f"the Hub's client cannot use its settings ({error})", hint="check HF_ENDPOINT") from None

    where = f"{repo_id}@{revision}" if revision else repo_id
    try:
        yield
    except PatchmgrError:
        raise
    except (JSONDecodeError, InvalidURL) as error:
        raise HubError(
            f"what answers for {where} is no Hub ({_first_line(error)})",
            hint="check HF_ENDPOINT, and whether the network asks for a login",
        ) from None
    except (RecursionError, NotImplementedError):  # a bug keeps its traceback, though both are RuntimeErrors
        raise
    except hf.HFValidationError:
        raise UsageError(f"{repo_id!r} is no id of a repository on the Hub", hint="write org/name") from None
    except hf.HfHubHTTPError as error:
        raise _refused(repo_id, revision, error) from None
    except (
        hf.LocalEntryNotFoundError, hf.OfflineModeIsEnabled, hf.RevisionResolutionError, HTTPError, ConnectionError,
        TimeoutError,
    ) as error:  # fmt: skip
        raise _unreachable(where, error, instead) from None
    except RuntimeError as error:  # the client says so of an upload, and of what its transport to Xet could not do
        raise HubError(f"{where}: {_chain(error)}", hint="run it again; what was sent is not sent twice") from None
    except OSError as error:
        raise StorageError(f"cannot store {where} in the Hub's cache: {error}", hint="see HF_HOME") from error


def with_xet_or_without(call: Callable[[], _T]) -> _T:
    """Call, and call again without Xet where the Hub does not speak it: self-hosted ones often do not.

    The client does not negotiate: it fails on the missing route.
    """
    from huggingface_hub import constants

    try:
        return call()
    except (RuntimeError, ConnectionError, OSError) as error:
        if constants.HF_HUB_DISABLE_XET or not _lacks_xet(error):
            raise
    constants.HF_HUB_DISABLE_XET = True
    try:
        return call()
    finally:
        constants.HF_HUB_DISABLE_XET = False


def _lacks_xet(error: BaseException) -> bool:
    text = _chain(error)
    return "404" in text and "xet-" in text


def _refused(repo_id: str, revision: str | None, error: HfHubHTTPError) -> PatchmgrError:
    from huggingface_hub import errors as hf

    if isinstance(error, hf.GatedRepoError):
        return NotFoundError(
            f"{repo_id} is gated and this account has no access",
            hint=f"accept its terms on its page, then {_LOGIN}, and run this again",
        )
    if isinstance(error, hf.RepositoryNotFoundError):
        return NotFoundError(
            f"the Hub has no repository {repo_id!r}, or it is private", hint=f"check the id; to see your own, {_LOGIN}"
        )
    if isinstance(error, hf.RevisionNotFoundError):
        return NotFoundError(f"{repo_id} has no revision {revision!r}", hint="name a version, tag or commit")
    where = f"{repo_id}@{revision}" if revision else repo_id
    if isinstance(error, hf.RemoteEntryNotFoundError):
        return NotFoundError(f"{where} lacks a file: {_first_line(error)}")
    return _by_status(where, error)


def _by_status(where: str, error: HfHubHTTPError) -> PatchmgrError:
    status, said = error.response.status_code, error.server_message or _first_line(error)
    if status == 401:
        return NotFoundError(f"the Hub does not know this account ({where})", hint=_LOGIN)
    if status == 403:
        return NotFoundError(f"this account may not do that with {where} ({said})", hint=f"ask its owner, or {_LOGIN}")
    if status in (409, 412):
        return ConflictError(f"{where} was changed by somebody else meanwhile", hint="run it again")
    if status == 400:
        return HubError(f"the Hub refuses what was sent to {where}: {said}")
    if status == 429:
        return HubError(f"the Hub asks for patience ({where})", hint="run it again in a few minutes")
    return HubError(f"the Hub answered {status} for {where} ({said})", hint="run it again; nothing is half done")


def _unreachable(where: str, error: Exception, instead: str | None) -> HubError:
    if instead is None:
        if is_offline():
            return HubError(f"{where} takes a network, and HF_HUB_OFFLINE is set", hint="unset it")
        return HubError(
            f"the Hub cannot be reached for {where} ({_first_line(error)})", hint="check the network and HF_ENDPOINT"
        )
    if is_offline():
        return HubError(f"{where} is not in the Hub's cache and HF_HUB_OFFLINE is set", hint=f"unset it, or {instead}")
    return HubError(
        f"{where} is not in the Hub's cache and the Hub cannot be reached ({_first_line(error)})",
        hint=f"check the network, HF_ENDPOINT and HF_HUB_OFFLINE, or {instead}",
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:160] if text else type(error).__name__


def _chain(error: BaseException | None) -> str:
    """What an error and those that led to it say."""
    said = []
    while error is not None:
        said.append(_first_line(error))
        error = error.__cause__ or error.__context__
    return " · ".join(dict.fromkeys(said))[:400]
