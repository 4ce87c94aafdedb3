"""Saving encoders, sharing them, and loading what was saved."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tomoseek import __version__
from tomoseek.errors import InputError
from tomoseek.network.encoder import Encoder
from tomoseek.network.weights import (
    export_encoder,
    fingerprint,
    load_encoder,
    push_encoder,
    random_encoder,
    read_description,
    save_encoder,
)

Complaint = Callable[[str | Path], str]


def same(first: Encoder, second: Encoder) -> bool:
    """Whether all weights are equal, bit for bit."""
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and x.dtype == y.dtype and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_saved_encoder_comes_back_the_same(tiny_encoder: Encoder, tmp_path: Path) -> None:
    save_encoder(tiny_encoder, tmp_path / "kept", {"seed": 0})
    again = load_encoder(str(tmp_path / "kept"))
    assert same(again, tiny_encoder) and fingerprint(again) == fingerprint(tiny_encoder)
    volume = torch.randn(1, 1, 16, 16, 16)
    torch.testing.assert_close(again(volume).stride4, tiny_encoder(volume).stride4)


def test_one_file_without_its_folder_is_enough(tiny_encoder: Encoder, tmp_path: Path) -> None:
    save_encoder(tiny_encoder, tmp_path / "kept", {})
    alone = tmp_path / "any name.safetensors"
    shutil.copy(tmp_path / "kept" / "encoder.safetensors", alone)
    assert same(load_encoder(alone), tiny_encoder)


def test_file_says_of_itself_what_the_json_beside_it_says(tiny_encoder: Encoder, tmp_path: Path) -> None:
    save_encoder(tiny_encoder, tmp_path, {"seed": 3})
    described = read_description(tmp_path / "encoder.safetensors")
    assert described == json.loads((tmp_path / "encoder.json").read_text())
    assert described["provenance"].items() >= {"seed": 3, "tomoseek_version": __version__}.items()
    assert "git_commit" in described["provenance"]


def test_weights_are_as_readable_to_others_as_any_file(tiny_encoder: Encoder, tmp_path: Path) -> None:
    save_encoder(tiny_encoder, tmp_path, {})
    assert (tmp_path / "encoder.safetensors").stat().st_mode == (tmp_path / "encoder.json").stat().st_mode


def test_provenance_that_is_given_is_not_overwritten(tiny_encoder: Encoder, tmp_path: Path) -> None:
    save_encoder(tiny_encoder, tmp_path, {"git_commit": "that of the start"})
    assert read_description(tmp_path / "encoder.safetensors")["provenance"]["git_commit"] == "that of the start"


def test_equal_encoders_of_equal_provenance_are_equal_files(tiny_encoder: Encoder, tmp_path: Path) -> None:
    first, again = tmp_path / "first.safetensors", tmp_path / "again.safetensors"
    for path in (first, again):
        export_encoder(tiny_encoder, path, {"git_commit": "the same"})
    assert first.read_bytes() == again.read_bytes()


def test_exported_file_is_half_as_large_and_loads_in_single_precision(tiny_encoder: Encoder, exported: Path) -> None:
    tensors = load_file(exported)
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    assert exported.stat().st_size < 2.2 * sum(value.numel() for value in tensors.values())
    loaded = load_encoder(exported)
    for key, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, tiny_encoder.state_dict()[key], rtol=1e-3, atol=1e-7)


def test_weights_too_large_for_half_precision_are_not_exported(tmp_path: Path) -> None:
    huge = random_encoder("tiny")
    huge.tokens.weight.data[0, 0] = 1e5
    with pytest.raises(InputError, match=r"tokens\.weight: expected weights within half precision"):
        export_encoder(huge, tmp_path / "huge.safetensors", {})
    assert not list(tmp_path.iterdir())


def test_folder_saved_before_files_described_themselves_still_loads(
    complaint: Complaint, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    save_encoder(tiny_encoder, tmp_path, {})
    save_file(load_file(tmp_path / "encoder.safetensors"), tmp_path / "encoder.safetensors")
    assert same(load_encoder(tmp_path), tiny_encoder)
    assert same(load_encoder(tmp_path / "encoder.safetensors"), tiny_encoder)
    (tmp_path / "encoder.json").unlink()
    assert "sizes in the metadata" in complaint(tmp_path)


def test_truncated_file_is_called_damaged(complaint: Complaint, tiny_encoder: Encoder, tmp_path: Path) -> None:
    save_encoder(tiny_encoder, tmp_path, {})
    weights = tmp_path / "encoder.safetensors"
    whole = weights.read_bytes()
    for num_bytes in (0, 1000, len(whole) - 1):
        weights.write_bytes(whole[:num_bytes])
        assert "is damaged" in complaint(tmp_path)


def test_one_changed_bit_is_noticed(complaint: Complaint, exported: Path) -> None:
    content = bytearray(exported.read_bytes())
    content[-1] ^= 1
    exported.write_bytes(content)
    assert f"expected weights of fingerprint {read_description(exported)['fingerprint']}, found" in complaint(exported)


@pytest.mark.parametrize(
    ("key", "value"), [("width", 192), ("width", 100), ("depth", "six"), ("conv_channels", [8]), ("colour", 1)]
)
def test_sizes_that_do_not_fit_the_weights_are_refused(
    complaint: Complaint, tiny_encoder: Encoder, tmp_path: Path, key: str, value: object
) -> None:
    save_encoder(tiny_encoder, tmp_path, {})
    weights = tmp_path / "encoder.safetensors"
    description = read_description(weights)
    description["model"][key] = value
    save_file(load_file(weights), weights, metadata={"tomoseek": json.dumps(description)})
    assert "is damaged or of another version" in complaint(tmp_path)


def test_file_of_another_program_is_refused(complaint: Complaint, tmp_path: Path) -> None:
    save_file({"weight": torch.ones(3)}, tmp_path / "other.safetensors")
    assert "expected a file that tomoseek saved" in complaint(tmp_path / "other.safetensors")
    (tmp_path / "model.pt").write_bytes(b"something")
    assert "expected a folder or a .safetensors file" in complaint(tmp_path / "model.pt")


def test_folder_that_others_could_not_load_is_not_pushed(tiny_encoder: Encoder, tmp_path: Path) -> None:
    save_encoder(tiny_encoder, tmp_path, {})
    weights = tmp_path / "encoder.safetensors"
    save_file(load_file(weights), weights)
    with pytest.raises(InputError, match="save it again"):
        push_encoder(tmp_path, "some-lab/encoder")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(InputError, match="is damaged"):
        push_encoder(tmp_path, "some-lab/encoder")


def test_failed_push_says_why_on_one_line(
    tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_encoder(tiny_encoder, tmp_path, {})
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(InputError, match="repository: expected one that takes an upload, 'some-lab/encoder', found "):
        push_encoder(tmp_path, "some-lab/encoder")
