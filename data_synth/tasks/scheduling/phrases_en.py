"""English phrasings. The answers' forms are those NaturalPlan's scorer parses."""

from data_synth.tasks.scheduling.phrases import CalendarPhrases, MeetingPhrases, Phrases, TripPhrases

CALENDAR = CalendarPhrases(
    preambles=(
        "You are good at scheduling meetings. A task names the participants, the length of their meeting, "
        "everyone's existing schedule and sometimes a preference. One time suits all of them: find it.",
        "You arrange meetings for a team. You get everyone's existing schedule, the length of the meeting "
        "and possibly wishes about its time; there is a time that works for every participant.",
        "Plan a meeting around the calendars of all participants. Respect the existing schedules and all "
        "wishes; a solution exists.",
    ),
    answer_form="Answer in this form: Here is the proposed time: DAY, H:MM - H:MM",
    tasks=(
        "You need to schedule a meeting for {people} for {length} between the work hours of {starts} to "
        "{ends} {days}.",
        "Schedule a meeting of {length} for {people} within the work hours of {starts} to {ends} {days}.",
        "{people} have to meet for {length} {days}, between {starts} and {ends}.",
        "Please find {length} for a meeting of {people} {days}; work hours are {starts} to {ends}.",
    ),
    one_day="on {day}",
    several_days="on either {days}",
    schedules=(
        (
            "Here are the existing schedules for everyone during the day:",
            "Here are the existing schedules for everyone during the days:",
        ),
        ("These are the calendars for the day:", "These are the calendars for these days:"),
        ("Everyone's existing meetings on that day:", "Everyone's existing meetings on those days:"),
    ),
    busy=(
        "{person} has meetings on {times};",
        "{person} is busy on {times};",
        "{person} has blocked their calendar on {times};",
        "{person} is not available on {times};",
        "{person} has other appointments on {times};",
    ),
    busy_day="{day} during {times}",
    free=(
        ("{person}'s calendar is wide open the entire day.", "{person}'s calendar is wide open on all days."),
        ("{person} is free the entire day.", "{person} is free on all days."),
        ("{person} has no meetings the whole day.", "{person} has no meetings on any of the days."),
    ),
    before=(
        "{person} does not want to meet on {day} before {time}.",
        "{person} would rather not meet on {day} before {time}.",
        "{person} can't make it on {day} before {time}.",
    ),
    after=(
        "{person} does not want to meet on {day} after {time}.",
        "{person} would rather not meet on {day} after {time}.",
        "{person} would like to avoid more meetings on {day} after {time}.",
    ),
    all_day=(
        "{person} does not want to meet on {day}.",
        "{person} would like to avoid more meetings on {day}.",
        "{person} can not meet on {day}.",
    ),
    earliest=(
        "The group would like to meet at their earliest availability.",
        "They want to meet as early as possible.",
        "Choose the earliest time that works.",
    ),
    closings=(
        "Find a time that works for everyone's schedule and constraints.",
        "Which time suits everyone?",
        "Propose the time that fits all schedules and wishes.",
    ),
    answer="Here is the proposed time: {day}, {starts} - {ends}",
    derived_day="On {day} everyone is free {times}.",
    derived_none="On {day} nobody's free times agree.",
    derived="The meeting takes {length}, so it fits on {day} from {starts} to {ends}.",
)

