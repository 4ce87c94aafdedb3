"""What a query writes and says: of each object its picks, a picture and a record, and of several what is there."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embed.example_sources import ExamplePoints
from embed.examples import Examples
from embed.index import Index
from embed.judging_table import Outcome, describe
from embed.overview import Summary, as_table
from embed.promise import choose_cutoff
from embed.query_settings import QueryConfig
from embed.search import Found
from embed.searched import Searched
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_bytes, atomic_write_json, atomic_write_text
from tomoseek.messages import warn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from embed.structure.sources import Structure

PROMISES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # precisions for which the record names thresholds
OVERVIEW = "what_is_there"  # table and picture of several structures; no object may have such a name


@dataclass(frozen=True)
class Sources:
    """What an object is known by: examples and negatives by run, ``(k, 3)`` in Å; a structure and its renderings."""

    examples: ExamplePoints
    negatives: ExamplePoints
    structure: "Structure | None"
    rendered: Examples | None

    def __str__(self) -> str:
        num_clicks = sum(map(len, self.examples.values()))
        told = [f"{num_clicks} examples"] if num_clicks else []
        told += [f"{len(self.rendered.vectors)} renderings of a structure"] if self.rendered else []
        return " and ".join(told)


def write_answer(
    config: QueryConfig, searched: Searched, found: Found, sources: Sources, given_up: Counter[str],
    alike: Mapping[str, float], strength: float | None, judged: Outcome | None, seconds: float,
) -> None:  # fmt: skip
    """Write the picks of one object as tables and as a picture, and what was done; say it in a line.

    Parameters
    ----------
    sources
        What it was known by.
    given_up
        How many picks went to which other object.
    alike
        Likeness to the other objects.
    strength
        Of renderings.
    judged
        What judgements say of it, if there are any.
    seconds
        That the search took.
    """
    out_dir, name = Path(config.out_dir), found.name
    found.picks.to_csv(out_dir / f"{name}.csv")
    found.picks.to_star(out_dir / f"{name}.star")
    record = {
        "name": name,
        "radius_angstrom": found.radius,
        "examples_xyz": {key: value.tolist() for key, value in sources.examples.items()},
        "negatives_xyz": {key: value.tolist() for key, value in sources.negatives.items()},
        **_record(config, searched.index, found),
        "structure": sources.structure.source if sources.structure else None,
        "num_renderings": len(sources.rendered.vectors) if sources.rendered else 0,
        "strength": strength,
        "looks_like": alike,
        "judged": None if judged is None else asdict(judged),
        "num_picks": {key: len(picks) for key, picks in found.by_run.items()},
        "num_given_up": dict(given_up),
        "seconds": round(seconds, 3),
    }
    atomic_write_json(out_dir / f"{name}.json", record)
    _report(config, name, found, str(sources), given_up.total(), seconds)
    if judged is not None:
        print(f"   {describe(judged)}: {config.judged}")
    if config.picture:
        from embed.picture import search_figure

        _draw(out_dir / f"{name}.png", lambda: search_figure(found, sources.examples, searched.tomogram))


def write_overview(
    config: QueryConfig, searched: Searched, found: Mapping[str, Found], structures: Mapping[str, "Structure"],
    summaries: list[Summary],
) -> None:  # fmt: skip
    """Say which of several structures are there, in a table and a picture, the surest first."""
    from embed.picture import overview_figure

    out_dir, table = Path(config.out_dir), as_table(summaries)
    atomic_write_text(out_dir / f"{OVERVIEW}.csv", table.to_csv(index=False))
    print(table.fillna("").to_string(index=False))
    if config.picture:
        spacing = searched.index.entries[searched.runs[0]].voxel_spacing
        looks = {name: each.density(spacing).sum(0).numpy() for name, each in structures.items()}
        _draw(out_dir / f"{OVERVIEW}.png", lambda: overview_figure(summaries, found, looks, searched.tomogram))


def _record(config: QueryConfig, index: Index, found: Found) -> dict[str, Any]:
    """Describe the search for one object well enough to repeat it, and what is expected of its picks."""
    promised = found.probability is not None
    return {
        "threshold": found.cutoff.threshold,
        "threshold_is_given": config.threshold is not None,
        "expected_precision": found.cutoff.precision,
        "expected_recall": found.cutoff.recall,
        "nothing_promised_because": list(found.doubts),
        "ranked_by": "density" if found.ranked_by_density else "likeness",
        "choices": [asdict(choose_cutoff(*found.ranked, precision)) for precision in PROMISES] if promised else [],
        "leave_one_out_scores": found.leave_one_out.tolist(),
        "least_particle_logit": None if config.particle_margin is None else found.least_logit,
        "recentre_angstrom": config.recentre,
        "rival_weight": config.rival_weight,
        "num_rivals": len(found.prototype.rivals),
        "index": str(index.folder),
        "fingerprint": index.header.fingerprint,
        "picks": {"user_id": config.picks.user_id, "session_id": config.picks.session_id},
    }


def _report(config: QueryConfig, name: str, found: Found, sources: str, num_given_up: int, seconds: float) -> None:
    """Say in one line what was found of one object."""
    cutoff, picks = found.cutoff, found.picks
    expected = "nothing is promised"
    if cutoff.precision is not None:
        if config.precision is not None and config.threshold is None and cutoff.precision < config.precision:
            warn(
                f"no threshold promises precision {config.precision:g}; the best promises {cutoff.precision:.2f}. "
                "Give more examples, or look at the picks"
            )
        wrong = (1 - cutoff.precision) * picks.num_picks / max(len(picks), 1)
        expected = (
            f"expected precision {cutoff.precision:.2f}, recall {cutoff.recall:.2f}, {wrong:.1f} false picks per run"
        )
    owner = (
        f"copick user {config.picks.user_id}, session {config.picks.session_id}, and " if config.data.project else ""
    )
    print(
        f"{name}: {picks.num_picks} picks in {len(picks)} runs from {sources}, score >= "
        f"{cutoff.threshold:.3f}; {expected}; "
        f"{f'{num_given_up} places given up to other objects; ' if num_given_up else ''}{owner}"
        f"{Path(config.out_dir) / name}.csv; {seconds:.1f} s"
    )


def _draw(path: Path, figure: "Callable[[], Figure]") -> None:
    """Draw a picture, if what was embedded is still there to be drawn."""
    from tomoseek.plots import to_png

    try:
        picture = to_png(figure())
    except (InputError, FileNotFoundError) as error:  # the finds are there, and what was embedded may be gone
        warn(f"{path} was not drawn: {error}")
        return
    atomic_write_bytes(path, picture)
    print(f"drew {path}")
