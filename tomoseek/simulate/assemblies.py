"""Procedural assemblies: complexes that exist nowhere, in any number, to learn from."""

import math

import torch
from torch import Tensor

from tomoseek.simulate.domains import CUBIC_ANGSTROM_PER_KDA, Domains, rasterise
from tomoseek.simulate.symmetry import point_group, random_rotations

GROUPS = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "D2", "D3", "D4", "D5", "D6", "D7", "T", "O", "I")
MAX_RADIUS_ANGSTROM = 180.0


def random_assembly(
    generator: torch.Generator | int,
    voxel_spacing: float,
    mass_kda: tuple[float, float] = (150.0, 4000.0),
    groups: tuple[str, ...] = GROUPS,
) -> Tensor:
    """Invent one complex: a random point group over a subunit of one to eight ellipsoidal domains.

    Parameters
    ----------
    generator
        Source of randomness, or a seed.
    voxel_spacing
        Å.
    mass_kda
        Lightest and heaviest; drawn evenly in the logarithm.
    groups
        Point groups to draw from.

    Returns
    -------
    Tensor
        ``(n, n, n)`` float32, z y x, n odd, the centre of mass at the central voxel; protein 1, ice 0.
    """
    if isinstance(generator, int):
        generator = torch.Generator().manual_seed(generator)
    while True:
        mass = math.exp(_uniform(math.log(mass_kda[0]), math.log(mass_kda[1]), generator))
        rotations = point_group(groups[int(torch.randint(len(groups), (), generator=generator))])
        # Chains under 12 kDa are peptides, not subunits.
        if mass / len(rotations) < 12.0 and len(groups) > 1:
            continue
        domains = _subunit(mass / len(rotations), generator)
        domains = _placed(domains, rotations, generator).repeated(rotations)
        extent = (domains.centres_xyz.norm(dim=1) + domains.semi_axes.amax(1)).max()
        if float(extent) <= MAX_RADIUS_ANGSTROM:
            return rasterise(domains, voxel_spacing)


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _subunit(mass_kda: float, generator: torch.Generator) -> Domains:
    """Chain one to eight ellipsoids that touch, of random shares of the mass, shapes and directions."""
    # A domain is rarely below 8 kDa, so that light subunits are single.
    most = max(1, min(8, int(mass_kda / 8)))
    least = 2 if mass_kda > 150 else 1  # so heavy a chain is never one smooth blob
    count = int(torch.randint(min(least, most), most + 1, (), generator=generator))
    share = 0.4 + torch.rand(count, generator=generator)
    volume = share / share.sum() * mass_kda * CUBIC_ANGSTROM_PER_KDA  # (n,)
    ratio = torch.exp(0.3 * torch.randn(count, 3, generator=generator))
    ratio = ratio / ratio.log().mean(1, keepdim=True).exp()
    radius = (volume * 3 / (4 * math.pi)) ** (1 / 3)
    direction = random_rotations(count, generator)[:, 0]
    centres = [torch.zeros(3)]
    for index in range(1, count):
        parent = int(torch.randint(index, (), generator=generator))
        centres.append(centres[parent] + 0.85 * (radius[parent] + radius[index]) * direction[index])
    centres_xyz = torch.stack(centres)
    centres_xyz = centres_xyz - (centres_xyz * volume[:, None]).sum(0) / volume.sum()
    frames = random_rotations(count, generator)
    return Domains(centres_xyz, radius[:, None] * ratio, frames, torch.ones(count))


def _placed(subunit: Domains, rotations: Tensor, generator: torch.Generator) -> Domains:
    """Move the subunit out from the axes until it touches its symmetric copies without sinking into them."""
    if len(rotations) == 1:
        return subunit
    directions = random_rotations(8, generator)[:, 0]  # (d, 3)
    turned = torch.einsum("mij,dj->dmi", rotations[1:], directions)
    spread = (turned - directions[:, None]).norm(dim=2).amin(1)  # (d,)
    # A direction near an axis would push copies far out before they clear each other.
    direction = directions[int(spread.argmax())]
    radius = subunit.semi_axes.log().mean(1).exp()
    contact = _uniform(0.75, 0.95, generator) * (radius[:, None] + radius)  # (n, n)
    low, high = 0.0, 2 * MAX_RADIUS_ANGSTROM
    for _ in range(12):
        middle = (low + high) / 2
        centres = subunit.centres_xyz + middle * direction
        copies = torch.einsum("mij,nj->mni", rotations[1:], centres)
        gap = torch.cdist(centres[None], copies) - contact  # (m, n, n)
        low, high = (low, middle) if bool((gap > 0).all()) else (middle, high)
    return Domains(subunit.centres_xyz + high * direction, subunit.semi_axes, subunit.frames, subunit.density)
