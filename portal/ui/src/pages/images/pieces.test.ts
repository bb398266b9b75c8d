import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { markOf, send } from "./pieces";

/** A service that keeps pieces as ours does, behind a wire that can be cut. */
class Service {
  bytes: number[] = [];
  size = 0;
  finished = 0;
  /** What becomes of the next requests: lost on the way there, or on the way back. */
  cuts: ("there" | "back")[] = [];
  fetch = async (url: string, init: RequestInit = {}) => {
    const cut = this.cuts.shift();
    if (cut === "there") throw new TypeError("no network");
    const answer = await this.answer(new URL(url, "http://here"), init);
    if (cut === "back") throw new TypeError("no network");
    return answer;
  };
  async answer(url: URL, init: RequestInit): Promise<Response> {
    const say = (status: number, body?: unknown) => new Response(body === undefined ? null : JSON.stringify(body), { status });
    const upload = () => ({ upload: { received: this.bytes.length, size: this.size, piece_bytes: 1 << 20 } });
    if (url.pathname.endsWith("/finish")) {
      if (this.bytes.length < this.size) return say(409, { error: { message: "bytes are missing" } });
      this.finished++;
      return say(204);
    }
    if (init.method === "POST") this.size = (JSON.parse(String(init.body)) as { upload: { size: number } }).upload.size;
    if (init.method === "PUT") {
      if (Number(url.searchParams.get("offset")) !== this.bytes.length) return say(409, { error: { message: "elsewhere" } });
      for (const byte of new Uint8Array(await (init.body as Blob).arrayBuffer())) this.bytes.push(byte);
    }
    return say(200, upload());
  }
}

const content = Uint8Array.from({ length: 1_200_000 }, (_, i) => (i * 7) % 251);
const file = new File([content], "disk.raw");
const told = { sent: vi.fn(), waiting: vi.fn(), checking: vi.fn() };
let service: Service;
beforeEach(() => {
  service = new Service();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  vi.stubGlobal("fetch", service.fetch);
  vi.stubGlobal("addEventListener", () => {});
  vi.stubGlobal("removeEventListener", () => {});
  Object.values(told).forEach((f) => f.mockClear());
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const whole = () => Buffer.from(service.bytes).equals(Buffer.from(content));

/** Runs it with a clock that does not wait. */
async function through(run: Promise<void>) {
  let over = false;
  const end = run.finally(() => (over = true));
  end.catch(() => undefined);
  while (!over) await vi.advanceTimersByTimeAsync(1000);
  return end;
}

test("pieces arrive in order, whatever is cut", async () => {
  service.cuts = ["back", "there", "back", "there", "there", "back", "back"];
  await through(send("id", file, told, new AbortController().signal));
  expect(whole()).toBe(true);
  expect(service.finished).toBeGreaterThan(0);
  expect(told.waiting).toHaveBeenCalled();
  expect(told.checking).toHaveBeenCalledTimes(1);
});

test("what is there is not sent again", async () => {
  service.bytes = Array.from(content.slice(0, 700_000));
  await through(send("id", file, told, new AbortController().signal));
  expect(whole()).toBe(true);
  expect(told.sent.mock.calls[0]).toEqual([700_000]);
});

test("a person decides about what is refused", async () => {
  service.answer = async () => new Response(JSON.stringify({ error: { message: "no room" } }), { status: 413 });
  await expect(through(send("id", file, told, new AbortController().signal))).rejects.toThrow("no room");
});

const { lastModified } = file;

test("a file is known again by what is in it, whatever its name", async () => {
  const other = new File([content.slice(0, -1), Uint8Array.of(9)], "disk.raw", { lastModified });
  expect(await markOf(file)).toBe(await markOf(new File([content], "renamed.raw", { lastModified })));
  expect(await markOf(file)).not.toBe(await markOf(other));
});

test("a file that was changed since is another", async () => {
  expect(await markOf(new File([content], "disk.raw", { lastModified: lastModified + 1 }))).not.toBe(await markOf(file));
});

test("so is one of the same age, size and ends with something else between them", async () => {
  // Half of it, a quarter, and an eighth: as long as the stretch is longer than what lies between two blocks.
  for (const part of [2, 4, 8]) {
    const written = content.slice().fill(0, 500_000, 500_000 + content.length / part / 2);
    expect(await markOf(new File([written], "disk.raw", { lastModified }))).not.toBe(await markOf(file));
  }
});

test("a mark is no longer than what the service keeps of it", async () => {
  const huge = { size: Number.MAX_SAFE_INTEGER, lastModified: 8.64e15, slice: () => new Blob(["x"]) } as unknown as File;
  expect((await markOf(huge)).length).toBeLessThanOrEqual(128);
});
