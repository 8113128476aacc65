"""The dashboard: its queries, and whether it is as Grafana wants it."""

import re

VARIABLES = ["job", "transport", "mode", "class", "operation"]
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def queries(dashboard):
    """All that it asks: `(what asks, query, whether only for the latest value)`."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']} {target['refId']}", target["expr"], target["instant"]
    for annotation in dashboard["annotations"]["list"]:
        yield f"annotation {annotation['name']}", annotation["expr"], False


def substituted(query):
    """As Grafana sends it when all of everything is selected."""
    for variable in VARIABLES:
        query = query.replace(f"${variable}", ".+")
    # Four times the interval of scrapes, and never less than what a rate needs.
    return query.replace("$__rate_interval", "15s")


def label_values(dashboard):
    """What its variables ask: `(name, selector, label)`."""
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
            yield variable["name"], selector, label


def problems(dashboard):
    """What is wrong with its structure."""
    wrong = []
    panels = dashboard["panels"]
    if dashboard["id"] is not None or not dashboard["uid"] or not dashboard["title"]:
        wrong.append("it must have a uid, a title, and no id of its own")
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    if names != ["datasource", *VARIABLES]:
        wrong.append(f"its variables are {names}")
    for what, values in [
        ("ids", [panel["id"] for panel in panels]),
        ("titles", [panel["title"] for panel in panels]),
    ]:
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            wrong.append(f"{what} that stand twice: {sorted(twice)}")
    taken = {}
    for panel in panels:
        title, at = panel["title"], panel["gridPos"]
        if at["x"] + at["w"] > 24 or min(at.values()) < 0 or not at["w"] * at["h"]:
            wrong.append(f"{title} does not fit into 24 columns")
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            if taken.setdefault(cell, title) != title:
                wrong.append(f"{title} lies upon {taken[cell]}")
                break
        if panel["type"] == "row":
            continue
        if "Good:" not in panel.get("description", ""):
            wrong.append(f"{title} does not say what good looks like")
        if not panel.get("targets"):
            wrong.append(f"{title} asks nothing")
        references = [target["refId"] for target in panel.get("targets", [])]
        if len(set(references)) < len(references):
            wrong.append(f"{title} has two queries of one name")
        for asks in [panel, *panel.get("targets", [])]:
            if asks.get("datasource") != DATASOURCE:
                wrong.append(f"{title} does not ask the data source that is selected")
        for target in panel.get("targets", []):
            unknown = set(re.findall(r"\$\{?(\w+)", target["expr"])) - {*VARIABLES, "__rate_interval"}
            if unknown:
                wrong.append(f"{title} uses variables that there are not: {sorted(unknown)}")
    return wrong
