import { useState } from "react";
import { ask } from "~/api/http";
import { useList } from "~/api/query";
import { t } from "~/i18n";
import { Choice } from "~/ui/Choice";
import { FormDialog } from "~/ui/Dialog";
import { Field } from "~/ui/Field";

const NONE = "none";

export function CreateRouter({ onClose }: { onClose: () => void }) {
  const outer = (useList("network").data ?? []).filter((n) => n["router:external"]);
  const [name, setName] = useState("");
  const [pick, setPick] = useState<string | null>(null);
  const net = pick ?? outer[0]?.id ?? NONE;
  const gateway = net === NONE ? {} : { external_gateway_info: { network_id: net } };
  return (
    <FormDialog title={t("routers.create")} open onClose={onClose} action={t("routers.create")} ready={name.trim() !== ""}
      run={() => ask("/network/v2.0/routers", { method: "POST", body: { router: { name: name.trim(), ...gateway } } })}>
      <Field label={t("word.name")} value={name} onChange={setName} autoFocus />
      <Choice label={t("routers.gateway")} value={net} onChange={setPick} options={[...outer.map((n) => ({ id: n.id, label: n.name })), { id: NONE, label: t("routers.noGateway") }]} />
    </FormDialog>
  );
}
