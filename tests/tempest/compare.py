"""Compares a run with the list of tests that pass, and says the counts.

    compare.py SUBUNIT CHOSEN PASSING REGEX DIRECTORY [--update]

A test of the list that matches REGEX and did not pass is a failure. CHOSEN is tempest's list of the tests of
the run: what is in it and has no result of its own belongs to a class that was skipped, or whose set-up failed.
DIRECTORY gets failed.txt with the failures' details and skipped.txt with each skipped test's reason.
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


def fates(found, chosen):
    """What became of each chosen test: `success`, `fail` or `skip`, and the text with it."""
    classes = {}
    for name, fate in found.items():
        at = re.fullmatch(r"setUpClass \((.*)\)", name)
        if at:
            classes[at.group(1)] = fate
    out = {}
    for name in chosen | {name for name in found if name.startswith("tempest.")}:
        status, text = found.get(name) or classes.get(name.rpartition(".")[0], ("skip", "not run"))
        out[name] = (status if status in ("success", "skip") else "fail", text)
    return out


def service(name):
    where = re.match(r"tempest\.(api\.\w+|scenario)", name)
    return where.group(1) if where else "other"


def say_counts(all_fates):
    """Per service; the percentage is of what ran."""
    counts = collections.defaultdict(collections.Counter)
    for name, (status, _) in all_fates.items():
        counts[service(name)][status] += 1
        counts["all"][status] += 1
    print(f"{'':16}{'passed':>8}{'failed':>8}{'skipped':>8}{'passed of run':>16}")
    for where, count in sorted(counts.items(), key=lambda c: (c[0] == "all", c[0])):
        ran = count["success"] + count["fail"]
        share = f"{100 * count['success'] / ran:.1f} %" if ran else "-"
        print(f"{where:16}{count['success']:>8}{count['fail']:>8}{count['skip']:>8}{share:>16}")


def say_interop(listed):
    """Whether the list holds what the interop guideline requires."""
    required, missing = 0, []
    for line in pathlib.Path(__file__).with_name("interop.txt").read_text().splitlines():
        if line.startswith("required "):
            required += 1
            _, capability, name = line.split()
            if name not in listed:
                missing.append(f"{capability}: {name}")
    print(f"interop guideline: {required - len(missing)} of {required} required tests are in the list")
    for line in missing:
        print(f"  not yet: {line}")


def main():
    run, chosen_file, list_file, regex, directory = sys.argv[1:6]
    update = "--update" in sys.argv[6:]
    found = results(run)
    if not found:
        sys.exit("tempest ran no test")
    chosen = {re.sub(r"\[.*?\]", "", line) for line in pathlib.Path(chosen_file).read_text().split()}
    every = fates(found, {name for name in chosen if name.startswith("tempest.")})
    list_path = pathlib.Path(list_file)
    listed = list_path.read_text().split() if list_path.exists() else []
    expected = {name for name in listed if re.search(regex, name)}
    say_counts(every)

    passed = {name for name, (status, _) in every.items() if status == "success"}
    directory = pathlib.Path(directory)
    with open(directory / "failed.txt", "w") as out:
        for name, (status, text) in sorted(found.items()):
            if status not in ("success", "skip"):
                out.write(f"=== {name}\n{text}\n")
    with open(directory / "skipped.txt", "w") as out:
        for name, (status, text) in sorted(every.items()):
            if status == "skip":
                out.write(f"{name}: {' '.join(text.split())}\n")
    new = passed - set(listed)
    if new:
        print(f"{len(new)} pass and are not in {list_path.name}" + ("; added" if update else " (--update adds them)"))
    if new and update:
        list_path.write_text("".join(f"{name}\n" for name in sorted(set(listed) | passed)))
        listed = sorted(set(listed) | passed)
    say_interop(set(listed))
    broken = sorted(expected - passed)
    for name in broken:
        print(f"no longer passes: {name}: {every.get(name, ('did not run', ''))[0]}")
    print(f"{len(expected) - len(broken)} of {len(expected)} listed tests pass; details in {directory}")
    sys.exit(1 if broken else 0)


main()
