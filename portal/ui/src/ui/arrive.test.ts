import { expect, test, vi } from "vitest";
import { again, arrive, isBroken, NotArrived } from "./arrive";

const broken = () => new TypeError("Failed to fetch dynamically imported module: http://x/assets/a.js");

test("what is broken off is run again, what fails otherwise is not", async () => {
  let runs = 0;
  expect(await again(() => (++runs < 2 ? Promise.reject(new Error("no")) : Promise.resolve("here")), () => true)).toBe("here");
  expect(runs).toBe(2);
  await expect(arrive(() => (runs++, Promise.reject(new Error("a fault of its own"))))).rejects.toThrow("a fault of its own");
  expect(runs).toBe(3);
});

test("each browser's words for a file that does not come are known", () => {
  for (const words of ["Failed to fetch dynamically imported module: http://x/a.js", "error loading dynamically imported module: http://x/a.js", "Importing a module script failed."]) {
    expect(isBroken(new TypeError(words))).toBe(true);
  }
  expect(isBroken(new TypeError("x is not a function"))).toBe(false);
});

test("a file that is gone is not waited for, and one where nobody answers is told apart", async () => {
  vi.useFakeTimers();
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(null, { status: 404 })));
  let runs = 0;
  await expect(arrive(() => (runs++, Promise.reject(broken())))).rejects.toThrow("Failed to fetch");
  expect(runs).toBe(1);
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  const end = expect(arrive(() => (runs++, Promise.reject(broken())))).rejects.toBeInstanceOf(NotArrived);
  await vi.runAllTimersAsync();
  await end;
  expect(runs).toBe(6);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("whatever comes later comes through here", () => {
  const files = import.meta.glob<string>("../**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true });
  const lines = Object.entries(files).filter(([file]) => !file.endsWith(".test.ts")).flatMap(([file, text]) => text.split("\n").map((line) => `${file}: ${line.trim()}`));
  const later = lines.filter((line) => /\bimport\("[./]/.test(line));
  expect(later.length).toBeGreaterThan(30);
  expect(later.filter((line) => !/ page\("|= part\(| (behind|door) = \(\)/.test(line))).toEqual([]);
});
