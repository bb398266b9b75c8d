// Parts of the pages that come when they are first needed. When the network changes under a browser (another Wi-Fi, an
// interface that goes, a region that starts again) it breaks off what it loads and does not ask again: that is done here,
// and every `import("…")` of the pages goes through here. What does not come at all is said by ui/Boundary. Nothing is
// imported here: this comes with the first file of the program, which should be small.

/** About three seconds in all. */
const PAUSES_MS = [150, 350, 900, 1600];
const ASK_MS = 2000;

/** Nobody answers where the file should be. Other failures keep the browser's own error, which means: load the page anew. */
export class NotArrived extends Error {
  constructor(readonly url: string, cause: unknown) {
    super(`not arrived: ${url}`, { cause });
  }
}

/** What browsers say when a file of a program does not come. What it threw while it started is another matter. */
const BROKEN = /dynamically imported module|importing a module script failed/i;
export const isBroken = (error: unknown) => error instanceof TypeError && BROKEN.test(error.message);
const urlIn = (error: unknown) => /https?:\/\/\S+/.exec(String(error))?.[0] ?? null;

/** Runs it again a few times, with growing pauses, as long as `worth` says so. */
export async function again<T>(run: () => Promise<T>, worth: (error: unknown) => boolean | Promise<boolean>): Promise<T> {
  for (const pause of PAUSES_MS) {
    try {
      return await run();
    } catch (error) {
      if (!(await worth(error))) throw error;
    }
    await new Promise((done) => setTimeout(done, pause));
  }
  return run();
}

/** Whether the file is where it was: after an upgrade it is not any more, and waiting does not help. */
async function ask(url: string): Promise<"there" | "gone" | "silent"> {
  return fetch(url, { method: "HEAD", cache: "no-store" }).then(({ status }) => (status === 404 ? "gone" : "there"), () => "silent");
}

const answers = async (url: string) => (await ask(url)) !== "silent";

export async function arrive<M>(load: () => Promise<M>): Promise<M> {
  try {
    return await again(load, async (error) => {
      const url = isBroken(error) ? urlIn(error) : null;
      return isBroken(error) && (url === null || (await ask(url)) !== "gone");
    });
  } catch (error) {
    const url = isBroken(error) ? urlIn(error) : null;
    if (url !== null && !(await answers(url))) throw new NotArrived(url, error);
    throw error;
  }
}

/** Ahead of its time: when it fails, it is asked for again when it is needed. */
export function prefetch(load: () => Promise<unknown>) {
  arrive(load).catch(() => undefined);
}

/** Loads the page anew when a file is gone, which is then that of an older release; once, since a second time would not help. */
export function anewOnce(error: unknown): boolean {
  const mark = `hanok-anew:${String(error)}`;
  if (!isBroken(error) || sessionStorage.getItem(mark)) return false;
  sessionStorage.setItem(mark, "1");
  location.reload();
  return true;
}

/** Loads the page anew as soon as somebody answers there again. */
export function anewWhenThere(url: string): () => void {
  const timer = setInterval(() => void answers(url).then((there) => there && location.reload()), ASK_MS);
  return () => clearInterval(timer);
}

/** Chromium gives a link whose file did not come a sheet that has nothing in it, or that refuses to be read. */
function isStyled(link: HTMLLinkElement): boolean {
  try {
    return (link.sheet?.cssRules.length ?? 0) > 0;
  } catch {
    return false;
  }
}

/** Styles that were broken off while the program came: they are asked for again. */
export function mendStyles() {
  for (const link of document.querySelectorAll<HTMLLinkElement>("link[rel=stylesheet]")) {
    if (isStyled(link)) continue;
    const load = () => new Promise<void>((done, fail) => {
      const next = link.cloneNode() as HTMLLinkElement;
      next.onload = () => done();
      next.onerror = () => (next.remove(), fail(new Error("no styles")));
      document.head.append(next);
    });
    again(load, () => true).catch(() => undefined);
  }
}
