import { expect, test } from "vitest";
import { address, base32, inFours, newSecret } from "./otp";

test("secrets are base32 as RFC 4648 has it, and as long as they should be", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  expect(["f", "fo", "foo", "foob", "fooba", "foobar"].map((t) => base32(bytes(t)))).toEqual(["MY", "MZXQ", "MZXW6", "MZXW6YQ", "MZXW6YTB", "MZXW6YTBOI"]);
  expect(newSecret()).toMatch(/^[A-Z2-7]{32}$/);
  expect(newSecret()).not.toBe(newSecret());
});

test("the address holds the secret and says whose it is", () => {
  const url = new URL(address("MZXW6YTBOI", "김 지우", "cloud.example"));
  expect([url.searchParams.get("secret"), url.searchParams.get("issuer")]).toEqual(["MZXW6YTBOI", "Hanok cloud.example"]);
  expect(decodeURIComponent(url.pathname)).toContain("Hanok cloud.example:김 지우");
  expect(inFours("MZXW6YTBOI")).toBe("MZXW 6YTB OI");
});
