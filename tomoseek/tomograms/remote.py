"""Projects whose files lie elsewhere (S3, http, the CryoET Data Portal): reached in bounded time, or one clear line."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import copick
import fsspec
from copick.impl.filesystem import CopickConfigFSSpec
from zarr.storage import FSStore

from tomoseek.errors import InputError
from tomoseek.tomograms.project_config import local_path
from tomoseek.tomograms.project_files import ProjectOfFiles

Result = TypeVar("Result")

SECONDS_VARIABLE = "TOMOSEEK_NETWORK_SECONDS"
_SECONDS = 30.0
_PORTAL_SECONDS = 600.0  # the portal lists large data sets for minutes, once it answers
_S3, _BUCKETS = ("s3", "s3a"), ("s3", "s3a", "gs", "gcs", "abfs", "az")
# botocore waits a minute for each of five attempts, and s3fs makes five of those.
_S3_TIMES = {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 1}}


class RemoteStore(FSStore):  # type: ignore[misc] # zarr 2 has no types
    """A zarr on a remote file system, where only what is not there counts as an empty chunk.

    zarr's own store takes a lost connection for one too, and fills in zeros.
    """

    def __init__(self, path: str, fs: Any) -> None:
        super().__init__(path, fs=fs, mode="r", exceptions=(KeyError,))

    def __getitem__(self, key: str) -> Any:
        try:
            return super().__getitem__(key)
        except KeyError:
            raise
        except Exception as error:
            raise OSError(_reason(error)) from error

    def getitems(self, keys: Any, *, contexts: Mapping[str, Any]) -> Any:
        """Read several chunks at once."""
        try:
            return super().getitems(keys, contexts=contexts)
        except Exception as error:
            raise OSError(_reason(error)) from error


def open_roots(config: dict[str, Any], config_path: Path) -> Any:
    """Open a copick project, after a look whether its roots can be reached.

    Parameters
    ----------
    config
        copick's config, local roots located.
    config_path
        Its file, for errors.

    Raises
    ------
    InputError
        When a root cannot be reached in time: no driver, no such bucket, no credentials, no network.
    ValueError
        When copick refuses the config.
    """
    urls = {key: str(config[key]) for key in ("static_root", "overlay_root") if config.get(key) is not None}
    remote = {key: url for key, url in urls.items() if local_path(url) is None}
    for key, url in remote.items():
        _check_driver(url, key, config_path)
        config[_args_key(key)] = _with_times(url, config.get(_args_key(key)) or {})
    if config["config_type"] == "filesystem":
        # What `from_string` does, without its import of the portal's client, which takes seconds.
        root = within(" and ".join(remote.values()), lambda: ProjectOfFiles(CopickConfigFSSpec(**config)), bool(remote))
    else:
        if config["config_type"] == "cryoet_data_portal":
            within("the CryoET Data Portal", _ask_portal)
        with reaching("the CryoET Data Portal"):
            root = within(
                "the CryoET Data Portal", lambda: copick.from_string(json.dumps(config)), seconds=_PORTAL_SECONDS
            )
    for key, url in remote.items():
        is_data = key == "static_root" or "static_root" not in urls
        within(url, partial(_look, url, config[_args_key(key)], is_data))
    return root


def remote_store(url: str, path: str, fs_args: Mapping[str, Any]) -> RemoteStore:
    """Return the zarr at a path of a remote file system.

    Parameters
    ----------
    url
        Any address on that file system.
    path
        Where the zarr lies on it.
    fs_args
        Settings of the file system, as the copick config has them.
    """
    return RemoteStore(path, fsspec.core.url_to_fs(url, **_with_times(url, fs_args))[0])


def within(what: str, do: Callable[[], Result], is_remote: bool = True, seconds: float | None = None) -> Result:
    """Do something with a remote place, or give up.

    Parameters
    ----------
    what
        The place, for errors.
    do
        What to do; it goes on in the background when its time is up.
    is_remote
        Else it is just done.
    seconds
        How long to wait; None is half a minute, or what the environment says in ``TOMOSEEK_NETWORK_SECONDS``.

    Raises
    ------
    InputError
        When it fails, or takes longer.
    """
    if not is_remote:
        return do()
    limit = _seconds() if seconds is None else seconds
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(do())
        except BaseException as error:  # raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)  # one that hangs must not keep the program from ending
    thread.start()
    thread.join(limit)
    if results:
        return results[0]
    with reaching(what):
        if errors:
            raise errors[0]
    raise InputError(
        f"expected an answer from {what} within {limit:g} s, found none: check the address and the network"
    )


def remote_place(root: Any) -> str | None:
    """Return what to call the remote places of a copick project in errors, None when all its files are local."""
    config = root.config
    urls = [getattr(config, key, None) for key in ("static_root", "overlay_root")]
    remote = [url for url in urls if url is not None and local_path(url) is None]
    if config.config_type != "filesystem":
        remote.insert(0, "the CryoET Data Portal")
    return " and ".join(remote) or None


@contextmanager
def reaching(what: str | None) -> Iterator[None]:
    """Turn whatever a driver of a remote file system raises into one line that names the place.

    Parameters
    ----------
    what
        The place; None of local files, whose errors are left as they are.

    Raises
    ------
    InputError
        In place of any other exception, but those of a config that copick refuses.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if what is None:
            raise
        name = type(error).__name__
        if "Credentials" in name or "Token" in name:
            raise InputError(
                f"expected credentials for {what}, found {_reason(error)}: put them into ~/.aws/credentials or the "
                'environment or, for public data, write "anon": true into static_fs_args'
            ) from error
        if isinstance(error, FileNotFoundError):
            raise InputError(
                f"expected a folder or bucket at {what}, found none: check the address in the copick config"
            ) from error
        if isinstance(error, NotImplementedError):
            raise InputError(
                f"expected to write to {what}, which its driver cannot: name another overlay_root in the copick config"
            ) from error
        if isinstance(error, PermissionError):
            raise InputError(f"expected access to {what}, found {_reason(error)}: check the credentials") from error
        if name == "ValidationError":  # of pydantic: the config is at fault
            raise
        raise InputError(
            f"expected an answer from {what}, found {_reason(error)}: check the address and the network"
        ) from error


