// One-time codes (RFC 6238) as phone apps take them: a secret made by the browser, and the address that a QR code holds.
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/** As RFC 4226 recommends: 160 bits. */
const BYTES = 20;

/** RFC 4648, section 6, without padding. */
export function base32(bytes: Uint8Array): string {
  let [out, bits, have] = ["", 0, 0];
  for (const byte of bytes) {
    bits = (bits << 8) | byte;
    for (have += 8; have >= 5; have -= 5) out += LETTERS[(bits >> (have - 5)) & 31];
    bits &= (1 << have) - 1;
  }
  return have > 0 ? out + LETTERS[(bits << (5 - have)) & 31] : out;
}

export const newSecret = () => base32(crypto.getRandomValues(new Uint8Array(BYTES)));

/** What apps read: github.com/google/google-authenticator/wiki/Key-Uri-Format. */
export function address(secret: string, user: string, where: string): string {
  const issuer = encodeURIComponent(`Hanok ${where}`);
  return `otpauth://totp/${issuer}:${encodeURIComponent(user)}?secret=${secret}&issuer=${issuer}&algorithm=SHA1&digits=6&period=30`;
}

/** In fours, for whoever types it. */
export const inFours = (secret: string) => secret.replace(/.{4}(?=.)/g, "$& ");
