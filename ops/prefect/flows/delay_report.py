"""Flow `delay-report`: how late one day's flights were, by airport and by route.

Takes what the stream carries (vega-datasets' `flights-20k.json`: `date` as `2001/01/01 00:47`, `delay` in minutes and
negative when early, `distance` in miles, `origin`, `destination`) and returns a report small enough for one message.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import mean, median
from typing import Any, Callable, Iterable

from prefect import flow, task

Flight = dict[str, Any]
Figures = dict[str, float | int]

LATE_MINUTES = 15
"""From here on a flight counts as late: the threshold of the US Bureau of Transportation Statistics."""

TOP = 10
"""Rows of each table in the report."""


def figures(delays: list[int]) -> Figures:
    """The figures of a group of flights, none empty."""
    return {
        "flights": len(delays),
        "late": sum(delay >= LATE_MINUTES for delay in delays),
        "mean_delay": round(mean(delays), 1),
        "median_delay": median(delays),
        "max_delay": max(delays),
    }


def group(flights: Iterable[Flight], key: Callable[[Flight], str]) -> dict[str, Figures]:
    """Figures by key, most delayed minutes first; ties by name, so that the same flights give the same report."""
    delays: dict[str, list[int]] = defaultdict(list)
    for flight in flights:
        delays[key(flight)].append(flight["delay"])
    rows = {name: figures(group_delays) for name, group_delays in delays.items()}
    return dict(sorted(rows.items(), key=lambda row: (-row[1]["mean_delay"] * row[1]["flights"], row[0])))


def top(rows: dict[str, Figures], name: str) -> list[dict[str, Any]]:
    """The first rows as a list, each with its own name."""
    return [{name: key, **row} for key, row in list(rows.items())[:TOP]]


@task(name="by-airport")
def by_airport(flights: list[Flight]) -> dict[str, Figures]:
    """Delays by airport of departure."""
    return group(flights, lambda flight: flight["origin"])


@task(name="by-route")
def by_route(flights: list[Flight]) -> dict[str, Figures]:
    """Delays by pair of airports, in the direction flown."""
    return group(flights, lambda flight: f"{flight['origin']}-{flight['destination']}")


@task(name="by-hour")
def by_hour(flights: list[Flight]) -> list[dict[str, Any]]:
    """Delays by the hour of departure: the day's knock-on shows here."""
    rows = group(flights, lambda flight: flight["date"][11:13])
    return [{"hour": int(hour), **rows[hour]} for hour in sorted(rows)]


@task(name="summary")
def summary(date: str, flights: list[Flight], airports: dict[str, Figures], routes: dict[str, Figures]) -> dict[str, Any]:
    """The day in one row, with the flight that was latest."""
    day = figures([flight["delay"] for flight in flights])
    worst = max(flights, key=lambda flight: (flight["delay"], flight["origin"], flight["destination"]))
    return {
        "date": date,
        **day,
        "late_share": round(day["late"] / day["flights"], 4),
        "airports": len(airports),
        "routes": len(routes),
        "miles": sum(flight["distance"] for flight in flights),
        "worst": {key: worst[key] for key in ("date", "origin", "destination", "delay")},
    }


@flow(name="delay-report")
def delay_report(date: str, flights: list[Flight]) -> dict[str, Any]:
    """Delays of one day's flights.

    Raises:
        ValueError: when there are no flights: a day without any is a mistake upstream, not a report.
    """
    if not flights:
        raise ValueError(f"no flights on {date}: nothing to report")
    airports = by_airport(flights)
    routes = by_route(flights)
    hours = by_hour(flights)
    return {
        "summary": summary(date, flights, airports, routes),
        "airports": top(airports, "airport"),
        "routes": top(routes, "route"),
        "hours": hours,
    }
