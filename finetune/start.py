"""What a training starts from: a fresh decoder on an encoder, or a picker trained before."""

import torch

from finetune.checkpoint import Description, load_checkpoint
from finetune.decoder import Decoder, Picker
from finetune.settings import TrainConfig
from finetune.unfreeze import Unfreeze, freeze
from tomoseek.network.weights import load_encoder

HEAD = ("head.weight", "head.bias")  # of the decoder: a row for each class


def starting_picker(config: TrainConfig, classes: list[str]) -> tuple[Picker, Description | None]:
    """Return what is trained: a picker trained before, and its description, or a fresh decoder on an encoder."""
    if config.checkpoint is not None:
        return trained_picker(config.checkpoint, config.unfreeze, classes, config.seed)
    channels = config.decoder_channels
    return fresh_picker(config.encoder, config.unfreeze, len(classes), channels, config.seed), None


def fresh_picker(encoder: str, unfreeze: Unfreeze, num_classes: int, decoder_channels: list[int], seed: int) -> Picker:
    """Load the encoder, freeze what shall not learn, and put a fresh decoder on it, drawn from the seed."""
    loaded = load_encoder(encoder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        decoder = Decoder(loaded.config, num_classes, decoder_channels)
    freeze(loaded, unfreeze)
    return Picker(loaded, decoder, unfreeze is Unfreeze.none)


def trained_picker(source: str, unfreeze: Unfreeze, classes: list[str], seed: int) -> tuple[Picker, Description]:
    """Take up a picker to train it further, for the same classes or others.

    Classes that it knows by name keep their heatmap; others start from one drawn from the seed, on the same features.

    Parameters
    ----------
    source
        A folder that ``finetune train`` wrote, or ``shipped``.
    unfreeze
        Which part of its encoder learns.
    classes
        To be picked, in the order of the new heatmaps.
    seed
        Of what is drawn.

    Returns
    -------
    tuple
        The picker, and the description of the one it comes from.

    Raises
    ------
    InputError
        If the files are missing or damaged.
    """
    trained, description = load_checkpoint(source, torch.device("cpu"))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        decoder = Decoder(trained.encoder.config, len(classes), description.decoder_channels)
    known, weights, fresh = list(description.radii), trained.decoder.state_dict(), decoder.state_dict()
    for key in HEAD:
        rows = [weights[key][known.index(name)] if name in known else fresh[key][k] for k, name in enumerate(classes)]
        weights[key] = torch.stack(rows)
    decoder.load_state_dict(weights)
    freeze(trained.encoder, unfreeze)
    return Picker(trained.encoder, decoder, unfreeze is Unfreeze.none), description
