import { afterEach, beforeEach, expect, test, vi } from "vitest";

const MINUTE = 60_000;
let kept: Map<string, string>;
let page: { sign: string; hear: () => void; capture: boolean }[];

/** A tab of its own: what it knows of itself, next to the store that all share. */
async function tab() {
  vi.resetModules();
  return { ...(await import("./touch")), ...(await import("./http")) };
}

beforeEach(() => {
  kept = new Map();
  page = [];
  vi.useFakeTimers();
  vi.stubGlobal("localStorage", { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => kept.set(key, value) });
  vi.stubGlobal("addEventListener", (sign: string, hear: () => void, how: { capture?: boolean }) => page.push({ sign, hear, capture: how.capture ?? false }));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a tab that is left alone does not sign out while somebody works in another", async () => {
  const [left, used] = [await tab(), await tab()];
  const out = vi.fn();
  const stop = left.whenIdle(30 * 60, out);
  for (let i = 0; i < 50; i++) {
    vi.advanceTimersByTime(MINUTE);
    used.touch();
  }
  vi.advanceTimersByTime(29 * MINUTE);
  expect(out).not.toHaveBeenCalled();
  vi.advanceTimersByTime(MINUTE);
  expect(out).toHaveBeenCalledTimes(1);
  stop();
});

test("keys of a console count, though it keeps them to itself", async () => {
  await tab();
  expect(page.map((p) => p.sign)).toEqual(["pointerdown", "keydown", "wheel"]);
  expect(page.every((p) => p.capture)).toBe(true);
});

test("what is being sent counts, and what the page asks by itself does not", async () => {
  const { whenIdle, headersFor } = await tab();
  const out = vi.fn();
  const stop = whenIdle(60, out);
  vi.advanceTimersByTime(50_000);
  headersFor("/hanok/v1/images/x/upload?offset=0", "PUT");
  vi.advanceTimersByTime(50_000);
  expect(out).not.toHaveBeenCalled();
  expect(headersFor("/hanok/v1/session", "GET")).toHaveProperty("x-hanok-passive");
  vi.advanceTimersByTime(10_000);
  expect(out).toHaveBeenCalledTimes(1);
  stop();
});

test("the service is told now and then while somebody is here, and not when nobody is", async () => {
  const { touch, whileTouched, headersFor } = await tab();
  const told = vi.fn(() => expect(headersFor("/hanok/v1/session", "GET")).not.toHaveProperty("x-hanok-passive"));
  const stop = whileTouched(MINUTE, told);
  for (let i = 0; i < 300; i++) {
    vi.advanceTimersByTime(1000);
    touch();
  }
  expect(told).toHaveBeenCalledTimes(5);
  vi.advanceTimersByTime(60 * MINUTE);
  expect(told).toHaveBeenCalledTimes(5);
  stop();
});

test("a session that may idle for very long does not end at once, nor one in a browser without a store", async () => {
  const { whenIdle } = await tab();
  vi.stubGlobal("localStorage", { getItem: () => { throw new Error("no"); } });
  const out = vi.fn();
  const stop = whenIdle(60 * 24 * 3600, out);
  vi.advanceTimersByTime(59 * 24 * 3600 * 1000);
  expect(out).not.toHaveBeenCalled();
  vi.advanceTimersByTime(24 * 3600 * 1000);
  expect(out).toHaveBeenCalledTimes(1);
  stop();
});
