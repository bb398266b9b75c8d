import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fill } from ".";
import { catalogue } from "./catalogue";

const src = new URL("..", import.meta.url).pathname;
const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((f) => /\.tsx?$/.test(f) && !f.includes("test"));
const holes = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();

describe("the catalogue", () => {
  test.each(Object.entries(catalogue))("%s says the same in both languages", (_key, [en, ko]) => {
    expect(en.trim()).toBe(en);
    expect(ko.trim()).toBe(ko);
    expect(en).not.toBe("");
    expect(ko).toMatch(/[가-힣]|^qcow2/);
    // {n} may hide in a plural: “{this image|{n} images}”. What the Korean fills in, the English must have.
    expect(new Set(holes(en))).toEqual(new Set(holes(ko)).size ? new Set(holes(ko)) : new Set(holes(en)));
  });

  test("holds nothing that no page says", () => {
    const text = files.filter((f) => !f.startsWith("i18n/catalogue")).map((f) => readFileSync(join(src, f), "utf8")).join("\n");
    const families = [...text.matchAll(/`([a-z]+(?:\.[a-z]+)?\.)\$\{/gi)].map((m) => m[1]!)
      .concat([...text.matchAll(/wordFor\("(\w+)"/g)].map((m) => `${m[1]}.`), "error.");
    const unused = Object.keys(catalogue).filter((key) => !text.includes(`"${key}"`) && !families.some((f) => key.startsWith(f)));
    expect(unused).toEqual([]);
  });

  test("is where every word of a page comes from", () => {
    const found = files.filter((f) => f.endsWith(".tsx")).flatMap((f) => {
      const lines = readFileSync(join(src, f), "utf8").split("\n");
      return lines.flatMap((line, i) => {
        const inner = [...line.matchAll(/<\w[^<>]*[^=]>([^<>{}]*[A-Za-z가-힣]{3,}[^<>{}]*)<\//g)].map((m) => m[1]!.trim());
        const attributes = [...line.matchAll(/(?:aria-label|placeholder|title|label)="([^"]*[a-z]{3,} [^"]*)"/g)].map((m) => m[1]!);
        return [...inner, ...attributes].filter((text) => !allowed.test(text)).map((text) => `${f}:${i + 1}: ${text}`);
      });
    });
    expect(found).toEqual([]);
  });
});

/** Names of things, the same in every language. */
const allowed = /^(openstack|Terraform|clouds\.yaml|Esc|Hanok|ssh-|tcp|8080|~\/|\/var\/|192|hanok)/;

test("numbers and plurals follow the language", () => {
  expect(fill("{n} {row|rows}", { n: 1 }, "en")).toBe("1 row");
  expect(fill("{n} {row|rows}", { n: 5000 }, "en")).toBe("5,000 rows");
  expect(fill("Create {server|{n} servers}", { n: 3 }, "en")).toBe("Create 3 servers");
});
