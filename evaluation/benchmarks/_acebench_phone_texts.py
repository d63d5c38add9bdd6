"""What the simulated phone holds and says (chenchen0103/ACEBench 56dd66c, MIT); scores depend on every word."""

from __future__ import annotations

_MEETING = "Hey Frank, don't forget about our meeting on 2024-06-11 at 4 PM in Conference Room 1."
_PIZZA = {
    "en": 'Can you help me order a "Margherita Pizza" delivery? The merchant is Domino\'s.',
    "zh": '你能帮我点一个"玛格丽特披萨"的外卖吗,商家是达美乐。',
}
_TEA = {
    "en": "Please check the milk tea delivery options available from Heytea and purchase a cheaper milk tea for me. "
    'After making the purchase, remember to reply to me with "Already bought."',
    "zh": "帮我查一些喜茶有哪些奶茶外卖，买一杯便宜些的奶茶。买完以后记得回复我,回复的内容是（已经买好了）",
}
INBOX = {
    language: [  # sender, receiver, text, time
        ("Eve", "Frank", _MEETING, "2024-06-09"),
        ("Frank", "Grace", _PIZZA[language], "2024-03-09"),
        ("Grace", "Helen", _TEA[language], "2023-12-05"),
        ("Helen", "Grace", "No problem Helen, I can assist you.", "2024-09-09"),
        ("Isaac", "Jack", "Isaac, are you available for a call?", "2024-06-06"),
        ("Jack", "Isaac", "Yes Jack, let's do it in 30 minutes.", "2024-01-15"),
    ]
    for language in ("en", "zh")
}
_TO_DO = {
    "en": 'First, help Frank place a food delivery order at "Hema Fresh," ordering two "Fresh Gift Packs." Then, '
    'send a message to Frank saying, "The price of the purchased goods is () yuan." Replace the parentheses with the '
    "actual amount, keeping one decimal place.",
    "zh": '首先帮Frank在"盒马生鲜"点外卖，需要定两个"生鲜大礼包"，再发短信告诉Frank："购买商品的价格是()元"。'
    "要把括号换成实际金额，保留一位小数。",
}
REMINDERS = {
    language: [  # title, description, time
        ("Doctor's Appointment", "Visit Dr. Smith for a checkup.", "2024-07-15 09:30"),
        ("Team Meeting", "Monthly project review with the team.", "2024-07-17 11:00"),
        ("To-do list", _TO_DO[language], "2024-07-16 11:00"),
    ]
    for language in ("en", "zh")
}
MENUS = {
    "en": {
        "Domino's": {"Margherita Pizza": 68.0, "Super Supreme Pizza": 88.0},
        "Rice Village Bibimbap": {"Stone Pot Bibimbap": 35.0, "Korean Beef Bibimbap": 45.0},
        "Haidilao": {"Beef Rolls": 68.0, "Seafood Platter": 88.0},
        "Heytea": {"Cheese Milk Tea": 25.0, "Four Seasons Spring Milk Tea": 22.0},
        "Hema Fresh": {"Organic Vegetable Pack": 15.0, "Fresh Gift Pack": 99.0},
        "Jiutian BBQ": {"Korean Grilled Beef": 128.0, "Grilled Pork Belly": 78.0},
    },
    "zh": {
        "达美乐": {"玛格丽特披萨": 68.0, "超级至尊披萨": 88.0},
        "米村拌饭": {"石锅拌饭": 35.0, "韩式牛肉拌饭": 45.0},
        "海底捞": {"牛肉卷": 68.0, "海鲜拼盘": 88.0},
        "喜茶": {"芝士奶茶": 25.0, "四季春奶茶": 22.0},
        "盒马生鲜": {"有机蔬菜包": 15.0, "生鲜大礼包": 99.0},
        "九田家烤肉": {"韩式烤牛肉": 128.0, "烤五花肉": 78.0},
    },
}
_BOTH = {  # text: English, Chinese
    "wifi_on": ("Wi-Fi has been turned on", "wifi已经打开"),
    "device_on": ("Device has been logged in", "设备已经登录"),
    "no_login_send": ("Device not logged in, unable to send message", "device未登录，无法发送短信"),
    "no_wifi_send": ("Wi-Fi is turned off, cannot send messages at this time", "wifi关闭，此时不能发送信息"),
    "inbox_full": (
        "Inbox capacity is full. You need to ask the user which message to delete.",
        "内存容量不够了，你需要询问user删除哪一条短信。",
    ),
    "no_such_pair": ("Sender or receiver does not exist", "发送者或接收者不存在"),
    "sent": ("Message successfully sent to {receiver}.", "短信成功发送给{receiver}。"),
    "no_login_delete": ("Device not logged in, unable to delete message", "device未登录，无法删除短信"),
    "no_such_message": ("Message ID does not exist", "短信ID不存在"),
    "message_deleted": ("Message ID {id} has been successfully deleted.", "短信ID {id} 已成功删除。"),
    "no_login_view": (
        "Device not logged in, unable to view message information",
        "device未登录，无法查看短信信息",
    ),
    "no_sender": ("Sender does not exist", "发送者不存在"),
    "no_receiver": ("Receiver does not exist", "接收者不存在"),
    "no_messages": ("No related message records found", "没有找到相关的短信记录"),
    "no_user": ("User does not exist", "用户不存在"),
    "no_keyword": ("No messages found containing the keyword", "没有找到包含关键词的短信"),
    "no_login_times": (
        "Device not logged in, unable to retrieve all message times and their corresponding message IDs.",
        "device未登录，获取所有短信的时间以及对应的短信编号。",
    ),
    "no_login_latest": (
        "Device not logged in, unable to retrieve the latest sent message ID.",
        "device未登录，无法获取最新发送的短信ID。",
    ),
    "no_login_earliest": (
        "Device not logged in, unable to retrieve the earliest sent message ID.",
        "device未登录，无法获取最早发送的短信ID",
    ),
    "inbox_empty": ("No message records found", "短信记录为空"),
    "latest": ("The latest message ID is {id}", "最新的短信ID是 {id}"),
    "earliest": ("The earliest message ID is {id}", "最早的短信ID是 {id}"),
    "no_login_reminder_view": (
        "The device is not logged in, so you cannot view notifications",
        "device未登录，无法查看提醒",
    ),
    "no_title": ("No reminder found with the title '{title}'.", "没有找到标题为 '{title}' 的提醒"),
    "no_login_reminder_add": (
        "Device not logged in. Unable to add a new reminder.",
        "device未登录，无法添加一个新的提醒",
    ),
    "reminders_full": (
        "Reminder capacity is full. Unable to add a new reminder.",
        "提醒容量已满，无法添加新的提醒",
    ),
    "reminder_added": ("Reminder '{title}' was successfully added.", "提醒 '{title}' 已成功添加"),
    "no_login_reminder_delete": (
        "Device not logged in. Unable to delete the specified reminder.",
        "device未登录，无法删除指定的提醒",
    ),
    "no_reminder": ("Reminder ID does not exist.", "提醒ID不存在"),
    "reminder_deleted": ("Reminder ID {id} was successfully deleted.", "提醒ID {id} 已成功删除"),
    "no_reminders": ("No reminders found.", "没有任何提醒"),
    "reminder_marked": ("", "提醒ID {id} 已标记为已通知"),
    "no_reminder_keyword": ("", "没有找到包含该关键词的提醒"),
    "no_wifi_food": ("Wi-Fi is not enabled, unable to login", "wifi未打开，无法登录"),
    "wrong_password": ("Incorrect password", "密码错误"),
    "already_in": ("{user} is already logged in", "{user} 已经登录"),
    "logged_in": ("User {user} has successfully logged in!", "用户{user}登陆成功！"),
    "nobody_in": ("No users are currently logged in to the food platform", "当前没有登录food platform"),
    "not_in": ("User {user} is not logged in to the food platform", "用户 {user} 未登录food platform"),
    "no_merchant": ("Merchant does not exist", "商家不存在"),
    "bad_quantity": (
        "Invalid quantity {quantity} for product {product}",
        "无效的数量 {quantity} 对于商品 {product}",
    ),
    "no_product": (
        "Product {product} does not exist in {merchant}'s menu",
        "商品 {product} 不存在于 {merchant} 的菜单中",
    ),
    "too_dear": ("Insufficient balance to place the order", "余额不足，无法下单"),
    "ordered": (
        "Food delivery order successfully placed with {merchant}. Total amount: {total} yuan",
        "外卖订单成功下单给 {merchant}，总金额为 {total} 元",
    ),
    "no_such_merchant": ("Merchant '{merchant}' does not exist", "商家 '{merchant}' 不存在"),
    "no_orders": ("User has no order records", "用户没有订单记录"),
    "no_orders_found": ("No matching orders found", "没有找到匹配的订单"),
}
TEXTS = {language: {name: both[i] for name, both in _BOTH.items()} for i, language in enumerate(("en", "zh"))}
