"""What the simulated airline says (chenchen0103/ACEBench 56dd66c, MIT); scores depend on every word."""

from __future__ import annotations

_CITIES = {
    "Beijing": "北京",
    "Shanghai": "上海",
    "Nanjing": "南京",
    "Shenzhen": "深圳",
    "Xiamen": "厦门",
    "Chengdu": "成都",
    "Fuzhou": "福州",
}
CITIES = {"en": {city: city for city in _CITIES}, "zh": _CITIES}
CABINS = {"en": ("Economy Class", "Business Class"), "zh": ("经济舱", "商务舱")}
CLEARED = {"en": "The airline has canceled the flight.", "zh": "航空公司取消航班"}
_BOTH = {  # text: English, Chinese
    "no_direct": ("There are no direct flights that meet the criteria.", "没有符合条件的直达航班"),
    "no_login": ("Incorrect username or password.", "用户名或密码不正确"),
    "no_ids": ("Please provide a valid reservation ID or user ID", "请提供有效的预订ID或用户ID"),
    "no_transfer": ("No connecting flights that meet the criteria were found.", "未找到符合条件的中转航班。"),
    "bad_payment": ("Invalid payment method", "支付方式无效"),
    "no_money": (
        "Your {method} balance is insufficient. Please consider using another payment method.",
        "{method}余额不足，请考虑换一种支付方式",
    ),
    "booked": (
        "Booking successful. Reservation ID: {id}. Total cost: {cost} yuan (including baggage fees).",
        "预订成功，预订号：{id}，总费用：{cost}元（包含行李费用）。",
    ),
    "no_reservation": ("Reservation not found or user ID does not match.", "预订未找到或用户ID不匹配。"),
    "no_flight": ("Flight information not found.", "航班信息未找到。"),
    "bad_flight": (
        "Flight change failed: Invalid new flight number or destination does not match.",
        "航班更改失败：新的航班号无效或目的地不匹配。",
    ),
    "flight_changed": ("Flight number has been changed.", "航班号已更改。"),
    "cabin_paid": (
        "Cabin change successful. Price difference paid: {difference}.",
        "舱位更改成功。已支付差价: {difference}。",
    ),
    "cabin_unpaid": (
        "Insufficient balance to pay the cabin price difference.",
        "余额不足，无法支付舱位差价。",
    ),
    "cabin_refunded": (
        "Cabin change successful. Price difference refunded: {difference}.",
        "舱位更改成功。已退款差价: {difference}。",
    ),
    "baggage_paid": (
        "Baggage has been added. Additional fee to be paid: {cost}.",
        "行李已增加。需支付额外费用: {cost}。",
    ),
    "baggage_unpaid": (
        "Insufficient balance to pay the additional baggage fees.",
        "余额不足，无法支付额外行李费用。",
    ),
    "unchanged": ("Modification completed with no additional fees.", "修改完成，无需额外费用。"),
    "bad_user": ("Invalid user ID.", "用户ID无效。"),
    "bad_reservation": (
        "Invalid reservation ID or it does not belong to the user.",
        "预订ID无效或与该用户无关。",
    ),
    "bad_flight_information": ("Invalid flight information.", "航班信息无效。"),
    "cancelled_by_airline": (
        "The flight has been canceled. Your reservation will be canceled free of charge, and {refund} yuan has been "
        "refunded.",
        "航班已取消，您的预订将被免费取消，已退款{refund}元。",
    ),
    "cancelled_early": (
        "More than 24 hours before departure. Free cancellation successful, {refund} yuan has been refunded.",
        "距离出发时间超过24小时，免费取消成功，已退款{refund}元。",
    ),
}
TEXTS = {language: {name: both[i] for name, both in _BOTH.items()} for i, language in enumerate(("en", "zh"))}
