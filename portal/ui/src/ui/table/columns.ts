import type { ReactNode } from "react";

export interface Column<Row> {
  id: string;
  head: string;
  cell: (row: Row) => ReactNode;
  /** What filtering looks in and sorting goes by; a number sorts as one. */
  value?: (row: Row) => string | number;
  /** A track of the grid, such as "2fr" or "120px". */
  width?: string;
  end?: boolean;
  /** On a phone a row is a card: its title, what stands beside it, or nothing. */
  phone?: "title" | "aside" | "line";
  /** Left out below this width of the window. */
  from?: number;
}

/** Room beside figures, so that they do not run into the words of the next column. */
export const airy = <Row>(columns: Column<Row>[], i: number): boolean => Boolean(columns[i]?.end && columns[i + 1] && !columns[i + 1]?.end);

export interface Sort { id: string; down: boolean }

/** The row that has the focus, and where it was last: rows come and go before it, and are sorted anew. */
export interface Held { id: string; at: number }

/** Where the held row is now; once it has gone, the one that took its place, or the last. -1 without any. */
export function placeOf<Row>(rows: Row[], id: (row: Row) => string, held: Held | null): number {
  if (!held) return -1;
  const at = rows.findIndex((row) => id(row) === held.id);
  return at >= 0 ? at : Math.min(held.at, rows.length - 1);
}

/** Every word of the filter must be found in some column. */
export function filterRows<Row>(rows: Row[], columns: Column<Row>[], filter: string, extra?: (row: Row) => string): Row[] {
  const words = filter.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return rows;
  return rows.filter((row) => {
    const text = [...columns.map((c) => c.value?.(row) ?? ""), extra?.(row) ?? ""].join("\n").toLocaleLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** web-2 comes before web-10, in both languages. */
const compare = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" }).compare;

export function sortRows<Row>(rows: Row[], columns: Column<Row>[], sort: Sort | null): Row[] {
  const value = sort && columns.find((c) => c.id === sort.id)?.value;
  if (!sort || !value) return rows;
  const sign = sort.down ? -1 : 1;
  return rows
    .map((row) => [value(row), row] as const)
    .sort(([a], [b]) => sign * (typeof a === "number" && typeof b === "number" ? a - b : compare(String(a), String(b))))
    .map(([, row]) => row);
}
