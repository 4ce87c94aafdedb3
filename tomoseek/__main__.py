"""``python -m tomoseek demo | simulate | doctor key=value ...``."""

from tomoseek.command_line import Command, dispatch

COMMANDS = {
    "demo": Command("demo", "tomoseek.demo.command", "the whole pipeline on simulated tomograms, with a report"),
    "simulate": Command("simulate", "tomoseek.simulate.command", "make tomograms with known particles"),
    "doctor": Command("doctor", "tomoseek.doctor.command", "check the machine and your data before you start"),
}


def main() -> None:
    """Run the command named on the command line."""
    dispatch("tomoseek", COMMANDS)


if __name__ == "__main__":
    main()
