// Which entries fit what was typed, best first. Letters may be left out, as long as they come in order.
export interface Matchable { label: string; note?: string; words?: string; weight?: number }

/** 0 for no match; more for the beginning of a word and for letters that stand together. */
export function score(text: string, wanted: string): number {
  const hay = text.toLocaleLowerCase();
  if (hay === wanted) return 1000;
  const whole = hay.indexOf(wanted);
  if (whole >= 0) return 500 - Math.min(whole, 100) + (whole === 0 || /[\s\-_.·/]/.test(hay[whole - 1] ?? "") ? 200 : 0);
  let at = -1;
  let points = 0;
  for (const letter of wanted) {
    const next = hay.indexOf(letter, at + 1);
    if (next < 0) return 0;
    points += next === at + 1 ? 12 : Math.max(1, 6 - (next - at));
    at = next;
  }
  return points;
}

export function rank<E extends Matchable>(entries: E[], typed: string): E[] {
  const words = typed.trim().toLocaleLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return entries.filter((e) => (e.weight ?? 0) > 0);
  return entries
    .map((entry) => {
      const points = words.map((word) => Math.max(score(entry.label, word), score(`${entry.words ?? ""} ${entry.note ?? ""}`, word) * 0.6));
      const total = points.every((p) => p > 8) ? points.reduce((a, b) => a + b, 0) + (entry.weight ?? 0) : 0;
      return [total, entry] as const;
    })
    .filter(([points]) => points > 0)
    .sort(([a], [b]) => b - a)
    .map(([, entry]) => entry);
}
