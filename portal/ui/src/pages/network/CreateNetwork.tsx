import { useState } from "react";
import { ask } from "~/api/http";
import { useList } from "~/api/query";
import type { Network, Subnet } from "~/api/types";
import { t } from "~/i18n";
import { Checkbox } from "~/ui/Choice";
import { FormDialog } from "~/ui/Dialog";
import { Field } from "~/ui/Field";
import { freeCidr, goodCidr } from "./cidr";

/** A network with its subnet, and with a way out when the project has a router: one step instead of three. */
export function CreateNetwork({ onClose, onMade }: { onClose: () => void; onMade?: (id: string) => void }) {
  const subnets = useList("subnet").data;
  const router = useList("router").data?.find((r) => r.external_gateway_info);
  const outer = useList("network").data?.find((n) => n["router:external"]);
  const [name, setName] = useState("");
  const [typed, setTyped] = useState<string | null>(null);
  const [connect, setConnect] = useState(true);
  const [dhcp, setDhcp] = useState(true);
  const cidr = typed ?? freeCidr(subnets?.map((s) => s.cidr) ?? []);
  const bad = cidr.trim() !== "" && !goodCidr(cidr.trim());
  /** The project's router to the outside; one is made where there is none. */
  const wayOut = async (): Promise<string | undefined> => {
    if (router || !outer) return router?.id;
    const body = { router: { name: name.trim(), external_gateway_info: { network_id: outer.id } } };
    return (await ask<{ router: { id: string } }>("/network/v2.0/routers", { method: "POST", body })).router.id;
  };
  const run = async () => {
    const { network } = await ask<{ network: Network }>("/network/v2.0/networks", { method: "POST", body: { network: { name: name.trim() } } });
    try {
      if (cidr.trim()) {
        const body = { subnet: { network_id: network.id, name: name.trim(), cidr: cidr.trim(), ip_version: cidr.includes(":") ? 6 : 4, enable_dhcp: dhcp } };
        const { subnet } = await ask<{ subnet: Subnet }>("/network/v2.0/subnets", { method: "POST", body });
        const way = connect ? await wayOut() : undefined;
        if (way) await ask(`/network/v2.0/routers/${way}/add_router_interface`, { method: "PUT", body: { subnet_id: subnet.id } });
      }
    } catch (error) {
      // Half a network helps nobody: what failed is said, and the form can be sent again.
      await ask(`/network/v2.0/networks/${network.id}`, { method: "DELETE" }).catch(() => undefined);
      throw error;
    }
    onMade?.(network.id);
  };
  return (
    <FormDialog title={t("networks.create")} open onClose={onClose} action={t("networks.create")} ready={name.trim() !== "" && !bad} run={run}>
      <Field label={t("word.name")} value={name} onChange={setName} autoFocus placeholder="web" />
      <Field label={t("networks.cidr")} value={cidr} onChange={setTyped} mono error={bad ? t("networks.badCidr") : null} note={t("networks.cidrNote")} />
      <Checkbox checked={dhcp} onChange={setDhcp}>{t("networks.dhcp")}</Checkbox>
      {(router || outer) && <Checkbox checked={connect} onChange={setConnect}>{router ? t("networks.connect", { name: router.name }) : t("networks.connectNew")}</Checkbox>}
    </FormDialog>
  );
}
