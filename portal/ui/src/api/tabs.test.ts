import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { recheck, setCsrf, whenSession } from "./http";
import { same, type Session } from "./session";
import { connect, type Ears } from "./stream";
import { follow } from "./tabs";

const session = (project: string, csrf = "w") => ({ user: { id: "u" }, project: { id: project }, csrf }) as Session;
const answer = (body: unknown) => new Response(JSON.stringify(body), { status: 200 });
const ears = (): Ears => ({ link: vi.fn(), change: vi.fn(), lost: vi.fn() });
const heard = vi.fn();
/** An end for what a test has begun. */
let stops: (() => void)[] = [];

/** A stream of which a test says what comes. */
class Source extends EventTarget {
  static readonly CLOSED = 2;
  static all: Source[] = [];
  readyState = 1;
  constructor(readonly url: string) {
    super();
    Source.all.push(this);
  }
  say(name: string) {
    this.dispatchEvent(new Event(name));
  }
  close() {
    this.readyState = Source.CLOSED;
  }
}

/** Locks between tabs: whoever asks waits until the one before has let go. */
function locks() {
  let before: Promise<unknown> = Promise.resolve();
  return { request: (_: string, __: unknown, turn: () => Promise<void>) => (before = before.then(turn)) };
}

beforeEach(() => {
  heard.mockReset();
  whenSession(heard);
  Source.all = [];
  vi.stubGlobal("EventSource", Source);
  vi.stubGlobal("document", Object.assign(new EventTarget(), { visibilityState: "visible" }));
  vi.stubGlobal("fetch", () => Promise.resolve(answer(session("other"))));
});
afterEach(() => {
  stops.forEach((stop) => stop());
  stops = [];
  whenSession(() => {});
  vi.unstubAllGlobals();
});

test("a session is another one in another project, and with another word", () => {
  expect(same(session("p"), session("p"))).toBe(true);
  expect(same(session("p"), session("q"))).toBe(false);
  expect(same(session("p"), session("p", "x"))).toBe(false);
  expect(same(session("p"), null)).toBe(false);
  expect(same(undefined, null)).toBe(false);
});

test("what one tab does to the session the others look at, and a tab that is turned to as well", async () => {
  const [here, there] = [follow(), follow()];
  stops.push(here.stop, there.stop);
  there.tell();
  await vi.waitFor(() => expect(heard).toHaveBeenCalledWith(session("other")));
  heard.mockReset();
  document.dispatchEvent(new Event("visibilitychange"));
  await vi.waitFor(() => expect(heard).toHaveBeenCalledWith(session("other")));
});

test("an answer from before this tab went on elsewhere is asked for again", async () => {
  let first: (response: Response) => void = () => {};
  const fetched = vi.fn()
    .mockImplementationOnce(() => new Promise<Response>((done) => (first = done)))
    .mockImplementation(() => Promise.resolve(answer(session("new"))));
  vi.stubGlobal("fetch", fetched);
  const over = recheck();
  setCsrf("w");
  first(answer(session("old")));
  await over;
  expect(heard.mock.calls).toEqual([[session("new")]]);
});

test("who takes the stream over, or opens it after a failure, looks at everything again", async () => {
  vi.stubGlobal("navigator", { locks: locks() });
  const [first, second] = [ears(), ears()];
  const leave = connect("over", first);
  await vi.waitFor(() => expect(Source.all).toHaveLength(1));
  Source.all[0]!.say("open");
  expect(first.lost).not.toHaveBeenCalled();
  stops.push(connect("over", second));
  await vi.waitFor(() => expect(second.link).toHaveBeenCalledWith("live"));
  leave();
  await vi.waitFor(() => expect(Source.all).toHaveLength(2));
  Source.all[1]!.say("open");
  expect(second.lost).toHaveBeenCalledTimes(1);
  Source.all[1]!.say("error");
  Source.all[1]!.say("open");
  expect(second.lost).toHaveBeenCalledTimes(2);
});

test("a goodbye of the stream is heard in the tabs that do not hold it", async () => {
  vi.stubGlobal("navigator", { locks: locks() });
  stops.push(connect("bye", ears()));
  await vi.waitFor(() => expect(Source.all).toHaveLength(1));
  const channel = new BroadcastChannel("hanok-events bye");
  const words: unknown[] = [];
  channel.onmessage = ({ data }: MessageEvent) => words.push(data);
  stops.push(() => channel.close());
  Source.all[0]!.say("bye");
  await vi.waitFor(() => expect(heard).toHaveBeenCalledWith(session("other")));
  await vi.waitFor(() => expect(words).toEqual([{ kind: "bye" }]));
  heard.mockReset();
  stops.push(connect("bye", ears()));
  channel.postMessage({ kind: "bye" });
  await vi.waitFor(() => expect(heard).toHaveBeenCalledWith(session("other")));
});
