"""The simulated phone of ACEBench's agent scenes: device, messages, reminders and a food delivery platform.

State machines with the results of the official classes (chenchen0103/ACEBench 56dd66c, MIT), whose names, data and
answers decide what a model does next, so they are the same: class, method and parameter names appear in Python's own
error messages, which the agent reads. Each class has a wifi and a log-in of its own. Kept of the official oddities:
a message sent has no time, after which the latest and the earliest can't be found; in Chinese an order must cost less
than the balance, and searching orders or reminders fails unless nothing is found.

What an agent calls may raise anything; the scene tells it the message.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from evaluation.benchmarks._acebench_phone_texts import INBOX, MENUS, REMINDERS, TEXTS

NAMES = ("Eve", "Frank", "Grace", "Helen", "Isaac", "Jack")
PASSWORDS = ("password123", "password456", "password789", "password321", "password654", "password654")
BALANCES = (500.0, 300.0, 150.0, 800.0, 400.0, 120.0)
CAPACITY = 6


class BaseApi:
    """The device. ``config`` is the scene's for it: ``wifi`` (off unless set) and ``logged_in`` (on)."""

    saved: tuple[str, ...] = ("wifi", "logged_in")
    chinese_only: tuple[str, ...] = ()

    def __init__(self, language: str, config: Mapping[str, Any]) -> None:
        self.wifi = config.get("wifi", False)
        self.logged_in = config.get("logged_in", True)
        self._language = language

    def _yes(self, text: str, **values: Any) -> dict[str, Any]:
        return {"status": True, "message": TEXTS[self._language][text].format(**values)}

    def _no(self, text: str, **values: Any) -> dict[str, Any]:
        return {"status": False, "message": TEXTS[self._language][text].format(**values)}

    def turn_on_wifi(self) -> Any:
        self.wifi = True
        return self._yes("wifi_on")

    def login_device(self) -> Any:
        self.logged_in = True
        return self._yes("device_on")


class MessageApi(BaseApi):
    """Messages between six users, as many as the inbox holds."""

    saved = ("inbox",)

    def __init__(self, language: str, config: Mapping[str, Any]) -> None:
        super().__init__(language, config)
        self._ids = {name: f"USR10{i}" for i, name in enumerate(NAMES)}
        self.inbox: dict[int, dict[str, Any]] = {
            number: {"sender_id": self._ids[a], "receiver_id": self._ids[b], "message": text, "time": time}
            for number, (a, b, text, time) in enumerate(INBOX[language], 1)
        }
        self._last_id = len(self.inbox)

    def send_message(self, sender_name: Any, receiver_name: Any, message: Any) -> Any:
        if not self.logged_in:
            return self._no("no_login_send")
        if not self.wifi:
            return self._no("no_wifi_send")
        if len(self.inbox) >= CAPACITY:
            return self._no("inbox_full")
        if sender_name not in self._ids or receiver_name not in self._ids:
            return self._no("no_such_pair")
        self._last_id += 1
        sender, receiver = self._ids[sender_name], self._ids[receiver_name]
        self.inbox[self._last_id] = {"sender_id": sender, "receiver_id": receiver, "message": message}
        return self._yes("sent", receiver=receiver_name)

    def delete_message(self, message_id: Any) -> Any:
        if not self.logged_in:
            return self._no("no_login_delete")
        if message_id not in self.inbox:
            return self._no("no_such_message")
        del self.inbox[message_id]
        return self._yes("message_deleted", id=message_id)

    def view_messages_between_users(self, sender_name: Any, receiver_name: Any) -> Any:
        if not self.logged_in:
            return self._no("no_login_view")
        for name, text in ((sender_name, "no_sender"), (receiver_name, "no_receiver")):
            if name not in self._ids:
                return self._no(text)
        found = [
            {"id": number, "sender": sender_name, "receiver": receiver_name, "message": entry["message"]}
            for number, entry in self.inbox.items()
            if (entry["sender_id"], entry["receiver_id"])
            == (self._ids[sender_name], self._ids[receiver_name])
        ]
        return {"status": True, "messages": found} if found else self._no("no_messages")

    def search_messages(self, user_name: Any, keyword: Any) -> Any:
        if user_name not in self._ids:
            return self._no("no_user")
        own = self._ids[user_name]
        found = [
            {"id": number, **{key: entry[key] for key in ("sender_id", "receiver_id", "message")}}
            for number, entry in self.inbox.items()
            if own in (entry["sender_id"], entry["receiver_id"])
            and keyword.lower() in entry["message"].lower()
        ]
        return {"status": True, "messages": found} if found else self._no("no_keyword")

    def get_all_message_times_with_ids(self) -> Any:
        if not self.logged_in:
            return self._no("no_login_times")
        return {number: entry["time"] for number, entry in self.inbox.items()}

    def get_latest_message_id(self) -> Any:
        return self._extreme(latest=True)

    def get_earliest_message_id(self) -> Any:
        return self._extreme(latest=False)

    def _extreme(self, latest: bool) -> Any:
        which = "latest" if latest else "earliest"
        if not self.logged_in:
            return self._no(f"no_login_{which}")
        if not self.inbox:
            return self._no("inbox_empty")
        times = {number: datetime.strptime(entry["time"], "%Y-%m-%d") for number, entry in self.inbox.items()}
        found = (max if latest else min)(times, key=lambda number: times[number])
        return {**self._yes(which, id=found), "message_id": found}


