"""Metric learning: particles of one class together, other classes, background and off-centre points apart.

Shapes: b crops, m points of a crop, c channels, e embedding width, z y x cells.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from pretrain.config import MetricConfig
from tomoseek.network.encoder import Encoder
from tomoseek.network.strides import EMBEDDING_STRIDE

BACKGROUND, PADDING = -1, -2  # labels of points that are no particle, and of no point


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
        ``(m,)`` class of each; -1 = no particle: a negative for all, never an anchor.

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
    """An encoder and the losses that shape its embedding and its particle score."""

    def __init__(self, encoder: Encoder, config: MetricConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.config = config

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Parameters
        ----------
        batch
            ``input`` ``(b, z, y, x)``; ``points`` ``(b, m, 3)`` voxel z y x; ``label`` ``(b, m)``: class of a
            particle, `BACKGROUND` for background and off-centre points, `PADDING` for no point.
        """
        fused = self.encoder(batch["input"][:, None]).stride4
        kept = batch["label"] > PADDING  # b m
        label = batch["label"][kept]
        sampled = sample_features(fused, batch["points"])[kept]
        embedding, logit = self.encoder.heads(sampled[:, :, None, None, None])
        embedding, logit = embedding.flatten(1), logit.flatten()
        contrastive = supervised_contrastive(embedding, label, self.config.temperature)
        particle = functional.binary_cross_entropy_with_logits(logit, (label >= 0).float())
        with torch.no_grad():
            similarity = (embedding @ embedding.T).fill_diagonal_(-2)
            nearest = label[similarity.argmax(1)]
            recalled = (nearest == label)[label >= 0].float().mean()
        loss = contrastive + self.config.particle_weight * particle
        return {"loss": loss, "contrastive": contrastive, "particle": particle, "nearest_is_same": recalled}
