"""The built-in complexes, modelled from published facts: symmetry, subunits, dimensions, mass.

Nothing is downloaded: each model is a handful of ellipsoidal domains of known mass, repeated by the complex's
point group, at the published dimensions. They stand in for the real maps at 10 Å voxels; they are not them.
"""

import math
from collections.abc import Callable

from torch import Tensor

from tomoseek.errors import InputError
from tomoseek.simulate.domains import Domains, domain, rasterise
from tomoseek.simulate.symmetry import GOLDEN, point_group

# Isolated-atom potentials above ice: RNA 4.7 V, protein 3.6 V.
RNA = 1.3


def _apo_ferritin() -> Domains:
    """24 four-helix bundles of 20 kDa, point group O; shell of outer 120 and inner 80 Å (PDB 4v1w, 6pxm)."""
    # Vertices of the snub cube: the even spread of 24 points that O allows.
    tribonacci = 1.8392868
    norm = math.sqrt(1 + tribonacci**-2 + tribonacci**2)
    x, y, z = (50 * c / norm for c in (1.0, 1 / tribonacci, tribonacci))
    return domain(20, (x, y, z), (0.6, 1.3, 1.3), radial=True).repeated(point_group("O"))


def _beta_amylase() -> Domains:
    """Sweet potato: homotetramer of 56 kDa barrels, D2, about 120 Å across (PDB 1fa2, 224 kDa)."""
    barrel = domain(44, (27, 21, 11), (1.1, 0.9, 1.0))
    loops = domain(12, (33, 6, 29))
    return (barrel + loops).repeated(point_group("D2"))


def _beta_galactosidase() -> Domains:
    """E. coli: four five-domain chains of 116 kDa, D2, 175 x 135 x 90 Å (PDB 6x1q, 1f4a; Jacobson 1994)."""
    chain = (
        domain(26, (64, 14, 14), (1.2, 1, 0.9))  # 1, jelly roll, at the far ends
        + domain(12, (44, 36, 16))  # 2, immunoglobulin fold
        + domain(34, (30, 22, -8), (1.1, 1.1, 0.9))  # 3, the catalytic TIM barrel
        + domain(12, (18, 48, -10))  # 4, immunoglobulin fold
        + domain(32, (14, 30, 22), (1.2, 1, 0.9))  # 5, beta sandwich
    )
    return chain.repeated(point_group("D2"))


def _ribosome() -> Domains:
    """80S, 4.3 MDa, half of it RNA, no symmetry, 250 to 300 Å (PDB 6ek0, 6qzp).

    The 60S is a half dome with central protuberance and two stalks; the 40S a body, a platform and a head
    across a cleft; tRNAs and the factor site leave the space between them half empty.
    """
    large = (
        domain(200, (-30, 0, 0), density=RNA)
        + domain(200, (-28, 52, -2), density=RNA)
        + domain(200, (-28, -52, -2), density=RNA)
        + domain(200, (-34, 0, -58), density=RNA)
        + domain(200, (-34, 30, 52), density=RNA)
        + domain(200, (-34, -32, 50), density=RNA)
        + domain(150, (-42, -48, -70), density=RNA)
        + domain(150, (-42, 52, -66), density=RNA)
        + domain(200, (-80, 0, 6), density=RNA)
        + domain(200, (-80, 46, -32), density=RNA)
        + domain(200, (-80, -44, -34))
        + domain(200, (-76, 40, 40))
        + domain(180, (-84, 0, -74))
        + domain(150, (-32, 0, 96), (1, 1.2, 1))  # central protuberance
        + domain(95, (-30, -100, 34), (0.8, 1.7, 0.8))  # L1 stalk
        + domain(75, (-22, 102, 30), (0.7, 1.8, 0.7))  # P stalk
    )
    small = (
        domain(330, (46, 4, -34), (0.85, 0.9, 1.3), density=RNA)  # body
        + domain(220, (48, 26, -84), density=RNA)
        + domain(200, (38, -48, 0), (0.9, 1.1, 0.8), density=RNA)  # platform
        + domain(260, (52, 0, 62), (0.9, 1.1, 0.9), density=RNA)  # head
        + domain(120, (50, 38, 82))
        + domain(110, (54, 50, 6))  # shoulder
        + domain(60, (58, -8, -128))  # foot: expansion segments
        + domain(50, (54, 72, 96), (1, 1.4, 0.8))  # beak
    )
    trnas = domain(26, (8, -16, 30), (0.7, 0.7, 1.5), density=RNA) + domain(26, (10, 16, 26), density=RNA)
    return large + small + trnas


