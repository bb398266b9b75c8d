import { Link } from "@tanstack/react-router";
import { useItem, useList } from "~/api/query";
import type { SecurityGroup, Server } from "~/api/types";
import { t } from "~/i18n";
import { gib, mib, when } from "~/i18n/format";
import { Copy } from "~/ui/Copy";
import { Facts, Section } from "~/ui/Page";
import { inward } from "../network/rules";
import { addressesOf } from "../servers/addresses";

export function Overview({ server }: { server: Server }) {
  const f = server.flavor;
  return (
    <div className="grid lg:grid-cols-2 gap-x-12 gap-y-8">
      <Section title={t("server.reach")}>
        <Facts rows={[
          ...Object.entries(server.addresses).map(([net, list]) => [net, (
            <span className="flex flex-col gap-0.5">{list.map((a) => (
              <span key={a.addr} className="flex items-center gap-2"><Copy text={a.addr} mono />{a["OS-EXT-IPS:type"] === "floating" && <span className="label">{t("fips.one")}</span>}</span>
            ))}</span>
          )] as [string, React.ReactNode]),
          [t("keys.one"), server.key_name ?? <span className="text-ink3">{t("server.noKey")}</span>],
          ["SSH", <Ssh key="ssh" server={server} />],
          [t("groups.title"), [...new Set(server.security_groups?.map((g) => g.name))].join(", ") || "–"],
        ]} />
      </Section>
      <Section title={t("server.what")}>
        <Facts rows={[
          [t("word.size"), `${f.original_name} · ${t("word.vcpus", { n: f.vcpus })} · ${mib(f.ram)} · ${gib(f.disk)}`],
          [t("images.one"), server.image ? <ImageName id={server.image.id} /> : "–"],
          [t("word.zone"), server["OS-EXT-AZ:availability_zone"] || "–"],
          ...(server["OS-EXT-SRV-ATTR:host"] ? [[t("hosts.one"), server["OS-EXT-SRV-ATTR:host"]] as [string, string]] : []),
          [t("word.created"), when(server.created)],
          [t("server.started"), when(server["OS-SRV-USG:launched_at"])],
          ["ID", <Copy key="id" text={server.id} mono />],
          ...(server.tags.length ? [[t("word.tags"), server.tags.join(", ")] as [string, string]] : []),
          ...Object.entries(server.metadata).map(([k, v]) => [k, v] as [string, string]),
        ]} />
      </Section>
    </div>
  );
}

const letsSshIn = (g: SecurityGroup) => inward(g).some((r) => !r.remote_group_id
  && (r.protocol === null || (r.protocol === "tcp" && (r.port_range_min ?? 1) <= 22 && (r.port_range_max ?? 65535) >= 22)));

/** Images say whom they let in; those of distributions are known by their names. */
function Ssh({ server }: { server: Server }) {
  const image = useList("image").data?.find((i) => server.image && i.id === server.image.id);
  const address = addressesOf(server)[0];
  const user = image?.os_admin_user ?? /^(debian|ubuntu|fedora|rocky|almalinux|cirros|mini)/i.exec(image?.name ?? "")?.[1]?.toLowerCase();
  const names = server.security_groups?.map((g) => g.name) ?? [];
  const groups = useList("security_group").data?.filter((g) => names.includes(g.name)) ?? [];
  if (!address) return "–";
  const shut = groups.length > 0 && !groups.some(letsSshIn);
  const outside = Object.values(server.addresses).flat().some((a) => a["OS-EXT-IPS:type"] === "floating");
  return (
    <span className="flex flex-col gap-1">
      <Copy text={`ssh ${user ? `${user}@` : ""}${address}`} mono />
      {!outside && <span className="label">{t("server.inside")} <Link to="/servers/$id" params={{ id: server.id } as never} search={{ tab: "network" } as never} className="link">{t("fips.attach")}</Link></span>}
      {outside && shut && <span className="label">{t("server.sshShut")} <Link to="/security-groups/$id" params={{ id: groups[0]!.id } as never} className="link">{t("server.sshOpen")}</Link></span>}
    </span>
  );
}

function ImageName({ id }: { id: string }) {
  const { data } = useItem("image", id);
  return <Link to="/images" className="link">{data?.name ?? id}</Link>;
}
