// When somebody last did something: in this tab, and in any tab of this browser. They share one session, so that one
// which is left alone must not end it where somebody works in another.
const STORED = "hanok-touched";
/** How exactly other tabs know it. */
const SHARE_MS = 1000;
/** A longer delay than this a browser takes for none. */
const LONGEST_MS = 2 ** 31 - 1;
const SIGNS = ["pointerdown", "keydown", "wheel"];

let here = Date.now();
let shared = 0;
const heard = new Set<() => void>();

/** Somebody does something. */
export function touch() {
  here = Date.now();
  if (Math.abs(here - shared) >= SHARE_MS) {
    shared = here;
    try {
      localStorage.setItem(STORED, String(here));
    } catch {
      // Without a store every tab knows of itself only.
    }
  }
  heard.forEach((tell) => tell());
}

export const touchedHere = () => here;

function touchedAnywhere(): number {
  let there = 0;
  try {
    there = Number(localStorage.getItem(STORED));
  } catch {
    // As above.
  }
  // What lies ahead is from before the clock was set back.
  return there <= Date.now() ? Math.max(here, there) : here;
}

// Before anything else hears of it: consoles keep their keys to themselves.
if (typeof addEventListener === "function") {
  for (const sign of SIGNS) addEventListener(sign, touch, { passive: true, capture: true });
}

/** Calls `out` once nobody has touched any tab for so long. */
export function whenIdle(seconds: number, out: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const look = () => {
    const left = touchedAnywhere() + seconds * 1000 - Date.now();
    if (left <= 0) return out();
    timer = setTimeout(look, Math.min(left, LONGEST_MS));
  };
  look();
  return () => clearTimeout(timer);
}

/** Calls `tell` when somebody does something, but not more often than this. */
export function whileTouched(everyMs: number, tell: () => void): () => void {
  let told = Date.now();
  const hear = () => {
    if (Math.abs(here - told) < everyMs) return;
    told = here;
    tell();
  };
  heard.add(hear);
  return () => heard.delete(hear);
}
