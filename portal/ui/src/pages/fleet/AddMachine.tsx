import { useState } from "react";
import { ask } from "~/api/http";
import { useAsk, useChange } from "~/api/query";
import { t } from "~/i18n";
import { Choice } from "~/ui/Choice";
import { FormDialog } from "~/ui/Dialog";
import { Field } from "~/ui/Field";

const kinds = ["ipmi", "redfish", "wake_on_lan", "webhook", "manual"] as const;
type Power = (typeof kinds)[number];

/** What the service is told of how the machine is switched. */
export function bmcOf(kind: Power, f: { address: string; user: string; password: string; off: string; query: string; mac: string }): object {
  const who = { user: f.user.trim(), password: f.password };
  if (kind === "ipmi") return { kind, address: f.address.trim(), ...who };
  if (kind === "redfish") return { kind, url: /^https?:/.test(f.address.trim()) ? f.address.trim() : `https://${f.address.trim()}`, ...who };
  if (kind === "wake_on_lan") return { kind, mac: f.mac };
  if (kind === "webhook") return { kind, on_url: f.address.trim(), off_url: f.off.trim(), query_url: f.query.trim() };
  return { kind };
}

/** A machine that nobody has seen start: its MAC, and how its power is switched. */
export function AddMachine({ onClose }: { onClose: () => void }) {
  const segments = useAsk<{ segments: { id: string; name: string }[] }>(["segments"], "/hanok/v1/segments").data?.segments ?? [];
  const [name, setName] = useState("");
  const [macs, setMacs] = useState("");
  const [kind, setKind] = useState<Power>("ipmi");
  const [segment, setSegment] = useState<string | null>(null);
  const [address, setAddress] = useState("");
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [off, setOff] = useState("");
  const [query, setQuery] = useState("");
  const list = macs.split(/[\s,]+/).filter(Boolean);
  const bad = list.some((m) => !/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(m));
  const needs = { ipmi: [address, user], redfish: [address, user], webhook: [address, off, query], wake_on_lan: [], manual: [] }[kind];
  const add = useChange(() => ask("/hanok/v1/machines", { method: "POST", body: { machine: {
    ...(name.trim() ? { name: name.trim() } : {}), macs: list, bmc: bmcOf(kind, { address, user, password, off, query, mac: list[0] ?? "" }), ...(segment ? { segment } : {}),
  } } }), ["machine"]);
  return (
    <FormDialog title={t("machines.add")} open onClose={onClose} action={t("machines.add")} wide ready={list.length > 0 && !bad && needs.every((n) => n.trim() !== "")} run={() => add.mutateAsync(undefined)}>
      <p className="text-ink2">{t("machines.addNote")}</p>
      <div className="grid sm:grid-cols-2 gap-4">
        <Field label={t("word.name")} value={name} onChange={setName} autoFocus placeholder="pc7" note={t("machines.nameNote")} />
        <Field label="MAC" value={macs} onChange={setMacs} mono placeholder="52:54:00:12:34:56" error={bad ? t("machines.badMac") : null} note={t("machines.macNote")} />
        {segments.length > 0 && <Choice label={t("racks.segment")} value={segment} onChange={setSegment} placeholder={t("machines.segmentSeen")} options={segments.map((s) => ({ id: s.id, label: s.name }))} />}
        <Choice label={t("machines.switching")} value={kind} onChange={(id) => setKind(id as Power)} options={kinds.map((id) => ({ id, label: t(`machines.by.${id}`) }))} />
        {(kind === "ipmi" || kind === "redfish") && (
          <>
            <Field label={t("machines.bmc")} value={address} onChange={setAddress} mono placeholder="10.0.0.9" />
            <Field label={t("machines.bmcUser")} value={user} onChange={setUser} autoComplete="off" />
            <Field label={t("machines.bmcPassword")} value={password} onChange={setPassword} type="password" autoComplete="new-password" />
          </>
        )}
        {kind === "webhook" && (
          <>
            <Field label={t("machines.onUrl")} value={address} onChange={setAddress} mono placeholder="https://" />
            <Field label={t("machines.offUrl")} value={off} onChange={setOff} mono placeholder="https://" />
            <Field label={t("machines.queryUrl")} value={query} onChange={setQuery} mono placeholder="https://" />
          </>
        )}
      </div>
      {(kind === "wake_on_lan" || kind === "manual") && <p className="label">{t(`machines.byNote.${kind}`)}</p>}
    </FormDialog>
  );
}
