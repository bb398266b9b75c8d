import { expect, test } from "vitest";
import { isLoopback, region } from "./where";

test("an invitation names the region with its port", () => {
  const from = (url: string) => region(new URL(url) as unknown as Location);
  expect(from("https://cloud.example/fleet")).toBe("cloud.example:443");
  expect(from("http://cloud.example/")).toBe("cloud.example:80");
  expect(from("https://10.0.0.7:5240/")).toBe("10.0.0.7:5240");
  expect(from("https://[2001:db8::1]:5240/")).toBe("[2001:db8::1]:5240");
});

test("what only this computer has is known", () => {
  const own = (hostname: string) => isLoopback({ hostname });
  expect(["127.0.0.1", "127.1.2.3", "localhost", "[::1]"].every(own)).toBe(true);
  expect(["10.0.0.7", "cloud.example", "localhost.example"].some(own)).toBe(false);
});
