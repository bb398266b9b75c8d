// Just enough about addresses to suggest a subnet that is free and to see a slip before the service does.
export function goodCidr(text: string): boolean {
  const [address, prefix, more] = text.split("/");
  if (more !== undefined || !address || !prefix || !/^\d+$/.test(prefix)) return false;
  if (address.includes(":")) return Number(prefix) <= 128 && /^[0-9a-f:.]+$/i.test(address);
  const parts = address.split(".");
  return Number(prefix) <= 32 && parts.length === 4 && parts.every((p) => /^\d{1,3}$/.test(p) && Number(p) < 256);
}

/** The first 10.x.y.0/24 after 10.0.10.0 that meets none of these. */
export function freeCidr(taken: string[]): string {
  const ranges = taken.filter((c) => !c.includes(":") && goodCidr(c)).map(range);
  for (let third = 10; third < 255; third++) {
    const [from, to] = range(`10.0.${third}.0/24`);
    if (ranges.every(([a, b]) => b < from || a > to)) return `10.0.${third}.0/24`;
  }
  return "";
}

function range(cidr: string): [number, number] {
  const [address = "", prefix = "32"] = cidr.split("/");
  const value = address.split(".").reduce((n, part) => n * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(prefix));
  const from = Math.floor(value / size) * size;
  return [from, from + size - 1];
}
