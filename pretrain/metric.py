"""Metric learning: particles of one class together, other classes, background and off-centre points apart.

Shapes: b crops, m points of a crop, c channels, e embedding width, z y x cells.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from pretrain.config import MetricConfig
from pretrain.masked import MaskedAutoencoder
from tomoseek.network.encoder import Encoder
from tomoseek.network.strides import EMBEDDING_STRIDE

# Labels of points that are no particle, of a particle of no class, and of no point.
BACKGROUND, UNNAMED, PADDING = -1, -2, -3


def sample_features(features: Tensor, points_zyx: Tensor) -> Tensor:
    """Interpolate stride-4 features at voxel positions.

    Parameters
    ----------
    features
        ``(b, c, z, y, x)``.
    points_zyx
        ``(b, m, 3)`` voxel coordinates in the crop.

    Returns
    -------
    Tensor
        ``(b, m, c)`` in float32.
    """
    size = torch.tensor(features.shape[2:], device=features.device)
    cells = (points_zyx - (EMBEDDING_STRIDE - 1) / 2) / EMBEDDING_STRIDE
    unit = (2 * cells + 1) / size - 1
    grid = rearrange(unit.flip(-1), "b m c -> b m 1 1 c")  # grid_sample wants x y z
    sampled = functional.grid_sample(features.float(), grid.float(), align_corners=False, padding_mode="border")
    return rearrange(sampled, "b c m 1 1 -> b m c")


def supervised_contrastive(embedding: Tensor, label: Tensor, temperature: float) -> Tensor:
    """Mean over anchors of the mean over their positives of -log softmax similarity.

    Parameters
    ----------
    embedding
        ``(m, e)`` unit vectors.
    label
        ``(m,)`` class of each; below 0 = of no class: a negative for all, never an anchor.

    References
    ----------
    Khosla et al., Supervised contrastive learning, 2020, equation 2.
    """
    itself = torch.eye(len(label), dtype=torch.bool, device=label.device)
    similarity = (embedding @ embedding.T / temperature).masked_fill(itself, float("-inf"))
    log_share = similarity - similarity.logsumexp(dim=1, keepdim=True)
    positive = (label[:, None] == label[None]) & (label >= 0)[:, None] & ~itself
    num_positive = positive.sum(1)
    anchors = num_positive > 0
    if not anchors.any():
        return embedding.sum() * 0.0
    total = log_share.masked_fill(~positive, 0.0).sum(1)
    return -(total[anchors] / num_positive[anchors]).mean()


class MetricLearner(nn.Module):
    """An encoder and the losses that shape its embedding and its particle score.

    Parameters
    ----------
    encoder
        Is trained.
    config
        Weights of the losses.
    masked
        Rebuilds hidden parts of the same crops, beside; it holds the same encoder. None: not done.
    """

    def __init__(self, encoder: Encoder, config: MetricConfig, masked: MaskedAutoencoder | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.config = config
        self.masked = masked

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Parameters
        ----------
        batch
            ``input`` ``(b, z, y, x)``; ``points`` ``(b, m, 3)`` voxel z y x; ``label`` ``(b, m)``: class of a
            particle, `UNNAMED` for one of no class, `BACKGROUND` for background and off-centre points, `PADDING` for
            no point. Where hidden parts are rebuilt, what `MaskedAutoencoder` wants as well.
        """
        fused = self.encoder(batch["input"][:, None]).stride4
        kept = batch["label"] > PADDING  # b m
        label = batch["label"][kept]
        sampled = sample_features(fused, batch["points"])[kept]
        embedding, logit = self.encoder.heads(sampled[:, :, None, None, None])
        embedding, logit = embedding.flatten(1), logit.flatten()
        contrastive = supervised_contrastive(embedding, label, self.config.temperature)
        particle = functional.binary_cross_entropy_with_logits(logit, (label != BACKGROUND).float())
        with torch.no_grad():
            similarity = (embedding @ embedding.T).fill_diagonal_(-2)
            nearest = label[similarity.argmax(1)]
            recalled = (nearest == label)[label >= 0].float().mean()
        losses = {"contrastive": contrastive, "particle": particle, "nearest_is_same": recalled}
        loss = contrastive + self.config.particle_weight * particle
        if self.masked is not None:
            rebuilt = self.masked(batch)
            loss = loss + self.config.masked_weight * rebuilt.pop("loss")
            losses |= rebuilt
        return {"loss": loss, **losses}
