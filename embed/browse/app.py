"""What the page asks for, and the answers."""

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from embed.browse.desk import Desk
from embed.browse.exploring import Explorer
from embed.browse.planes import AXES, Shelf, as_jpeg, crop_strip, stretched
from embed.browse.saving import Saver
from embed.browse.training import Trainer
from embed.searched import Searched
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import list_picks, read_picks
from tomoseek.simulate.builtin import BUILTIN

MOST_SHOWN = 5000  # finds sent to the page
THUMBNAIL = 96  # pixels


class Browser:
    """Everything behind one page: tomograms, objects at work, and where picks go.

    Parameters
    ----------
    searched
        What is looked at.
    folder
        Where what is done is kept.
    saver
        Writes picks.
    trainer
        Trains pickers on them.
    explorer
        Shows what is there before anything is known.
    memory_gb
        For tomograms that are looked at.
    """

    def __init__(
        self, searched: Searched, folder: Path, saver: Saver, trainer: Trainer, explorer: Explorer, memory_gb: float
    ) -> None:
        self.searched, self.folder, self.saver = searched, folder, saver
        self.trainer, self.explorer = trainer, explorer
        self.shelf = Shelf(searched.tomogram, memory_gb)
        self._desks: dict[str, Desk] = {}
        self._lock = Lock()

    def desk(self, name: str) -> Desk:
        """Return an object at work, made if it is new."""
        with self._lock:
            if name not in self._desks:
                self._desks[name] = Desk(self.searched, name, self.folder, self._known_radii().get(name))
            return self._desks[name]

    def project(self, _: dict[str, Any]) -> dict[str, Any]:
        """Describe what there is to look at, and what was worked on before."""
        runs: list[dict[str, Any]] = []
        for run in self.searched.runs:
            frame = self.searched.index.frame(run)
            shape, spacing = frame.shape, frame.voxel_spacing
            runs.append({"name": run, "shape": shape, "spacing": spacing})
        worked_on = sorted(path.stem for path in self.folder.glob("*.jsonl"))
        return {
            "runs": runs,
            "radii": self._known_radii(),
            "objects": worked_on,
            "structures": list(BUILTIN),
            "explore": self.explorer.settings,
            "saves_as": f"{self.saver.user}/{self.saver.session}" if self.saver.project else str(self.saver.folder),
        }

    def picks(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the picks of a run that the project holds, by object, user and session."""
        if self.searched.root is None:
            return []
        run, root = self._run(asked), self.searched.root
        known = {each.name for each in root.pickable_objects}
        found = []
        for name, user, session in list_picks(root, run):
            if name in known:
                points = read_picks(root, run, name, user, session).points_xyz.tolist()
                found.append({"object": name, "user": user, "session": session, "points": points})
        return found

    def state(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return where an object stands."""
        return self._stand(self.desk(_text(asked, "object")))

    def act(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Write down what a person did, and return where the object stands then."""
        desk = self.desk(_text(asked, "object"))
        act = asked.get("act")
        if not isinstance(act, dict):
            raise InputError("act: expected what was done, found nothing")
        if "run" in act:
            self._inside(self._run(act), act.get("xyz"))
        desk.act(act)
        return self._stand(desk)

    def snap(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the centre of the particle that a click means."""
        run = self._run(asked)
        x, y, z = self._inside(run, asked.get("xyz"))
        return {"xyz": self.desk(_text(asked, "object")).snap(run, (x, y, z))}

    def search(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Search, and return the finds and what is expected of them."""
        desk = self.desk(_text(asked, "object"))
        desk.search()
        return self.finds(asked)

    def finds(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the finds of the last search, best first, and what is expected of them; sets a threshold if given."""
        desk = self.desk(_text(asked, "object"))
        with desk.lock:
            if desk.finds is None:
                return {"finds": [], "outlook": None, **self._stand(desk)}
            if "threshold" in asked:
                desk.threshold = None if asked["threshold"] is None else float(asked["threshold"])
            finds, promise = desk.finds, desk.promise()
            shown = slice(MOST_SHOWN)
            columns = finds.run[shown], finds.xyz[shown].round(2), finds.scores[shown], promise.probability[shown]
            return {
                "finds": [
                    {"run": run, "xyz": xyz, "score": round(score, 4), "probability": round(probability, 4)}
                    for run, xyz, score, probability in zip(*(each.tolist() for each in columns), strict=True)
                ],
                "outlook": desk.outlook(promise),
                **self._stand(desk),
            }

    def explore(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the map of particle-like places."""
        least = asked.get("min_members")
        return self.explorer.explore(None if least is None else int(least))

    def catch(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Make examples of places of the map, by their numbers, and return where the object stands then."""
        typical = self.explorer.typical(asked.get("places"))
        desk = self.desk(_text(asked, "object"))
        desk.take_examples(typical, float(asked["radius"]))
        return self._stand(desk)

    def accept(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Accept all finds from the threshold on that nobody has judged."""
        self.desk(_text(asked, "object")).accept()
        return self.finds(asked)

    def save(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Write the picks out."""
        desk = self.desk(_text(asked, "object"))
        with desk.lock:
            picks = desk.picks()
            return self.saver.save(desk.name, desk.journal.state.radius, picks, bool(asked.get("over_changes", False)))

    def train(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Start a training on the picks that are saved, and say how it stands."""
        self.trainer.start(self.desk(_text(asked, "object")).name)
        return self.training(asked)

    def training(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Say how a training stands."""
        return self.trainer.status(self.desk(_text(asked, "object")).name)

    def stop_training(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Have a training end, and say how it stands; it may take some seconds to end."""
        self.trainer.stop(self.desk(_text(asked, "object")).name)
        return self.training(asked)

    def trained_finds(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return what a trained picker finds, which takes the place of the finds of a search."""
        desk = self.desk(_text(asked, "object"))
        desk.show(self.trainer.finds(desk.name, desk.journal.state.radius))
        return self.finds(asked)

    def slice(self, request: Request) -> Response:
        """Draw a plane."""
        asked = dict(request.query_params)
        planes = self.shelf.planes(self._run(asked))
        image = planes.plane(_axis(asked), int(asked["place"]), int(asked.get("mean", "1")))
        return _picture(as_jpeg(image))

    def likeness(self, request: Request) -> Response:
        """Draw the likeness to the examples over a plane, as the last search of an object had it."""
        asked = dict(request.query_params)
        run, heat = self._run(asked), self.desk(_text(asked, "object")).heat
        if heat is None:
            raise InputError("likeness: expected a search, found none yet; search first")
        axis, place = _axis(asked), int(asked["place"])
        if not 0 <= place < self.searched.index.frame(run).shape[axis]:
            raise InputError(f"place: expected a plane of {run}, found {place}")
        return _picture(heat.plane(run, axis, place), "image/png")

    def crop(self, request: Request) -> Response:
        """Draw a place in three planes."""
        asked = request.query_params
        point = np.array([float(asked[axis]) for axis in "xyz"])
        radius = float(asked["radius"])
        if not np.isfinite(point).all() or not 10 <= radius <= 2000:
            raise InputError("crop: expected x, y, z and a radius of 10 to 2000 Å")
        return _picture(crop_strip(self.shelf.glance(self._run(dict(asked))), point, radius))

    def thumbnail(self, request: Request) -> Response:
        """Draw the middle of a run, small."""
        planes = self.shelf.glance(self._run(dict(request.query_params)))
        image = planes.plane(0, planes.tomogram.shape[0] // 2)
        step = max(1, min(image.shape) // THUMBNAIL)
        small = image[: image.shape[0] // step * step, : image.shape[1] // step * step]
        small = small.reshape(small.shape[0] // step, step, -1, step).mean((1, 3)).astype(np.uint8)
        return _picture(as_jpeg(stretched(small)))

    def _stand(self, desk: Desk) -> dict[str, Any]:
        state = desk.journal.state
        return {
            "object": desk.name,
            "version": desk.journal.version,
            "searches": desk.num_searches,
            "trained": desk.trained,
            "radius": state.radius,
            "structure": state.structure,
            "examples": [_point(each) for each in state.examples.values()],
            "negatives": [_point(each) for each in state.negatives.values()],
            "judged": [{**_point(each.point), "verdict": each.verdict} for each in state.judged.values()],
        }

    def _run(self, asked: dict[str, Any]) -> str:
        run = str(asked.get("run"))
        if run not in self.searched.runs:
            raise InputError(f"run: expected an indexed run, found '{run[:80]}'")
        return run

    def _inside(self, run: str, xyz: Any) -> tuple[float, float, float]:
        """Check that a point lies in its tomogram."""
        try:
            x, y, z = (float(value) for value in xyz)
        except (TypeError, ValueError) as error:
            raise InputError("xyz: expected three numbers in Å") from error
        _, shape, spacing = self.searched.index.frame(run)
        if not all(0 <= value <= (n - 1) * spacing for value, n in zip((z, y, x), shape, strict=True)):
            raise InputError(f"xyz: expected a point inside {run}, found {x:.0f}, {y:.0f}, {z:.0f} Å")
        return x, y, z

    def _known_radii(self) -> dict[str, float]:
        root = self.searched.root
        return {} if root is None else {e.name: float(e.radius) for e in root.pickable_objects if e.radius}


def _picture(content: bytes, kind: str = "image/jpeg") -> Response:
    # Not kept by the browser: another project may be served at this address next, with runs of the same names.
    return Response(content, media_type=kind, headers={"Cache-Control": "no-store"})


def _text(asked: dict[str, Any], key: str) -> str:
    value = asked.get(key)
    if not isinstance(value, str) or not value:
        raise InputError(f"{key}: expected a name, found none")
    return value


def _axis(asked: dict[str, Any]) -> int:
    """Return the axis, of z y x, that a plane lies across."""
    axis = asked.get("axis", "xy")
    if axis not in AXES:
        raise InputError(f"axis: expected one of {', '.join(AXES)}, found {axis[:80]}")
    return AXES[axis]


def _point(point: Any) -> dict[str, Any]:
    return {"number": point.number, "run": point.run, "xyz": point.xyz}
