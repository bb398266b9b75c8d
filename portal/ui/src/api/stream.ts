// The connection of the event stream. Browsers open six connections to one server over HTTP/1.1, so of several tabs
// one holds the stream and tells the others; when it is closed the next takes over where it was. Where the browser has
// no locks between tabs (plain HTTP from another machine), every tab has its own.
import { recheck } from "./http";

export type Link = "opening" | "live" | "lost" | "absent";
export interface Ears {
  link: (link: Link) => void;
  change: (data: string) => void;
  /** Changes went by unheard: look at everything again. */
  lost: () => void;
}
type Word = { kind: "link"; link: Link } | { kind: "change"; data: string; id: string } | { kind: "lost" } | { kind: "bye" } | { kind: "who" };

const PATH = "/hanok/v1/events";
const NAME = "hanok-events";

/** Listens until the returned function is called. `session` keeps tabs of different sessions apart. */
export function connect(session: string, ears: Ears): () => void {
  const stop = new AbortController();
  if (!navigator.locks) {
    hold("", false, stop.signal, (word) => hear(word, ears));
    return () => stop.abort();
  }
  const name = `${NAME} ${session}`;
  const channel = new BroadcastChannel(name);
  let last = "";
  let mine: Link | null = null;
  let others = false;
  channel.onmessage = ({ data: word }: MessageEvent<Word>) => {
    if (word.kind === "change") last = word.id;
    // Whoever says anything but this holds the stream.
    others ||= word.kind !== "who";
    if (word.kind === "who") {
      if (mine) channel.postMessage({ kind: "link", link: mine } satisfies Word);
    } else if (!mine) hear(word, ears);
  };
  channel.postMessage({ kind: "who" } satisfies Word);
  const turn = () => new Promise<void>((done) => {
    mine = "opening";
    hold(last, others, stop.signal, (word) => {
      if (word.kind === "link") mine = word.link;
      channel.postMessage(word);
      hear(word, ears);
    });
    stop.signal.addEventListener("abort", () => done());
  });
  // Whoever leaves before its turn has asked for nothing any more.
  navigator.locks.request(name, { signal: stop.signal }, turn).catch(() => undefined);
  return () => {
    stop.abort();
    channel.close();
  };
}

function hear(word: Word, ears: Ears) {
  if (word.kind === "link") ears.link(word.link);
  else if (word.kind === "change") ears.change(word.data);
  else if (word.kind === "lost") ears.lost();
  else if (word.kind === "bye") void recheck();
}

/** Holds the stream. The browser itself resumes after a short drop; one that it has given up is opened anew from the last id. */
function hold(last: string, missed: boolean, stop: AbortSignal, tell: (word: Word) => void) {
  let tries = 0;
  let everLive = false;
  let timer = 0;
  let source: EventSource;
  const open = () => {
    source = new EventSource(last ? `${PATH}?last_event_id=${encodeURIComponent(last)}` : PATH);
    source.addEventListener("open", () => {
      // Nobody knows from where on nothing was heard.
      if (missed && !last) tell({ kind: "lost" });
      missed = false;
      tries = 0;
      everLive = true;
      tell({ kind: "link", link: "live" });
    });
    source.addEventListener("change", (event) => {
      const { data, lastEventId } = event as MessageEvent<string>;
      last = lastEventId || last;
      tell({ kind: "change", data, id: last });
    });
    source.addEventListener("lost", () => tell({ kind: "lost" }));
    source.addEventListener("bye", () => tell({ kind: "bye" }));
    source.addEventListener("error", () => {
      missed = true;
      tell({ kind: "link", link: everLive ? "lost" : tries > 2 ? "absent" : "opening" });
      if (source.readyState !== EventSource.CLOSED || stop.aborted) return;
      // The browser gives up where the answer is no stream: perhaps because nobody is signed in any more.
      void recheck();
      tries++;
      timer = window.setTimeout(open, Math.min(500 * 2 ** tries, 15_000));
    });
  };
  open();
  stop.addEventListener("abort", () => {
    clearTimeout(timer);
    source.close();
  });
}
