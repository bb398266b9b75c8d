import { expect, test } from "vitest";
import type { Flavor, Image } from "~/api/types";
import { asCommand, asTerraform, bodyOf, room, type Limits, type Wish } from "./wish";

const wish: Wish = { name: "web 1", count: 1, image: "i", flavor: "f", networks: ["n"], key: "my key", userData: "" };
const names = { image: "debian-12", flavor: "small", networks: ["private"] };
const limits: Limits = { maxTotalInstances: 2, totalInstancesUsed: 1, maxTotalCores: -1, totalCoresUsed: 9, maxTotalRAMSize: 1024, totalRAMUsed: 512 };
const flavor = { vcpus: 2, ram: 512, disk: 1 } as Flavor;

test("what does not fit says what is short", () => {
  expect(room(flavor, 1, limits)).toEqual({ fits: true, short: [] });
  expect(room(flavor, 2, limits).short).toEqual(["servers", "ram"]);
  expect(room(flavor, 1, limits, { min_disk: 5, min_ram: 0, virtual_size: null } as Image).short).toEqual(["disk"]);
});

test("the command quotes what a shell would tear apart", () => {
  expect(asCommand(wish, names)).toBe(
    "openstack server create \\\n  --image debian-12 \\\n  --flavor small \\\n  --network private \\\n  --key-name 'my key' \\\n  --wait \\\n  'web 1'");
});

test("Terraform gets a label that it takes, and no interpolation from a name", () => {
  const text = asTerraform({ ...wish, name: "1 ${x}" }, names);
  expect(text).toContain("\"openstack_compute_instance_v2\" \"_1_x_\"");
  expect(text).toContain("name        = \"1 $${x}\"");
});

test("user data goes as base64 of its UTF-8", () => {
  const body = bodyOf({ ...wish, userData: "한" }) as { server: { user_data: string } };
  expect(body.server.user_data).toBe("7ZWc");
});
