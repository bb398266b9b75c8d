import { expect, test } from "vitest";
import type { Rule } from "~/api/types";
import { freeCidr, goodCidr } from "./cidr";
import { matrix, parseService, rulesFor } from "./rules";

test("ranges are seen to be right or wrong", () => {
  for (const good of ["10.0.0.0/24", "fd00::/64", "0.0.0.0/0"]) expect(goodCidr(good)).toBe(true);
  for (const bad of ["10.0.0.0", "10.0.0.300/24", "10.0.0.0/33", "10.0.0/24", "x/8", "1.2.3.4/5/6"]) expect(goodCidr(bad)).toBe(false);
});

test("the suggested range meets none that is taken", () => {
  expect(freeCidr([])).toBe("10.0.10.0/24");
  expect(freeCidr(["10.0.10.0/24", "10.0.8.0/22"])).toBe("10.0.12.0/24");
});

const rule = (part: Partial<Rule>): Rule => ({ id: "r", security_group_id: "g", direction: "ingress", ethertype: "IPv4", protocol: "tcp",
  port_range_min: 22, port_range_max: 22, remote_ip_prefix: null, remote_group_id: null, description: "", ...part });

test("both address families are one cell, a group is a column", () => {
  const m = matrix([rule({ id: "a" }), rule({ id: "b", ethertype: "IPv6", remote_ip_prefix: "::/0" }), rule({ id: "c", remote_group_id: "x", protocol: null, port_range_min: null })]);
  expect(m.at("tcp/22", "any").map((r) => r.id)).toEqual(["a", "b"]);
  expect(m.at("*", "group:x")).toHaveLength(1);
  expect(m.peers).toEqual(["any", "group:x"]);
});

test("a cell is opened for the families that it means", () => {
  const ping = parseService("ping")!;
  expect(rulesFor("g", "ingress", ping, "any").map((r) => r.protocol)).toEqual(["icmp", "ipv6-icmp"]);
  expect(rulesFor("g", "ingress", parseService("udp 53")!, "10.0.0.0/8")).toEqual([
    { security_group_id: "g", direction: "ingress", ethertype: "IPv4", protocol: "udp", port_range_min: 53, port_range_max: 53, remote_ip_prefix: "10.0.0.0/8" }]);
});

test("services are read as people write them", () => {
  expect(parseService("8000-8100")).toMatchObject({ protocol: "tcp", from: 8000, to: 8100 });
  for (const bad of ["", "0", "70000", "9-8", "http"]) expect(parseService(bad)).toBeNull();
});
