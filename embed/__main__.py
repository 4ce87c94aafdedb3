"""``python -m embed build | explore | query | evaluate key=value ...``."""

from embed import build, evaluate, explore, query
from tomoseek.config import Command, dispatch

COMMANDS = {
    "build": Command("embed_build", build.BuildConfig, build.run, "embed tomograms into a searchable index"),
    "explore": Command(
        "embed_explore", explore.ExploreConfig, explore.run, "group what is there by likeness, without any example"
    ),
    "query": Command("embed_query", query.QueryConfig, query.run, "find more particles like a few examples"),
    "evaluate": Command(
        "embed_evaluate", evaluate.EvaluateConfig, evaluate.run, "score found picks against a reference"
    ),
}


def main() -> None:
    """Run the command named on the command line."""
    dispatch("embed", COMMANDS)


if __name__ == "__main__":
    main()
