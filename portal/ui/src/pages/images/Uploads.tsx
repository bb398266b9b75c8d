import { t } from "~/i18n";
import { bytes, duration } from "~/i18n/format";
import { Button } from "~/ui/Button";
import { ErrorNote } from "~/ui/ErrorNote";
import { Icon } from "~/ui/icons";
import { dismiss, giveUp, send, useUploads, type Upload } from "./upload";

export function Uploads() {
  const uploads = useUploads();
  return uploads.length === 0 ? null : <ul className="flex flex-col gap-3 mb-6">{uploads.map((u) => <li key={u.id}><Row u={u} /></li>)}</ul>;
}

function Row({ u }: { u: Upload }) {
  const part = u.file.size ? u.sent / u.file.size : 0;
  const seconds = (Date.now() - u.startedAt) / 1000;
  const rate = seconds > 0.3 ? u.sent / seconds : 0;
  return (
    <div className="box px-5 py-4">
      <div className="flex items-center gap-3 mb-2">
        <b className="font-semibold truncate">{u.name}</b>
        <span className="text-ink2 text-[13px] ml-auto">
          {u.state === "sending" && <>{bytes(u.sent)} / {bytes(u.file.size)}{rate > 0 && <> · {bytes(rate)}/s · {t("images.left", { time: duration((u.file.size - u.sent) / rate) })}</>}</>}
          {u.state === "checking" && t("images.checking")}
          {u.state === "done" && t("images.done")}
          {u.state === "broken" && t("images.broken")}
        </span>
        {u.state === "broken" && <Button small look="solid" onPress={() => send(u.id)}><Icon name="again" size={14} />{t("images.resume")}</Button>}
        <Button small look="quiet" aria-label={u.state === "done" ? t("do.close") : t("images.giveUp")} onPress={() => u.state === "done" ? dismiss(u.id) : void giveUp(u.id)}><Icon name="close" size={14} /></Button>
      </div>
      <div role="progressbar" aria-label={u.name} aria-valuenow={Math.round(part * 100)} aria-valuemin={0} aria-valuemax={100} className="h-[5px] rounded-full bg-sunk overflow-hidden">
        <div className={`h-full rounded-full ${u.state === "broken" ? "bg-seokganju" : u.state === "done" ? "bg-noerok" : "bg-giwa"} ${u.state === "checking" ? "breathe" : ""}`} style={{ width: `${part * 100}%` }} />
      </div>
      {u.state === "broken" && <div className="mt-3"><ErrorNote error={u.error} /></div>}
    </div>
  );
}
