"""What walls are made of, and how much of a wave they throw back and let through.

Relative permittivity `a * f**b` and conductivity `c * f**d` in S/m, f in GHz: ITU-R P.2040-3 (2023), table 3. A wave
that falls in squarely is reflected by `(1 - sqrt(e)) / (1 + sqrt(e))` (Fresnel) and dimmed by `1636 * s / sqrt(e)` dB a
metre (P.2040-3, annex 1, 2.1.4). Layers, studs and what interferes inside a wall are left to the spread that a
`Domain` puts on these figures.
"""

from __future__ import annotations

from dataclasses import dataclass

_GHZ = 2.437


@dataclass(frozen=True)
class Material:
    """A material as walls of a usual thickness.

    Attributes:
        permittivity: relative, at 2.4 GHz.
        conductivity_s_m: at 2.4 GHz.
        thickness_m: of an inner wall of it.
    """

    permittivity: float
    conductivity_s_m: float
    thickness_m: float

    @property
    def reflection(self) -> float:
        """Amplitude reflection coefficient, 0..1; the sign (a mirror turns the phase around) is the path's."""
        root = self.permittivity**0.5
        return float((root - 1) / (root + 1))

    @property
    def transmission(self) -> float:
        """Amplitude of a wave behind the wall over that before it."""
        loss_db = 1636 * self.conductivity_s_m / self.permittivity**0.5 * self.thickness_m
        return float((1 - self.reflection**2) * 10 ** (-loss_db / 20))


MATERIALS: dict[str, Material] = {
    "concrete": Material(5.24, 0.0462 * _GHZ**0.7822, 0.15),
    "brick": Material(3.91, 0.0238 * _GHZ**0.16, 0.12),
    "plasterboard": Material(2.73, 0.0085 * _GHZ**0.9395, 0.025),
    "wood": Material(1.99, 0.0047 * _GHZ**1.0718, 0.04),
    "glass": Material(6.31, 0.0036 * _GHZ**1.3394, 0.012),
}
