"""Vision transformer over 3D tokens: rotary positions, qk-norm, layer scale, registers.

Shapes: b samples, n tokens, d width, h head width, z y x cells.
"""

import torch
from einops import repeat
from timm.models.eva import EvaBlock
from torch import Tensor, nn
from torch.nn import LayerNorm

MOST_WRITTEN_OUT = 5000  # tokens; a tile of 128³ has 4,100


def token_grid(shape_zyx: tuple[int, int, int], device: torch.device) -> Tensor:
    """Return the ``(n, 3)`` z y x coordinates of the cells of a grid, in C order."""
    axes = [torch.arange(size, device=device, dtype=torch.float32) for size in shape_zyx]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


def rotary_table(positions: Tensor, head_width: int, longest: float = 100.0) -> Tensor:
    """Sines and cosines that rotate query and key pairs by their 3D position.

    A third of the pairs turns with each axis, at wavelengths from 2 pi to 2 pi ``longest`` tokens. Only
    differences of positions matter to attention, so crops of any size and place share one set of weights.

    Parameters
    ----------
    positions
        ``(..., n, 3)`` token coordinates, in tokens.
    head_width
        Width of one attention head, a multiple of 6.

    Returns
    -------
    Tensor
        ``(..., n, 2 * head_width)``: sines, then cosines, as timm's ``apply_rot_embed_cat`` reads them in the
        half-rotated layout.

    References
    ----------
    Su et al., RoFormer, 2021; Heo et al., Rotary position embedding for vision transformer, 2024 (axial form).
    """
    num_bands = head_width // 6
    exponent = torch.arange(num_bands, device=positions.device) / num_bands
    frequencies = longest**-exponent
    angles = positions[..., None] * frequencies  # ... n 3 bands
    angles = angles.flatten(-2)  # ... n head_width/2
    angles = torch.cat([angles, angles], dim=-1)  # ... n head_width
    return torch.cat([angles.sin(), angles.cos()], dim=-1)  # ... n 2*head_width


class Transformer(nn.Module):
    """Pre-norm blocks (timm's ``EvaBlock``) with register tokens.

    Parameters
    ----------
    width
        Token width.
    depth
        Number of blocks; 0 leaves the tokens as they are.
    num_heads
        Attention heads; ``width / num_heads`` must be a multiple of 6.
    num_registers
        Learned tokens that see and are seen by all, and are dropped at the end.

    References
    ----------
    Darcet et al., Vision transformers need registers, 2023; Touvron et al., CaiT (layer scale), 2021.
    """

    def __init__(self, width: int, depth: int, num_heads: int, num_registers: int, layer_scale: float = 0.1) -> None:
        super().__init__()
        self.head_width = width // num_heads
        self.num_registers = num_registers
        self.registers = nn.Parameter(torch.randn(num_registers, width) * 0.02)
        self.blocks = nn.ModuleList(
            EvaBlock(
                width, num_heads, qk_norm=True, num_prefix_tokens=num_registers, init_values=layer_scale,
                norm_layer=LayerNorm, rotate_half=True,
            )
            for _ in range(depth)
        )  # fmt: skip
        self.norm = LayerNorm(width) if depth else nn.Identity()

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Map ``(b, n, d)`` tokens at ``(n, 3)`` or ``(b, n, 3)`` positions to ``(b, n, d)``."""
        if not len(self.blocks):
            return tokens
        rotary = rotary_table(positions, self.head_width)
        if rotary.ndim == 3:
            rotary = rotary[:, None]  # b 1 n 2h
        registers = repeat(self.registers, "r d -> b r d", b=len(tokens)).to(tokens.dtype)
        x = torch.cat([registers, tokens], dim=1)  # b r+n d
        # On CPUs the written-out product takes a third of the time of the fused kernel, and n x n numbers a head.
        fused = x.device.type != "cpu" or x.shape[1] > MOST_WRITTEN_OUT
        for block in self.blocks:
            block.attn.fused_attn = fused  # type: ignore[union-attr]
            x = block(x, rope=rotary)
        return self.norm(x[:, self.num_registers :])  # type: ignore[no-any-return]
