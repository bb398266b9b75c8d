import { expect, test } from "vitest";
import { draw, nearest, pieces, roof } from "./shape";

test("the top is a round number with everything under it", () => {
  expect([0.3, 4, 51, 100].map((n) => roof(n, 1, 10))).toEqual([1, 5, 100, 100]);
  expect([10, 1000, 1025].map((n) => roof(n, 1024, 2))).toEqual([1024, 1024, 2048]);
});

test("what is not known is a gap, and so is a long silence", () => {
  const at = [0, 30, 60, 90, 120, 600, 630];
  expect(pieces(at, [1, 2, null, 3, 4, 5, 6])).toEqual([[[0, 1], [30, 2]], [[90, 3], [120, 4]], [[600, 5], [630, 6]]]);
  expect(pieces([], [])).toEqual([]);
  expect(pieces([5], [7])).toEqual([[[5, 7]]]);
});

test("lines and what is under them", () => {
  expect(draw([[[0, 0], [50, 5], [100, 10]]], 0, 100, 10)).toEqual({ line: "M0 100L500 50L1000 0", area: "M0 100L0 100L500 50L1000 0L1000 100Z" });
  expect(draw([[[0, 20]]], 0, 100, 10).line).toBe("M0 0L2.5 0");
});

test("the nearest moment", () => {
  expect(nearest([0, 50, 100], 0, 100, 0.6)).toBe(1);
  expect(nearest([], 0, 100, 0.6)).toBe(null);
});
