"""``python -m embed build | query | browse | explore | calibrate key=value ...``."""

from tomoseek.command_line import Command, dispatch

COMMANDS = {
    "build": Command("embed_build", "embed.build", "embed tomograms into a searchable index"),
    "explore": Command("embed_explore", "embed.explore", "group what is there by likeness, without any example"),
    "calibrate": Command("embed_calibrate", "embed.calibrate", "measure what searches with an encoder may promise"),
    "browse": Command("embed_browse", "embed.browse.command", "look, click, search and judge, in a browser"),
    "query": Command("embed_query", "embed.query", "find more particles like a few examples"),
}


def main() -> None:
    """Run the command named on the command line."""
    dispatch("embed", COMMANDS)


if __name__ == "__main__":
    main()