MEETING = MeetingPhrases(
    preambles=(
        "You plan days on which somebody meets friends all over a town. Each friend waits at one place for "
        "some time. Walk between the places and meet as many friends as you can.",
        "Plan a day of meetings. A task gives the travel times between places, where and when each friend "
        "is, and how long to meet them. The best plan meets the most friends.",
    ),
    answer_form=(
        "Answer in sentences of these forms: You start at PLACE at TIME. You travel to PLACE in N minutes "
        "and arrive at TIME. You wait until TIME. You meet NAME for N minutes from TIME to TIME."
    ),
    tasks=(
        "You are visiting {town} for the day and want to meet as many friends as possible.",
        "You spend a day in {town} and would like to see as many of your friends as you can.",
        "It is your day in {town}. Meet as many of your friends as possible.",
    ),
    tie_break="Among the schedules that meet the most friends, choose the one that ends first.",
    distances=("Travel distances (in minutes):", "Travel times (in minutes):"),
    distance="{start} to {end}: {minutes}.",
    constraints="CONSTRAINTS: {sentences}",
    arrive="You arrive at {place} at {time}.",
    windows=(
        "{person} will be at {place} from {opens} to {closes}.",
        "From {opens} to {closes} {person} will be at {place}.",
    ),
    minimums=(
        "You'd like to meet {person} for a minimum of {minutes} minutes.",
        "You want to meet {person} for at least {minutes} minutes.",
    ),
    closings=("Plan the day.", "Which schedule is best?"),
    start="You start at {place} at {time}.",
    travel="You travel to {place} in {minutes} minutes and arrive at {time}.",
    wait="You wait until {time}.",
    meet="You meet {person} for {minutes} minutes from {starts} to {ends}.",
    derived="At most {met} of {num} friends can be met. In the order {order} the last meeting ends at "
    "{time}.",
    derived_skip="There is no time for {people}.",
)

TRIP = TripPhrases(
    preambles=(
        "You plan trips through several cities. A task says how long to stay in each city, what happens "
        "there on fixed days, and between which cities there are direct flights. A day of flight counts for "
        "both cities, and every city is visited once.",
        "Plan a trip by direct flights. Stay in every city, once, for the days asked for; the day on which "
        "you fly belongs to both cities. 'A and B' means flights both ways, 'from A to B' one way only.",
    ),
    answer_form=(
        "Answer with a line a step, in these forms: **Day 1-3:** Arriving in CITY and visit CITY for 3 days. "
        "**Day 3:** Fly from CITY to CITY. **Day 3-5:** Visit CITY for 3 days."
    ),
    tasks=(
        "You plan to visit {num} European cities for {days} days in total. You only take direct flights to "
        "commute between cities.",
        "You want to see {num} European cities for {days} days in total and travel between them by direct "
        "flights only.",
        "Your trip takes you to {num} European cities for {days} days in total. Between cities you only take "
        "direct flights.",
    ),
    stays=(
        "You want to spend {days} days in {city}.",
        "You would like to visit {city} for {days} days.",
        "You plan to stay in {city} for {days} days.",
    ),
    events=(
        "You have to attend a workshop in {city} between day {first} and day {last}.",
        "From day {first} to day {last}, there is a show in {city} of which you want to see every day.",
        "You stay with relatives in {city} from day {first} to day {last}.",
        "During day {first} and day {last}, you have to attend a conference in {city}.",
    ),
    flights=("Here are the cities that have direct flights:", "Direct flights connect these cities:"),
    both_ways="{start} and {end}",
    one_way="from {start} to {end}",
    closings=(
        "Find a trip plan of visiting the cities for {days} days by taking direct flights to commute between "
        "them.",
        "Find the order of cities and the days of your flights.",
    ),
    header="Here is the trip plan for visiting the {num} European cities for {days} days:",
    arrive="**Day {first}-{last}:** Arriving in {city} and visit {city} for {days} days.",
    fly="**Day {day}:** Fly from {start} to {end}.",
    visit="**Day {first}-{last}:** Visit {city} for {days} days.",
    derived_event="{city} is fixed to day {first} to {last}.",
    derived_route="Flights and days allow only {route}; the stays add up to {sum} days, less {hops} days of "
    "flight that count twice: {days} days.",
)

ENGLISH = Phrases(
    code="en",
    twelve_hours=True,
    comma=", ",
    semicolon=", ",
    full_stop=".",
    sentence_gap=" ",
    conjunction=" and ",
    disjunction=" or ",
    lengths={30: "half an hour", 60: "one hour", 90: "one and a half hours", 120: "two hours"},
    minutes="{minutes} minutes",
    until="{starts} to {ends}",
    examples="Here are a few example tasks and solutions:",
    task="TASK: ",
    solution="SOLUTION:",
    calendar=CALENDAR,
    meeting=MEETING,
    trip=TRIP,
)
