// What the form holds, what it starts with, and how it is said to the API.
import type { Flavor, Image, Keypair, Network } from "~/api/types";

export interface Wish {
  name: string; count: number; image: string | null; flavor: string | null; networks: string[]; key: string | null; userData: string;
}
export interface Limits {
  maxTotalInstances: number; totalInstancesUsed: number; maxTotalCores: number; totalCoresUsed: number; maxTotalRAMSize: number; totalRAMUsed: number;
}

export interface Room { fits: boolean; short: ("servers" | "cores" | "ram" | "disk")[] }

/** Whether so many of a size still fit the project's quota and the image. −1 means no limit. */
export function room(flavor: Flavor, count: number, limits: Limits, image?: Image): Room {
  const left = (max: number, used: number) => (max < 0 ? Infinity : max - used);
  const short: Room["short"] = [];
  if (left(limits.maxTotalInstances, limits.totalInstancesUsed) < count) short.push("servers");
  if (left(limits.maxTotalCores, limits.totalCoresUsed) < flavor.vcpus * count) short.push("cores");
  if (left(limits.maxTotalRAMSize, limits.totalRAMUsed) < flavor.ram * count) short.push("ram");
  const needs = Math.max(image?.min_disk ?? 0, (image?.virtual_size ?? 0) / 1024 ** 3);
  if (flavor.disk > 0 && needs > flavor.disk) short.push("disk");
  else if (image && image.min_ram > flavor.ram) short.push("ram");
  return { fits: short.length === 0, short };
}

export function defaults(images: Image[], flavors: Flavor[], networks: Network[], keys: Keypair[], limits: Limits): Wish {
  const image = images[0];
  const bySize = flavors.toSorted((a, b) => a.ram - b.ram || a.vcpus - b.vcpus);
  const flavor = image ? bySize.find((f) => room(f, 1, limits, image).fits) : undefined;
  const only = networks[0] ? [networks[0].id] : [];
  return { name: "", count: 1, image: image?.id ?? null, flavor: flavor?.id ?? null, networks: only, key: keys.length === 1 ? keys[0]!.name : null, userData: "" };
}

export function bodyOf(w: Wish): unknown {
  return {
    server: {
      name: w.name.trim(), imageRef: w.image, flavorRef: w.flavor,
      networks: w.networks.length ? w.networks.map((uuid) => ({ uuid })) : "none",
      ...(w.key ? { key_name: w.key } : {}),
      ...(w.userData.trim() ? { user_data: base64(w.userData) } : {}),
      ...(w.count > 1 ? { min_count: w.count, max_count: w.count } : {}),
    },
  };
}

function base64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}

const quote = (s: string) => (/^[\w@%+=:,./-]+$/.test(s) ? s : `'${s.replaceAll("'", `'\\''`)}'`);
export interface Named { image: string; flavor: string; networks: string[] }

/** The same thing for a shell. */
export function asCommand(w: Wish, n: Named): string {
  const parts = ["openstack server create", `--image ${quote(n.image)}`, `--flavor ${quote(n.flavor)}`,
    ...(n.networks.length ? n.networks.map((net) => `--network ${quote(net)}`) : ["--nic none"])];
  if (w.key) parts.push(`--key-name ${quote(w.key)}`);
  if (w.userData.trim()) parts.push("--user-data user-data.yaml");
  if (w.count > 1) parts.push(`--min ${w.count} --max ${w.count}`);
  parts.push("--wait", quote(w.name.trim() || "NAME"));
  return parts.join(" \\\n  ");
}

/** The same thing for Terraform's OpenStack provider. */
export function asTerraform(w: Wish, n: Named): string {
  const say = (s: string) => JSON.stringify(s).replaceAll("${", () => "$${");
  const label = (w.name.trim() || "server").replace(/[^A-Za-z0-9_]+/g, "_").replace(/^(\d|$)/, "_$1");
  const many = w.count > 1;
  const lines = [
    `resource "openstack_compute_instance_v2" "${label}" {`,
    ...(many ? [`  count       = ${w.count}`] : []),
    `  name        = ${many ? `"${(w.name.trim() || "NAME").replaceAll("\"", "")}-\${count.index + 1}"` : say(w.name.trim() || "NAME")}`,
    `  image_name  = ${say(n.image)}`, `  flavor_name = ${say(n.flavor)}`,
    ...(w.key ? [`  key_pair    = ${say(w.key)}`] : []),
    ...(w.userData.trim() ? ["  user_data   = file(\"user-data.yaml\")"] : []),
    ...n.networks.flatMap((net) => ["", "  network {", `    name = ${say(net)}`, "  }"]),
    "}",
  ];
  return lines.join("\n");
}
