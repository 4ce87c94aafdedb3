"""``python -m tomoseek demo | simulate | doctor key=value ...``."""

from tomoseek import demo, doctor
from tomoseek.config import Command, dispatch
from tomoseek.demo_plan import DemoConfig
from tomoseek.simulate import command as simulate

COMMANDS = {
    "demo": Command("demo", DemoConfig, demo.run, "the whole pipeline on simulated tomograms, with a report"),
    "simulate": Command("simulate", simulate.SimulateConfig, simulate.run, "make tomograms with known particles"),
    "doctor": Command("doctor", doctor.DoctorConfig, doctor.run, "check the machine and your data before you start"),
}


def main() -> None:
    """Run the command named on the command line."""
    dispatch("tomoseek", COMMANDS)


if __name__ == "__main__":
    main()
