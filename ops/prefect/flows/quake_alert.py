"""Flow `quake-alert`: what one earthquake means to the people near it.

Takes a quake as the stream carries it (a GeoJSON feature of the USGS feed, as in vega-datasets' `earthquakes.json`, or
the same fields flat: `mag`, `place`, `longitude`, `latitude`, `depth`, …) and returns an advice.
"""

from __future__ import annotations

import math
import re
from typing import Any

from prefect import flow, task

Quake = dict[str, Any]

_NEAR = re.compile(r"^(?P<km>\d+(?:\.\d+)?)\s*km\s+(?P<direction>[NESW]{1,3})\s+of\s+(?P<place>.+)$")

# USGS: shallow to 70 km, intermediate to 300 km, deep below.
_DEPTHS = ((70.0, "shallow"), (300.0, "intermediate"), (math.inf, "deep"))
_CLASSES = ((8.0, "great"), (7.0, "major"), (6.0, "strong"), (5.0, "moderate"), (4.0, "light"), (-math.inf, "minor"))
# The least intensity, on the Modified Mercalli scale, of each answer.
_LEVELS = ((7.0, "red"), (5.5, "orange"), (4.0, "yellow"), (-math.inf, "green"))


def flatten(quake: Quake) -> Quake:
    """The fields of a GeoJSON feature in one level; flat ones stay as they are.

    Raises:
        ValueError: without a magnitude.
    """
    flat = {**quake, **quake.get("properties", {})}
    coordinates = quake.get("geometry", {}).get("coordinates") or quake.get("coordinates")
    if coordinates:
        flat["longitude"], flat["latitude"], flat["depth"] = coordinates
    if flat.get("mag") is None:
        raise ValueError(f"quake {quake.get('id', '?')} has no magnitude")
    return flat


def intensity_at(magnitude: float, depth_km: float, distance_km: float) -> float:
    """Expected intensity (Modified Mercalli, 1 to 12) at a distance along the ground.

    The attenuation relation of Atkinson and Wald (2007, "Did You Feel It?" data, California coefficients).
    """
    hypocentral = math.hypot(distance_km, depth_km)
    r = math.hypot(hypocentral, 14.0)
    b = math.log10(r / 30.0) if r > 30.0 else 0.0
    centred = magnitude - 6.0
    value = 12.27 + 2.27 * centred + 0.1304 * centred**2 - 1.30 * math.log10(r) - 0.0007070 * r + 1.99 * b
    value -= 0.577 * magnitude * math.log10(r)
    return min(12.0, max(1.0, value))


@task(name="severity")
def severity(quake: Quake) -> dict[str, Any]:
    """Class by magnitude and depth, and the energy released."""
    magnitude, depth = float(quake["mag"]), float(quake.get("depth") or 10.0)
    return {
        "class": next(name for least, name in _CLASSES if magnitude >= least),
        "depth": next(name for most, name in _DEPTHS if depth <= most),
        "depth_km": round(depth, 1),
        # Gutenberg and Richter: log10 E = 1.5 M + 4.8; 4.184e12 J are a kiloton of TNT.
        "energy_kt": round(10 ** (1.5 * magnitude + 4.8) / 4.184e12, 2),
    }


@task(name="nearest-place")
def nearest_place(place: str, region: str | None) -> dict[str, Any]:
    """Place, distance and region out of the feed's text, e.g. `24km NNE of Hualian, Taiwan`.

    A text that names only a region (`Reykjanes Ridge`) is far from everybody: its distance is None.
    """
    found = _NEAR.match(place.strip())
    name = found["place"] if found else place.strip()
    town, _, rest = name.rpartition(", ")
    return {
        "place": (town or name) if found else None,
        "region": region or rest or name,
        "distance_km": float(found["km"]) if found else None,
        "direction": found["direction"] if found else None,
    }


@task(name="tsunami-advice")
def tsunami_advice(quake: Quake, depth: str) -> dict[str, Any]:
    """Advice after the Pacific Tsunami Warning Center's rule of thumb: shallow, strong, and flagged by the feed."""
    magnitude = float(quake["mag"])
    flagged = bool(quake.get("tsunami"))
    if depth != "shallow" or magnitude < 6.5:
        level = "information" if flagged else "none"
    else:
        level = "warning" if magnitude >= 7.6 else "advisory"
    return {"level": level, "flagged": flagged}


@task(name="shaking")
def shaking(quake: Quake, place: dict[str, Any]) -> dict[str, Any]:
    """Expected intensity at the nearest named place, and the radius in which it is felt (intensity 3)."""
    magnitude, depth = float(quake["mag"]), float(quake.get("depth") or 10.0)
    distance = place["distance_km"]
    at_place = None if distance is None else round(intensity_at(magnitude, depth, distance), 1)
    felt = next((km for km in range(0, 2_000, 5) if intensity_at(magnitude, depth, km) < 3.0), 2_000)
    return {"intensity": at_place, "felt_radius_km": felt}


@flow(name="quake-alert")
def quake_alert(quake: Quake, region: str | None = None) -> dict[str, Any]:
    """The advice for one quake.

    Args:
        quake: the quake.
        region: wins over the one found in the quake's text.
    """
    flat = flatten(quake)
    strength = severity(flat)
    place = nearest_place(flat.get("place") or "unknown", region)
    tsunami = tsunami_advice(flat, strength["depth"])
    felt = shaking(flat, place)
    level = next(name for least, name in _LEVELS if (felt["intensity"] or 1.0) >= least)
    if tsunami["level"] == "warning":
        level = "red"
    return {
        "id": flat.get("id"),
        "magnitude": flat["mag"],
        "level": level,
        "severity": strength,
        "nearest": place,
        "tsunami": tsunami,
        "shaking": felt,
        "headline": f"M {flat['mag']} {strength['class']} quake, {flat.get('place') or 'place unknown'}: {level}",
    }
