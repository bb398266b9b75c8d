import { expect, test } from "vitest";
import { filterRows, placeOf, sortRows, type Column } from "./columns";

interface Row { name: string; ram: number }
const columns: Column<Row>[] = [
  { id: "name", head: "", cell: () => null, value: (r) => r.name },
  { id: "ram", head: "", cell: () => null, value: (r) => r.ram },
];
const rows = [{ name: "web-10", ram: 512 }, { name: "web-2", ram: 2048 }, { name: "가나", ram: 64 }];

test("names sort as people count", () => {
  expect(sortRows(rows, columns, { id: "name", down: false }).map((r) => r.name)).toEqual(["web-2", "web-10", "가나"]);
});

test("numbers sort as numbers, and downwards", () => {
  expect(sortRows(rows, columns, { id: "ram", down: true }).map((r) => r.ram)).toEqual([2048, 512, 64]);
});

test("every word of the filter has to be somewhere", () => {
  expect(filterRows(rows, columns, "web 2048").map((r) => r.name)).toEqual(["web-2"]);
  expect(filterRows(rows, columns, "나")).toHaveLength(1);
  expect(filterRows(rows, columns, "id-7", (r) => (r.ram === 64 ? "id-7" : ""))).toHaveLength(1);
});

test("keys act on the row that has the focus, wherever it has moved", () => {
  const name = (r: Row) => r.name;
  const held = { id: "web-2", at: 1 };
  expect(placeOf(rows, name, held)).toBe(1);
  expect(placeOf([{ name: "new", ram: 1 }, ...rows], name, held)).toBe(2);
  expect(placeOf(sortRows(rows, columns, { id: "name", down: false }), name, held)).toBe(0);
});

test("a row that has gone leaves its place to its neighbour", () => {
  const name = (r: Row) => r.name;
  expect(placeOf(rows, name, { id: "gone", at: 1 })).toBe(1);
  expect(placeOf(rows, name, { id: "gone", at: 7 })).toBe(2);
  expect(placeOf([], name, { id: "gone", at: 1 })).toBe(-1);
  expect(placeOf(rows, name, null)).toBe(-1);
});
