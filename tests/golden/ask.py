"""Asks two clouds the same questions and says where their answers differ in kind.

    ask.py [--messages] [--only REGEX] REFERENCE_AUTH_URL PASSWORD HANOK_AUTH_URL PASSWORD

Compared are the status, the type of content, and the shape of the body: names, and whether a value is text,
number, truth, list, object or null. Values are compared only where a question says so. A difference that
differences.txt names is expected; any other makes this end with 1, and so does one that no longer occurs.
--messages also shows where the words of an error differ (they may).
"""

import argparse
import fnmatch
import json
import pathlib
import re
import sys

import requests

from questions import QUESTIONS

HERE = pathlib.Path(__file__).parent
SERVICES = {"identity": "identity", "image": "image", "compute": "compute", "placement": "placement"}


class Cloud:
    """One side: its endpoints, a token, and what earlier answers gave names to."""

    def __init__(self, auth_url, password):
        self.http = requests.Session()
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        user = {"name": "admin", "domain": {"id": "default"}, "password": password}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = self.http.post(auth_url + "/auth/tokens", json=body)
        answer.raise_for_status()
        token = answer.json()["token"]
        self.names = {
            "token": answer.headers["X-Subject-Token"],
            "project": token["project"]["id"],
            "user": token["user"]["id"],
            "missing": "00000000-0000-4000-8000-000000000000",
        }
        self.http.headers["X-Auth-Token"] = self.names["token"]
        self.urls = {"identity": auth_url.removesuffix("/v3")}
        for service in token["catalog"]:
            for endpoint in service["endpoints"]:
                if endpoint["interface"] == "public" and service["type"] in SERVICES:
                    url = re.sub(r"/v[0-9.]+/?$", "", endpoint["url"].rstrip("/"))
                    self.urls.setdefault(service["type"], url)

    def fill(self, text):
        return re.sub(r"\{(\w+)\}", lambda m: str(self.names.get(m[1], m[0])), text)

    def ask(self, q):
        headers = {k: self.fill(v) for k, v in q.headers.items()}
        data = None
        if q.body is not None:
            data = self.fill(q.body if isinstance(q.body, str) else json.dumps(q.body))
            headers.setdefault("Content-Type", "application/json")
        url = self.urls[q.service] + self.fill(q.path)
        answer = self.http.request(q.method, url, data=data, headers=headers, allow_redirects=False)
        for name, where in q.save.items():
            self.names[name] = dig(answer, where)
        return answer


def dig(answer, where):
    """A value of a body by its path with dots, or a header by its name."""
    if where in answer.headers:
        return answer.headers[where]
    try:
        value = answer.json()
        for key in where.split("."):
            value = value[int(key) if isinstance(value, list) else key]
        return value
    except (ValueError, KeyError, IndexError, TypeError):
        return f"no-{where}"


def parsed(answer):
    try:
        return answer.json()
    except ValueError:
        return None


def kind(value):
    kinds = {dict: "object", list: "list", str: "text", bool: "truth", int: "number", float: "number"}
    return kinds.get(type(value), "null")


def differences(a, b, at=""):
    """Where two bodies differ in shape."""
    if kind(a) != kind(b):
        yield f"{at or 'body'} is {kind(a)} there, {kind(b)} here"
    elif isinstance(a, dict):
        for key in sorted(a.keys() | b.keys()):
            if key not in b:
                yield f"{at}.{key} is missing here"
            elif key not in a:
                yield f"{at}.{key} is only here"
            else:
                yield from differences(a[key], b[key], f"{at}.{key}")
    elif isinstance(a, list) and a and b:
        yield from differences(a[0], b[0], f"{at}[0]")


def compare(q, there, here):
    if there.status_code != here.status_code:
        yield f"status {there.status_code} there, {here.status_code} here"
        return
    a, b = (r.headers.get("Content-Type", "").split(";")[0] for r in (there, here))
    if a != b and there.content:
        yield f"content is {a or 'untyped'} there, {b or 'untyped'} here"
    for name in q.header:
        if (name in there.headers) != (name in here.headers):
            yield f"header {name} only {'there' if name in there.headers else 'here'}"
    if q.shape:
        yield from differences(parsed(there), parsed(here))
    for where in q.same:
        if dig(there, where) != dig(here, where):
            yield f"{where} is {dig(there, where)!r} there, {dig(here, where)!r} here"


def message(answer):
    body = parsed(answer)
    while isinstance(body, dict):
        body = body.get("message") or body.get("detail") or next(iter(body.values()), None)
    while isinstance(body, list) and body:
        body = body[0].get("detail")
    return body if isinstance(body, str) else re.sub(r"\s*<[^>]*>\s*", " ", answer.text).strip()


def known():
    """{question: reason} of differences.txt: lines `name: reason`; `*` in a name stands for anything."""
    lines = (HERE / "differences.txt").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if line and not line.startswith("#"))
    return {name.strip(): reason.strip() for name, reason in pairs}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--messages", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("clouds", nargs=4)
    options = parser.parse_args()
    reference, hanok = Cloud(*options.clouds[:2]), Cloud(*options.clouds[2:])
    expected, found, differing, bad = known(), set(), 0, 0
    for q in QUESTIONS:
        if q.service not in reference.urls or q.service not in hanok.urls:
            continue
        there, here = reference.ask(q), hanok.ask(q)
        if not re.search(options.only, q.name):
            continue
        says = list(compare(q, there, here))
        if says:
            differing += 1
            matching = {name for name in expected if fnmatch.fnmatch(q.name, name)}
            found |= matching
            bad += not matching
            mark = "known " if matching else "DIFFER"
            print(f"{mark} {q.name}: {q.method} {q.path}: " + "; ".join(says))
        if options.messages and there.status_code >= 400 and message(there) != message(here):
            print(f"words  {q.name}: there: {message(there)!r}\n       here: {message(here)!r}")
    for service in sorted(SERVICES.keys() - (reference.urls.keys() & hanok.urls.keys())):
        print(f"NOT ASKED: {service} is not in both catalogs")
    gone = [] if options.only else sorted(expected.keys() - found)
    for name in gone:
        print(f"GONE   {name} is in differences.txt and is the same now")
    print(f"{len(QUESTIONS)} questions, {differing} differences, {bad} of them not known, {len(gone)} gone")
    sys.exit(1 if bad or gone else 0)


if __name__ == "__main__":
    main()
