"""copick's project of files, which passes over what does not belong there instead of failing on it."""

import re
from typing import Any

from copick.impl.filesystem import (
    CopickPicksFSSpec,
    CopickRootFSSpec,
    CopickRunFSSpec,
    CopickVoxelSpacingFSSpec,
)
from copick.models import CopickPicksFile, CopickRunMeta, CopickVoxelSpacingMeta

from tomoseek.messages import warn_once

_SPACING_FOLDER = re.compile(r"VoxelSpacing(\d+(?:\.\d+)?)")


class RunOfFiles(CopickRunFSSpec):  # type: ignore[misc] # copick has no types
    """A run whose folders may hold more than copick puts there."""

    def _query_static_picks(self) -> list[Any]:
        return [] if self.static_is_overlay else self._picks_in(self.fs_static, self.static_path, True)

    def _query_overlay_picks(self) -> list[Any]:
        return self._picks_in(self.fs_overlay, self.overlay_path, False)

    def _query_static_voxel_spacings(self) -> list[Any]:
        return [] if self.static_is_overlay else self._spacings_in(self.fs_static, self.static_path)

    def _query_overlay_voxel_spacings(self) -> list[Any]:
        return self._spacings_in(self.fs_overlay, self.overlay_path)

    def _picks_in(self, fs: Any, folder: str, read_only: bool) -> list[Any]:
        """List the files of picks: ``user_session_object.json``."""
        found = []
        for path, details in fs.glob(f"{folder}/Picks/*.json", detail=True).items():
            name = path.rstrip("/").rsplit("/", 1)[-1]
            if name.startswith("."):
                continue
            parts = name.removesuffix(".json").split("_")
            if len(parts) != 3 or not all(parts) or details.get("type") == "directory":
                warn_once(
                    f"{path} is passed over: expected user_session_object.json, the name that copick gives to picks"
                )
                continue
            user, session, name = parts
            picks = CopickPicksFile(pickable_object_name=name, user_id=user, session_id=session)
            found.append(CopickPicksFSSpec(run=self, file=picks, read_only=read_only))
        return found

    def _spacings_in(self, fs: Any, folder: str) -> list[Any]:
        """List the folders of voxel spacings: ``VoxelSpacing10.000``."""
        found = []
        for path, details in fs.glob(f"{folder}/VoxelSpacing*", detail=True).items():
            name = path.rstrip("/").rsplit("/", 1)[-1]
            if details.get("type") == "file":
                continue
            match = _SPACING_FOLDER.fullmatch(name)
            if match is None or name != f"VoxelSpacing{float(match[1]):.3f}":
                hint = f"VoxelSpacing{float(match[1]):.3f}" if match else "VoxelSpacing10.000, say"
                warn_once(f"{path} is passed over: copick reads folders called {hint}")
                continue
            meta = CopickVoxelSpacingMeta(voxel_size=float(match[1]))
            found.append(CopickVoxelSpacingFSSpec(meta=meta, run=self))
        return found


class ProjectOfFiles(CopickRootFSSpec):  # type: ignore[misc]
    """A project of files with such runs."""

    def _run_factory(self) -> tuple[Any, Any]:
        return RunOfFiles, CopickRunMeta

    def query(self) -> list[Any]:
        """List the runs."""
        return [RunOfFiles(root=self, meta=run.meta) for run in super().query()]
