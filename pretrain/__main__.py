"""``accelerate launch -m pretrain stage=masked|metric key=value ...``."""

from tomoseek.command_line import Command, launch

if __name__ == "__main__":
    launch(Command("pretrain", "pretrain.loop", "learn an encoder from tomograms"))
