// Every page that the menu and the palette know, with the keys that jump to it after g.
import type { Key } from "~/i18n";
import type { IconName } from "~/ui/icons";

export interface Place { to: string; key: Key; icon: IconName; jump?: string }
export interface Group { key: Key | null; admin?: boolean; places: Place[] }

export const groups: Group[] = [
  { key: null, places: [{ to: "/", key: "home.title", icon: "home", jump: "h" }] },
  {
    key: "nav.compute",
    places: [
      { to: "/servers", key: "servers.title", icon: "server", jump: "s" },
      { to: "/images", key: "images.title", icon: "image", jump: "i" },
      { to: "/keys", key: "keys.title", icon: "key", jump: "k" },
    ],
  },
  {
    key: "nav.network",
    places: [
      { to: "/topology", key: "topology.title", icon: "topology", jump: "t" },
      { to: "/networks", key: "networks.title", icon: "network", jump: "n" },
      { to: "/floating-ips", key: "fips.title", icon: "floating", jump: "f" },
      { to: "/security-groups", key: "groups.title", icon: "shield", jump: "g" },
    ],
  },
  {
    key: "nav.project",
    places: [
      { to: "/team", key: "team.title", icon: "team", jump: "m" },
      { to: "/activity", key: "activity.title", icon: "audit", jump: "l" },
      { to: "/quota", key: "quota.title", icon: "quota", jump: "q" },
      { to: "/access", key: "access.title", icon: "access", jump: "a" },
    ],
  },
  {
    key: "nav.operate", admin: true,
    places: [
      { to: "/fleet", key: "fleet.title", icon: "fleet", jump: "o" },
      { to: "/fleet/hosts", key: "hosts.title", icon: "host" },
      { to: "/fleet/zones", key: "zones.title", icon: "zone", jump: "z" },
      { to: "/fleet/physical", key: "physical.title", icon: "wire" },
      { to: "/fleet/machines", key: "machines.title", icon: "machine" },
      { to: "/fleet/racks", key: "racks.title", icon: "rack" },
      { to: "/fleet/jobs", key: "jobs.title", icon: "jobs", jump: "j" },
      { to: "/fleet/audit", key: "audit.title", icon: "audit" },
      { to: "/fleet/projects", key: "projects.title", icon: "project", jump: "p" },
      { to: "/fleet/users", key: "users.title", icon: "team", jump: "u" },
      { to: "/fleet/flavors", key: "flavors.title", icon: "flavor" },
      { to: "/fleet/settings", key: "settings.title", icon: "settings" },
      { to: "/fleet/doctor", key: "doctor.title", icon: "doctor", jump: "d" },
    ],
  },
];

export const placesFor = (admin: boolean): Place[] => groups.filter((g) => !g.admin || admin).flatMap((g) => g.places);
