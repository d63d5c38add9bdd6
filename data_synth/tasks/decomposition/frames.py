"""Sentence frames of the user: openings, contexts, connectives and closings, by language.

``{}`` is the place of a clause. An opening that ends in ``?`` asks; the others tell.
"""

GREETINGS = {
    "en": ("", "", "", "", "Hi, ", "Hello, ", "Hey, ", "Hi there, ", "Good morning, ", "Good evening, "),
    "zh": ("", "", "", "", "你好，", "您好，", "嗨，", "早上好，", "在吗？"),
}
CONTEXTS = {
    "en": (
        "I'm short of time today.",
        "I'm getting organised for the coming weeks.",
        "I'm on the road and can't do this myself right now.",
        "My schedule is packed today.",
        "I have a few things to sort out.",
        "I'm going through my to-do list.",
        "I'm helping a friend with this.",
        "I'm in the middle of something else, so I'd rather leave this to you.",
        "I've been putting this off for days.",
        "A colleague said you could take care of this.",
        "My partner asked me to get this done.",
        "I'm away from my desk this afternoon.",
        "I want to have this settled before the weekend.",
        "It has been one of those weeks.",
    ),
    "zh": (
        "我今天时间比较紧。",
        "我正在安排接下来几周的事情。",
        "我现在在路上，不方便自己操作。",
        "今天的日程排得很满。",
        "我有几件事要处理一下。",
        "我在清理我的待办清单。",
        "我在帮朋友办这件事。",
        "我手头正忙别的，所以想交给你来办。",
        "这件事我已经拖了好几天了。",
        "同事说这种事可以交给你。",
        "家里人让我把这件事办好。",
        "我下午不在电脑旁边。",
        "我想在周末前把这事定下来。",
    ),
}
OPENINGS = {
    "en": (
        "{}.",
        "{}.",
        "Please {}.",
        "Please {}.",
        "Could you {}?",
        "Could you please {}?",
        "Can you {}?",
        "Would you {}?",
        "I'd be glad of some help: {}.",
        "I need you to {}.",
        "I'd like you to {}.",
        "I want you to {}.",
        "Help me {}.",
        "What I need first: {}.",
        "Here is what I need: {}.",
        "It would be great if you could {}.",
        "I was hoping you could {}.",
        "When you have a moment, {}.",
        "Do me a favour and {}.",
    ),
    "zh": (
        "{}。",
        "{}。",
        "请{}。",
        "请{}。",
        "麻烦{}。",
        "能不能{}？",
        "可以{}吗？",
        "我需要你{}。",
        "我希望你{}。",
        "有空的话，{}。",
        "劳驾{}。",
        "我的需求是：{}。",
        "想请你{}。",
    ),
}
AFTER = {
    "en": (
        ", then {}",
        ", then {}",
        " and then {}",
        ". After that, {}",
        ". Once that's done, {}",
        ". When you have that, {}",
        ". Next, {}",
        ". With that in hand, {}",
        ". Based on that, {}",
    ),
    "zh": (
        "，然后{}",
        "，然后{}",
        "，接着{}",
        "，再{}",
        "。之后{}",
        "。查到以后，{}",
        "。完成后，{}",
        "。接下来，{}",
        "。在此基础上，{}",
    ),
}
ALONGSIDE = {
    "en": (
        " and {}",
        " and {}",
        ", and also {}",
        ", and {} as well",
        ". Also, {}",
        ". At the same time, {}",
        ". While you're at it, {}",
        ". In addition, {}",
        ". And please {}",
        ". Along with that, {}",
    ),
    "zh": (
        "，同时{}",
        "，同时{}",
        "，并且{}",
        "，另外{}",
        "，顺便{}",
        "。同时，{}",
        "。顺便也{}",
        "。此外，{}",
        "。还有，{}",
    ),
}
ANYWAY = {
    "en": (". In any case, {}", ". Either way, {}", ". Whatever comes out, {}"),
    "zh": ("。无论如何，{}", "。不管结果怎样，{}", "。另外不管怎样，{}"),
}
"""After what depends on a condition, for what doesn't."""
APART = {
    "en": (
        ". Separately, {}",
        ". Apart from that, {}",
        ". On another note, {}",
        ". I also need you to {}",
        ". Oh, and {}",
        ". There is something else too: {}",
        ". And another thing: {}",
        ". Unrelated to that, {}",
        ". Besides, {}",
        "; separately, {}",
    ),
    "zh": (
        "。另外，{}",
        "。除此之外，{}",
        "。还有一件不相关的事：{}",
        "。对了，{}",
        "。另有一件事：{}",
        "。再就是，{}",
        "。顺便还有件事，{}",
        "；另外，{}",
    ),
}
IF = {
    "en": (
        ". If {condition}, {}",
        ". If {condition}, {}",
        ". If it turns out that {condition}, {}",
        ". In case {condition}, {}",
        ". Then, if {condition}, {}",
        ". Should you see that {condition}, {}",
        ". {} if {condition}",
        ". {}, but only if {condition}",
        ". Provided that {condition}, {}",
        "; if {condition}, {}",
    ),
    "zh": (
        "。如果{condition}，就{}",
        "。如果{condition}，{}",
        "。要是{condition}，就{}",
        "。若{condition}，则{}",
        "。假如{condition}，请{}",
        "。只有在{condition}的情况下，才{}",
        "；如果{condition}，{}",
    ),
}
OTHERWISE = {
    "en": (". Otherwise, {}", "; otherwise, {}", ". If not, {}", ". Failing that, {}", "; if not, {}"),
    "zh": ("；否则，{}", "，否则{}", "。否则的话，{}", "。如果不是这样，就{}", "。不然就{}"),
}
IN_THAT_CASE = {
    "en": (" and {}", ", and in that case also {}", ". In that case, also {}", ", and then {}"),
    "zh": ("，并且{}", "，然后{}", "，这种情况下也{}"),
}
CLOSINGS = {
    "en": (
        "",
        "",
        "",
        "",
        "",
        "Thanks!",
        "Thank you!",
        "Thanks a lot.",
        "Thanks in advance.",
        "Much appreciated.",
    ),
    "zh": ("", "", "", "", "", "谢谢！", "谢谢你。", "多谢！", "辛苦了。", "麻烦了。"),
}
LATER = {
    "en": (
        "Great. Now {}.",
        "Thanks. Next, {}.",
        "Perfect, now {}.",
        "One more thing: {}.",
        "And now {}.",
        "All right, please {}.",
        "Good. Could you also {}?",
        "Then {}, please.",
        "That helps. Now {}.",
        "While we're on it, {}.",
    ),
    "zh": (
        "好的，接下来{}。",
        "谢谢，现在{}。",
        "很好，再{}。",
        "还有一件事：{}。",
        "好，那么{}。",
        "明白了，请{}。",
        "不错，能不能也{}？",
        "那接着{}吧。",
        "有帮助，现在{}。",
    ),
}
REFINE_ONE = {
    "en": (
        "Could you do that {}?",
        "Actually, please do it {}.",
        "I forgot something: please do that {}.",
        "Let me add a detail. Do that {}, please.",
        "Please adjust the plan and do it {}.",
        "On second thought, I'd like that done {}.",
        "Sorry, one condition I left out: do it {}.",
    ),
    "zh": (
        "对了，补充一点：{}。",
        "刚才忘了说：{}。",
        "再加一个要求：{}。",
        "麻烦调整一下，{}。",
        "我想了想，还是要{}。",
        "还有一个条件：{}。",
    ),
}
REFINE_MANY = {
    "en": (
        "One more detail: when you {what}, do it {}.",
        "When you {what}, please do it {}.",
        "I forgot something. When you {what}, I'd like it done {}.",
        "Let me refine one thing: as you {what}, do that {}.",
    ),
    "zh": (
        "关于“{what}”，补充一点：{}。",
        "你在{what}的时候，请注意：{}。",
        "刚才忘了说，{what}时要{}。",
        "对于“{what}”，再加一个要求：{}。",
    ),
}
ANSWERS = {
    "en": (
        "{}.",
        "{}.",
        "Sorry, I left that out: {}.",
        "Oh right, {}.",
        "Of course: {}.",
        "Sure, {}.",
        "Good question, {}.",
        "{}, thanks.",
    ),
    "zh": (
        "{}。",
        "{}。",
        "不好意思，忘了说，{}。",
        "哦对，{}。",
        "当然，{}。",
        "{}，谢谢。",
        "刚才漏了，{}。",
    ),
}
EQUALS = {
    "en": (
        "the {label} is {value}",
        "the {label} should be {value}",
        "{label}: {value}",
        "use {value} as the {label}",
    ),
    "zh": ("{label}是{value}", "{label}为{value}", "{label}：{value}", "{label}用{value}"),
}
THING = {
    "en": (
        "{thing} {value}",
        "{thing} {value}",
        "I mean {thing} {value}",
        "it's {thing} {value}",
        "the one with the id {value}",
    ),
    "zh": (
        "{thing}{value}",
        "{thing}{value}",
        "我指的是{thing}{value}",
        "是{thing}{value}",
        "编号为{value}的那个",
    ),
}
