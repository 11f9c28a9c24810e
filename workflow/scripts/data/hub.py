"""What every hub access shares: the token, and one clear line for each way it can fail."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from workflow.scripts.common.errors import InputError
from workflow.scripts.common.io import sha256_file

Kind = Literal["model", "dataset"]
REVISION = re.compile(r"[0-9a-f]{40}")


def hub_token() -> str | Literal[False]:
    """Return the token in HF_TOKEN; False (no token, not even a stored one) when unset."""
    return os.environ.get("HF_TOKEN") or False


def check_revision(name: str, revision: str | None) -> str:
    """Return the revision when it is a commit hash; `InputError` says how to get one."""
    if not revision or not REVISION.fullmatch(revision):
        raise InputError(
            f"{name}: revision is {revision!r}, expected a commit hash of 40 hex digits; "
            "workflow.scripts.data.resolve_pins writes them into experiments/<name>.lock.json"
        )
    return revision


def find_commit(name: str, kind: Kind, revision: str | None = None) -> str:
    """Return the commit hash of a revision (default: the newest) that this token may download.

    Raises:
        InputError: There is no such repository or revision, no access, or no network.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=hub_token())
    with hub_errors(name, kind, revision):
        info = api.repo_info(name, repo_type=kind, revision=revision, timeout=30)
        if getattr(info, "gated", False):
            api.auth_check(name, repo_type=kind)
    return check_revision(name, info.sha)


@contextmanager
def hub_errors(name: str, kind: Kind, revision: str | None = None) -> Iterator[None]:
    """Turn what the hub's libraries raise into one `InputError` that says what to do."""
    from huggingface_hub import constants, errors

    try:
        yield
    except InputError:
        raise
    except Exception as error:
        page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{name}"
        what = f"{kind} {name} (revision {revision or 'main'})"
        token = "HF_TOKEN is set" if hub_token() else "HF_TOKEN is not set"
        causes = list(_causes(error))
        if _any(causes, errors.GatedRepoError):
            raise InputError(
                f"{what}: gated and {token}; accept its terms at {page} and set HF_TOKEN to a "
                "token of that account"
            ) from None
        if _any(causes, errors.RevisionNotFoundError):
            raise InputError(
                f"{what}: no such revision; check it at {page}, or renew the pin with "
                f"resolve_pins --update {name}"
            ) from None
        if _any(causes, errors.RepositoryNotFoundError, errors.HFValidationError):
            raise InputError(
                f"{what}: no such repository, or a private one, and {token}; check the name, or "
                "set HF_TOKEN to a token that may read it"
            ) from None
        if _status(causes) in (401, 403):
            raise InputError(
                f"{what}: access refused and {token}; set HF_TOKEN to a token that may read it"
            ) from None
        if constants.is_offline_mode():
            raise InputError(
                f"{what}: not on this machine, and HF_HUB_OFFLINE forbids the network; unset it, "
                "or run this step where there is network"
            ) from None
        if _status(causes) is not None or _any(causes, *_network_errors()):
            status = f"status {_status(causes)}" if _status(causes) else "no connection"
            raise InputError(
                f"{what}: the hub at {constants.ENDPOINT} gave no answer to use ({status}); check "
                "the network and run again, finished downloads are kept"
            ) from None
        raise


def verify_file(path: Path, sibling: Any) -> None:
    """Compare a downloaded file with the hub's hash: sha256, or git's sha1 for small files.

    Args:
        path: The file, or a link to it in the hub's cache.
        sibling: What the hub says of it, from `model_info(..., files_metadata=True)`.

    Raises:
        InputError: They differ; the file is removed, so that the next run fetches it again.
    """
    if sibling.lfs is not None:
        expected, found = sibling.lfs.sha256, sha256_file(path)
    else:
        content = path.read_bytes()
        expected = sibling.blob_id
        found = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if expected != found:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise InputError(
            f"{path}: hash {found} differs from the hub's {expected}; removed, run again"
        )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it; the libraries wrap one another's errors."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _any(causes: list[BaseException], *types: type[BaseException]) -> bool:
    return any(isinstance(cause, types) for cause in causes)


def _status(causes: list[BaseException]) -> int | None:
    codes = (getattr(getattr(c, "response", None), "status_code", None) for c in causes)
    return next((code for code in codes if code is not None), None)


def _network_errors() -> tuple[type[BaseException], ...]:
    import httpx2
    from huggingface_hub.errors import LocalEntryNotFoundError

    return httpx2.TransportError, ConnectionError, TimeoutError, LocalEntryNotFoundError
