"""What a GPU computes is what a CPU computes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_finetune_runs import make_project, train_settings

from embed import Index
from finetune import train
from finetune.checkpoint import load_description
from tomoseek import Tomogram
from tomoseek.network.weights import load_encoder
from tomoseek.running import PRECISION_VARIABLE, autocast, loss_scaler, precision

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
FORMATS = ["float32", "bfloat16", "float16"]


@pytest.fixture(params=FORMATS)
def number_format(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One format after the other, for all commands."""
    if request.param == "bfloat16" and not torch.cuda.is_bf16_supported():
        pytest.skip("this GPU has no bfloat16")
    monkeypatch.setenv(PRECISION_VARIABLE, request.param)
    return str(request.param)


def test_half_a_float_is_the_format_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PRECISION_VARIABLE, raising=False)
    has_unit = torch.cuda.is_bf16_supported(including_emulation=False)
    assert precision(torch.device("cuda")) is (torch.bfloat16 if has_unit else torch.float16)


def test_embeddings_are_those_of_the_cpu(number_format: str) -> None:
    device = torch.device("cuda")
    volume = torch.randn(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, logits = load_encoder("shipped").embed(volume)  # 1 e z y x, 1 1 z y x
        with autocast(device):
            found, found_logits = load_encoder("shipped", device).embed(volume.to(device))
    cosines = torch.nn.functional.cosine_similarity(expected, found.float().cpu(), dim=1)
    assert cosines.min() > (0.9999 if number_format == "float32" else 0.98)
    torch.testing.assert_close(found_logits.float().cpu(), logits, atol=0.3, rtol=0.1)


def test_a_search_finds_what_it_finds_on_the_cpu(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*map(np.arange, (48, 96, 96)), indexing="ij"), -1)
    volume = random.normal(size=grid.shape[:3])
    centres = random.uniform(12, 36, (8, 3)) * [1, 2, 2]  # z y x
    for centre in centres:
        volume -= 3 * (np.linalg.norm(grid - centre, axis=-1) < 6)
    tomogram = Tomogram.from_array(volume.astype(np.float32), voxel_spacing=10, run="tomo")
    found = []
    for device in ("cpu", "cuda"):
        index = Index.create(tmp_path / device, encoder="shipped", device=device)
        index.add(tomogram, progress=False)
        example = (centres[0, ::-1] * 10).tolist()
        found.append(index.search({"tomo": [example]}, radius=60, max_picks=5).picks.to_dataframe())
    ours, theirs = (np.sort(table[["x", "y", "z"]].to_numpy(), axis=0) for table in found)
    np.testing.assert_allclose(ours, theirs, atol=10)  # a voxel


@pytest.mark.filterwarnings("ignore:only 6 labels")
def test_a_picker_learns_in_every_format(number_format: str, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    train.run(train_settings(project, tmp_path / "out", "device=cuda", "num_steps=150", "classes=[ball]"))
    assert loss_scaler(torch.device("cuda")).is_enabled() == (number_format == "float16")
    assert load_description(tmp_path / "out").provenance["validation"]["weighted_f4"] > 0.5
