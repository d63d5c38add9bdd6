"""ACEBench's agent scenes: what is asked, what the machines do, and what comes of the golds' own commands."""

import asyncio
import json

import pytest
from acebench_golds import DATA, needs_acebench, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import recipes
from evaluation.benchmarks import Reply, Source
from evaluation.benchmarks._acebench_prompts_en import ENGLISH
from evaluation.benchmarks._acebench_scene import Scene, World, play_alone, play_with_user
from evaluation.benchmarks.acebench import load

OPTIONS = OmegaConf.to_container(OmegaConf.load(f"{recipes.__path__[0]}/benchmark/acebench.yaml"))["options"]
PHONE = ("BaseApi", "MessageApi", "ReminderApi", "FoodPlatform")


class Scripted:
    """Says the next line of each role, and at the end that it is done."""

    seed = 0

    def __init__(self, agent, user=()):
        self.lines = {"agent": list(agent), "user": list(user)}
        self.asked = []

    async def ask(self, messages, *, role="agent", tools=None, stop=None):
        self.asked.append((role, [dict(message) for message in messages]))
        lines = self.lines[role]
        return Reply(lines.pop(0) if lines else "finish conversation")


def scene(*classes, language="en", question="Do it.", **base):
    return Scene(language, question, [{"name": "f"}], classes, {"BaseApi": base})


def told(world, *commands):
    return [world.execute(f"[{command}]", alone=True)[0] for command in commands]


@needs_acebench
@pytest.mark.parametrize(
    ("language", "category", "num_right"),
    [
        ("en", "agent_multi_step", 4),
        ("en", "agent_multi_turn", 21),
        ("zh", "agent_multi_step", 8),
        ("zh", "agent_multi_turn", 29),
    ],
)
def test_the_golds_own_commands_lead_to_as_many_right_scenes_as_officially(language, category, num_right):
    benchmark = load(Source(subtask=category, data=str(DATA), language=language, options=OPTIONS))
    verdicts = []
    for question, answer in rows(language, category):
        stones = answer["mile_stone"]
        stones = stones[0] if isinstance(stones[0], list) else stones
        prediction = asyncio.run(benchmark.play(question["id"], Scripted(stones, ["Hello."] * 40)))
        verdicts.append(benchmark.score(question["id"], json.loads(json.dumps(prediction))))
    assert sum(verdict.score for verdict in verdicts) == num_right


def test_an_agent_alone_reads_results_and_not_its_own_commands():
    chat = Scripted(
        ["[login_device()]", "Shall I?", "[foo(), turn_on_wifi()]", "All done: finish conversation"]
    )
    prediction = asyncio.run(play_alone(scene(*PHONE), ENGLISH, 40, chat))
    assert prediction["process"] == ["[login_device()]", "Shall I?", "[foo(), turn_on_wifi()]"]
    assert [role for role, _ in chat.asked] == ["agent"] * 4
    history = chat.asked[-1][1][1]["content"].partition("Conversation history: ")[2].rstrip("\n")
    unbound = "cannot access local variable 'func_call_result' where it is not associated with a value"
    assert history.splitlines() == [
        "user:Do it.",
        "execution result:[{'status': True, 'message': 'Device has been logged in'}]",
        "execution result:Please do not ask me any questions, use the known conditions to solve the problem",
        f'execution result:["Error during execution: {unbound}", '
        "{'status': True, 'message': 'Wi-Fi has been turned on'}]",
    ]
    assert [next(iter(state)) for state in prediction["result"]] == list(PHONE)
    assert prediction["result"][0] == {"BaseApi": {"wifi": True, "logged_in": True}}
    assert json.loads(json.dumps(prediction)) == prediction


def test_an_agent_and_a_user_take_turns():
    chat = Scripted(
        ["Who to?", "[turn_on_wifi()]", "Here [it] is"],
        ["Send a message.", "user: Ann", "finish conversation"],
    )
    prediction = asyncio.run(play_with_user(scene(*PHONE), ENGLISH, 40, "system", chat))
    assert [role for role, _ in chat.asked] == ["user", "agent", "user", "agent", "agent", "user"]
    assert [turn["sender"] for turn in prediction["dialogue"]] == [
        *("user", "agent", "user", "agent", "execution", "agent", "user")
    ]
    last = chat.asked[-1][1]
    assert [message["role"] for message in last] == ["system", "user", "system", "user", "system", "user"]
    assert "Instruction: Do it." in last[0]["content"] and last[-1]["content"] == "Here [it] is"
    assert chat.asked[1][1][0]["content"] == ENGLISH.turn_system + ENGLISH.phone_rules
    assert prediction["process"] == ["[turn_on_wifi()]"]


def test_a_failed_command_beside_a_user_is_told_letter_by_letter():
    chat = Scripted(["[turn_on_wifi(), login_device(5, now=1)]"], ["Go."])
    prediction = asyncio.run(play_with_user(scene(*PHONE), ENGLISH, 3, "assistant", chat))
    assert "".join(prediction["dialogue"][2]["message"]) == "Error during execution: {str(e)}"
    assert prediction["result"] == []  # no command came to its end


def test_scenes_end_after_so_many_messages():
    chat = Scripted(["finish conversation", "[login_device()]"] * 30)
    assert len(asyncio.run(play_alone(scene("BaseApi"), ENGLISH, 2, chat))["dialogue"]) == 3
    chat = Scripted(["[login_device()]"] * 30)
    assert len(asyncio.run(play_alone(scene("BaseApi"), ENGLISH, 40, chat))["dialogue"]) == 41


