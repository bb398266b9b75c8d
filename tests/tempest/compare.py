"""Compares a run with the list of tests that pass, and says the counts.

    compare.py SUBUNIT CHOSEN PASSING REGEX DIRECTORY [--update] [--table FILE]

A test of the list that matches REGEX and did not pass is a failure, but for one that this kind of run skips because
it logs into guests or reads their consoles: it runs with the scenarios. CHOSEN is tempest's list of the tests of
the run: what is in it and has no result of its own belongs to a class that was skipped, or whose set-up failed.
DIRECTORY gets failed.txt with the failures' details and skipped.txt with each skipped test's reason. FILE gets
what the reference says of the run, with the reasons in skips.txt beside this file.
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


# Reasons to skip a test here that the run with real guests does not have.
NEEDS_GUEST = re.compile(r"alidation (tests are|must be|should be)|Console output not supported|Change password|VNC Console feature")


def verdicts():
    """(counts against us, pattern, why) from skips.txt."""
    lines = pathlib.Path(__file__).with_name("skips.txt").read_text().splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            kind, rest = line.split(" | ", 1)
            pattern, why = rest.rsplit(" | ", 1)
            yield kind == "open", re.compile(pattern), why


def table(every, listed):
    """What the reference says: counts per service, and why what did not pass did not."""
    rules = list(verdicts())
    counts, reasons = collections.defaultdict(collections.Counter), collections.Counter()
    for name, (status, text) in every.items():
        fate = status
        if status == "skip" and name in listed:
            fate = "guest"
        elif status != "success":
            said = f"{name}: {' '.join(text.split())}"
            ours, why = next(((o, w) for o, p, w in rules if p.search(said)), (True, f"not explained: {said[:200]}"))
            ours = ours or status == "fail"
            fate = "outside" if not ours else "fail" if status == "fail" else "open"
            reasons[("no" if not ours else "yes", status, why)] += 1
        for where in (service(name), "all"):
            counts[where][fate] += 1
    out = ["| tests | all | passed | passed with real guests | failed | not run | outside | passed of what counts |",
           "|---|---|---|---|---|---|---|---|"]
    for where, c in sorted(counts.items(), key=lambda c: (c[0] == "all", c[0])):
        total = sum(c.values())
        good, counted = c["success"] + c["guest"], total - c["outside"]
        share = f"{100 * good / counted:.1f} %" if counted else "-"
        out.append(f"| {where} | {total} | {c['success']} | {c['guest']} | {c['fail']} | {c['open']} | {c['outside']} | {share} |")
    out += ["", "| tests | counts | what became of them | why |", "|---|---|---|---|"]
    for (counts_, status, why), n in sorted(reasons.items(), key=lambda r: (r[0][0] == "no", -r[1], r[0])):
        out.append(f"| {n} | {counts_} | {'failed' if status == 'fail' else 'skipped'} | {why} |")
    return "\n".join(out) + "\n"


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
    if "--table" in sys.argv:
        pathlib.Path(sys.argv[sys.argv.index("--table") + 1]).write_text(table(every, set(listed) | passed))
    elsewhere = {name for name, (status, text) in every.items() if status == "skip" and NEEDS_GUEST.search(text)}
    broken = sorted(expected - passed - elsewhere)
    for name in broken:
        print(f"no longer passes: {name}: {every.get(name, ('did not run', ''))[0]}")
    there = expected - elsewhere
    print(f"{len(there) - len(broken)} of {len(there)} listed tests pass; details in {directory}")
    sys.exit(1 if broken else 0)


main()
