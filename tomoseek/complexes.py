"""The complexes tomoseek knows by name: the six of the CZII challenge and one more to search for.

References
----------
CZII CryoET Object Identification, data and evaluation pages: names, radii, weights and PDB entries of the
six.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Complex:
    """A macromolecular complex as a class to pick.

    Parameters
    ----------
    name
        Copick object name: lower case, hyphens.
    radius_angstrom
        Particle radius; a pick counts within half of it.
    weight
        Weight of the class in the challenge's mean F-beta.
    pdb
        PDB entry of the structure, empty when there is none.
    mass_kda
        Mass of the whole assembly, 0 when unknown.
    color
        Red, green, blue, alpha, 0 to 255.
    """

    name: str
    radius_angstrom: float
    weight: float = 1.0
    pdb: str = ""
    mass_kda: float = 0.0
    color: tuple[int, int, int, int] = (100, 100, 100, 255)


_KNOWN = (
    Complex(
        name="apo-ferritin",
        radius_angstrom=60.0,
        weight=1.0,
        pdb="4v1w",
        mass_kda=480.0,
        color=(0, 117, 220, 255),
    ),
    Complex(
        name="beta-amylase",
        radius_angstrom=65.0,
        weight=0.0,
        pdb="1fa2",
        mass_kda=224.0,
        color=(153, 63, 0, 255),
    ),
    Complex(
        name="beta-galactosidase",
        radius_angstrom=90.0,
        weight=2.0,
        pdb="6x1q",
        mass_kda=466.0,
        color=(76, 0, 92, 255),
    ),
    Complex(
        name="ribosome",
        radius_angstrom=150.0,
        weight=1.0,
        pdb="6ek0",
        mass_kda=4300.0,
        color=(0, 92, 49, 255),
    ),
    Complex(
        name="thyroglobulin",
        radius_angstrom=130.0,
        weight=2.0,
        pdb="6scj",
        mass_kda=660.0,
        color=(43, 206, 72, 255),
    ),
    Complex(
        name="virus-like-particle",
        radius_angstrom=135.0,
        weight=1.0,
        pdb="6n4v",
        mass_kda=2500.0,
        color=(255, 204, 153, 255),
    ),
    Complex(
        name="proteasome",
        radius_angstrom=75.0,
        weight=1.0,
        pdb="1pma",
        mass_kda=700.0,
        color=(255, 0, 16, 255),
    ),
)

COMPLEXES: dict[str, Complex] = {known.name: known for known in _KNOWN}
CHALLENGE: tuple[str, ...] = tuple(known.name for known in _KNOWN if known.name != "proteasome")


def class_weight(name: str) -> float:
    """Weight of a class in the mean F-beta: the challenge's own, 1 for a class it does not have."""
    return COMPLEXES[name].weight if name in COMPLEXES else 1.0
