"""Fixtures that more than one test file uses."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tomoseek.errors import InputError
from tomoseek.network.encoder import Encoder
from tomoseek.network.search_constants import SearchConstants
from tomoseek.network.weights import export_encoder, load_encoder, random_encoder

pytest_plugins = ["browsing"]  # a project, a server and a browser

SHARED_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real maps, picks and sub-tomograms, kept beside the checkout and not part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real maps and picks (shared/data) are not beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def constants() -> SearchConstants:
    """What a search may promise, as it was once measured with an encoder."""
    return SearchConstants(
        slope=0.56, offset=-0.55, mean_of_one=0.92, spread_of_mean=0.04, spread=0.036, recentre_gain=1.0,
        measured_on="simulated tomograms",
    )  # fmt: skip


@pytest.fixture(scope="session")
def tiny_encoder() -> Encoder:
    """Untrained weights, for what is saved, shared and loaded."""
    return random_encoder("tiny", seed=5).eval()


@pytest.fixture
def exported(tiny_encoder: Encoder, tmp_path: Path) -> Path:
    """The tiny encoder as one file in half precision."""
    path = tmp_path / "shared" / "tomoseek-test.safetensors"
    export_encoder(tiny_encoder, path, {"why": "to be shared"})
    return path


@pytest.fixture
def complaint() -> Callable[[str | Path], str]:
    """What loading an encoder says, on its one line."""

    def of(source: str | Path) -> str:
        with pytest.raises(InputError) as caught:
            load_encoder(source)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return of
