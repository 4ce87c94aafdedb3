"""The microscope: from projected density to what the detector counts.

Weak-phase contrast transfer, damping by dose and envelope, loss of electrons in ice, shot noise. Lengths in
Å, frequencies in 1/Å, dose in electrons per Å² at the specimen, defocus in micrometres, underfocus positive.

t tilts, y x image
"""

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tomoseek.errors import InputError
from tomoseek.simulate.ranges import draw, draw_if_open, takes_part

ELECTRON_REST_KEV = 510.999


@dataclass(kw_only=True, slots=True)
class MicroscopeConfig:
    """How the tilt series is recorded. Pairs ``[low, high]`` are drawn evenly, once per run.

    Attributes
    ----------
    tilt_range_degree
        Tilts go from minus to plus this angle.
    tilt_step_degree
        Between tilts.
    missing_tilts
        Share of the tilts that were thrown away, at random.
    misalignment_angstrom
        Standard deviation of each tilt's shift along either axis of the image.
    defocus_gradient
        Whether focus changes across a tilted specimen, which lies higher on one side of the tilt axis.
    voltage_kv
        Acceleration voltage.
    spherical_aberration_mm
        Cs.
    amplitude_contrast
        Share of the contrast that is amplitude.
    defocus_um
        Underfocus at the specimen, the same for all tilts of a run.
    defocus_jitter_um
        Standard deviation of each tilt's own error of focus.
    b_factor
        Å²; amplitudes fall as ``exp(-B k² / 4)``.
    dose_damping
        Damp each tilt by the dose that the specimen has had before it.
    total_dose
        Electrons per Å² over the whole series.
    protein_potential_volt
        Mean inner potential of protein (8.1 V from isolated-atom scattering factors at 0.73 cm³/g) above that
        of amorphous ice (4.5 V).
    inelastic_mean_free_path
        Å of ice after which 63 % of the electrons are filtered out.
    snr
        When given, the electrons counted are scaled so that the mean over tilts of signal variance to noise
        variance is drawn from this pair; ``total_dose`` then only sets the damage.
    phase_plate_share, phase_shift_degree
        Probability that a run is recorded with a phase plate, and the shift that it gives.
    ramp_cutoff, ramp_falloff
        Of the back-projection filter, cycles per voxel.
    sirt_share, sirt_iterations
        Probability that the filter is one like so many iterations of SIRT, see `tomoseek.simulate.projection`.
    """

    tilt_range_degree: list[float] = field(default_factory=lambda: [60.0, 60.0])
    tilt_step_degree: list[float] = field(default_factory=lambda: [3.0, 3.0])
    missing_tilts: list[float] = field(default_factory=lambda: [0.0, 0.0])
    misalignment_angstrom: list[float] = field(default_factory=lambda: [0.0, 0.0])
    defocus_gradient: bool = False
    voltage_kv: float = 300.0
    spherical_aberration_mm: float = 2.7
    amplitude_contrast: float = 0.07
    defocus_um: list[float] = field(default_factory=lambda: [2.5, 5.0])
    defocus_jitter_um: float = 0.05
    b_factor: float = 400.0
    dose_damping: bool = True
    total_dose: list[float] = field(default_factory=lambda: [100.0, 160.0])
    protein_potential_volt: float = 3.6
    inelastic_mean_free_path: float = 3100.0
    snr: list[float] | None = None
    phase_plate_share: float = 0.0
    phase_shift_degree: list[float] = field(default_factory=lambda: [20.0, 80.0])
    ramp_cutoff: float = 0.45
    ramp_falloff: float = 0.05
    sirt_share: float = 0.0
    sirt_iterations: list[int] = field(default_factory=lambda: [5, 30])

    def __post_init__(self) -> None:
        for name in ("defocus_um", "total_dose", "snr"):
            pair = getattr(self, name)
            if pair is not None and (len(pair) != 2 or not 0 < pair[0] <= pair[1]):
                raise InputError(f"microscope.{name}: expected [low, high] with 0 < low <= high, found {list(pair)}")
        for name, most in (("missing_tilts", 0.9), ("misalignment_angstrom", math.inf)):
            pair = getattr(self, name)
            if len(pair) != 2 or not 0 <= pair[0] <= pair[1] <= most:
                raise InputError(f"microscope.{name}: expected [low, high] from 0 to {most:g}, found {list(pair)}")
        step, end = self.tilt_step_degree, self.tilt_range_degree
        if len(step) != 2 or len(end) != 2 or not 0 < step[0] <= step[1] <= end[0] <= end[1] <= 90:
            raise InputError(
                "microscope: expected pairs [low, high] with 0 < tilt_step_degree <= tilt_range_degree <= 90, found "
                f"{list(step)} and {list(end)}"
            )
        for name, most in (("phase_shift_degree", 80), ("sirt_iterations", 1000)):
            pair = getattr(self, name)
            if len(pair) != 2 or not 0 < pair[0] <= pair[1] <= most:
                raise InputError(f"microscope.{name}: expected [low, high] above 0 and to {most}, found {list(pair)}")
        for name in ("phase_plate_share", "sirt_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"microscope.{name}: expected a share from 0 to 1, found {getattr(self, name)}")
        if not 0 < self.ramp_cutoff <= 0.5 or self.ramp_falloff <= 0:
            raise InputError(
                "microscope: expected 0 < ramp_cutoff <= 0.5 and ramp_falloff > 0 (cycles per voxel), found "
                f"{self.ramp_cutoff} and {self.ramp_falloff}"
            )


def tilt_angles(tilt_range_degree: float, tilt_step_degree: float) -> tuple[float, ...]:
    """Return the tilts in degrees, from negative to positive, symmetric about zero."""
    each_side = math.floor(tilt_range_degree / tilt_step_degree + 1e-6)
    return tuple(tilt_step_degree * index for index in range(-each_side, each_side + 1))


def draw_tilts(microscope: MicroscopeConfig, generator: torch.Generator) -> tuple[float, ...]:
    """Draw range, step and missing tilts of one run; nothing is drawn where the settings leave no choice."""
    most = draw_if_open(microscope.tilt_range_degree, generator)
    step = draw_if_open(microscope.tilt_step_degree, generator)
    tilts = tilt_angles(most, step)
    share = draw_if_open(microscope.missing_tilts, generator)
    if share == 0:
        return tilts
    kept = torch.rand(len(tilts), generator=generator) >= share
    kept[len(tilts) // 2] = True
    return tuple(tilt for tilt, keep in zip(tilts, kept.tolist(), strict=True) if keep)


def exposure_order(tilts_degree: tuple[float, ...]) -> Tensor:
    """Return ``(t,)``: when each tilt is recorded in the dose-symmetric scheme, 0 first.

    References
    ----------
    Hagen, Wan & Briggs 2017, J Struct Biol 197: low tilts while the specimen is fresh, sides in turn.
    """
    angle = torch.tensor(tilts_degree)
    order = torch.argsort(angle.abs() - 1e-3 * angle.sign())
    return torch.argsort(order)


def with_phase_plate(microscope: MicroscopeConfig, generator: torch.Generator) -> MicroscopeConfig:
    """Draw whether a run is recorded with a phase plate; its shift adds to the angle of the amplitude contrast.

    References
    ----------
    Danev & Baumeister 2016, eLife 5:e13046: a shift of the unscattered beam makes phase objects visible in focus.
    """
    if not takes_part(microscope.phase_plate_share, generator):
        return microscope
    shift = math.radians(draw(microscope.phase_shift_degree, generator))
    return replace(microscope, amplitude_contrast=math.sin(math.asin(microscope.amplitude_contrast) + shift))


def wavelength_angstrom(voltage_kv: float) -> float:
    """Relativistic electron wavelength."""
    volts = voltage_kv * 1e3
    return 12.2643 / math.sqrt(volts + 0.978466e-6 * volts**2)


def phase_per_volt_angstrom(voltage_kv: float) -> float:
    """Interaction constant in rad / (V Å): phase shift by one volt over one Å."""
    energy = voltage_kv / ELECTRON_REST_KEV
    ratio = (1 + energy) / (2 + energy)
    return 2 * math.pi / (wavelength_angstrom(voltage_kv) * voltage_kv * 1e3) * ratio


def contrast_transfer(frequency: Tensor, defocus_um: float | Tensor, microscope: MicroscopeConfig) -> Tensor:
    """Return the factor from projected phase to relative intensity, without envelopes.

    Negative at low frequency in underfocus: protein is dark. Zeros lie where
    ``pi L f k² - pi/2 Cs L³ k⁴ + asin(A)`` is a multiple of pi.

    Parameters
    ----------
    frequency
        k in 1/Å, any shape.
    defocus_um
        f; broadcasts against ``frequency``.
    microscope
        Wavelength L from the voltage, spherical aberration Cs, amplitude contrast A.
    """
    wavelength = wavelength_angstrom(microscope.voltage_kv)
    aberration = microscope.spherical_aberration_mm * 1e7
    square = frequency**2
    phase = math.pi * wavelength * (defocus_um * 1e4) * square
    phase = phase - math.pi / 2 * aberration * wavelength**3 * square**2
    return -2 * torch.sin(phase + math.asin(microscope.amplitude_contrast))


def dose_damping(frequency: Tensor, dose: Tensor) -> Tensor:
    """Return the amplitude left after a dose, ``exp(-dose / 2 Nc(k))``.

    References
    ----------
    Grant & Grigorieff 2015, eLife 4:e06980, equation 3: critical dose ``0.245 k^-1.665 + 2.81`` at 300 kV.
    """
    critical = 0.245 * frequency.clamp_min(1e-4) ** -1.665 + 2.81
    return torch.exp(-dose / (2 * critical))


def image_spectrum(
    series: Tensor,
    voxel_spacing: float,
    defocus_um: Tensor,
    dose_before: Tensor,
    microscope: MicroscopeConfig,
) -> Tensor:
    """Apply the microscope's transfer to projections.

    Parameters
    ----------
    series
        ``(t, y, x)``: density summed over voxels along the beam.
    voxel_spacing
        Å.
    defocus_um, dose_before
        ``(t,)``.
    microscope
        Optics.

    Returns
    -------
    Tensor
        ``(t, y, x/2+1)`` complex, `torch.fft.rfft2` of the relative change of intensity.
    """
    num_y, num_x = series.shape[1:]
    ky = torch.fft.fftfreq(num_y, voxel_spacing, device=series.device)
    kx = torch.fft.rfftfreq(num_x, voxel_spacing, device=series.device)
    frequency = torch.hypot(ky[:, None], kx)  # (y, x/2+1)
    radian = phase_per_volt_angstrom(microscope.voltage_kv) * microscope.protein_potential_volt
    radian = radian * voxel_spacing
    envelope = radian * torch.exp(-microscope.b_factor / 4 * frequency**2)
    spectrum = torch.empty(*series.shape[:2], num_x // 2 + 1, dtype=torch.complex64, device=series.device)
    for index, (defocus, dose) in enumerate(zip(defocus_um.tolist(), dose_before.tolist(), strict=True)):
        transfer = envelope * contrast_transfer(frequency, defocus, microscope)
        if microscope.dose_damping:
            transfer = transfer * dose_damping(frequency, torch.tensor(dose))
        spectrum[index] = torch.fft.rfft2(series[index]) * transfer
    return spectrum


def electrons_per_pixel(
    tilts_degree: tuple[float, ...],
    total_dose: float,
    voxel_spacing: float,
    thickness_angstrom: float,
    microscope: MicroscopeConfig,
) -> Tensor:
    """Return ``(t,)``: electrons that a pixel of empty ice counts, the dose even over tilts.

    The path through a slab of ice grows as one over the cosine of the tilt, and inelastically scattered
    electrons are filtered out.
    """
    angle = torch.deg2rad(torch.tensor(tilts_degree))
    path = thickness_angstrom / angle.cos().clamp_min(0.05)
    passed = torch.exp(-path / microscope.inelastic_mean_free_path)
    return total_dose / len(tilts_degree) * voxel_spacing**2 * passed


def count_electrons(contrast: Tensor, electrons: Tensor, generator: torch.Generator) -> Tensor:
    """Record images: Poisson counts, returned as relative change from empty ice.

    Parameters
    ----------
    contrast
        ``(t, y, x)`` noise-free relative change of intensity.
    electrons
        ``(t,)`` expected counts per pixel of empty ice.
    generator
        On the device of ``contrast``.
    """
    recorded = torch.empty_like(contrast)
    for index, expected in enumerate(electrons.tolist()):
        rate = (expected * (1 + contrast[index])).clamp_min(0)
        recorded[index] = torch.poisson(rate, generator=generator) / expected - 1
    return recorded
