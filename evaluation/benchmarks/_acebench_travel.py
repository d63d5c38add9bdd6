"""The airline of ACEBench's agent scenes.

The same results as the official class (chenchen0103/ACEBench 56dd66c, MIT), whose names, data and answers decide what
a model does next. Kept of its oddities: booking with a wrong password fails with Python's KeyError; fees are counted
for all baggage beyond the allowance at each change; a changed cabin or baggage stays changed where the balance didn't
suffice; cancelling pays back in cash and leaves the reservation (no flight is less than a day ahead, so it's free);
and the helpers can be called by the agent as well.

What an agent calls may raise anything; the scene tells it the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation.benchmarks._acebench_travel_texts import CABINS, CITIES, CLEARED, TEXTS

_USERS = (  # name, password, cash, bank, level
    ("Eve", "password123", 2000.0, 50000.0, "regular"),
    ("Frank", "password456", 8000.0, 8000.0, "silver"),
    ("Grace", "password789", 1000.0, 5000.0, "gold"),
)
_FLIGHTS = (  # number, from, to, departure, arrival, seats, economy, business
    ("CA1234", "Beijing", "Shanghai", "15 08:00", "15 10:30", 5, 1200, 3000),
    ("MU5678", "Shanghai", "Beijing", "16 09:00", "16 11:30", 3, 1900, 3000),
    ("CZ4321", "Shanghai", "Beijing", "16 20:00", "16 22:00", 8, 2500, 4000),
    ("CZ4352", "Shanghai", "Beijing", "17 20:00", "17 22:00", 8, 1600, 2500),
    ("MU3561", "Beijing", "Nanjing", "18 08:00", "18 10:00", 8, 1500, 4000),
    ("MU1566", "Beijing", "Nanjing", "18 20:00", "18 22:00", 8, 1500, 4000),
    ("CZ1765", "Nanjing", "Shenzhen", "17 20:30", "17 22:00", 8, 1500, 2500),
    ("CZ1765", "Nanjing", "Shenzhen", "18 12:30", "18 15:00", 8, 1500, 2500),
    ("MH1765", "Xiamen", "Chengdu", "17 12:30", "17 15:00", 8, 1500, 2500),
    ("MH2616", "Chengdu", "Xiamen", "18 18:30", "18 21:00", 8, 1500, 2500),
    ("MH2616", "Chengdu", "Fuzhou", "16 18:30", "16 21:00", 8, 1500, 2500),
)
_RESERVATIONS = (  # user, flight, cabin, from, to
    ("user1", "CA1234", "economy", "Beijing", "Shanghai"),
    ("user1", "MU5678", "business", "Shanghai", "Beijing"),
    ("user2", "MH1765", "business", "Xiamen", "Chengdu"),
    ("user2", "MU2616", "business", "Chengdu", "Xiamen"),
)
_ALLOWANCE = {"regular": (1, 2), "silver": (2, 3), "gold": (3, 3)}  # bags in economy, business


class Travel:
    """Users, flights and reservations. ``config`` is not used: all scenes begin alike."""

    saved = ("users", "reservations")
    chinese_only = ()

    def __init__(self, language: str, config: Mapping[str, Any]) -> None:
        self._texts, self._cities, self._cabins = TEXTS[language], CITIES[language], CABINS[language]
        self._cleared = CLEARED[language]
        keys = ("user_name", "password", "cash_balance", "bank_balance", "membership_level")
        self.users: dict[str, dict[str, Any]] = {
            f"user{i}": dict(zip(keys, user, strict=True)) for i, user in enumerate(_USERS, 1)
        }
        self._flights = [self._flight(*flight) for flight in _FLIGHTS]
        self.reservations: list[dict[str, Any]] = [
            {
                "reservation_id": f"res_{i}",
                "user_id": user,
                "flight_no": number,
                "payment_method": "bank",
                "cabin": self._cabins[cabin == "business"],
                "baggage": 1,
                "origin": self._cities[origin],
                "destination": self._cities[destination],
            }
            for i, (user, number, cabin, origin, destination) in enumerate(_RESERVATIONS, 1)
        ]

    def _flight(
        self, number: str, origin: str, destination: str, departs: str, arrives: str, *figures: int
    ) -> dict[str, Any]:
        return {
            "flight_no": number,
            "origin": self._cities[origin],
            "destination": self._cities[destination],
            "depart_time": f"2024-07-{departs}:00",
            "arrival_time": f"2024-07-{arrives}:00",
            "status": "available",
            **dict(zip(("seats_available", "economy_price", "business_price"), figures, strict=True)),
        }

    def _find(self, number: Any) -> Any:
        return next((flight for flight in self._flights if flight["flight_no"] == number), None)

    def _own(self, reservation_id: Any, user_id: Any) -> Any:
        wanted = (reservation_id, user_id)
        return next((r for r in self.reservations if (r["reservation_id"], r["user_id"]) == wanted), None)

    def _price(self, flight: Any, cabin: Any) -> Any:
        return flight["economy_price"] if cabin == self._cabins[0] else flight["business_price"]

    def get_flight_details(self, origin: Any = None, destination: Any = None) -> Any:
        flights = [
            dict(flight)
            for flight in self._flights
            if (not origin or flight["origin"] == origin)
            and (not destination or flight["destination"] == destination)
        ]
        return flights or self._texts["no_direct"]

    def get_user_details(self, user_id: Any, password: Any) -> Any:
        user = self.authenticate_user(user_id, password)
        return {key: value for key, value in user.items() if key != "password"}

    def get_reservation_details(self, reservation_id: Any = None, user_id: Any = None) -> Any:
        if not reservation_id and not user_id:
            return {"status": "error", "message": self._texts["no_ids"]}
        key, wanted = ("reservation_id", reservation_id) if reservation_id else ("user_id", user_id)
        return [
            {**reservation, "flight_info": self._find(reservation["flight_no"])}
            for reservation in self.reservations
            if reservation[key] == wanted
        ]

    def authenticate_user(self, user_id: Any, password: Any) -> Any:
        user = self.users.get(user_id)
        if user and user["password"] == password:
            return user
        return {"status": "error", "message": self._texts["no_login"]}

    def get_baggage_allowance(self, membership_level: Any, cabin_class: Any) -> Any:
        by_cabin = dict(zip(self._cabins, _ALLOWANCE.get(membership_level, ()), strict=False))
        return by_cabin.get(cabin_class, 0)

    def find_transfer_flights(self, origin_city: Any, transfer_city: Any, destination_city: Any) -> Any:
        found = [
            {"first_leg": first, "second_leg": second}
            for first in self._flights
            if (first["origin"], first["destination"]) == (origin_city, transfer_city)
            for second in self._flights
            if (second["origin"], second["destination"]) == (transfer_city, destination_city)
            and first["arrival_time"] < second["depart_time"]
        ]
        return found or self._texts["no_transfer"]

    def calculate_baggage_fee(self, membership_level: Any, cabin_class: Any, baggage_count: Any) -> Any:
        allowance = dict(zip(self._cabins, _ALLOWANCE[membership_level], strict=True))[cabin_class]
        return max(baggage_count - allowance, 0) * 50

    def update_balance(self, user: Any, payment_method: Any, amount: Any) -> Any:
        if payment_method in ("cash", "bank"):
            balance = f"{payment_method}_balance"
            if user[balance] + amount < 0:
                return False
            user[balance] += amount
        return True

    def reserve_flight(
        self, user_id: Any, password: Any, flight_no: Any, cabin: Any, payment_method: Any, baggage_count: Any
    ) -> Any:
        user = self.authenticate_user(user_id, password)
        flight = self._find(flight_no)
        cost = self._price(flight, cabin)
        cost += self.calculate_baggage_fee(user["membership_level"], cabin, baggage_count)
        if payment_method not in ["cash", "bank"]:
            return self._texts["bad_payment"]
        if cost > user[f"{payment_method}_balance"]:
            return self._texts["no_money"].format(method=payment_method)
        user[f"{payment_method}_balance"] -= cost
        flight["seats_available"] -= 1
        reservation_id = f"res_{len(self.reservations) + 1}"
        self.reservations.append(
            {
                "reservation_id": reservation_id,
                "user_id": user_id,
                "flight_no": flight_no,
                "payment_method": payment_method,
                "cabin": cabin,
                "baggage": baggage_count,
            }
        )
        return self._texts["booked"].format(id=reservation_id, cost=cost)

    def modify_flight(
        self,
        user_id: Any,
        reservation_id: Any,
        new_flight_no: Any = None,
        new_cabin: Any = None,
        add_baggage: Any = 0,
        new_payment_method: Any = None,
    ) -> Any:
        reservation = self._own(reservation_id, user_id)
        if not reservation:
            return self._texts["no_reservation"]
        flight = self._find(reservation["flight_no"])
        if not flight:
            return self._texts["no_flight"]
        method, user = new_payment_method or reservation["payment_method"], self.users[user_id]
        told = []
        if new_flight_no and new_flight_no != reservation["flight_no"]:
            other = self._find(new_flight_no)
            route = (flight["origin"], flight["destination"])
            if not other or (other["origin"], other["destination"]) != route:
                return self._texts["bad_flight"]
            reservation["flight_no"] = new_flight_no
            told.append(self._texts["flight_changed"])
        if new_cabin and new_cabin != reservation["cabin"]:
            told += self._change_cabin(user, method, reservation, flight, new_cabin)
        if add_baggage > 0:
            told += self._add_baggage(user, method, reservation, add_baggage)
        return " ".join(told or [self._texts["unchanged"]])

    def _change_cabin(self, user: Any, method: Any, reservation: Any, flight: Any, cabin: Any) -> list[str]:
        difference = self.calculate_price_difference(flight, reservation["cabin"], cabin)
        reservation["cabin"] = cabin
        if difference == 0:
            return []
        paid = self.update_balance(user, method, -difference)
        if difference < 0:
            return [self._texts["cabin_refunded"].format(difference=-difference)]
        return [self._texts["cabin_paid" if paid else "cabin_unpaid"].format(difference=difference)]

    def _add_baggage(self, user: Any, method: Any, reservation: Any, added: Any) -> list[str]:
        allowance = self.get_baggage_allowance(user["membership_level"], reservation["cabin"])
        total = reservation["baggage"] + added
        cost = max(0, total - allowance) * 50
        told = []
        if cost > 0:
            paid = self.update_balance(user, method, -cost)
            told.append(self._texts["baggage_paid" if paid else "baggage_unpaid"].format(cost=cost))
        reservation["baggage"] = total
        return told

    def cancel_reservation(self, user_id: Any, reservation_id: Any, reason: Any) -> Any:
        user = self.users.get(user_id)
        if not user:
            return self._texts["bad_user"]
        reservation = self._own(reservation_id, user_id)
        if not reservation:
            return self._texts["bad_reservation"]
        flight = self._find(reservation["flight_no"])
        if not flight:
            return self._texts["bad_flight_information"]
        refund = self._price(flight, reservation["cabin"])
        self.process_refund(user, refund)
        text = "cancelled_by_airline" if reason == self._cleared else "cancelled_early"
        return self._texts[text].format(refund=refund)

    def process_refund(self, user: Any, amount: Any) -> Any:
        user["cash_balance"] += amount

    def calculate_price_difference(self, flight: Any, old_cabin: Any, new_cabin: Any) -> Any:
        prices = dict(zip(self._cabins, (flight["economy_price"], flight["business_price"]), strict=True))
        return prices.get(new_cabin, 0) - prices.get(old_cabin, 0)
