"""``python -m finetune train | predict | evaluate | tune key=value ...``."""

from tomoseek.command_line import Command, dispatch

COMMANDS = {
    "train": Command("finetune_train", "finetune.train", "fit a decoder to labelled picks"),
    "predict": Command("finetune_predict", "finetune.predict", "find particles, write copick picks"),
    "evaluate": Command("finetune_evaluate", "finetune.evaluate", "score picks against a reference"),
    "tune": Command("finetune_tune", "finetune.tune", "search for better settings of train"),
}


def main() -> None:
    """Run the command named on the command line."""
    dispatch("finetune", COMMANDS)


if __name__ == "__main__":
    main()
