"""Compares a run with the list of tests that pass, and says the counts.

    compare.py SUBUNIT PASSING REGEX FAILED [--update]

A test of the list that matches REGEX and did not pass is a failure. FAILED gets the failures' details.
"""

import collections
import pathlib
import re
import sys

import subunit
import testtools


def results(path):
    """Status and details by test id; the tags in brackets are cut off."""
    found = {}

    def take(test):
        name = re.sub(r"\[.*?\]", "", test["id"])
        text = "\n".join(d.as_text() for n, d in test["details"].items() if n.startswith(("traceback", "reason")))
        if test["status"] != "exists":
            found[name] = (test["status"], text)

    with open(path, "rb") as stream:
        case = subunit.ByteStreamToStreamResult(stream, non_subunit_name="stdout")
        result = testtools.StreamToDict(take)
        result.startTestRun()
        case.run(result)
        result.stopTestRun()
    return found


def main():
    run, list_file, regex, failed_file = sys.argv[1:5]
    update = "--update" in sys.argv[5:]
    found = results(run)
    if not found:
        sys.exit("tempest ran no test")
    list_path = pathlib.Path(list_file)
    listed = list_path.read_text().split() if list_path.exists() else []
    expected = {name for name in listed if re.search(regex, name)}

    counts = collections.defaultdict(collections.Counter)
    for name, (status, _) in found.items():
        where = re.search(r"tempest\.(api\.\w+|scenario)", name)
        counts[where.group(1) if where else "other"][status] += 1
    print(f"{'':24}{'passed':>8}{'failed':>8}{'skipped':>8}")
    for where, count in sorted(counts.items()):
        print(f"{where:24}{count['success']:>8}{count['fail']:>8}{count['skip']:>8}")

    passed = {name for name, (status, _) in found.items() if status == "success" and name.startswith("tempest.")}
    failed = {name: text for name, (status, text) in found.items() if status not in ("success", "skip")}
    with open(failed_file, "w") as out:
        for name, text in sorted(failed.items()):
            out.write(f"=== {name}\n{text}\n")
    new = passed - set(listed)
    if new:
        print(f"{len(new)} pass and are not in {list_path.name}" + ("; added" if update else " (--update adds them)"))
    if new and update:
        list_path.write_text("".join(f"{name}\n" for name in sorted(set(listed) | passed)))
    broken = sorted(expected - passed)
    for name in broken:
        print(f"no longer passes: {name}: {found.get(name, ('did not run', ''))[0]}")
    print(f"{len(expected) - len(broken)} of {len(expected)} listed tests pass; failures in {failed_file}")
    sys.exit(1 if broken else 0)


main()
