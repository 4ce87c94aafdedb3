"""Projects that lie elsewhere: read and written on S3 and http, and one line where they cannot be reached."""

import functools
import http.server
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from tomoseek.complexes import Complex
from tomoseek.config import DataConfig, Polarity
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import list_picks, read_picks, write_picks
from tomoseek.picks.points import Picks
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.project import create_project, open_project

VOLUME = np.random.default_rng(0).normal(2, 3, (20, 70, 90)).astype(np.float32)
REGION = (slice(0, 20), slice(0, 64), slice(0, 64))  # one chunk


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """An S3 server of this test's own."""
    moto = pytest.importorskip("moto.server", reason="moto[server] of the dev extra is not installed")
    running = moto.ThreadedMotoServer(port=0)
    running.start()
    yield running
    running.stop()


def args_of(server: Any) -> dict[str, Any]:
    host, port = server.get_host_and_port()
    return {
        "key": "a", "secret": "b",
        "client_kwargs": {"endpoint_url": f"http://{host}:{port}"},
    }  # fmt: skip


def local_project(folder: Path) -> Path:
    add_tomogram(create_project(folder, [Complex(name="ribosome", radius_angstrom=150.0)]), "TS_1", "wbp", 10.0, VOLUME)
    return folder


def remote_config(folder: Path, static: str, overlay: str, args: dict[str, Any], **more: Any) -> Path:
    objects = [{"name": "ribosome", "is_particle": True, "label": 1, "color": [0, 92, 49, 255], "radius": 150.0}]
    folder.mkdir(exist_ok=True)
    (folder / "copick.json").write_text(
        json.dumps(
            {
                "config_type": "filesystem", "name": "p", "description": "", "version": "1.0",
                "pickable_objects": objects, "static_root": static, "overlay_root": overlay,
                "static_fs_args": args, "overlay_fs_args": args, **more,
            }
        )
    )  # fmt: skip
    return folder


@pytest.fixture
def on_s3(server: Any, tmp_path: Path) -> Path:
    """A project whose tomograms and picks lie in a bucket of its own."""
    bucket = f"b{time.monotonic_ns()}"
    fs = fsspec.filesystem("s3", **args_of(server))
    fs.mkdir(bucket)
    fs.put(str(local_project(tmp_path / "local") / "static"), f"{bucket}/static", recursive=True)
    return remote_config(tmp_path / "p", f"s3://{bucket}/static", f"s3://{bucket}/mine/overlay", args_of(server))


def data_of(folder: Path) -> DataConfig:
    return DataConfig(project=str(folder), runs=None, tomogram_type="wbp", voxel_spacing=None, polarity=Polarity.dark)


def test_a_tomogram_on_s3_is_read_a_chunk_at_a_time(on_s3: Path, server: Any):
    root = json.loads((on_s3 / "copick.json").read_text())["static_root"].removeprefix("s3://")
    fs = fsspec.filesystem("s3", **args_of(server))
    zarr = f"{root}/ExperimentRuns/TS_1/VoxelSpacing10.000/wbp.zarr/0"
    fs.pipe_file(f"{zarr}/0/1/1", b"broken")
    tomogram = find_tomograms(data_of(on_s3))[0]
    assert tomogram.shape == VOLUME.shape and tomogram.source.startswith("s3://")
    assert np.array_equal(tomogram.read(REGION), VOLUME[REGION])
    assert np.array_equal(pickle.loads(pickle.dumps(tomogram)).read(REGION), VOLUME[REGION])
    with pytest.raises(InputError, match=r"expected readable voxels in TS_1/wbp"):
        tomogram.read()


def test_picks_are_written_to_an_overlay_on_s3_and_read_from_there(on_s3: Path):
    root = open_project(on_s3)
    write_picks(root, "TS_1", "ribosome", Picks(np.array([[30.0, 40.0, 50.0]]), np.array([0.5])), "me", "1")
    assert list_picks(open_project(on_s3), "TS_1") == [("ribosome", "me", "1")]
    found = read_picks(open_project(on_s3), "TS_1", "ribosome")
    assert np.array_equal(found.points_xyz, [[30.0, 40.0, 50.0]]) and found.scores.tolist() == [0.5]


def test_a_connection_lost_on_the_way_is_an_error_and_never_read_as_zeros(tmp_path: Path):
    moto = pytest.importorskip("moto.server", reason="moto[server] of the dev extra is not installed")
    own = moto.ThreadedMotoServer(port=0)
    own.start()
    fs = fsspec.filesystem("s3", **args_of(own))
    fs.mkdir("lost")
    fs.put(str(local_project(tmp_path / "local") / "static"), "lost/static", recursive=True)
    remote_config(tmp_path / "p", "s3://lost/static", "s3://lost/overlay", args_of(own))
    root, tomogram = open_project(tmp_path / "p"), find_tomograms(data_of(tmp_path / "p"))[0]
    own.stop()
    with pytest.raises(InputError, match=r"expected readable voxels in TS_1/wbp"):
        tomogram.read(REGION)
    with pytest.raises(InputError, match=r"expected an answer from s3://lost/static and s3://lost/overlay, found"):
        write_picks(root, "TS_1", "ribosome", Picks(np.zeros((1, 3)), np.ones(1)), "me", "1")


