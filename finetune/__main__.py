"""``python -m finetune train | predict | evaluate key=value ...``."""

from finetune import evaluate, predict, train
from finetune.settings import TrainConfig
from tomoseek.config import Command, dispatch

COMMANDS = {
    "train": Command("finetune_train", TrainConfig, train.run, "fit a decoder to labelled picks"),
    "predict": Command("finetune_predict", predict.PredictConfig, predict.run, "find particles, write copick picks"),
    "evaluate": Command("finetune_evaluate", evaluate.EvaluateConfig, evaluate.run, "score picks against a reference"),
}


def main() -> None:
    """Run the command named on the command line."""
    dispatch("finetune", COMMANDS)


if __name__ == "__main__":
    main()
