"""What ops/ has besides queries: runbooks, tests of alerts, paths."""

import re

HEADINGS = ["## What it means", "## Look at", "## Do", "## Wake"]


def problems_of_alert(rule, ops, tests):
    """What an alert lacks: words, a runbook, a test in which it fires, and one in which it is silent."""
    name, annotations = rule["name"], rule["annotations"]
    wrong = []
    if rule["labels"].get("severity") not in ("page", "ticket"):
        wrong.append("its severity is neither page nor ticket")
    wrong += [f"it has no {word}" for word in ("summary", "description") if not annotations.get(word)]
    page = ops / "runbooks" / f"{name}.md"
    if not annotations.get("runbook_url", "").endswith(f"/ops/runbooks/{name}.md"):
        wrong.append("its runbook_url is not that of its runbook")
    if not page.exists():
        return wrong + ["it has no runbook"]
    text = page.read_text()
    wrong += [f"its runbook has no {heading!r}" for heading in HEADINGS if heading + "\n" not in text]
    if not text.startswith(f"# {name}\n"):
        wrong.append("its runbook begins with another name")
    fires = [test for test in tests if f'alertname="{name}", alertstate="firing"' in test]
    if not fires:
        wrong.append("no test sees it fire")
    if not any("exp_samples: []" in test for test in fires):
        wrong.append("no test sees it silent before the fault")
    return wrong


def tests_of(text):
    """The tests of a file, as texts. (There is no YAML in Python's standard library.)"""
    return re.split(r"(?m)^  - name: ", text)[1:]


def stray_runbooks(ops, alerts):
    return sorted(path.name for path in (ops / "runbooks").glob("*.md") if path.stem not in alerts)


def missing_paths(ops):
    """What docker-compose.yml mounts and is not there."""
    mounted = re.findall(r"(?m)^\s+- (\./[^:]+):", (ops / "docker-compose.yml").read_text())
    return [path for path in mounted if not (ops / path).exists()] if mounted else ["nothing is mounted"]


def expected_empty(text):
    """`{(kind, name): why}`."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    expected = {}
    for line in lines:
        what, _, why = line.partition(" | ")
        kind, _, name = what.partition(" ")
        if not why or kind not in ("alert", "selector", "panel"):
            raise SystemExit(f"expected-empty.txt: not KIND NAME | WHY: {line}")
        expected[kind, name] = why
    return expected
