"""Finding encoders: on disk, among those shipped, on Hugging Face."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors import safe_open

from tomoseek.config import CONFIG_DIR
from tomoseek.network import sources as weight_sources
from tomoseek.network.encoder import Encoder
from tomoseek.network.sources import find_weights, parse_hub_id, shipped_names
from tomoseek.network.weights import export_encoder, fingerprint, load_encoder, read_description, save_encoder

Complaint = Callable[[str | Path], str]
LARGEST_SHIPPED = 25_000_000
ROOT = Path(__file__).resolve().parent.parent
HUB_COMMIT = "1234567890abcdef1234567890abcdef12345678"
FIND_EACH = """
import sys
from tomoseek.errors import InputError
from tomoseek.network.sources import find_weights
for source in sys.argv[1:]:
    try:
        print(find_weights(source))
    except InputError as error:
        print(error)
"""


@pytest.fixture
def shipping(exported: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretend that the package ships the tiny_encoder, and nothing else."""
    monkeypatch.setattr(weight_sources, "SHIPPED_DIR", exported.parent)
    return exported


def test_folder_file_and_name_of_one_encoder_have_one_fingerprint(shipping: Path, tmp_path: Path) -> None:
    first = load_encoder(shipping)
    save_encoder(first, tmp_path / "folder", {})
    export_encoder(first, tmp_path / "file.safetensors", {})
    forms = (tmp_path / "folder", tmp_path / "folder" / "encoder.safetensors", tmp_path / "file.safetensors")
    for source in (*forms, "tomoseek-test"):
        again = load_encoder(source)
        assert fingerprint(again) == fingerprint(first)
        assert {value.dtype for value in again.state_dict().values()} == {torch.float32}
    assert read_description(shipping)["fingerprint"] == fingerprint(first)


def test_random_encoder_is_the_same_each_time_and_leaves_the_global_seed_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = load_encoder("random-tiny")
    assert torch.rand(1) == expected
    assert fingerprint(first) == fingerprint(load_encoder("random-tiny"))


def test_unknown_model_lists_the_known_ones(complaint: Complaint) -> None:
    assert "base, small, tiny" in complaint("random-huge")


def test_missing_encoders_are_named_with_what_to_do(
    complaint: Complaint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert "expected encoder.safetensors in folder 'runs', found none; run pretrain" in complaint("runs")
    assert "expected 'metric' in folder 'runs', found none; run pretrain" in complaint("runs/metric")
    assert "give one of these" in complaint(tmp_path / "nowhere")
    assert "give one of these" in complaint("runs/encoder.safetensors")


def test_unknown_name_lists_the_shipped_ones(complaint: Complaint, shipping: Path) -> None:
    assert "(shipped: tomoseek-test)" in complaint("tomoseek-tset")
    assert "expected tomoseek-small among the shipped encoders, found tomoseek-test" in complaint("shipped")
    shipping.rename(shipping.with_name("tomoseek-small.safetensors"))
    assert fingerprint(load_encoder("shipped")) == read_description(find_weights("tomoseek-small"))["fingerprint"]
    shutil.rmtree(shipping.parent)
    assert "found none in this version" in complaint("shipped")


def test_existing_path_comes_before_every_other_meaning(
    tiny_encoder: Encoder, shipping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("random-tiny", "shipped", "tomoseek-test", "owner/name", "owner/name@main"):
        save_encoder(tiny_encoder, Path(name), {})
        assert fingerprint(load_encoder(name)) == fingerprint(tiny_encoder)


def test_shipped_encoders_are_small_and_sound() -> None:
    for name in shipped_names():
        assert find_weights(name).stat().st_size <= LARGEST_SHIPPED
        assert all(torch.isfinite(value).all() for value in load_encoder(name).state_dict().values())
        with safe_open(find_weights(name), framework="pt") as file:
            assert all(file.get_slice(key).get_dtype() == "F16" for key in file.keys())  # noqa: SIM118 - no mapping


def test_hub_ids_are_told_from_paths() -> None:
    assert parse_hub_id("owner/name") == ("owner/name", None)
    assert parse_hub_id("some-lab/tomo.seek_1@v1.0") == ("some-lab/tomo.seek_1", "v1.0")
    assert parse_hub_id("owner/name@refs/pr/1") == ("owner/name", "refs/pr/1")
    for path in ("name", "./name", "../name", "/owner/name", "a/b/c", "runs/encoder.safetensors", "owner/", "a b/c"):
        assert parse_hub_id(path) is None


@pytest.mark.parametrize("command", ["embed_build", "finetune_train"])
def test_every_way_to_name_an_encoder_passes_the_command_line(command: str) -> None:
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3"):
        assert compose(config_name=command).encoder == "shipped"
        for source in ("tomoseek-small", "runs/metric", "a/b.safetensors", "owner/name@v1.0", "random-small"):
            assert compose(config_name=command, overrides=[f"encoder={source}"]).encoder == source


def find_in_new_process(sources: list[str], folder: Path, **environment: str) -> list[str]:
    """One line per source: the file, or the error. huggingface_hub reads its settings when it starts."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    variables = {
        **kept, "HF_HOME": str(folder), "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **environment,
    }  # fmt: skip
    words = [sys.executable, "-P", "-c", FIND_EACH, *sources]
    done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_repository_in_the_cache_loads_offline(exported: Path, tmp_path: Path) -> None:
    cached = tmp_path / "hub" / "models--some-lab--encoder"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(HUB_COMMIT)
    (cached / "snapshots" / HUB_COMMIT).mkdir(parents=True)
    shutil.copy(exported, cached / "snapshots" / HUB_COMMIT / "encoder.safetensors")
    sources = ["some-lab/encoder", "some-lab/encoder@main", f"some-lab/encoder@{HUB_COMMIT}", "some-lab/encoder@v2"]
    *found, missing = find_in_new_process(sources, tmp_path, HF_HUB_OFFLINE="1")
    assert [fingerprint(load_encoder(path)) for path in found] == [fingerprint(load_encoder(exported))] * 3
    assert missing.startswith("encoder: expected encoder.safetensors in Hugging Face repository 'some-lab/encoder' at")
    assert "neither a connection nor a copy in the cache" in missing


@pytest.fixture
def hub(exported: Path) -> Iterator[str]:
    """Address of a server that answers like Hugging Face: one repository with one file, and no other."""
    content = exported.read_bytes()

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            known = self.path == "/some-lab/encoder/resolve/main/encoder.safetensors"
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(content)) if known else "0")
            if known:
                self.send_header("ETag", '"0123456789abcdef"')
                self.send_header("X-Repo-Commit", HUB_COMMIT)
            else:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            if known and self.command == "GET":
                self.wfile.write(content)

        do_GET = do_HEAD

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_repository_is_downloaded_once_and_stays_readable_without_a_network(
    hub: str, exported: Path, tmp_path: Path
) -> None:
    sources = ["some-lab/encoder", "some-lab/nothing"]
    found, missing = find_in_new_process(sources, tmp_path, HF_ENDPOINT=hub, HF_HUB_DISABLE_XET="1")
    assert fingerprint(load_encoder(found)) == fingerprint(load_encoder(exported))
    assert "'some-lab/nothing' (no such path is here), found none that you may use" in missing
    assert find_in_new_process(sources[:1], tmp_path, HF_HUB_OFFLINE="1") == [found]
