"""``embed browse``: a page on this machine to look at tomograms, click examples, search and judge."""

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embed.browse.addresses import build_app, sorry_app
from embed.browse.app import Browser
from embed.browse.exploring import Explorer
from embed.browse.guard import LOCAL, Guard
from embed.browse.saving import Saver
from embed.browse.training import Trainer, check_words
from embed.places import PlacesConfig
from embed.searched import open_searched
from tomoseek.config import DataConfig, PicksConfig
from tomoseek.errors import InputError
from tomoseek.messages import warn

ANY = ("0.0.0.0", "::")  # every address of this machine


@dataclass(kw_only=True, slots=True)
class BrowseConfig:
    """Settings of ``embed browse`` (``configs/embed_browse.yaml``)."""

    data: DataConfig
    tomogram: Any
    index: str
    encoder: str | None
    picks: PicksConfig
    training: list[str]
    host: str
    port: int
    names: list[str]
    memory_gb: float
    out_dir: str

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InputError(f"port: expected 0 to 65535, 0 for any that is free, found {self.port}")
        if not self.memory_gb > 0:
            raise InputError(f"memory_gb: expected more than 0, found {self.memory_gb}")
        check_words(self.training)


def run(config: BrowseConfig) -> None:
    """Serve the page until Ctrl-C."""
    import uvicorn

    guard = Guard(secrets.token_urlsafe(16), (config.host, *config.names))
    folder = Path(config.out_dir)
    try:
        searched = open_searched(config.data, config.tomogram, config.index, config.encoder)
        saver = Saver(searched, config.data.project, config.picks, folder)
        trainer = Trainer(searched, saver, config.data.mask, config.training)
        explorer = Explorer(searched, PlacesConfig.default())
        app = build_app(Browser(searched, folder, saver, trainer, explorer, config.memory_gb), guard)
    except (InputError, FileNotFoundError) as error:
        warn(str(error))
        app = sorry_app(str(error), guard)
    with _listening(config.host, config.port) as listening:
        port = listening.getsockname()[1]
        name = "localhost" if config.host in (*LOCAL, *ANY) else config.host
        print(f"open  http://{name}:{port}/?token={guard.token}", flush=True)
        print(f"from another machine, first: ssh -L {port}:localhost:{port} this-machine; Ctrl-C ends it", flush=True)
        if config.host not in LOCAL:
            warn(f"whoever reaches {config.host}:{port} and knows the token can read these tomograms and save picks")
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        server.run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    """Take the port, or a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, so that asyncio sends short answers at once instead of waiting 40 ms for more.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)  # who comes before the server runs waits
    except OSError as error:
        listening.close()
        raise InputError(
            f"host, port: expected a free address, found {host}:{port} {error.strerror}; try port=0"
        ) from error
    return listening
