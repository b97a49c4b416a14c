"""Asks each query of Grafana's dashboard at a Prometheus that has the exporter's metrics (exporter.sh).

    dashboard.py ADDRESS DASHBOARD.json

Prints TAP: a query passes when it has a result within a minute.
"""

import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

LIMIT = 60


def ask(address, query):
    """The series of the result; None where Prometheus refuses the query."""
    arguments = urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(f"{address}/api/v1/query?{arguments}", timeout=10) as answer:
            return json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        print(f"# {query}: {error.read().decode()}")
        return None


def has_result(address, query):
    deadline = time.monotonic() + LIMIT
    while True:
        result = ask(address, query)
        if result or result is None:
            return bool(result)
        if time.monotonic() > deadline:
            print(f"# no result: {query}")
            return False
        time.sleep(0.5)


def queries(dashboard):
    """Title and query of each panel, and of the variables, which ask for the labels of a metric."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", re.fullmatch(r"label_values\((.*), \w+\)", variable["definition"]).group(1)


def main(address, path):
    with open(path, encoding="utf-8") as file:
        dashboard = json.load(file)
    count = failed = 0
    for title, query in queries(dashboard):
        count += 1
        query = re.sub(r"\$(database|subscription)\b", ".*", query).replace("$__rate_interval", "1m")
        good = has_result(address, query)
        failed += not good
        print(f"{'ok' if good else 'not ok'} {count} - dashboard: {title}", flush=True)
    return 1 if failed or not count else 0


sys.exit(main(*sys.argv[1:]))
