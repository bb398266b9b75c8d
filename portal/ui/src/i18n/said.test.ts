// What the server can say of its own work has words in both languages: the sentences by their codes, the states of
// life-cycles, tasks of servers and kinds of events by the names that its sources give them.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { catalogue } from "./catalogue";
import { said } from "./catalogue/said";
import { setLanguage } from ".";
import { quoted } from "./quote";
import { inWords, told } from "./said";

const crates = new URL("../../../../crates", import.meta.url).pathname;
const read = (file: string) => readFileSync(join(crates, file), "utf8");
const sources = (folder: string) => readdirSync(join(crates, folder), { recursive: true, encoding: "utf8" })
  .filter((f) => f.endsWith(".rs") && !/tests?(\/|\.rs)/.test(f)).map((f) => read(join(folder, f)));
const templates = read("base/src/said/words.txt").split("\n").filter((l) => l.includes("\t")).map((l) => l.split("\t") as [string, string]);
const bare = (text: string) => text.replaceAll(/\{(\w+)[:?]\}/g, "{$1}");
const holes = (text: string) => [...new Set([...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]))].sort();

test("every sentence of the server is in the dictionary, in both languages", () => {
  expect(Object.fromEntries(Object.entries(said).map(([code, [en]]) => [code, en]))).toEqual(Object.fromEntries(templates.map(([code, text]) => [code, bare(text)])));
  const odd = Object.entries(said).filter(([, [en, ko]]) => (!/[가-힣]/.test(ko) && !/^[{}\w(). ]+$/.test(ko)) || holes(ko).some((h) => !holes(en).includes(h)));
  expect(odd).toEqual([]);
});

