"""``accelerate launch -m pretrain stage=masked|metric key=value ...``."""

from pretrain.config import PretrainConfig
from pretrain.loop import run
from tomoseek.config import launch

if __name__ == "__main__":
    launch("pretrain", PretrainConfig, run)
