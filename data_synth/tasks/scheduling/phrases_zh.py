"""Chinese phrasings."""

from data_synth.tasks.scheduling.phrases import CalendarPhrases, MeetingPhrases, Phrases, TripPhrases

CALENDAR = CalendarPhrases(
    preambles=(
        "你擅长安排会议。题目给出参会人、会议时长、每个人已有的日程，有时还有偏好。有且只有一个时间适合所有人，请找出它。",
        "你负责为团队安排会议。你会看到每个人已有的日程、会议时长以及可能的时间偏好；一定存在一个适合所有人的时间。",
        "请根据所有参会人的日历安排会议，遵守已有日程和全部偏好；答案一定存在。",
    ),
    answer_form="请按此格式回答：建议的会议时间：星期几，H:MM - H:MM",
    tasks=(
        "你需要为{people}安排一次会议，时长{length}，时间在{days}{starts}至{ends}的工作时间内。",
        "请为{people}安排一场{length}的会议，限{days}，工作时间为{starts}至{ends}。",
        "{people}要在{days}的{starts}到{ends}之间开会，会议需要{length}。",
    ),
    one_day="{day}",
    several_days="{days}中的某一天",
    schedules=(
        ("以下是每个人当天已有的日程：", "以下是每个人这几天已有的日程："),
        ("当天各人的日历如下：", "这几天各人的日历如下："),
    ),
    busy=(
        "{person}有会议：{times}；",
        "{person}没空：{times}；",
        "{person}的日程已占用：{times}；",
        "{person}另有安排：{times}；",
    ),
    busy_day="{day}{times}",
    free=(
        ("{person}全天有空。", "{person}这几天都有空。"),
        ("{person}当天没有会议。", "{person}这几天没有会议。"),
    ),
    before=("{person}不想在{day}{time}之前开会。", "{person}在{day}{time}之前来不了。"),
    after=("{person}不想在{day}{time}之后开会。", "{person}希望{day}{time}之后不再安排会议。"),
    all_day=("{person}不想在{day}开会。", "{person}在{day}不能开会。"),
    earliest=("大家希望尽早开会。", "请选择最早的可行时间。"),
    closings=("请找出适合所有人日程和要求的时间。", "什么时间适合所有人？"),
    answer="建议的会议时间：{day}，{starts} - {ends}",
    derived_day="{day}大家都有空的时间是{times}。",
    derived_none="{day}没有大家都有空的时间。",
    derived="会议需要{length}，因此可安排在{day}{starts}到{ends}。",
)

MEETING = MeetingPhrases(
    preambles=(
        "你擅长规划在城里与朋友见面的一天。每位朋友在某段时间内待在一个地点。请在各地点之间步行，与尽可能多的朋友见面。",
        "请规划一天的会面。题目给出各地点之间的用时、每位朋友所在的地点和时间，以及会面时长。见到的朋友最多的方案最好。",
    ),
    answer_form=(
        "请用以下句式回答：你9:00从地点出发。你前往地点，用时N分钟，H:MM到达。你等到H:MM。你与某人会面N分钟，从H:MM到H:MM。"
    ),
    tasks=(
        "你今天在{town}游玩，想与尽可能多的朋友见面。",
        "你在{town}度过一天，希望见到尽可能多的朋友。",
    ),
    tie_break="如果多个方案见到的朋友一样多，请选择最早结束的方案。",
    distances=("路程用时（分钟）：", "各地点之间所需分钟数："),
    distance="{start}到{end}：{minutes}。",
    constraints="约束：{sentences}",
    arrive="你{time}到达{place}。",
    windows=("{person}从{opens}到{closes}在{place}。", "{opens}到{closes}之间，{person}会在{place}。"),
    minimums=("你想与{person}会面至少{minutes}分钟。", "与{person}的会面不少于{minutes}分钟。"),
    closings=("请规划这一天。", "哪个方案最好？"),
    start="你{time}从{place}出发。",
    travel="你前往{place}，用时{minutes}分钟，{time}到达。",
    wait="你等到{time}。",
    meet="你与{person}会面{minutes}分钟，从{starts}到{ends}。",
    derived="{num}位朋友中最多能见到{met}位。按{order}的顺序，最后一次会面在{time}结束。",
    derived_skip="没有时间见{people}。",
)

TRIP = TripPhrases(
    preambles=(
        "你擅长规划多城市旅行。题目给出在每座城市停留的天数、固定日期的活动，以及哪些城市之间有直飞航班。"
        "飞行当天同时算作两座城市的一天，每座城市只去一次。",
        "请只用直飞航班规划旅行。每座城市只去一次，停留天数按要求；飞行当天同属两座城市。"
        "“A与B”表示往返都有航班，“从A到B”表示只有单程。",
    ),
    answer_form=(
        "请按以下格式逐行回答：第1-3天：抵达城市，游览城市3天。第3天：从城市飞往城市。第3-5天：游览城市3天。"
    ),
    tasks=(
        "你计划游览{num}座欧洲城市，共{days}天。城市之间只乘坐直飞航班。",
        "你打算用{days}天游览{num}座欧洲城市，城市之间只能直飞。",
    ),
    stays=("你想在{city}停留{days}天。", "你希望游览{city}{days}天。", "你计划在{city}待{days}天。"),
    events=(
        "第{first}天到第{last}天你必须在{city}参加研讨会。",
        "第{first}天至第{last}天{city}有演出，你每天都要看。",
        "从第{first}天到第{last}天你住在{city}的亲戚家。",
    ),
    flights=("以下城市之间有直飞航班：", "直飞航班如下："),
    both_ways="{start}与{end}",
    one_way="从{start}到{end}",
    closings=("请给出{days}天内用直飞航班游览这些城市的计划。", "请找出游览城市的顺序和飞行的日期。"),
    header="以下是{days}天游览{num}座欧洲城市的计划：",
    arrive="第{first}-{last}天：抵达{city}，游览{city}{days}天。",
    fly="第{day}天：从{start}飞往{end}。",
    visit="第{first}-{last}天：游览{city}{days}天。",
    derived_event="{city}固定在第{first}到{last}天。",
    derived_route="航班和日期只允许{route}；停留共{sum}天，减去重复计算的{hops}个飞行日，共{days}天。",
)

CHINESE = Phrases(
    code="zh",
    twelve_hours=False,
    comma="、",
    semicolon="，",
    full_stop="。",
    sentence_gap="",
    conjunction="和",
    disjunction="或",
    lengths={30: "半小时", 60: "一小时", 90: "一个半小时", 120: "两小时"},
    minutes="{minutes}分钟",
    until="{starts}至{ends}",
    examples="以下是几个例题和答案：",
    task="任务：",
    solution="答案：",
    calendar=CALENDAR,
    meeting=MEETING,
    trip=TRIP,
)
