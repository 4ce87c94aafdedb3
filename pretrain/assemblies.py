"""An endless stream of labelled crops: simulated tomograms of procedural assemblies, in pairs.

The two tomograms of a pair hold the same classes under different defocus, dose and thickness, so that a class
has to be recognised by its shape and not by how it was imaged.
"""

import dataclasses
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pretrain.config import MetricConfig, PretrainConfig
from pretrain.implant import Host, implant
from pretrain.masked_crops import find_sources, hide
from pretrain.metric import PADDING
from pretrain.scene_crops import Scene, draw_crops
from tomoseek.config import Polarity
from tomoseek.errors import InputError
from tomoseek.geometry import is_same_spacing, points_to_indices
from tomoseek.messages import listed, warn
from tomoseek.simulate import SceneConfig, load_density, random_assembly, simulate_tomogram
from tomoseek.tomograms.normalise import measure_values
from tomoseek.tomograms.tomogram import Tomogram

Points = NDArray[np.float64]

NOWHERE: Points = np.zeros((0, 3))
MASS_KDA = (150.0, 4000.0)
MASS_SPREAD = 1.3  # heaviest over lightest of a family


def draw_numbers(config: MetricConfig, count: int, random: np.random.Generator) -> list[int]:
    """Draw the numbers of procedural assemblies, in families of ``config.siblings``."""
    num_families = -(-count // config.siblings)
    if config.num_classes is None:
        families = random.integers(2**40 // config.siblings, size=num_families)
    else:
        families = random.permutation(-(-config.num_classes // config.siblings))[:num_families]
    numbers = [int(family) * config.siblings + k for family in families for k in range(config.siblings)]
    return [number for number in numbers if config.num_classes is None or number < config.num_classes][:count]


def procedural(number: int, siblings: int, voxel_spacing: float) -> Tensor:
    """Invent the assembly of a number; those of a family, ``number // siblings``, differ little in mass."""
    low, high = MASS_KDA
    if siblings > 1:
        random = np.random.default_rng([number // siblings, siblings])
        mass = float(np.exp(random.uniform(np.log(low), np.log(high / MASS_SPREAD))))
        low, high = mass, mass * MASS_SPREAD
    return random_assembly(number, voxel_spacing, (low, high))


def make_densities(
    names: list[int | str], siblings: int, voxel_spacing: float, device: torch.device
) -> dict[str, Tensor]:
    """Return the density of each class (a number: procedural assembly; a path: density map)."""
    densities = {
        str(name): procedural(name, siblings, voxel_spacing)
        if isinstance(name, int)
        else load_density(Path(name), voxel_spacing)
        for name in names
    }
    return {name: density.to(device) for name, density in densities.items()}


def make_scene(
    config: MetricConfig,
    voxel_spacing: float,
    densities: dict[str, Tensor],
    seed: int,
    device: torch.device,
    host: Host | None = None,
) -> Scene:
    """Simulate one tomogram of the given classes.

    With a ``host`` the particles are set into a piece of that tomogram instead.
    """
    random = np.random.default_rng(seed)
    counts = dict.fromkeys(densities, config.particles_per_class)
    in_situ = not host and random.random() < config.in_situ_share
    low, high = np.log(config.implant_contrast if host else config.in_situ_snr if in_situ else config.snr)
    strength = float(np.exp(random.uniform(low, high)))
    if host:
        halves, implanted = implant(host, densities, counts, config.scene, config.microscope, strength, seed, device)
        return scene_of(halves, [implanted[name] for name in densities], voxel_spacing)
    ice = dataclasses.asdict(config.in_situ if in_situ else config.ice)
    tomogram = simulate_tomogram(
        densities,
        counts,
        SceneConfig(shape=config.scene, voxel_spacing=voxel_spacing, **ice),
        dataclasses.replace(config.microscope, snr=[strength, strength]),
        seed=seed,
        device=device,
        processing=config.processing,
    )
    halves = torch.stack([tomogram.even, tomogram.odd]).neg().cpu().numpy()  # 2 z y x, protein positive
    points = [tomogram.points[name] for name in densities]
    return scene_of(halves, points, voxel_spacing, tomogram.crowd_xyz, tomogram.clutter_xyz, tomogram.slab)


def scene_of(
    halves: NDArray[np.float32],
    points_xyz: list[Points],
    voxel_spacing: float,
    unnamed_xyz: Points = NOWHERE,
    clutter_xyz: Points = NOWHERE,
    slab: tuple[int, int] | None = None,
) -> Scene:
    """Keep what crops are cut from.

    Parameters
    ----------
    halves
        ``(2, z, y, x)``, protein positive.
    points_xyz
        Å, particles of class k in list k.
    voxel_spacing
        Å.
    unnamed_xyz, clutter_xyz
        ``(n, 3)`` Å: particles of no class; points on what is no particle.
    slab
        Layers along z on which contrast is measured; None: all.
    """
    first, last = slab or (0, halves.shape[1])
    inside = halves[:, first:last:2, ::2, ::2]
    half = measure_values(inside[0], Polarity.bright)
    full = measure_values(inside.mean(0), Polarity.bright)
    return Scene(
        halves=halves.astype(np.float16),
        centre=full.centre,
        signal_variance=max(2 * full.scale**2 - half.scale**2, 0.0),
        noise_variance=2 * (half.scale**2 - full.scale**2),
        points_zyx=np.concatenate([points_to_indices(xyz, voxel_spacing) for xyz in points_xyz]).astype(np.float32),
        label=np.repeat(np.arange(len(points_xyz)), [len(xyz) for xyz in points_xyz]),
        unnamed_zyx=points_to_indices(unnamed_xyz, voxel_spacing).astype(np.float32),
        clutter_zyx=points_to_indices(clutter_xyz, voxel_spacing).astype(np.float32),
    )


class AssemblyCrops:
    """Batches of crops from a moving pool of simulated pairs; each is a function of ``(seed, step, rank)``."""

    def __init__(
        self, config: PretrainConfig, rank: int, device: torch.device, hosts: list[Host] | None = None
    ) -> None:
        self.config = config
        self.rank = rank
        self.device = device
        self.hosts = find_hosts(config) if hosts is None else hosts
        self.voxel_spacing = common_spacing(self.hosts) if self.hosts else config.model.voxel_spacing
        self._pool: OrderedDict[int, tuple[Scene, Scene]] = OrderedDict()

    def pair(self, number: int) -> tuple[Scene, Scene]:
        """Return the ``number``-th pair of scenes, simulating it when it is not in the pool."""
        metric, seed = self.config.metric, self.config.seed
        if number not in self._pool:
            random = np.random.default_rng([seed, 2, number, self.rank])
            num_maps = metric.classes_per_scene if metric.num_classes == 0 else metric.classes_per_scene // 3
            names: list[int | str] = [metric.maps[k] for k in random.permutation(len(metric.maps))[:num_maps]]
            names += draw_numbers(metric, metric.classes_per_scene - len(names), random)
            seeds = [int(v) for v in random.integers(2**40, size=2)]
            hosts = [self._draw_host(random) for _ in seeds]
            densities = make_densities(names, metric.siblings, self.voxel_spacing, self.device)

            def scene(k: int) -> Scene:
                return make_scene(metric, self.voxel_spacing, densities, seeds[k], self.device, hosts[k])

            with ThreadPoolExecutor(2) as pool:  # much of a scene is made on one core: shot noise, places, assemblies
                first, second = pool.map(scene, range(2))
            self._pool[number] = first, second
            while len(self._pool) > metric.pool:
                self._pool.popitem(last=False)
        return self._pool[number]

    def _draw_host(self, random: np.random.Generator) -> Host | None:
        """Choose the tomogram that a scene's particles are set into; None: the scene is simulated."""
        if not self.hosts or random.random() >= self.config.metric.implant_share:
            return None
        return self.hosts[int(random.integers(len(self.hosts)))]

    def batch(self, step: int) -> dict[str, Tensor]:
        """Draw the batch of a step: ``input`` ``(b, z, y, x)``, ``points`` ``(b, m, 3)``, ``label`` ``(b, m)``.

        Where hidden parts are rebuilt beside, ``target`` and the pieces ``visible`` and ``hidden`` as well.
        """
        config = self.config
        random = np.random.default_rng([config.seed, 3, step, self.rank])
        oldest = step // config.metric.refresh_every
        scenes = self.pair(oldest + int(random.integers(config.metric.pool)))
        crops = draw_crops(scenes, config, random)
        most = max(len(crop.label) for crop in crops)
        points = np.zeros((len(crops), most, 3), np.float32)
        labels = np.full((len(crops), most), PADDING)
        for k, crop in enumerate(crops):
            points[k, : len(crop.label)], labels[k, : len(crop.label)] = crop.points, crop.label
        batch = {
            "input": torch.from_numpy(np.stack([crop.volume for crop in crops])),
            "points": torch.from_numpy(points), "label": torch.from_numpy(labels),
        }  # fmt: skip
        if config.metric.masked_weight:
            targets = [crop.target for crop in crops if crop.target is not None]
            batch |= {"target": torch.from_numpy(np.stack(targets)), **hide(config, random)}
        return batch


def find_hosts(config: PretrainConfig) -> list[Host]:
    """List the project's tomograms that particles can be set into; none without a project."""
    return [Host(source) for source in thick_enough(find_sources(config), config.crop)] if config.data.project else []


def thick_enough(sources: list[tuple[Tomogram, ...]], crop: int) -> list[tuple[Tomogram, ...]]:
    """Leave out, with a warning, tomograms that hold no crop of so many voxels along each edge.

    Raises
    ------
    InputError
        If none is left.
    """
    kept = [source for source in sources if min(source[0].shape) >= crop]
    thin = [f"{source[0].run} ({min(source[0].shape)})" for source in sources if min(source[0].shape) < crop]
    if not kept:
        raise InputError(
            f"crop={crop}: expected a tomogram of at least so many voxels along each axis, found {listed(thin)}; "
            "give a smaller crop, as crop=32"
        )
    if thin:
        warn(f"runs {listed(thin)} are left out: thinner than crop={crop} voxels")
    return kept


def common_spacing(hosts: list[Host]) -> float:
    """Return the voxel spacing that all tomograms share.

    Raises
    ------
    InputError
        If they differ by more than 1 %.
    """
    spacings = [host.halves[0].voxel_spacing for host in hosts]
    if not is_same_spacing(max(spacings), min(spacings)):
        raise InputError(
            f"data.project: expected tomograms of one voxel spacing, found {min(spacings):g} to {max(spacings):g} Å; "
            "choose runs of one spacing, or bring them to one with data.resample=10"
        )
    return spacings[0]
