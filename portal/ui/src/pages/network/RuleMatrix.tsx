// Services down, who may across; a press in a cell opens or shuts it.
import { useState, type FormEvent } from "react";
import { ask } from "~/api/http";
import { useList } from "~/api/query";
import type { Rule, SecurityGroup } from "~/api/types";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Choice } from "~/ui/Choice";
import { cx } from "~/ui/cx";
import { Field } from "~/ui/Field";
import { Icon } from "~/ui/icons";
import { sayError } from "~/ui/Toasts";
import { goodCidr } from "./cidr";
import { matrix, parseService, rulesFor, serviceName, type Service } from "./rules";

export function RuleMatrix({ group, direction }: { group: SecurityGroup; direction: Rule["direction"] }) {
  const groups = useList("security_group").data ?? [];
  const [services, setServices] = useState<Service[]>([]);
  const [peers, setPeers] = useState<string[]>([]);
  const [busy, setBusy] = useState<string | null>(null);
  const m = matrix(group.security_group_rules.filter((r) => r.direction === direction), peers);
  const rows = [...m.services, ...services.filter((s) => !m.services.some((x) => x.id === s.id))];
  const peerName = (peer: string) => peer === "any" ? t("groups.any")
    : peer.startsWith("group:") ? t("groups.members", { name: groups.find((g) => g.id === peer.slice(6))?.name ?? "…" }) : peer;
  const toggle = async (service: Service, peer: string) => {
    const key = `${service.id} ${peer}`;
    const now = m.at(service.id, peer);
    setBusy(key);
    try {
      if (now.length) await Promise.all(now.map((r) => ask(`/network/v2.0/security-group-rules/${r.id}`, { method: "DELETE" })));
      else for (const rule of rulesFor(group.id, direction, service, peer)) await ask("/network/v2.0/security-group-rules", { method: "POST", body: { security_group_rule: rule } });
    } catch (error) {
      sayError(error);
    } finally {
      setBusy(null);
    }
  };
  return (
    <div className="flex flex-col gap-5">
      <div className="box overflow-x-auto">
        <table className="w-full border-collapse">
          <thead>
            <tr className="border-b border-line">
              <th scope="col" className="label text-left font-normal px-4 h-10 min-w-36">{t("groups.service")}</th>
              {m.peers.map((peer) => <th key={peer} scope="col" className={cx("text-[13px] px-3 text-center font-semibold whitespace-nowrap", peer !== "any" && !peer.startsWith("group:") && "font-mono font-normal")}>{peerName(peer)}</th>)}
              <th aria-hidden="true" className="w-full" />
            </tr>
          </thead>
          <tbody>
            {rows.map((s) => (
              <tr key={s.id} className="border-b border-line last:border-0 hover:bg-paper">
                <th scope="row" className="text-left font-normal px-4 h-11 whitespace-nowrap">
                  <span className="font-semibold">{s.id === "*" ? t("groups.everything") : serviceName(s.id)}</span>
                  {serviceName(s.id) !== s.id.replace("/", " ") && s.id !== "*" && <span className="label ml-2">{s.id.replace("/", " ")}</span>}
                </th>
                {m.peers.map((peer) => {
                  const on = m.at(s.id, peer).length > 0;
                  const label = t(on ? "groups.cellOpen" : "groups.cellShut", { service: s.id === "*" ? t("groups.everything") : serviceName(s.id), peer: peerName(peer) });
                  return (
                    <td key={peer} className="text-center px-3">
                      <button type="button" aria-pressed={on} aria-label={label} title={label} disabled={busy !== null} onClick={() => void toggle(s, peer)}
                        className={cx("inline-grid place-items-center size-8 rounded-[7px] border transition-colors", busy === `${s.id} ${peer}` && "breathe",
                          on ? "bg-noerok-soft border-[color-mix(in_srgb,var(--noerok)_45%,transparent)] text-noerok" : "border-line2 border-dashed text-transparent hover:text-ink3 hover:border-ink3")}>
                        <Icon name="check" size={14} />
                      </button>
                    </td>
                  );
                })}
                <td />
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div className="flex flex-wrap gap-x-10 gap-y-4">
        <AddService onAdd={(s) => setServices([...services, s])} />
        <AddPeer groups={groups} onAdd={(p) => setPeers([...peers, p])} />
      </div>
    </div>
  );
}

function AddService({ onAdd }: { onAdd: (s: Service) => void }) {
  const [text, setText] = useState("");
  const service = parseService(text);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!service) return;
    onAdd(service);
    setText("");
  };
  return (
    <form onSubmit={submit} className="flex items-end gap-2">
      <Field label={t("groups.addService")} value={text} onChange={setText} placeholder="8080, udp 53, tcp 8000-8100" mono className="w-56" />
      <Button type="submit" isDisabled={!service}>{t("do.add")}</Button>
    </form>
  );
}

function AddPeer({ groups, onAdd }: { groups: SecurityGroup[]; onAdd: (p: string) => void }) {
  const [text, setText] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!goodCidr(text.trim())) return;
    onAdd(text.trim());
    setText("");
  };
  return (
    <>
      <form onSubmit={submit} className="flex items-end gap-2">
        <Field label={t("groups.addPeer")} value={text} onChange={setText} placeholder="192.168.0.0/24" mono className="w-48" />
        <Button type="submit" isDisabled={!goodCidr(text.trim())}>{t("do.add")}</Button>
      </form>
      <Choice label={t("groups.addGroup")} value={null} onChange={(id) => onAdd(`group:${id}`)} placeholder={t("do.choose")} className="w-44" options={groups.map((g) => ({ id: g.id, label: g.name }))} />
    </>
  );
}
