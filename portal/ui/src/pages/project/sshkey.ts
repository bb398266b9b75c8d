// A new SSH key pair, made by the browser. RSA, because every browser can make it and every guest takes it.
export interface Pair { publicKey: string; privateKey: string }

export async function generate(comment: string): Promise<Pair> {
  const rsa = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength: 3072, publicExponent: Uint8Array.of(1, 0, 1) };
  const { privateKey, publicKey } = await crypto.subtle.generateKey(rsa, true, ["sign", "verify"]);
  const jwk = await crypto.subtle.exportKey("jwk", publicKey);
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", privateKey));
  const blob = bytes([text("ssh-rsa"), number(fromUrl(jwk.e!)), number(fromUrl(jwk.n!))]);
  const pem = to64(pkcs8).replace(/.{64}/g, "$&\n");
  return {
    publicKey: `ssh-rsa ${to64(blob)} ${comment.replace(/\s+/g, "-")}`,
    privateKey: `-----BEGIN PRIVATE KEY-----\n${pem}\n-----END PRIVATE KEY-----\n`,
  };
}

/** RFC 4253, section 6.6: each part behind its length in four bytes. */
export function bytes(parts: Uint8Array[]): Uint8Array {
  const out: number[] = [];
  for (const part of parts) {
    const n = part.length;
    out.push((n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255, ...part);
  }
  return Uint8Array.from(out);
}

/** An mpint: a zero before a first byte that would make it negative. */
function number(raw: Uint8Array): Uint8Array {
  return (raw[0] ?? 0) >= 0x80 ? Uint8Array.of(0, ...raw) : raw;
}
const text = (s: string) => new TextEncoder().encode(s);
const to64 = (raw: Uint8Array) => btoa(Array.from(raw, (b) => String.fromCharCode(b)).join(""));
const fromUrl = (s: string) => Uint8Array.from(atob(s.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