def complaint(folder: Path, limit: float = 30.0) -> str:
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        open_project(folder)
    assert time.monotonic() - start < limit and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_bucket_and_a_missing_folder_are_one_line(on_s3: Path, server: Any, tmp_path: Path):
    there = json.loads((on_s3 / "copick.json").read_text())["static_root"]
    folder = remote_config(tmp_path / "q", "s3://nowhere/static", "s3://nowhere/overlay", args_of(server))
    assert "expected a folder or bucket at s3://nowhere/static, found none" in complaint(folder)
    remote_config(folder, there, "s3://nowhere/overlay", args_of(server))
    assert "expected a folder or bucket at s3://nowhere/overlay, found none" in complaint(folder)
    remote_config(folder, f"{there}/deeper", there, args_of(server))
    assert "/static/deeper/ExperimentRuns, found no such folder" in complaint(folder)


def test_missing_credentials_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("s3fs")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    args = {"client_kwargs": {"endpoint_url": "http://127.0.0.1:9"}}
    said = complaint(remote_config(tmp_path / "p", "s3://bucket/static", "s3://bucket/overlay", args))
    assert "expected credentials for s3://bucket/static" in said and '"anon": true' in said


def test_addresses_without_a_driver_are_one_line(tmp_path: Path):
    said = complaint(remote_config(tmp_path / "p", "nonsense://x/static", "nonsense://x/overlay", {}))
    assert "expected an address that fsspec can open as static_root" in said and "nonsense://x/static" in said
    said = complaint(remote_config(tmp_path / "p", "oci://x/static", "oci://x/overlay", {}))
    assert "install the driver" in said


def test_an_endpoint_that_cannot_be_reached_ends_the_command_with_code_2(tmp_path: Path):
    pytest.importorskip("s3fs")
    args = {"key": "a", "secret": "b", "client_kwargs": {"endpoint_url": "http://127.0.0.1:9"}}
    folder = remote_config(tmp_path / "p", "s3://bucket/static", "s3://bucket/overlay", args)
    words = [sys.executable, "-m", "embed", "build", f"data.project={folder}", f"index={tmp_path}/index", "device=cpu"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parent.parent)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("error: expected an answer from s3://bucket/static, found")


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("s3fs")
    monkeypatch.setenv("TOMOSEEK_NETWORK_SECONDS", "2")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        args = {"key": "a", "secret": "b", "client_kwargs": {"endpoint_url": url}}
        said = complaint(remote_config(tmp_path / "p", "s3://bucket/static", "s3://bucket/overlay", args), limit=10)
    assert "expected an answer from s3://bucket/static within 2 s, found none" in said
    monkeypatch.setenv("TOMOSEEK_NETWORK_SECONDS", "soon")
    assert "TOMOSEEK_NETWORK_SECONDS: expected a number of seconds, found 'soon'" in complaint(tmp_path / "p")


def test_a_project_on_http_is_read_with_picks_kept_locally(tmp_path: Path):
    local_project(tmp_path / "served")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{serving.server_port}/static"
        overlay = tmp_path / "overlay"
        overlay.mkdir()
        folder = remote_config(tmp_path / "p", url, f"local://{overlay}", {}, overlay_fs_args={"auto_mkdir": True})
        tomogram = find_tomograms(data_of(folder))[0]
        assert tomogram.run == "TS_1" and np.array_equal(tomogram.read(REGION), VOLUME[REGION])
        write_picks(open_project(folder), "TS_1", "ribosome", Picks(np.zeros((1, 3)), np.ones(1)), "me", "1")
        assert (overlay / "ExperimentRuns/TS_1/Picks/me_1_ribosome.json").is_file()
        root = open_project(remote_config(tmp_path / "p", url, url.replace("static", "overlay"), {}))
        with pytest.raises(
            InputError, match=r"expected to write to http://.*, which its driver cannot: name another ov"
        ):
            write_picks(root, "TS_1", "ribosome", Picks(np.zeros((1, 3)), np.ones(1)), "me", "1")
        serving.shutdown()


def test_the_portal_without_a_network_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("cryoet_data_portal")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    (tmp_path / "overlay").mkdir()
    (tmp_path / "copick.json").write_text(
        json.dumps(
            {
                "config_type": "cryoet_data_portal", "name": "p", "description": "", "version": "1.0",
                "pickable_objects": [], "overlay_root": f"local://{tmp_path}/overlay", "dataset_ids": [10440],
            }
        )
    )  # fmt: skip
    assert "expected an answer from the CryoET Data Portal, found" in complaint(tmp_path)
