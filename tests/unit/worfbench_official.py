"""WorfBench's evaluator as published (zjunlp/WorfBench 38a6455, evaluator/graph_evaluator.py and node_eval.py; MIT,
Copyright 2024 ZJUNLP), but for what embeds: here a function of two texts. The twin of evaluation.worfbench."""

import re

import networkx as nx
import numpy as np


def workflow_to_graph_list(workflow):
    try:
        if "Node" not in workflow:
            return []
        nodes = [match.strip() for match in re.findall(r"\d+[:.] (.+)", workflow)]
        nodes.insert(0, "START")
        nodes.append("END")
        edges = []
        for match in re.findall(r"\(\s*(\d+|START)\s*,\s*(\d+|END)\s*\)", workflow):
            edge = list(match)
            if "START" in edge:
                edge[edge.index("START")] = "0"
            if "END" in edge:
                edge[edge.index("END")] = str(len(nodes) - 1)
            edges.append(tuple(map(int, edge)))
        return {"nodes": nodes, "edges": edges} if edges else []
    except Exception:
        return []


def all_topological_sorts(graph):
    if len(graph["nodes"]) >= 10:
        return [graph["nodes"]]
    directed, names = nx.DiGraph(), graph["nodes"]
    directed.add_nodes_from(range(len(names)))
    directed.add_edges_from(graph["edges"])
    sorts = [
        [names[i] for i in order if names[i] not in ["START", "END"]]
        for order in nx.all_topological_sorts(directed)
    ]
    return sorts[:20]


def similarity(pred_nodes, gt_nodes, cosine):
    return np.array([[max(cosine(a, b), 0) for b in gt_nodes] for a in pred_nodes])


def match_node(pred_nodes, gt_nodes, cosine, match_threshold=0.6):
    scores = similarity(pred_nodes, gt_nodes, cosine)
    graph = nx.Graph()
    for i in range(len(pred_nodes)):
        for j in range(len(gt_nodes)):
            if scores[i][j] > match_threshold:
                graph.add_edge(i, str(j), weight=scores[i][j])
    mapping = {}
    for key in nx.max_weight_matching(graph):
        if type(key[0]) is int:
            mapping[int(key[0])] = int(key[1])
        else:
            mapping[int(key[1])] = int(key[0])
    for i in range(len(pred_nodes)):
        if i not in mapping:
            mapping[i] = -1
    return mapping


def largest_connected_component(nodes, edges):
    graph = nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    return len(max(nx.connected_components(graph), key=len))


def t_eval_graph(pred_graph, gt_graph, cosine):
    pred_nodes, gt_nodes = pred_graph["nodes"], gt_graph["nodes"]
    mapping = match_node(pred_nodes, gt_nodes, cosine)
    matched_pred = [k for k, v in mapping.items() if v != -1]
    matched_gt = [v for v in mapping.values() if v != -1]
    pred_edges = [e for e in pred_graph["edges"] if e[0] in matched_pred and e[1] in matched_pred]
    gt_edges = [e for e in gt_graph["edges"] if e[0] in matched_gt and e[1] in matched_gt]
    public = [edge for edge in pred_edges if edge in gt_edges]
    precision = largest_connected_component(matched_pred, public) / len(pred_nodes)
    recall = largest_connected_component(matched_gt, public) / len(gt_nodes)
    return 2 * precision * recall / (precision + recall)


def t_eval_nodes(pred_graph, gt_graph, cosine):
    pred_nodes = [node for node in pred_graph["nodes"] if node not in ["START", "END"]]
    return max(t_eval_plan(pred_nodes, order, cosine) for order in all_topological_sorts(gt_graph))


def t_eval_plan(pred_plan, gt_plan, cosine):
    mapping = match_node(pred_plan, gt_plan, cosine)
    dp = np.ones(len(pred_plan))
    for i in range(len(pred_plan)):
        for j in range(i):
            if mapping[i] == -1 or mapping[j] == -1:
                continue
            if mapping[i] > mapping[j]:
                dp[i] = max(dp[i], dp[j] + 1)
    correct = int(max(dp))
    recall, precision = correct / len(gt_plan), correct / len(pred_plan)
    return 2 * recall * precision / (recall + precision)