def _thyroglobulin() -> Domains:
    """Dimer of 330 kDa chains, C2, about 250 x 150 x 110 Å, a butterfly down its axis (PDB 6scj, 7n4y)."""
    chain = (
        domain(62, (90, 24, 20), (1.3, 1, 0.8))  # arm
        + domain(96, (42, 6, 10), (1.2, 0.9, 0.95))  # core
        + domain(56, (14, -26, 30), (1, 1.2, 0.8))  # N-terminal domain
        + domain(48, (66, 46, -10), (1, 1.2, 0.8))  # flap
        + domain(68, (20, 14, -30), (1, 1.1, 0.9))  # cholinesterase-like domain, at the dimer axis
    )
    return chain.repeated(point_group("C2"))


def _virus_like_particle() -> Domains:
    """PP7: 180 coat proteins of 14 kDa as 90 dimers, T=3 shell, 290 Å across, empty (PDB 6n4v, 8tux)."""
    shell_radius = 132.0
    # 30 dimers sit on the two-fold axes, 60 half-way between a five-fold and a three-fold axis.
    five, three = (0.0, 1.0, GOLDEN), (1.0, 1.0, 1.0)
    five_norm, three_norm = math.hypot(*five), math.hypot(*three)
    midway = [a / five_norm + b / three_norm for a, b in zip(five, three, strict=True)]
    norm = math.hypot(*midway)
    x, y, z = (shell_radius * c / norm for c in midway)
    group = point_group("I")
    disc = (0.55, 1.35, 1.35)
    on_axis = domain(14, (0, 0, shell_radius), disc, radial=True)  # the 60 rotations take it twice to each axis
    between = domain(28, (x, y, z), disc, radial=True)
    return on_axis.repeated(group) + between.repeated(group)


def _proteasome() -> Domains:
    """20S: four rings of seven 25 kDa subunits, D7, a hollow cylinder 113 x 150 Å (PDB 1pma, 3ipm)."""
    ratio = (1.1, 0.9, 1.02)
    inner = domain(25, (36 * math.cos(0.2), 36 * math.sin(0.2), 18), ratio)
    outer = domain(25, (36 * math.cos(0.4), 36 * math.sin(0.4), 55), ratio)
    return (inner + outer).repeated(point_group("D7"))


_MODELS: dict[str, Callable[[], Domains]] = {
    "apo-ferritin": _apo_ferritin,
    "beta-amylase": _beta_amylase,
    "beta-galactosidase": _beta_galactosidase,
    "ribosome": _ribosome,
    "thyroglobulin": _thyroglobulin,
    "virus-like-particle": _virus_like_particle,
    "proteasome": _proteasome,
}
BUILTIN: tuple[str, ...] = tuple(_MODELS)


def builtin_density(name: str, voxel_spacing: float) -> Tensor:
    """Return the built-in model of a complex.

    Parameters
    ----------
    name
        One of ``BUILTIN``.
    voxel_spacing
        Å.

    Returns
    -------
    Tensor
        ``(n, n, n)`` float32, z y x, n odd, the centre of mass at the central voxel; protein 1, ice 0.

    Raises
    ------
    InputError
        If there is no built-in model of that name.
    """
    if name not in _MODELS:
        raise InputError(
            f"expected a built-in complex ({', '.join(BUILTIN)}), found '{name}': give a map of it, with "
            "maps or maps_folder"
        )
    return rasterise(_MODELS[name](), voxel_spacing)
