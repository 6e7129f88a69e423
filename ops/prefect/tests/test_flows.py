"""The demo's flows: what they compute, on data small enough to check by hand."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "flows"))

import delay_report as delays  # noqa: E402
import quake_alert as quakes  # noqa: E402


def flight(hour: int, delay: int, origin: str, destination: str, distance: int = 100) -> delays.Flight:
    date = f"2001/01/10 {hour:02}:30"
    return {"date": date, "delay": delay, "distance": distance, "origin": origin, "destination": destination}


FLIGHTS = [flight(6, 0, "ABC", "XYZ"), flight(7, 30, "ABC", "XYZ"), flight(7, -5, "XYZ", "ABC"), flight(9, 15, "XYZ", "QQQ")]


class DelayReport(unittest.TestCase):
    def test_groups_by_airport_most_delayed_minutes_first(self) -> None:
        rows = delays.by_airport.fn(FLIGHTS)
        self.assertEqual(list(rows), ["ABC", "XYZ"])
        self.assertEqual(rows["ABC"], {"flights": 2, "late": 1, "mean_delay": 15, "median_delay": 15, "max_delay": 30})

    def test_hours_are_in_order(self) -> None:
        self.assertEqual([row["hour"] for row in delays.by_hour.fn(FLIGHTS)], [6, 7, 9])

    def test_the_summary_names_the_latest_flight(self) -> None:
        airports, routes = delays.by_airport.fn(FLIGHTS), delays.by_route.fn(FLIGHTS)
        summary = delays.summary.fn("2001-01-10", FLIGHTS, airports, routes)
        self.assertEqual((summary["late"], summary["late_share"], summary["routes"]), (2, 0.5, 3))
        self.assertEqual(summary["worst"]["delay"], 30)

    def test_a_day_without_flights_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "no flights on 2001-01-10"):
            delays.delay_report.fn("2001-01-10", [])


class QuakeAlert(unittest.TestCase):
    def test_a_feature_becomes_flat(self) -> None:
        flat = quakes.flatten({"id": "q", "properties": {"mag": 6.4}, "geometry": {"coordinates": [1.0, 2.0, 10.6]}})
        self.assertEqual((flat["mag"], flat["depth"], flat["id"]), (6.4, 10.6, "q"))
        with self.assertRaisesRegex(ValueError, "no magnitude"):
            quakes.flatten({"id": "q", "properties": {"mag": None}})

    def test_the_place_is_read_out_of_the_text(self) -> None:
        near = quakes.nearest_place.fn("22km NNE of Hualian, Taiwan", None)
        self.assertEqual(near, {"place": "Hualian", "region": "Taiwan", "distance_km": 22.0, "direction": "NNE"})
        self.assertEqual(quakes.nearest_place.fn("Reykjanes Ridge", None)["distance_km"], None)
        self.assertEqual(quakes.nearest_place.fn("22km N of A, B", "Asia")["region"], "Asia")

    def test_shaking_grows_with_magnitude_and_fades_with_distance_and_depth(self) -> None:
        self.assertGreater(quakes.intensity_at(6.4, 10, 20), quakes.intensity_at(5.4, 10, 20))
        self.assertGreater(quakes.intensity_at(6.4, 10, 20), quakes.intensity_at(6.4, 10, 200))
        self.assertGreater(quakes.intensity_at(6.4, 10, 20), quakes.intensity_at(6.4, 300, 20))

    def test_tsunamis_are_for_strong_shallow_quakes(self) -> None:
        self.assertEqual(quakes.tsunami_advice.fn({"mag": 7.8}, "shallow")["level"], "warning")
        self.assertEqual(quakes.tsunami_advice.fn({"mag": 7.8}, "deep")["level"], "none")
        self.assertEqual(quakes.tsunami_advice.fn({"mag": 5.6, "tsunami": 1}, "intermediate")["level"], "information")


if __name__ == "__main__":
    unittest.main()
