import { useState } from "react";
import { useList } from "~/api/query";
import type { Machine } from "~/api/types";
import { t } from "~/i18n";
import { told } from "~/i18n/said";
import { Button, buttonLook } from "~/ui/Button";
import { Choice } from "~/ui/Choice";
import { Confirm } from "~/ui/Confirm";
import { FormDialog } from "~/ui/Dialog";
import { Menu } from "~/ui/Menu";
import { sayError } from "~/ui/Toasts";
import { actOn, asks, confirms, verbsFor, verbWord } from "./machines";

/** The likely thing as a button, the rest in a menu. */
export function MachineActions({ m, small, ask, onAnswered }: { m: Machine; small?: boolean; ask?: string; onAnswered?: () => void }) {
  const [asking, setAsking] = useState<string | null>(ask && verbsFor(m).includes(ask) ? ask : null);
  const [first, ...rest] = verbsFor(m);
  const close = () => (setAsking(null), onAnswered?.());
  const run = (verb: string) => asks(verb) || confirms(verb) ? setAsking(verb) : void actOn(m.id, verb).catch(sayError);
  return (
    <div className="flex items-center gap-1.5">
      {first && <Button small={small} look={small ? "plain" : "solid"} onPress={() => run(first)}>{verbWord(first)}</Button>}
      <Menu label={t("server.menu", { name: m.name })} className={`${buttonLook(small ? "quiet" : "plain", small)} !px-1.5`}
        acts={rest.map((verb) => ({ id: verb, label: verbWord(verb), danger: verb === "release" || verb === "mark-broken" || confirms(verb), run: () => run(verb) }))} />
      {asking && confirms(asking) && <Confirm onClose={close} of={{
        title: t("machines.sure", { what: verbWord(asking), name: m.name }), note: t(`machines.note.${asking}`), action: verbWord(asking), run: () => actOn(m.id, asking),
      }} />}
      {asking === "approve" && <Approve m={m} onClose={close} />}
      {asking === "deploy" && <Deploy m={m} onClose={close} />}
      {asking === "release" && <Release m={m} onClose={close} />}
    </div>
  );
}

interface Props { m: Machine; onClose: () => void }

function Approve({ m, onClose }: Props) {
  const [as, setAs] = useState("host");
  return (
    <FormDialog title={t("machines.approveAsk", { name: m.name })} open onClose={onClose} action={verbWord("approve")} run={() => actOn(m.id, "approve", { as })}>
      <Choice label={t("machines.fitFor")} value={as} onChange={setAs} options={[{ id: "host", label: t("machines.asHost") }, { id: "metal", label: t("machines.asMetal") }]} />
      {m.verdicts?.filter((v) => v.what === as && !v.ok).map((v) => <p key={v.what} className="text-hwang">{told(v, "reason")}</p>)}
    </FormDialog>
  );
}

function Deploy({ m, onClose }: Props) {
  const images = useList("image").data?.filter((i) => i.status === "active") ?? [];
  const keys = useList("keypair").data ?? [];
  const [image, setImage] = useState<string | null>(null);
  const [key, setKey] = useState<string | null>(null);
  const chosen = keys.find((k) => k.name === (key ?? keys[0]?.name));
  return (
    <FormDialog title={t("machines.deployAsk", { name: m.name })} open onClose={onClose} action={verbWord("deploy")} ready={image !== null}
      run={() => actOn(m.id, "deploy", { image_id: image, ...(chosen ? { ssh_keys: [chosen.public_key] } : {}) })}>
      <p className="text-ink2">{t("machines.deployNote")}</p>
      <Choice label={t("images.one")} value={image} onChange={setImage} placeholder={t("do.choose")} options={images.map((i) => ({ id: i.id, label: i.name, note: i.disk_format ?? "" }))} />
      <Choice label={t("keys.one")} value={chosen?.name ?? null} onChange={setKey} placeholder={t("create.noKey")} options={keys.map((k) => ({ id: k.name, label: k.name }))} />
    </FormDialog>
  );
}

function Release({ m, onClose }: Props) {
  const [erase, setErase] = useState<"quick" | "secure" | "verified" | "none">("quick");
  return (
    <FormDialog title={t("machines.releaseAsk", { name: m.name })} open onClose={onClose} action={verbWord("release")} danger run={() => actOn(m.id, "release", { erase })}>
      <Choice label={t("machines.erase")} value={erase} onChange={(id) => setErase(id as typeof erase)}
        options={(["quick", "secure", "verified", "none"] as const).map((id) => ({ id, label: t(`machines.erase.${id}`) }))} />
    </FormDialog>
  );
}