/** Literals of a source that are sentences: neither errors of the API (unless asked for), nor lines of a log, nor SQL. */
function sentences(source: string, errors = "Fault::\\w+|Err|"): string[] {
  const code = source.split("#[cfg(test)]")[0]!.replaceAll(/\\\n\s*/g, "").replaceAll(/^\s*\/\/.*$/gm, "")
    .replaceAll(new RegExp(`(?:${errors}tracing::\\w+!|expect)\\((?:[^()]|\\((?:[^()]|\\([^()]*\\))*\\))*\\)`, "g"), "");
  const texts = [...code.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((m) => m[1]!.replaceAll('\\"', '"').trim());
  return texts.filter((t) => /[a-z]{2,} [a-z{]/i.test(t) && !/\b(SELECT|UPDATE|INSERT|DELETE|WHERE|VALUES|FROM|ORDER BY)\b/.test(t));
}

test("what life-cycles, the planner, the doctor and the way between two ports say is known", () => {
  const shapes = templates.filter(([, text]) => text.replaceAll(/\{[^}]*\}/g, "").length > 5)
    .map(([, text]) => new RegExp(`^${text.split(/\{[^}]*\}/).map((p) => p.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".+?")}$`));
  const known = (text: string): boolean => shapes.some((s) => s.test(text)) || [". ", "; ", "? "].some((between) => {
    const at = text.indexOf(between);
    return at > 0 && known(text.slice(0, between === "; " ? at : at + 1)) && known(text.slice(at + 2));
  });
  const files = ["compute/src/life", "network/src/reach", "metal/src/life"].flatMap(sources)
    .concat(["compute/src/planner.rs", "compute/src/placing.rs", "compute/src/fleet.rs", "network/src/links.rs", "network/src/why.rs", "image/src/why.rs", "compute/src/metal/decide.rs", "metal/src/act/power.rs", "metal/src/facts.rs", "portal/src/doctor/mends.rs",
      "portal/src/doctor/mod.rs", "rack/src/power/plan.rs", "rack/src/power/blind.rs", "live/src/inventory/verdict.rs"].map(read));
  // What goes wrong on a host, at a BMC or in a live system is told as why something waits.
  const far = ["agent/src/guest/memory.rs", "agent/src/guest/process.rs", "agent/src/guest/qga.rs", "agent/src/guest/qmp.rs", "agent/src/guest/moving/depart.rs", "agent/src/guest/moving/live.rs",
    "live/src/disks.rs", "live/src/erase.rs", "live/src/talk.rs", "live/src/trial.rs", "live/src/write/choose.rs", "live/src/write/mbr.rs", "live/src/write/mod.rs", "live/src/write/table.rs",
    "rack/src/power/http.rs", "rack/src/power/ipmi/mod.rs", "rack/src/power/wake.rs"].map(read);
  const found = [...files.flatMap((f) => sentences(f)), ...far.flatMap((f) => sentences(f, ""))].filter((t) => !parts.has(t) && !known(t.replaceAll(/\{[^{}]*\}/g, "seven")));
  expect(found).toEqual([]);
});

/** Parts that sentences are put together of, titles that the pages have words for, and names of things. */
const parts = new Set(`
CASE WHEN draining > 0 THEN draining ELSE $2 END
it joined
lacks SMART capability
does not support SMART
{why} Waiting a moment for the silent ones.
The {side} could not go on: {}
The {side} {} has gone silent.
waiting for the destination {to} to make room{}
{why} That is the host {host}, and there is no other that the server can move to.
in from
out to
{} has no port security: everything goes {way} {peer}
A security group lets {} {way} {peer}
None of their rules lets this {way} {peer}. Add one: openstack security group rule create {direction} --remote-ip {peer} …
Its rule {priority} denies {what} {way} {}. Change it: hanok acl {network}.
{what} is plugged
, as seen from outside by the router's address
of {}
the {test} test{part} failed: {first}
No valid host was found. {n} {}: {}.
{n} {} not reported lately
{n} {is} not in the zone {}
{n} {is} not {}
{n} {is} ruled out by {}
{n} {lacks} CPUs ({} asked, at most {} free)
{n} {lacks} memory ({} MiB asked, at most {} free)
{n} {lacks} disk ({} GiB asked, at most {} free)
restart it
switch it on, or restart it if it is on
switch it on
switch it off
please {verb}, then say so: hanok machine done {}
{list} and {more} more
Hosts report
Hosts take new servers
Segments have addresses for machines
Hosts run this release
Room on hosts' disks
Room for the region's data
Room for images
Work is in time
Work succeeds
Certificates are good
Region processes run one release
Nothing went wrong lately
, let it boot from the network
, let it boot from its disk
Please switch {name} on{from}, and say here that it is done.
{} MiB of memory
in {filled} of {slots} slots
, the fastest at {fastest} Mbit/s
{linked} of {} network cards have a link{speed}.
unexpected greeting {greeting}
QMP message without an end
its job ended
Bearer {bearer}
{place} answered {}: {text}
unexpected error:
no such name
`.split("\n").map((line) => line.trim()));

const enumOf = (file: string, name: string) => {
  const body = new RegExp(`enum ${name} \\{([^]*?)\\n\\}`).exec(read(file))![1]!;
  return [...body.matchAll(/^ {4}([A-Z]\w+)/gm)].map((m) => m[1]!);
};

test("states, tasks and kinds of events have words", () => {
  const states = [["compute/src/life/mod.rs", "State"], ["compute/src/life/fleet.rs", "State"], ["metal/src/life/mod.rs", "State"], ["image/src/life.rs", "Blob"], ["image/src/import/mod.rs", "Import"]]
    .flatMap(([file, name]) => enumOf(file!, name!)).map((s) => `job.${s}`);
  const tasks = [...read("compute/src/model.rs").matchAll(/\b\w+ing\w* = "([a-z_-]+ing[a-z_-]*|image_\w+|resize_\w+|rebooting_hard)"/g)].map((m) => `task.${m[1]!.replaceAll("-", "_")}`).filter((k) => k !== "task.building");
  const events = sources(".").flatMap((text) => [...text.matchAll(/\bevent\(\s*\w+,\s*Level::\w+,\s*"([a-z_.]+)"/g)].map((m) => `event.${m[1]}`));
  const checks = [...read("portal/src/doctor/mod.rs").matchAll(/"((?:hosts|work|disk|segments|regions)\.\w+)"/g)].map((m) => `check.${m[1]}`);
  expect([states.length > 40, tasks.length > 15, events.length > 15, checks.length > 8]).toEqual([true, true, true, true]);
  expect([...states, ...tasks, ...events, ...checks].filter((key) => !(key in catalogue))).toEqual([]);
});

test("sentences within sentences, numbers, times and particles", () => {
  vi.stubGlobal("localStorage", { setItem: () => undefined });
  vi.stubGlobal("document", { documentElement: {} });
  const words = [{ code: "wait.host_says", args: { what: [{ code: "wait.stop", args: {} }], host: "h1", says: "qemu 7.2 says no" } }];
  setLanguage("ko");
  expect(inWords(words)).toBe("정지하기를 기다리는 중. 호스트 h1: “qemu 7.2 says no”");
  expect(inWords([{ code: "place.none", args: {} }, { code: "place.hosts", args: { n: "1200", list: [{ code: "place.disabled_many", args: { n: "2" } }, { code: "place.taken", args: { n: "1" } }] } }]))
    .toBe("맞는 호스트가 없습니다. 호스트 1,200대: 2대는 사용 안 함, 1대는 이미 사용 중.");
  expect(inWords([{ code: "host.up", args: { host: "서울" } }])).toBe("호스트 서울이 돌아왔습니다.");
  expect(inWords([{ code: "host.up", args: { host: "rack-2" } }])).toBe("호스트 rack-2가 돌아왔습니다.");
  expect(inWords([{ code: "of.another.release", args: {} }])).toBeNull();
  expect(told({ reason: "new words", said: { reason: [{ code: "of.another.release", args: {} }] } }, "reason")).toBe("이렇게 알려 왔습니다: “new words”");
  expect([quoted("Instance x could not be found."), quoted("없는 서버 Instance x"), quoted("nova-1")]).toEqual(["“Instance x could not be found”", "없는 서버 Instance x", "nova-1"]);
  setLanguage("en");
  expect(quoted("Instance x could not be found.")).toBe("Instance x could not be found.");
  expect(told({ reason: "x", said: { reason: words } }, "reason")).toBe("waiting for the guest to stop; the host h1 says: qemu 7.2 says no");
});
