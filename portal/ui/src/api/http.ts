// One way to the APIs. The session is a cookie that no script can read; what changes something carries the
// session's CSRF word. Every failure becomes an ApiError with the service's own message and request id.
import { touch, touchedHere } from "./touch";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    message: string,
    readonly requestId: string | null,
    readonly what: string,
    /** What would help, where the service says it by a word: X-Hanok-Reason. */
    readonly reason: string | null = null,
  ) {
    super(message);
  }
  /** No answer at all: the network, or the service is restarting. */
  get lost(): boolean {
    return this.status === 0;
  }
}

let csrf = "";
let onSession: (now: unknown) => void = () => {};
let onReach: (reached: boolean) => void = () => {};

/** The word of the session that holds from now on. */
export function setCsrf(word: string) {
  csrf = word;
  taken++;
}
/** `f` is given what `recheck` read: the session, or null where there is none any more. */
export function whenSession(f: (now: unknown) => void) {
  onSession = f;
}
const SESSION = "/hanok/v1/session";
let asked = 0;
let taken = 0;
/** Reads the session anew: it may be over, or another tab has gone on in another project. */
export async function recheck(): Promise<void> {
  const [turn, before] = [++asked, taken];
  const now = await ask(SESSION).catch((error: unknown) => (error instanceof ApiError && error.status === 401 ? null : undefined));
  // Of several questions the last one's answer counts.
  if (now === undefined || turn !== asked) return;
  // What was taken meanwhile may be newer than this.
  if (before !== taken) return recheck();
  onSession(now);
}
export function whenReach(f: (reached: boolean) => void) {
  onReach = f;
}

/** What the page asks for by itself, longer after somebody touched it, does not keep a session from idling. */
const AT_HAND_MS = 15_000;

export interface Ask {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** The newest that we read; hypervisors are asked as of 2.87, the last that tells what they hold. */
const COMPUTE = "compute 2.96";

export function headersFor(path: string, method: string, extra: Record<string, string> = {}): Record<string, string> {
  const headers: Record<string, string> = { accept: "application/json", ...extra };
  if (path.startsWith("/compute/") && !headers["openstack-api-version"]) headers["openstack-api-version"] = COMPUTE;
  if (method !== "GET") headers["x-hanok-csrf"] = csrf;
  else if (Date.now() - touchedHere() > AT_HAND_MS) headers["x-hanok-passive"] = "1";
  // Somebody waits for what is sent, as for the pieces of a large image. Signing out sends nothing.
  if (method !== "GET" && method !== "DELETE") touch();
  return headers;
}

export async function ask<T>(path: string, options: Ask = {}): Promise<T> {
  const method = options.method ?? "GET";
  const headers = headersFor(path, method, options.headers);
  let body: BodyInit | undefined;
  if (options.body !== undefined) {
    headers["content-type"] ??= "application/json";
    body = JSON.stringify(options.body);
  }
  const what = `${method} ${path}`;
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, { method, headers, body, signal: options.signal, credentials: "same-origin" });
    // An answer may be broken off in the middle.
    text = await response.text();
  } catch (error) {
    if (options.signal?.aborted) throw error;
    onReach(false);
    throw new ApiError(0, "", "", null, what);
  }
  onReach(true);
  const json = parse(text);
  if (!response.ok) {
    // Not always the end: a wrong old password is refused like this as well.
    if (response.status === 401 && path !== SESSION) void recheck();
    throw failure(response.status, json, text, response.headers.get("x-openstack-request-id"), what, response.headers.get("x-hanok-reason"));
  }
  return json as T;
}

function parse(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Each API wraps its errors in its own way: {error:{…}}, {NeutronError:{…}}, {badRequest:{…}}, or plain text. */
export function failure(status: number, json: unknown, text: string, id: string | null, what: string, reason: string | null = null): ApiError {
  const inner = json && typeof json === "object" ? (Object.values(json)[0] as Record<string, unknown>) : undefined;
  const say = (name: string) => (inner && typeof inner[name] === "string" ? (inner[name] as string) : "");
  const plain = !json && text.length < 500 && !text.trimStart().startsWith("<") ? text.trim() : "";
  return new ApiError(status, say("title"), say("message") || plain, id, what, reason);
}
