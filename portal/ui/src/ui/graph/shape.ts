// The geometry of a graph: where a value lies on a field of 1000 by 100, and where the line breaks off.
export interface Series { name: string; values: (number | null)[] }
export const WIDTH = 1000;
export const HEIGHT = 100;

/** A round number that nothing goes beyond: 1, 2 or 5 of a power of ten, or a power of two of bytes. */
export function roof(most: number, least: number, base: 10 | 2): number {
  const high = Math.max(most, least);
  if (base === 2) return 2 ** Math.ceil(Math.log2(high));
  const power = 10 ** Math.floor(Math.log10(high));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= high) ?? high;
}

/** Pieces of a line: what is not known is a gap, and so is a silence that is much longer than those before. */
export function pieces(at: number[], values: (number | null)[]): [number, number][][] {
  const steps = at.slice(1).map((t, i) => t - at[i]!).sort((a, b) => a - b);
  const usual = steps[Math.floor(steps.length / 2)] ?? 0;
  const all: [number, number][][] = [];
  let piece: [number, number][] = [];
  at.forEach((time, i) => {
    const value = values[i];
    if (value === null || value === undefined || (i > 0 && time - at[i - 1]! > 3 * usual)) {
      if (piece.length) all.push(piece);
      piece = [];
    }
    if (value !== null && value !== undefined) piece.push([time, value]);
  });
  if (piece.length) all.push(piece);
  return all;
}

/** A line for each piece, and what is under it. A lone point is drawn as a short line. */
export function draw(list: [number, number][][], from: number, to: number, top: number): { line: string; area: string } {
  const x = (time: number) => round(((time - from) / Math.max(1, to - from)) * WIDTH);
  const y = (value: number) => round(HEIGHT - (Math.min(value, top) / top) * HEIGHT);
  let line = "";
  let area = "";
  for (const piece of list) {
    const points = piece.length === 1 ? [piece[0]!, [piece[0]![0] + (to - from) / 400, piece[0]![1]] as [number, number]] : piece;
    const path = points.map(([time, value]) => `${x(time)} ${y(value)}`).join("L");
    line += `M${path}`;
    area += `M${x(points[0]![0])} ${HEIGHT}L${path}L${x(points.at(-1)![0])} ${HEIGHT}Z`;
  }
  return { line, area };
}
const round = (n: number) => Math.round(n * 10) / 10;

/** The moment that is nearest to a place between 0 and 1. */
export function nearest(at: number[], from: number, to: number, part: number): number | null {
  if (at.length === 0) return null;
  const time = from + (to - from) * part;
  return at.reduce((best, t, i) => (Math.abs(t - time) < Math.abs(at[best]! - time) ? i : best), 0);
}
