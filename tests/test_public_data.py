"""Public data: what can be prepared without a network, and what is said where there is none."""

import json
import zipfile
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import pytest
from copick.impl.cryoet_data_portal import CopickConfigCDP

from benchmarks.public_data import ENTRIES, extract_picks, fetch, main, prepare_map
from tomoseek.complexes import CHALLENGE, COMPLEXES
from tomoseek.errors import InputError
from tomoseek.simulate.maps import load_density


@pytest.fixture
def mirror(tmp_path: Path) -> str:
    """Folder with one entry: two balls of carbon, 60 Å apart along x, as an address."""
    structure, model, chain = gemmi.Structure(), gemmi.Model("1"), gemmi.Chain("A")
    draw = np.random.default_rng(0)
    for number, shift in enumerate(np.repeat([0.0, 60.0], 300)):
        residue, atom = gemmi.Residue(), gemmi.Atom()
        residue.name, residue.seqid = "ALA", gemmi.SeqId(number + 1, " ")
        atom.name, atom.element = "CA", gemmi.Element("C")
        direction = draw.normal(size=3)
        place = direction / np.linalg.norm(direction) * 15 * draw.uniform() ** (1 / 3) + [shift, 0, 0]
        atom.pos = gemmi.Position(*place)
        residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    folder = tmp_path / "mirror"
    folder.mkdir()
    structure.make_mmcif_document().write_file(str(folder / "9abc.cif"))
    return folder.as_uri()


def test_a_map_is_made_of_an_entry_at_ten_angstrom_and_read_by_the_simulator(mirror: str, tmp_path: Path) -> None:
    main(["maps", "--out", str(tmp_path / "maps"), "--entries", "9ABC", "--source", mirror])
    with mrcfile.open(tmp_path / "maps" / "9abc.mrc") as stored:
        assert float(stored.voxel_size.x) == pytest.approx(10.0)
        lengths = [np.ptp(np.argwhere(stored.data > 0.2 * stored.data.max())[:, axis]) for axis in range(3)]
    assert lengths[2] - lengths[0] == pytest.approx(6, abs=1)  # 60 Å longer along x than along z
    density = load_density(tmp_path / "maps" / "9abc.mrc", 10.0)
    assert density.shape[0] % 2 == 1 and float(density.max()) > 0


def test_a_map_that_is_there_is_left_alone(mirror: str, tmp_path: Path) -> None:
    assert prepare_map("9abc", tmp_path, mirror)
    (tmp_path / "9abc.mrc").write_bytes(b"mine")
    assert not prepare_map("9abc", tmp_path, mirror)
    assert (tmp_path / "9abc.mrc").read_bytes() == b"mine"


@pytest.mark.parametrize("source", ["file:///no/such/folder", "http://127.0.0.1:9", "not an address"])
def test_without_a_way_to_the_entry_one_line_says_what_to_do(source: str) -> None:
    with pytest.raises(InputError, match=r"entry 1qvr: expected .*1qvr\.cif to answer, found .*--source") as caught:
        fetch("1qvr", source)
    assert "\n" not in str(caught.value)


def test_an_entry_without_atoms_is_refused_and_leaves_no_map(tmp_path: Path) -> None:
    (tmp_path / "1qvr.cif").write_text("data_1QVR\n_entry.id 1QVR\n")
    with pytest.raises(InputError, match="atoms"):
        prepare_map("1qvr", tmp_path / "maps", tmp_path.as_uri())
    assert not (tmp_path / "maps").exists() or not list((tmp_path / "maps").iterdir())


def test_picks_come_out_of_the_zip_in_the_layout_of_the_shared_folder(tmp_path: Path) -> None:
    picks = {"run_name": "TS_5_4", "pickable_object_name": "ribosome", "points": []}
    with zipfile.ZipFile(tmp_path / "czii.zip", "w") as archive:
        archive.writestr("train/overlay/ExperimentRuns/TS_5_4/Picks/ribosome.json", json.dumps(picks))
        archive.writestr("train/overlay/ExperimentRuns/TS_6_4/Picks/curation_0_apo-ferritin.json", json.dumps(picks))
        archive.writestr("train/static/ExperimentRuns/TS_5_4/VoxelSpacing10.000/wbp.zarr/.zattrs", "{}")
        archive.writestr("train/overlay/ExperimentRuns/../Picks/escape.json", json.dumps(picks))
        archive.writestr("sample_submission.csv", "id")
    written = extract_picks(tmp_path / "czii.zip", tmp_path / "picks")
    expected = ["TS_5_4/ribosome.json", "TS_6_4/apo-ferritin.json"]
    assert [str(path.relative_to(tmp_path / "picks")) for path in written] == expected
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json")) == [
        f"picks/{name}" for name in expected
    ]
    assert json.loads(written[0].read_text()) == picks


def test_a_file_that_is_no_zip_or_holds_no_picks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.zip").write_bytes(b"not a zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    for name, expected in (("broken", "challenge's zip"), ("empty", "found none"), ("absent", "challenge's zip")):
        with pytest.raises(InputError, match=expected):
            extract_picks(tmp_path / f"{name}.zip", tmp_path / "picks")


def test_copick_understands_the_configuration_of_the_portal(tmp_path: Path) -> None:
    main(["portal", "--out", str(tmp_path / "portal.json")])
    config = CopickConfigCDP(**json.loads((tmp_path / "portal.json").read_text()))
    assert config.dataset_ids == [10440]
    radii = {each.name: each.radius for each in config.pickable_objects}
    assert radii == {name: each.radius_angstrom for name, each in COMPLEXES.items()}
    known = {each.name: each.identifier for each in config.pickable_objects}
    assert all(known[name] for name in CHALLENGE) and known["virus-like-particle"] == "GO:0170047"
    main(["portal", "--out", str(tmp_path / "test.json"), "--dataset", "10445"])
    assert CopickConfigCDP(**json.loads((tmp_path / "test.json").read_text())).dataset_ids == [10445]


def test_every_shared_map_of_an_entry_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list"])
    shown = capsys.readouterr().out
    assert all(entry in shown for entry in ENTRIES)
    folder = Path(__file__).resolve().parents[2] / "shared" / "data" / "maps"
    if not folder.is_dir():
        pytest.skip("no ../shared/data/maps beside the checkout")
    assert {path.stem.split("_")[0] for path in folder.glob("*.mrc")} == set(ENTRIES)
