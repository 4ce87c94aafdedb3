"""``accelerate launch -m pretrain stage=masked|metric key=value ...``."""

from tomoseek.config import Command, launch

if __name__ == "__main__":
    launch(Command("pretrain", "pretrain.loop", "learn an encoder from tomograms"))