def _check_driver(url: str, key: str, config_path: Path) -> None:
    """Refuse a scheme that fsspec does not know, or whose driver is not installed."""
    try:
        fsspec.get_filesystem_class(fsspec.core.split_protocol(url)[0] or "file")
    except (ValueError, ImportError) as error:
        raise InputError(
            f"expected an address that fsspec can open as {key} in {config_path}, found {url} ({_reason(error)}): "
            "correct it, or install the driver"
        ) from error


def _with_times(url: str, fs_args: Mapping[str, Any]) -> dict[str, Any]:
    """Add time-outs to the settings of S3; what the user set stays."""
    if fsspec.core.split_protocol(url)[0] not in _S3:
        return dict(fs_args)
    return {**fs_args, "config_kwargs": {**_S3_TIMES, **(fs_args.get("config_kwargs") or {})}}


def _look(url: str, fs_args: Mapping[str, Any], is_data: bool) -> None:
    """Look at a remote root: data must be there, of an overlay the bucket."""
    fs, path = fsspec.core.url_to_fs(url, **fs_args)
    try:  # `exists` would take no answer for a no
        fs.ls(f"{path.rstrip('/')}/ExperimentRuns" if is_data else path, detail=False)
    except FileNotFoundError as error:
        if fsspec.core.split_protocol(url)[0] in _BUCKETS and not fs.exists(path.split("/")[0]):
            raise
        if is_data:
            raise InputError(
                f"expected the runs of a project in {url}/ExperimentRuns, found no such folder: check the address"
            ) from error


def _ask_portal() -> None:
    """Ask the portal for anything, to learn whether it answers."""
    import requests
    from cryoet_data_portal import Client

    requests.head(Client().url, timeout=_seconds())


def _args_key(key: str) -> str:
    return key.replace("_root", "_fs_args")


def _seconds() -> float:
    text = os.environ.get(SECONDS_VARIABLE, "")
    try:
        return float(text) if text else _SECONDS
    except ValueError as error:
        raise InputError(f"{SECONDS_VARIABLE}: expected a number of seconds, found '{text}'; correct it") from error


def _reason(error: BaseException) -> str:
    """One line of an error's own words, its kind where it has none."""
    return (" ".join(str(error).split()) or type(error).__name__)[:300]
