import { expect, test } from "vitest";
import { rank, score } from "./match";

test("the beginning of a word is worth more than its middle, letters in order more than nothing", () => {
  expect(score("web-1", "web")).toBeGreaterThan(score("cobweb", "web"));
  expect(score("Security groups", "secgr")).toBeGreaterThan(0);
  expect(score("web-1", "bew")).toBe(0);
});

test("without letters only what weighs something is offered", () => {
  const entries = [{ label: "a" }, { label: "b", weight: 5 }];
  expect(rank(entries, "")).toEqual([entries[1]]);
});

test("an address finds its server", () => {
  const entries = [{ label: "db-1", words: "10.0.0.9" }, { label: "web-1", words: "10.0.0.7" }];
  expect(rank(entries, "0.7")[0]?.label).toBe("web-1");
});
