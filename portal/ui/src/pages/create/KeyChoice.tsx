import { useState } from "react";
import type { Keypair } from "~/api/types";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Choice } from "~/ui/Choice";
import { Icon } from "~/ui/icons";
import { AddKey } from "../project/AddKey";

const NONE = "";

export function KeyChoice({ keys, value, onChange }: { keys: Keypair[]; value: string | null; onChange: (key: string | null) => void }) {
  const [adding, setAdding] = useState(false);
  return (
    <div className="flex flex-col gap-2">
      <p className="font-semibold text-[15px]">{t("keys.one")}</p>
      <div className="flex items-end gap-2">
        <Choice label={t("keys.one")} hideLabel className="flex-1 max-w-sm" value={value ?? NONE} onChange={(key) => onChange(key === NONE ? null : key)}
          options={[{ id: NONE, label: t("create.noKey") }, ...keys.map((k) => ({ id: k.name, label: k.name, note: k.type }))]} />
        <Button onPress={() => setAdding(true)}><Icon name="plus" size={14} />{t("keys.create")}</Button>
      </div>
      {!value && <p className="label">{t("create.noKeyNote")}</p>}
      {adding && <AddKey onClose={() => setAdding(false)} onMade={onChange} />}
    </div>
  );
}
