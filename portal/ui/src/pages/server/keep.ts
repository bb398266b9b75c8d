// The connection of a console, which is made anew when it breaks off: the network changed, or the region started again.
// When the other side ends it (the server was stopped, say), or it cannot be had again, that is its end.
import type { Ended } from "./Consoles";

const PAUSES_MS = [200, 600, 1500, 3000];
/** One that held for so long is worth as many tries as the first. */
const HELD_MS = 10_000;

export interface Line { live: () => void; ended: (meant: boolean) => void }

/** Connects until the returned function is called; `connect` gives what closes its connection. */
export function keep(connect: (line: Line) => Promise<() => void>, onEnd: Ended): () => void {
  let [gone, tries, timer, since] = [false, 0, 0, Infinity];
  let close = () => {};
  const ended = (meant: boolean) => {
    if (gone) return;
    if (Date.now() - since > HELD_MS) tries = 0;
    since = Infinity;
    const pause = PAUSES_MS[tries++];
    if (meant || pause === undefined) onEnd(null);
    else timer = window.setTimeout(run, pause);
  };
  const run = () => {
    connect({ live: () => (since = Date.now()), ended }).then((stop) => {
      close = stop;
      if (gone) stop();
    }, (error: unknown) => gone || onEnd(error));
  };
  run();
  return () => {
    gone = true;
    clearTimeout(timer);
    close();
  };
}
