"""The prompts of a row. Several for each language and subtask, as the tasks of the paper have prompts of their own
(section 4.2); all of them say the whole answer format."""

from __future__ import annotations

from random import Random

from data_synth.tasks.procedural.candidates import STYLES, show
from data_synth.tasks.procedural.workflow import GoldPlan, Workflow

_FORMAT = {
    "en": "Node:\n1: first subtask\n2: second subtask\n...\nEdge: (START,1) (1,2) ... (n,END)",
    "zh": "Node:\n1: 第一个子任务\n2: 第二个子任务\n……\nEdge: (START,1) (1,2) ... (n,END)",
}
_SYSTEM = {
    "en": (
        "You are a workflow planner. You are given a task and a list of {things}. Break the task into subtasks,"
        " each of which can be done with the {things}, and work out which subtasks need the results of which"
        " others. Return the workflow as a directed acyclic graph that starts at START and ends at END. Subtasks"
        " that don't depend on each other lie on separate branches.\nAnswer in exactly this format:\n{format}",
        "Plan the task as a graph of subtasks.\n- Number the subtasks in an order in which they can be carried"
        " out.\n- Draw an edge (a,b) only where subtask b needs what subtask a yields; for the first subtasks a is"
        " START, for the last ones b is END.\n- Not every {thing} on the list is needed.\nOutput format, with"
        " nothing before or after it:\n{format}",
        "As an orchestrator you turn requests into executable workflows. Select what you need from the offered"
        " {things}, write one node per step, and connect the nodes by their dependencies. There is one START and"
        " one END, no cycle, and every node lies on a path between them. Write:\n{format}",
    ),
    "zh": (
        "你是工作流规划助手。我会给出一个任务和一份{things}列表，请把任务分解为可以用这些{things}完成的子任务，"
        "并找出子任务之间的依赖关系，以有向无环图的形式给出工作流："
        "图从START开始，到END结束，互不依赖的子任务放在不同分支上。\n请严格按以下格式输出：\n{format}",
        "请把任务规划成由子任务构成的图。\n- 按可执行的先后顺序给子任务编号。\n"
        "- 只有当子任务b需要子任务a的结果时才画边(a,b)；"
        "最先执行的子任务与START相连，最后的子任务与END相连。\n"
        "- 列表中的{things}不一定都用得上。\n除下面的格式外不要输出其他内容：\n{format}",
        "你负责把用户的需求编排成可执行的工作流。请从提供的{things}中选出需要的，每一步写一个节点，并按依赖关系连接节点。"
        "只有一个START和一个END，不能有环，每个节点都要在从START到END的路径上。输出：\n{format}",
    ),
}
_USER = {
    "en": (
        "Task: {task}\nThe {thing} list you can use:\n{candidates}",
        "{task}\n\nAvailable {things}:\n{candidates}",
        "{Things} to choose from:\n{candidates}\n\nTask: {task}",
    ),
    "zh": (
        "任务：{task}\n可以使用的{thing}列表：\n{candidates}",
        "{task}\n\n可用的{things}：\n{candidates}",
        "可供选择的{things}：\n{candidates}\n\n任务：{task}",
    ),
}
_THINGS = {
    ("en", "qa"): ("action", "actions"),
    ("en", "tools"): ("tool", "tools"),
    ("zh", "qa"): ("动作", "动作"),
    ("zh", "tools"): ("工具", "工具"),
}


def prompt(gold: GoldPlan, workflow: Workflow, rng: Random) -> list[dict[str, str]]:
    """The row's system and user message."""
    thing, things = _THINGS[gold.language, gold.kind]
    said = {"thing": thing, "things": things, "Things": things.capitalize()}
    system = rng.choice(_SYSTEM[gold.language]).format(**said, format=_FORMAT[gold.language])
    candidates = show(workflow.candidates, rng.choice(STYLES))
    user = rng.choice(_USER[gold.language]).format(**said, task=gold.task, candidates=candidates)
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]