def test_the_phone():
    world = World(scene(*PHONE))
    message = "send_message(sender_name='Eve', receiver_name='Jack', message='Hi')"
    replies = told(
        world, message, "turn_on_wifi()", message, "get_earliest_message_id()", "delete_message(message_id=3)"
    )
    assert [reply["status"] for reply in replies] == [False, True, False, True, True]
    assert replies[3]["message_id"] == 3
    assert told(world, message)[0]["status"]
    assert world.machines["MessageApi"].inbox[7] == {
        "sender_id": "USR100",
        "receiver_id": "USR105",
        "message": "Hi",
    }
    assert told(world, "get_latest_message_id()") == ["Error during execution: 'time'"]
    assert told(world, "search_reminders(keyword='list')")[0].startswith(
        "Error during execution: cannot access"
    )
    assert told(world, "add_reminder(title='a', description='b', time=1)")[0]["status"]
    assert "4" in world.result()[2]["ReminderApi"]["reminder_list"]


def test_an_order_may_cost_the_balance_in_english_and_less_in_chinese():
    order = "add_food_delivery_order(username='Grace', merchant_name={!r}, items=[{{'product': {!r}, 'quantity': 10}}])"
    for language, (merchant, product), paid in (
        ("en", ("Hema Fresh", "Organic Vegetable Pack"), True),
        ("zh", ("盒马生鲜", "有机蔬菜包"), False),
    ):
        world = World(scene("FoodPlatform", language=language, wifi=True))
        login = "login_food_platform(username='Grace', password='password789')"
        replies = told(world, order.format(merchant, product), login, login, order.format(merchant, product))
        assert [reply["status"] for reply in replies] == [False, True, False, paid]
        assert told(world, "check_balance(user_name='Grace')") == [0.0 if paid else 150.0]
        assert len(told(world, "search_orders(keyword='')")[0].get("orders", [])) == paid


def test_the_airline():
    world = World(scene("Travel"))
    book = (
        "reserve_flight(user_id='user3', password={!r}, flight_no='MU5678', cabin='Economy Class', "
        "payment_method='bank', baggage_count=5)"
    )
    assert told(world, book.format("wrong")) == ["Error during execution: 'membership_level'"]
    assert "Reservation ID: res_5. Total cost: 2000 yuan" in told(world, book.format("password789"))[0]
    ids = "user_id='user3', reservation_id='res_5'"
    change = f"modify_flight({ids}, new_flight_no='CZ4352', new_cabin='Business Class')"
    assert told(world, change)[0].endswith("Price difference paid: 1100.")
    refund = told(world, f"cancel_reservation({ids}, reason='plans')")[0]
    assert refund.endswith("2500 yuan has been refunded.")
    user = world.machines["Travel"].users["user3"]
    assert (user["bank_balance"], user["cash_balance"]) == (1900.0, 3500.0)
    legs = told(
        world,
        "find_transfer_flights(origin_city='Beijing', transfer_city='Nanjing', destination_city='Shenzhen')",
    )
    assert legs[0].count("first_leg") == 1
    assert told(world, "reserve_flight()")[0].startswith(
        "Error during execution: Travel.reserve_flight() missing 6"
    )


def test_a_result_may_outgrow_what_python_writes():
    world = World(scene("Travel"))
    fee = "calculate_baggage_fee(membership_level='gold', cabin_class='Business Class', baggage_count={})"
    assert told(world, fee.format("10**4000 // 10**3999"), fee.format("9*10**4298")) == [
        350,
        "a number of too many digits",
    ]


VALUES = st.sampled_from(
    [
        *(
            "1",
            "-1",
            "1e999",
            "'Eve'",
            "'x'",
            "None",
            "[1]",
            "[{'product': 1}]",
            "{'a': 1}",
            "{'a': {}}",
            "{}",
        ),
        *("now()", "f(a=1)", "x[0]", "(1,)", "b'x'", "10**4400", "'\ud800'"),
    ]
)
NAMES = st.sampled_from(
    [
        *("login_device", "send_message", "delete_message", "add_reminder", "search_orders", "modify_flight"),
        *(
            "add_food_delivery_order",
            "login_food_platform",
            "reserve_flight",
            "process_refund",
            "update_balance",
        ),
        *("__init__", "saved", "a.login_device", "f()"),
    ]
)
KEYS = st.sampled_from(
    [
        *(
            "sender_name=",
            "receiver_name=",
            "message=",
            "message_id=",
            "title=",
            "description=",
            "time=",
            "amount=",
        ),
        *(
            "username=",
            "merchant_name=",
            "items=",
            "user_id=",
            "reservation_id=",
            "new_cabin=",
            "user=",
            "**",
        ),
    ]
)
ARGUMENTS = st.lists(st.builds("".join, st.tuples(KEYS, VALUES)), max_size=4).map(", ".join)
CALLS = st.builds("{}({})".format, NAMES, ARGUMENTS)


@settings(max_examples=200)
@given(
    st.lists(st.text() | st.lists(CALLS, max_size=3).map(lambda told: f"[{', '.join(told)}]"), max_size=8),
    st.booleans(),
)
def test_whatever_an_agent_says_a_scene_goes_on(lines, alone):
    everything = scene(*PHONE, "Travel", language="zh", wifi=True)
    if alone:
        prediction = asyncio.run(play_alone(everything, ENGLISH, 20, Scripted(lines)))
    else:
        prediction = asyncio.run(
            play_with_user(everything, ENGLISH, 20, "system", Scripted(lines, ["Go on."] * 20))
        )
    assert json.loads(json.dumps(prediction)) == prediction