class ReminderApi(BaseApi):
    """Reminders, as many as the list holds."""

    saved = ("reminder_list",)
    chinese_only = ("mark_as_notified", "search_reminders")

    def __init__(self, language: str, config: Mapping[str, Any]) -> None:
        super().__init__(language, config)
        self.reminder_list: dict[int, dict[str, Any]] = {
            number: {"reminder_id": 1000 + number, **_reminder(*reminder)}
            for number, reminder in enumerate(REMINDERS[language], 1)
        }
        self._last_id = len(self.reminder_list)

    def view_reminder_by_title(self, title: Any) -> Any:
        if not self.logged_in:
            return self._no("no_login_reminder_view")
        for reminder in self.reminder_list.values():
            if reminder["title"] == title:
                return {"status": True, "reminder": reminder}
        return self._no("no_title", title=title)

    def add_reminder(self, title: Any, description: Any, time: Any) -> Any:
        if not self.logged_in:
            return self._no("no_login_reminder_add")
        if len(self.reminder_list) >= CAPACITY:
            return self._no("reminders_full")
        self._last_id += 1
        self.reminder_list[self._last_id] = {
            "reminder_id": self._last_id,
            **_reminder(title, description, time),
        }
        return self._yes("reminder_added", title=title)

    def delete_reminder(self, reminder_id: Any) -> Any:
        if not self.logged_in:
            return self._no("no_login_reminder_delete")
        if reminder_id not in self.reminder_list:
            return self._no("no_reminder")
        del self.reminder_list[reminder_id]
        return self._yes("reminder_deleted", id=reminder_id)

    def view_all_reminders(self) -> Any:
        if not self.reminder_list:
            return self._no("no_reminders")
        keys = ("title", "description", "time", "notified")
        shown = [{key: reminder[key] for key in keys} for reminder in self.reminder_list.values()]
        return {"status": True, "reminders": shown}

    def mark_as_notified(self, reminder_id: Any) -> Any:
        if reminder_id not in self.reminder_list:
            return self._no("no_reminder")
        self.reminder_list[reminder_id]["notified"] = True
        return self._yes("reminder_marked", id=reminder_id)

    def search_reminders(self, keyword: Any) -> Any:
        for reminder in self.reminder_list.values():
            if (
                keyword.lower() in reminder["title"].lower()
                or keyword.lower() in reminder["description"].lower()
            ):
                reminder["time"].strftime("%Y-%m-%d %H:%M")  # of a text, as officially: it raises
        return self._no("no_reminder_keyword")


def _reminder(title: Any, description: Any, time: Any) -> dict[str, Any]:
    return {"title": title, "description": description, "time": time, "notified": False}


class FoodPlatform(BaseApi):
    """Six users with a balance, six merchants with a menu."""

    saved = ("users", "logged_in_users", "orders")

    def __init__(self, language: str, config: Mapping[str, Any]) -> None:
        super().__init__(language, config)
        self.users: dict[str, dict[str, Any]] = {
            name: {"user_id": f"U10{i}", "password": PASSWORDS[i], "balance": BALANCES[i]}
            for i, name in enumerate(NAMES)
        }
        self.logged_in_users: list[Any] = copy.deepcopy(config.get("logged_in_users", []))
        self.orders: list[dict[str, Any]] = []
        self._menus: dict[Any, list[dict[str, Any]]] = {
            merchant: [{"product": product, "price": price} for product, price in menu.items()]
            for merchant, menu in MENUS[language].items()
        }

    def login_food_platform(self, username: Any, password: Any) -> Any:
        if not self.wifi:
            return self._no("no_wifi_food")
        if username not in self.users:
            return self._no("no_user")
        if self.users[username]["password"] != password:
            return self._no("wrong_password")
        if username in self.logged_in_users:
            return self._no("already_in", user=username)
        self.logged_in_users.append(username)
        return self._yes("logged_in", user=username)

    def view_logged_in_users(self) -> Any:
        if not self.logged_in_users:
            return self._no("nobody_in")
        return {"status": True, "logged_in_users": self.logged_in_users}

    def check_balance(self, user_name: Any) -> Any:
        return self.users[user_name]["balance"] if user_name in self.users else 0.0

    def add_food_delivery_order(self, username: Any, merchant_name: Any, items: Any) -> Any:
        if username not in self.logged_in_users:
            return self._no("not_in", user=username)
        if merchant_name not in self._menus:
            return self._no("no_merchant")
        prices = {entry["product"]: entry["price"] for entry in self._menus[merchant_name]}
        total, lines = 0.0, []
        for item in items:
            product, quantity = item.get("product"), item.get("quantity", 1)
            if not isinstance(quantity, int) or quantity <= 0:
                return self._no("bad_quantity", quantity=quantity, product=product)
            if not isinstance(product, str) or product not in prices:
                return self._no("no_product", product=product, merchant=merchant_name)
            total += prices[product] * quantity
            lines.append({"product": product, "quantity": quantity, "price_per_unit": prices[product]})
        balance = self.users[username]["balance"]
        if total > balance or (total == balance and self._language == "zh"):
            return self._no("too_dear")
        self.users[username]["balance"] -= total
        order = {"user_name": username, "merchant_name": merchant_name, "items": lines, "total_price": total}
        self.orders.append(order)
        return self._yes("ordered", merchant=merchant_name, total=total)

    def get_products(self, merchant_name: Any) -> Any:
        return self._menus.get(merchant_name) or self._no("no_such_merchant", merchant=merchant_name)

    def view_orders(self, user_name: Any) -> Any:
        found = [order for order in self.orders if order["user_name"] == user_name]
        return {"status": True, "orders": found} if found else self._no("no_orders")

    def search_orders(self, keyword: Any) -> Any:
        found = [
            order
            for order in self.orders
            if keyword.lower() in order["merchant_name"].lower()
            or any(keyword.lower() in self._searched(item).lower() for item in order["items"])
        ]
        return {"status": True, "orders": found} if found else self._no("no_orders_found")

    def _searched(self, item: dict[str, Any]) -> Any:
        return item["product"] if self._language == "en" else item  # which has no lower(), as officially
