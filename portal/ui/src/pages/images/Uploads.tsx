import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useList } from "~/api/query";
import { t } from "~/i18n";
import { bytes, duration } from "~/i18n/format";
import { Ago } from "~/ui/Ago";
import { Button, buttonLook } from "~/ui/Button";
import { Confirm, type Doom } from "~/ui/Confirm";
import { ErrorNote } from "~/ui/ErrorNote";
import { Icon } from "~/ui/icons";
import { sayError } from "~/ui/Toasts";
import { unfinished, type Begun } from "./pieces";
import { dismiss, giveUp, goOn, send, useUploads, type Upload } from "./upload";

/** What is on its way, and what was before the page was loaded again. */
export function Uploads() {
  const uploads = useUploads();
  const images = useList("image").data;
  const left = useQuery({ queryKey: ["image-uploads"], queryFn: ({ signal }) => unfinished(signal), staleTime: 0 }).data?.uploads ?? [];
  const lost = left.filter((b) => !uploads.some((u) => u.id === b.image_id));
  if (uploads.length + lost.length === 0) return null;
  return (
    <ul className="flex flex-col gap-3 mb-6">
      {uploads.map((u) => <li key={u.id}><Row u={u} /></li>)}
      {lost.map((b) => <li key={b.image_id}><Lost begun={b} name={images?.find((i) => i.id === b.image_id)?.name ?? b.file_name} /></li>)}
    </ul>
  );
}

function Progress({ name, part, look }: { name: string; part: number; look: string }) {
  return (
    <div role="progressbar" aria-label={name} aria-valuenow={Math.round(part * 100)} aria-valuemin={0} aria-valuemax={100} className="h-[5px] rounded-full bg-sunk overflow-hidden">
      <div className={`h-full rounded-full ${look}`} style={{ width: `${part * 100}%` }} />
    </div>
  );
}

const looks: Record<Upload["state"], string> = { sending: "bg-giwa", waiting: "bg-hwang breathe", checking: "bg-giwa breathe", broken: "bg-seokganju", done: "bg-noerok" };

const gone = (id: string, name: string): Doom => ({ title: t("images.giveUpAsk", { name }), note: t("images.giveUpNote"), action: t("images.giveUp"), run: () => giveUp(id) });

function Row({ u }: { u: Upload }) {
  const [doom, setDoom] = useState<Doom | null>(null);
  const part = u.file.size ? u.sent / u.file.size : 0;
  const seconds = (Date.now() - u.startedAt) / 1000;
  const rate = seconds > 0.3 ? (u.sent - u.startedFrom) / seconds : 0;
  return (
    <div className="box px-5 py-4">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1 mb-2">
        <b className="font-semibold truncate flex-1 min-w-0">{u.name}</b>
        <span className="text-ink2 text-[13px] max-sm:order-last max-sm:basis-full">
          {u.state === "sending" && <>{bytes(u.sent)} / {bytes(u.file.size)}{rate > 0 && <> · {bytes(rate)}/s · {t("images.left", { time: duration((u.file.size - u.sent) / rate) })}</>}</>}
          {u.state === "waiting" && <span role="status" className="text-hwang">{t("images.waiting", { done: bytes(u.sent) })}</span>}
          {u.state === "checking" && t("images.checking")}
          {u.state === "done" && t("images.done")}
          {u.state === "broken" && t("images.broken")}
        </span>
        {u.state === "broken" && <Button small look="solid" onPress={() => void send(u.id)}><Icon name="again" size={14} />{t("images.resume")}</Button>}
        <Button small look="quiet" aria-label={u.state === "done" ? t("do.close") : t("images.giveUp")} onPress={() => u.state === "done" ? dismiss(u.id) : setDoom(gone(u.id, u.name))}><Icon name="close" size={14} /></Button>
      </div>
      <Progress name={u.name} part={part} look={looks[u.state]} />
      {u.state === "broken" && <div className="mt-3"><ErrorNote error={u.error} /></div>}
      <Confirm of={doom} onClose={() => setDoom(null)} />
    </div>
  );
}

function Lost({ begun, name }: { begun: Begun; name: string }) {
  const [doom, setDoom] = useState<Doom | null>(null);
  const [other, setOther] = useState<string | null>(null);
  const part = begun.received / begun.size;
  const take = async (file: File | undefined) => {
    if (file) setOther((await goOn(begun, name, file)) ? null : file.name);
  };
  return (
    <div className="box px-5 py-4">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2 mb-2">
        <b className="font-semibold truncate">{name}</b>
        <span className="text-ink2 text-[13px]">{bytes(begun.received)} / {bytes(begun.size)} · <Ago time={begun.touched_at} /></span>
        <span className="ml-auto flex items-center gap-2">
          <label className={`${buttonLook("solid", true)} focus-within:outline-2 outline-offset-2 outline-giwa`}>
            <Icon name="upload" size={14} />{t("images.chooseAgain")}
            <input type="file" className="sr-only" aria-label={`${t("images.chooseAgain")}: ${name}`} onChange={(e) => void take(e.target.files?.[0]).catch(sayError)} />
          </label>
          <Button small look="quiet" aria-label={t("images.giveUp")} onPress={() => setDoom(gone(begun.image_id, name))}><Icon name="close" size={14} /></Button>
        </span>
      </div>
      <Progress name={name} part={part} look="bg-hwang" />
      <p className="label mt-2">{begun.file_name ? t("images.lostNote", { file: begun.file_name }) : t("images.lostNoteBare")}</p>
      <Confirm of={doom} onClose={() => setDoom(null)} />
      {other && <p role="alert" className="text-seokganju text-[13px] mt-1">{t("images.otherFile", { file: other })}</p>}
    </div>
  );
}
