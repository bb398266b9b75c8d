// Uploads go on while the user walks through other pages. The file itself is kept, so that an upload that broke
// off is taken up again by one press: the service takes an image's bytes in one request, hence from its beginning.
import { useSyncExternalStore } from "react";
import { ApiError, ask, failure, headersFor } from "~/api/http";
import type { Image } from "~/api/types";

export interface Upload {
  id: string; name: string; file: File; sent: number; startedAt: number; state: "sending" | "checking" | "broken" | "done"; error?: unknown;
}

let uploads: Upload[] = [];
const requests = new Map<string, XMLHttpRequest>();
const listeners = new Set<() => void>();
function change(id: string, part: Partial<Upload>) {
  uploads = uploads.map((u) => (u.id === id ? { ...u, ...part } : u));
  listeners.forEach((tell) => tell());
}
export function useUploads(): Upload[] {
  return useSyncExternalStore((tell) => (listeners.add(tell), () => listeners.delete(tell)), () => uploads);
}

export interface Wish { name: string; format: string; file: File; minDisk: number; visibility: string }

export async function start(wish: Wish): Promise<void> {
  const body = { name: wish.name, disk_format: wish.format, container_format: "bare", visibility: wish.visibility, ...(wish.minDisk ? { min_disk: wish.minDisk } : {}) };
  const image = await ask<Image>("/image/v2/images", { method: "POST", body });
  uploads = [...uploads, { id: image.id, name: wish.name, file: wish.file, sent: 0, startedAt: Date.now(), state: "sending" }];
  send(image.id);
}

export function send(id: string) {
  const upload = uploads.find((u) => u.id === id);
  if (!upload) return;
  change(id, { state: "sending", sent: 0, startedAt: Date.now(), error: undefined });
  const path = `/image/v2/images/${id}/file`;
  const request = new XMLHttpRequest();
  requests.set(id, request);
  request.open("PUT", path);
  for (const [name, value] of Object.entries(headersFor(path, "PUT", { "content-type": "application/octet-stream" }))) request.setRequestHeader(name, value);
  request.upload.onprogress = (event) => change(id, { sent: event.loaded, state: event.loaded >= upload.file.size ? "checking" : "sending" });
  const broken = (error: unknown) => change(id, { state: "broken", error });
  request.onerror = () => broken(new ApiError(0, "", "", null, `PUT ${path}`));
  request.onload = () => {
    if (request.status < 300) return change(id, { state: "done", sent: upload.file.size });
    let json: unknown;
    try {
      json = JSON.parse(request.responseText);
    } catch {
      json = undefined;
    }
    broken(failure(request.status, json, request.responseText, request.getResponseHeader("x-openstack-request-id"), `PUT ${path}`));
  };
  request.send(upload.file);
}

export async function giveUp(id: string): Promise<void> {
  requests.get(id)?.abort();
  dismiss(id);
  await ask(`/image/v2/images/${id}`, { method: "DELETE" }).catch(() => undefined);
}

export function dismiss(id: string) {
  uploads = uploads.filter((u) => u.id !== id);
  listeners.forEach((tell) => tell());
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
