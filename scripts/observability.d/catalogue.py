"""The contract of metrics, as src/vocab/metric.rs has it, and what of a query does not keep to it."""

import re

# What Prometheus and its scrapes add by themselves.
OF_PROMETHEUS = {
    "up": ["env"],
    "ALERTS": ["alertname", "alertstate", "severity", "transport", "circuit", "kind", "operation", "env"],
}
OF_EVERY_SERIES = ["job", "instance", "env", "transport"]
KEYWORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "offset", "bool", "group_left", "group_right"}


class Catalogue:
    """Names of metrics, their labels, and what these can be: a list, or nothing where the list is a table of its own."""

    def __init__(self, source):
        lists = {
            name: re.findall(r'"([^"]*)"', values)
            for name, values in re.findall(r"const (\w+): \[&str; \d+\] =\s*\[(.*?)\];", source, re.S)
        }

        def label(text):
            found = re.fullmatch(r'MetricLabel::new\(\s*"(\w+)",\s*&(\w+|\[\])\s*,?\s*\)', text.strip(), re.S)
            return found[1], lists.get(found[2], [])

        labels = {
            name: label(text)
            for name, text in re.findall(r"const (\w+): MetricLabel = (MetricLabel::new\(.*?\));", source, re.S)
        }
        entries = re.findall(
            r'^ {4}[A-Z_]+ (Counter|Gauge|Histogram)(?:\(\w+\))?,\s*\w+,\s*"(\w+)"\s*\[((?:[^\[\]]|\[\])*)\]',
            source,
            re.M,
        )
        self.metrics = {}
        for kind, name, of in entries:
            parts = re.findall(r"MetricLabel::new\([^)]*\)|\w+", of)
            self.metrics["stripe_client_" + name] = (kind, dict(labels.get(part) or label(part) for part in parts))
        self.recorded = {}

    def record(self, name):
        """A recording rule: `job_transport:…` keeps the labels that stand before the colon."""
        every = {label: values for _, labels in self.metrics.values() for label, values in labels.items()}
        self.recorded[name] = {label: every.get(label, []) for label in name.split(":")[0].split("_")}

    def labels(self, name):
        """The labels of a series, with what they can be. `None` if there is no such series."""
        if name in self.recorded:
            return self.recorded[name]
        if name in OF_PROMETHEUS:
            return {label: [] for label in OF_PROMETHEUS[name] + OF_EVERY_SERIES}
        metric = self.metric(name)
        if metric is None:
            return None
        kind, labels = self.metrics[metric]
        labels = dict(labels) | {label: [] for label in OF_EVERY_SERIES}
        if kind == "Histogram":
            labels["le"] = []
        return labels

    def metric(self, name):
        """The metric that a series belongs to."""
        if self.metrics.get(name, ("Histogram",))[0] != "Histogram":
            return name
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        return base if base != name and self.metrics.get(base, ("",))[0] == "Histogram" else None


def selectors(query):
    """The parts of a query that name series: `(name, {label: (operator, value)}, text)`. And the labels it groups by."""
    found, grouped = [], []

    def take(match):
        name, matchers = match[1], match[2] or ""
        pairs = re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"', matchers)
        # In one order and spelling, whoever wrote it.
        text = name + ("{" + ", ".join(sorted(f'{a}{b}"{c}"' for a, b, c in pairs)) + "}" if pairs else "")
        found.append((name, {label: (operator, value) for label, operator, value in pairs}, text))
        return " "

    def group(match):
        grouped.extend(re.findall(r"\w+", match[1]))
        return " "

    rest = re.sub(r"\[[^\]]*\]", " ", query)
    rest = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", group, rest)
    # Functions are followed by a parenthesis; whether there are such, Prometheus knows.
    keywords = "|".join(KEYWORDS)
    name = rf"(?<![\w:.\"])(?!(?:{keywords})\b)([A-Za-z_:][\w:]*)(?![\w:])\s*(?!\s*\()"
    matchers = r"(\{(?:[^\"}]|\"(?:[^\"\\]|\\.)*\")*\})?"
    re.sub(name + matchers, take, rest)
    return found, grouped


def wrong_with(query, catalogue):
    """What of a query is not in the contract: metrics, labels, and values that a label cannot have."""
    found, grouped = selectors(query)
    problems = [] if found else ["it names no metric"]
    known = set(OF_EVERY_SERIES)
    for name, matchers, _ in found:
        labels = catalogue.labels(name)
        if labels is None:
            problems.append(f"there is no metric {name}")
            continue
        known |= labels.keys()
        for label, (operator, value) in matchers.items():
            if label not in labels:
                problems.append(f"{name} has no label {label}")
            elif labels[label] and "$" not in value:
                alternatives = value.split("|") if "~" in operator else [re.escape(value)]
                problems += [
                    f"{label} of {name} cannot be {alternative}"
                    for alternative in alternatives
                    if not any(re.fullmatch(alternative, possible) for possible in labels[label])
                ]
    problems += [f"it groups by {label}, which none of its metrics has" for label in grouped if label not in known]
    return problems
