import { Link } from "@tanstack/react-router";
import { useList } from "~/api/query";
import type { Network } from "~/api/types";
import { t } from "~/i18n";
import { Checkbox } from "~/ui/Choice";

export function NetworkChoice({ networks, value, onChange }: { networks: Network[]; value: string[]; onChange: (list: string[]) => void }) {
  const subnets = useList("subnet").data;
  return (
    <fieldset className="flex flex-col gap-2">
      <legend className="font-semibold text-[15px] mb-2">{t("nav.network")}</legend>
      {networks.length === 0 && <p className="text-ink2">{t("create.noNetwork")} <Link to="/networks" search={{ new: 1 } as never} className="link">{t("networks.create")}</Link></p>}
      {networks.length > 0 && (
        <div className="box overflow-hidden">
          {networks.map((n) => (
            <div key={n.id} className="flex items-center gap-3 h-11 px-4 border-b border-line last:border-0">
              <Checkbox checked={value.includes(n.id)} onChange={(on) => onChange(on ? [...value, n.id] : value.filter((id) => id !== n.id))}>
                <span className="font-semibold">{n.name}</span>
              </Checkbox>
              <span className="label font-mono ml-auto truncate">{subnets?.filter((s) => s.network_id === n.id).map((s) => s.cidr).join(", ")}</span>
            </div>
          ))}
        </div>
      )}
      {value.length === 0 && networks.length > 0 && <p className="label">{t("create.noneChosen")}</p>}
    </fieldset>
  );
}
