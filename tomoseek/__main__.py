"""``python -m tomoseek demo | simulate | doctor | import | export key=value ...``."""

from tomoseek.command_line import Command, dispatch

COMMANDS = {
    "demo": Command("demo", "tomoseek.demo.command", "the whole pipeline on simulated tomograms, with a report"),
    "simulate": Command("simulate", "tomoseek.simulate.command", "make tomograms with known particles"),
    "doctor": Command("doctor", "tomoseek.doctor.command", "check the machine and your data before you start"),
    "import": Command("import", "tomoseek.exchange.import_command", "make a copick project of your files"),
    "export": Command("export", "tomoseek.exchange.export_command", "write picks for other programs"),
}


def main() -> None:
    """Run the command named on the command line."""
    dispatch("tomoseek", COMMANDS)


if __name__ == "__main__":
    main()
