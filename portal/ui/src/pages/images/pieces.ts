// How a file goes to the service in pieces: what is there stays there, so that a lost connection or a reload of the
// page costs the piece that was on its way. Nothing in here knows of the page.
import { ApiError, ask, headersFor, failure } from "~/api/http";

export interface Begun { image_id: string; file_name: string; mark: string; size: number; received: number; piece_bytes: number; touched_at: string }

const address = (image: string) => `/hanok/v1/images/${image}/upload`;
/** The first piece; the next ones grow while they take less than a second. */
const FIRST = 256 << 10;
const BRISK_MS = 800;
/** Both ends of a file, by which it is known again. */
const END = 64 << 10;
/** And so many blocks between them, as a disk that was written to since keeps its size and mostly its ends. */
const BLOCKS = 64;
const BLOCK = 4 << 10;
const WAITS_MS = [500, 1000, 2000, 5000, 10_000, 20_000];

/**
 * The size, when it was last changed, and two 32-bit sums over both ends and blocks between them: enough to tell whether
 * somebody chose the same file again, without reading all of it. Its name may be another. The service keeps 128 characters.
 */
export async function markOf(file: File): Promise<string> {
  const parts = [file.slice(0, END), file.slice(Math.max(END, file.size - END))];
  for (let i = 1; i <= BLOCKS; i++) {
    const from = Math.floor((file.size * i) / (BLOCKS + 1));
    parts.push(file.slice(from, from + BLOCK));
  }
  const read = await Promise.all(parts.map((part) => part.arrayBuffer()));
  let [a, b] = [0x811c9dc5, 0x1000193];
  for (const part of read) {
    for (const byte of new Uint8Array(part)) {
      a = Math.imul(a ^ byte, 0x01000193);
      b = Math.imul(b + byte, 0x85ebca6b) ^ (b >>> 13);
    }
  }
  return `${file.size}-${file.lastModified}-${(a >>> 0).toString(16)}-${(b >>> 0).toString(16)}`;
}

export const unfinished = (signal?: AbortSignal) => ask<{ uploads: Begun[] }>("/hanok/v1/image-uploads", { signal });
export const forget = (image: string) => ask(address(image), { method: "DELETE" });

export interface Told {
  sent: (bytes: number) => void;
  /** The connection is lost; it is tried again by itself. */
  waiting: (error: unknown) => void;
  checking: () => void;
}

/** Sends what is not there yet and has the image made of it. Ends well, or with what has to be decided by a person. */
export async function send(image: string, file: File, told: Told, signal: AbortSignal): Promise<void> {
  const mark = await markOf(file);
  const begin = () => ask<{ upload: Begun }>(address(image), { method: "POST", body: { upload: { size: file.size, file_name: file.name.slice(0, 255), mark } }, signal });
  let { received, piece_bytes } = (await patiently(begin, told, signal)).upload;
  let size = Math.min(FIRST, piece_bytes);
  while (received < file.size) {
    told.sent(received);
    const begun = performance.now();
    const piece = file.slice(received, received + size);
    const from = received;
    received = await patiently(() => put(image, from, piece, signal), told, signal);
    if (performance.now() - begun < BRISK_MS) size = Math.min(size * 2, piece_bytes);
    else size = Math.max(FIRST, size / 2);
  }
  told.sent(received);
  told.checking();
  await patiently(() => ask(`${address(image)}/finish`, { method: "POST", signal }), told, signal);
}

/** What was received after it. A piece that is there already, because only the answer was lost, is not sent again. */
async function put(image: string, offset: number, piece: Blob, signal: AbortSignal): Promise<number> {
  const path = `${address(image)}?offset=${offset}`;
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, { method: "PUT", body: piece, signal, headers: headersFor(path, "PUT", { "content-type": "application/octet-stream" }), credentials: "same-origin" });
    text = await response.text();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError(0, "", "", null, `PUT ${path}`);
  }
  if (response.ok) return (JSON.parse(text) as { upload: Begun }).upload.received;
  if (response.status === 409) {
    const { received } = (await ask<{ upload: Begun }>(address(image), { signal })).upload;
    if (received > offset) return received;
    // Another piece is arriving: that of this page before it was loaded again, say.
    throw new ApiError(503, "", text.slice(0, 300), response.headers.get("x-openstack-request-id"), `PUT ${path}`);
  }
  let json: unknown;
  try { json = JSON.parse(text); } catch { json = undefined; }
  throw failure(response.status, json, text, response.headers.get("x-openstack-request-id"), `PUT ${path}`);
}

async function patiently<T>(run: () => Promise<T>, told: Told, signal: AbortSignal): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await run();
    } catch (error) {
      const passing = error instanceof ApiError && (error.lost || error.status === 503 || error.status === 502);
      if (!passing || signal.aborted) throw error;
      told.waiting(error);
      await sleep(WAITS_MS[Math.min(tries, WAITS_MS.length - 1)]!, signal);
    }
  }
}

/** Ends early when the browser says that it is online again. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}
