// Uploads go on while the user walks through other pages, and by themselves after the connection was lost. After a
// reload the browser has forgotten the file, not the service its bytes: whoever chooses the file again goes on.
import { useSyncExternalStore } from "react";
import { ask } from "~/api/http";
import { queries } from "~/api/query";
import type { Image } from "~/api/types";
import { forget, markOf, send as sendPieces, type Begun } from "./pieces";

export interface Upload {
  id: string; name: string; file: File; sent: number; startedAt: number; startedFrom: number;
  state: "sending" | "waiting" | "checking" | "broken" | "done"; error?: unknown;
}

let uploads: Upload[] = [];
const running = new Map<string, AbortController>();
const listeners = new Set<() => void>();
const tell = () => listeners.forEach((listener) => listener());
function change(id: string, part: Partial<Upload>) {
  uploads = uploads.map((u) => (u.id === id ? { ...u, ...part } : u));
  tell();
}
export function useUploads(): Upload[] {
  return useSyncExternalStore((listener) => (listeners.add(listener), () => listeners.delete(listener)), () => uploads);
}

export interface Wish { name: string; format: string; file: File; minDisk: number; visibility: string }

export async function start(wish: Wish): Promise<void> {
  const body = { name: wish.name, disk_format: wish.format, container_format: "bare", visibility: wish.visibility, ...(wish.minDisk ? { min_disk: wish.minDisk } : {}) };
  const image = await ask<Image>("/image/v2/images", { method: "POST", body });
  add(image.id, wish.name, wish.file);
}

/** False when it is not the file that was being uploaded. */
export async function goOn(begun: Begun, name: string, file: File): Promise<boolean> {
  if ((await markOf(file)) !== begun.mark) return false;
  add(begun.image_id, name, file);
  return true;
}

function add(id: string, name: string, file: File) {
  uploads = [...uploads.filter((u) => u.id !== id), { id, name, file, sent: 0, startedAt: Date.now(), startedFrom: 0, state: "sending" }];
  tell();
  void send(id);
}

export async function send(id: string): Promise<void> {
  const upload = uploads.find((u) => u.id === id);
  if (!upload) return;
  running.get(id)?.abort();
  const stop = new AbortController();
  running.set(id, stop);
  change(id, { state: "sending", startedAt: Date.now(), error: undefined });
  let first = true;
  const told = {
    sent: (sent: number) => {
      change(id, { state: "sending", sent, ...(first ? { startedFrom: sent, startedAt: Date.now() } : {}) });
      first = false;
    },
    waiting: (error: unknown) => change(id, { state: "waiting", error }),
    checking: () => change(id, { state: "checking" }),
  };
  try {
    await sendPieces(id, upload.file, told, stop.signal);
    change(id, { state: "done", sent: upload.file.size });
  } catch (error) {
    if (!stop.signal.aborted) change(id, { state: "broken", error });
  } finally {
    if (running.get(id) === stop) running.delete(id);
    void queries.invalidateQueries({ queryKey: ["image-uploads"] });
  }
}

/** The image has no content and will have none: it goes too. */
export async function giveUp(id: string): Promise<void> {
  running.get(id)?.abort();
  dismiss(id);
  await forget(id).catch(() => undefined);
  await ask(`/image/v2/images/${id}`, { method: "DELETE" }).catch(() => undefined);
  await queries.invalidateQueries({ queryKey: ["image-uploads"] });
}

export function dismiss(id: string) {
  uploads = uploads.filter((u) => u.id !== id);
  tell();
}

/** What the first bytes say the file is; the name decides where they say nothing. */
export async function formatOf(file: File): Promise<string> {
  const head = new Uint8Array(await file.slice(0, 0x8006).arrayBuffer());
  const starts = (...bytes: number[]) => bytes.every((b, i) => head[i] === b);
  if (starts(0x51, 0x46, 0x49, 0xfb)) return "qcow2";
  if (starts(0x4b, 0x44, 0x4d, 0x56)) return "vmdk";
  if (head[0x8001] === 0x43 && head[0x8002] === 0x44 && head[0x8003] === 0x30) return "iso";
  if (new TextDecoder().decode(head.slice(0, 8)) === "vhdxfile") return "vhdx";
  return /\.vdi$/i.test(file.name) ? "vdi" : "raw";
}
