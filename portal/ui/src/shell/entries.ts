import { useMemo } from "react";
import { allowed, runAction, wordOf } from "~/api/serverActions";
import { asks, confirms, actOn, verbsFor, verbWord } from "~/pages/fleet/machines";
import { setEnabled } from "~/pages/fleet/hostActions";
import { useList } from "~/api/query";
import { useHolder, useSession } from "~/api/session";
import { language, setLanguage, t, wordFor } from "~/i18n";
import type { IconName } from "~/ui/icons";
import { stateWord } from "~/ui/Status";
import { say, sayError } from "~/ui/Toasts";
import { placesFor } from "./places";
import { setTheme } from "./theme";

export interface Entry {
  id: string; label: string; icon: IconName; note?: string; words?: string; keys?: string; weight?: number; danger?: boolean;
  to?: string; run?: () => void;
}

/** Lists are asked for when the palette opens for the first time; from then on the event stream keeps them. */
export function useEntries(): Entry[] {
  const { admin, projects, project } = useSession();
  const { enter, signOut } = useHolder();
  const servers = useList("server").data;
  const networks = useList("network").data;
  const subnets = useList("subnet").data;
  const ports = useList("port").data;
  const images = useList("image").data;
  const fips = useList("floatingip").data;
  const groups = useList("security_group").data;
  const routers = useList("router").data;
  const keys = useList("keypair").data;
  const hosts = useList("host", "mine", admin).data;
  const machines = useList("machine", "mine", admin).data;
  const tenants = useList("project", "all", admin).data;
  const users = useList("user", "all", admin).data;
  const sizes = useList("flavor", "all", admin).data;
  return useMemo(() => {
    const all: Entry[] = [
      { id: "new", label: t("servers.create"), icon: "plus", to: "/servers/new", keys: "c", weight: 50 },
      { id: "new-net", label: t("networks.create"), icon: "plus", to: "/networks?new=1", weight: 5 },
      { id: "new-image", label: t("images.upload"), icon: "upload", to: "/images?new=1", weight: 5 },
      { id: "new-fip", label: t("fips.allocate"), icon: "plus", to: "/floating-ips?new=1" },
      { id: "new-key", label: t("keys.create"), icon: "plus", to: "/keys?new=1" },
      { id: "new-router", label: t("routers.create"), icon: "plus", to: "/networks?router=1" },
      { id: "new-group", label: t("groups.create"), icon: "plus", to: "/security-groups?new=1" },
      { id: "new-credential", label: t("access.create"), icon: "plus", to: "/access?new=1" },
      { id: "account", label: t("account.title"), icon: "key", to: "/account", words: `${t("password.change")} ${t("codes.title")}` },
    ];
    if (admin) {
      all.push({ id: "new-machine", label: t("machines.add"), icon: "plus", to: "/fleet/machines?new=1" }, { id: "new-zone", label: t("zones.create"), icon: "plus", to: "/fleet/zones?new=1" },
        { id: "new-host", label: t("hosts.add"), icon: "plus", to: "/fleet/hosts?new=1" }, { id: "new-rack", label: t("racks.add"), icon: "plus", to: "/fleet/racks?new=1" },
        { id: "new-project", label: t("projects.create"), icon: "plus", to: "/fleet/projects?new=1" }, { id: "new-user", label: t("users.create"), icon: "plus", to: "/fleet/users?new=1" },
        { id: "new-size", label: t("flavors.create"), icon: "plus", to: "/fleet/flavors?new=1" });
    }
    for (const place of placesFor(admin)) {
      all.push({ id: place.to, label: t(place.key), icon: place.icon, to: place.to, keys: place.jump && `g ${place.jump}`, weight: 20, words: place.to });
    }
    for (const s of servers ?? []) {
      const words = `${s.id} ${Object.values(s.addresses).flat().map((a) => a.addr).join(" ")}`;
      all.push({ id: s.id, label: s.name, icon: "server", note: stateWord(s.status), words, to: `/servers/${s.id}` });
      all.push({ id: `${s.id}#console`, label: `${s.name} · ${t("server.console")}`, icon: "terminal", to: `/servers/${s.id}?tab=console`, words });
      for (const action of allowed(s)) {
        all.push({
          id: `${s.id}#${action.id}`, label: `${s.name} · ${wordOf(action)}`, icon: action.icon, words, danger: action.danger,
          // What asks first does so on the server's page.
          ...(action.asks ? { to: `/servers/${s.id}?do=${action.id}` } : {}),
          run: () => void runAction(action, s.id).then(() => say(t("server.asked", { what: wordOf(action), name: s.name })), sayError),
        });
      }
    }
    const mine = (owner: string) => admin || owner === project?.id;
    for (const n of networks ?? []) {
      all.push({ id: n.id, label: n.name, icon: "network", note: t("networks.one"), words: n.id, to: `/networks/${n.id}` });
      if (mine(n.project_id)) all.push({ id: `${n.id}#subnet`, label: `${n.name} · ${t("networks.addSubnet")}`, icon: "plus", words: n.id, to: `/networks/${n.id}?subnet=1` });
    }
    const netOf = (id: string) => networks?.find((n) => n.id === id)?.name ?? id;
    for (const s of subnets ?? []) {
      const words = `${s.id} ${netOf(s.network_id)} ${s.name}`;
      all.push({ id: s.id, label: s.cidr, icon: "network", note: `${t("subnets.one")} · ${netOf(s.network_id)}`, words, to: `/networks/${s.network_id}?at=${s.id}` });
      if (mine(s.project_id)) all.push({ id: `${s.id}#delete`, label: `${s.cidr} · ${t("do.delete")}`, icon: "trash", danger: true, words, to: `/networks/${s.network_id}?at=${s.id}&drop=${s.id}` });
    }
    for (const p of ports ?? []) {
      // Ports mostly have no names; what people know is whose they are. The address is last, so that a server comes first by its own.
      const whose = servers?.find((s) => s.id === p.device_id)?.name ?? routers?.find((r) => r.id === p.device_id)?.name ?? wordFor("port", p.device_owner);
      const ips = p.fixed_ips.map((i) => i.ip_address).join(" ");
      all.push({ id: p.id, label: [p.name || whose || p.mac_address, t("ports.one")].join(" · "), icon: "wire", note: [ips, netOf(p.network_id)].filter(Boolean).join(" · "), words: `${p.id} ${p.mac_address} ${whose} ${ips}`, to: `/networks/${p.network_id}?at=${p.id}` });
    }
    for (const i of images ?? []) all.push({ id: i.id, label: i.name, icon: "image", note: t("images.one"), words: i.id, to: `/images?at=${i.id}` });
    for (const f of fips ?? []) all.push({ id: f.id, label: f.floating_ip_address, icon: "floating", note: t("fips.one"), words: f.fixed_ip_address ?? "", to: `/floating-ips?at=${f.id}` });
    for (const g of groups ?? []) all.push({ id: g.id, label: g.name, icon: "shield", note: t("groups.one"), words: g.id, to: `/security-groups/${g.id}` });
    for (const r of routers ?? []) all.push({ id: r.id, label: r.name, icon: "topology", note: t("routers.one"), words: r.id, to: `/routers/${r.id}` });
    for (const k of keys ?? []) all.push({ id: `k-${k.name}`, label: k.name, icon: "key", note: t("keys.one"), words: k.fingerprint, to: `/keys?at=${encodeURIComponent(k.name)}` });
    for (const h of hosts ?? []) {
      const [open, words] = [h.status === "enabled", `${h.id} ${h.host_ip}`];
      all.push({ id: h.id, label: h.hypervisor_hostname, icon: "host", note: t("hosts.one"), words, to: `/fleet/hosts/${h.id}` },
        { id: `${h.id}#drain`, label: `${h.hypervisor_hostname} · ${t("hosts.drain")}`, icon: "out", words, to: `/fleet/hosts/${h.id}?do=drain` },
        { id: `${h.id}#open`, label: `${h.hypervisor_hostname} · ${t(open ? "hosts.disable" : "hosts.enable")}`, icon: open ? "stop" : "play", words, run: () => void setEnabled(h, !open).catch(sayError) });
    }
    for (const m of machines ?? []) {
      const words = `${m.id} ${m.serial ?? ""} ${m.nics.map((n) => n.mac).join(" ")}`;
      all.push({ id: m.id, label: m.name, icon: "machine", note: stateWord(m.status), words, to: `/fleet/machines/${m.id}` });
      for (const verb of verbsFor(m)) {
        all.push({ id: `${m.id}#${verb}`, label: `${m.name} · ${verbWord(verb)}`, icon: "machine", words,
          ...(asks(verb) || confirms(verb) ? { to: `/fleet/machines/${m.id}?do=${verb}` } : { run: () => void actOn(m.id, verb).catch(sayError) }) });
      }
    }
    for (const p of tenants ?? []) all.push({ id: `t-${p.id}`, label: p.name, icon: "project", note: t("nav.projectWord"), words: p.id, to: `/fleet/projects?at=${p.id}` });
    for (const u of users ?? []) all.push({ id: u.id, label: u.name, icon: "team", note: t("users.one"), words: `${u.id} ${u.email ?? ""}`, to: `/fleet/users?at=${u.id}` });
    for (const f of sizes ?? []) all.push({ id: `f-${f.id}`, label: f.name, icon: "flavor", note: t("word.size"), to: `/fleet/flavors?at=${f.id}` });
    for (const p of projects.filter((x) => x.id !== project?.id)) {
      all.push({ id: `p-${p.id}`, label: `${t("nav.switch")}: ${p.name}`, icon: "project", run: () => void enter(p.id).catch(sayError) });
    }
    all.push(
      { id: "lang", label: language() === "en" ? "한국어로 보기" : "Read in English", words: "language 언어 korean english", icon: "globe", run: () => setLanguage(language() === "en" ? "ko" : "en") },
      { id: "light", label: t("theme.toLight"), words: "theme", icon: "sun", run: () => setTheme("light") },
      { id: "dark", label: t("theme.toDark"), words: "theme", icon: "moon", run: () => setTheme("dark") },
      { id: "out", label: t("nav.signOut"), icon: "out", run: () => void signOut("asked") },
    );
    return all;
  }, [admin, projects, project, servers, networks, subnets, ports, images, fips, groups, routers, keys, hosts, machines, tenants, users, sizes, enter, signOut]);
}
