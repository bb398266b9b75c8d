import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { useList } from "~/api/query";
import { t } from "~/i18n";
import { Button, buttonLook } from "~/ui/Button";
import { Icon } from "~/ui/icons";
import { Lattice } from "~/ui/Lattice";
import { Page } from "~/ui/Page";
import { AddKey } from "../project/AddKey";
import { CreateNetwork } from "../network/CreateNetwork";

/** The first run: three steps to a server that answers, each done here, and ticked when it is there already. */
export function Welcome() {
  const networks = useList("network").data?.filter((n) => !n["router:external"]);
  const keys = useList("keypair").data;
  const [making, setMaking] = useState<"network" | "key" | null>(null);
  const steps = [
    { id: "network", done: Boolean(networks?.length), title: t("welcome.network"), note: networks?.length ? t("welcome.networkHave", { name: networks[0]!.name }) : t("welcome.networkNote"),
      action: <Button onPress={() => setMaking("network")}>{t("networks.create")}</Button> },
    { id: "key", done: Boolean(keys?.length), title: t("welcome.key"), note: keys?.length ? t("welcome.keyHave", { name: keys[0]!.name }) : t("welcome.keyNote"),
      action: <Button onPress={() => setMaking("key")}>{t("keys.create")}</Button> },
    { id: "server", done: false, title: t("welcome.server"), note: t("welcome.serverNote"),
      action: <Link to="/servers/new" className={buttonLook("solid")}><Icon name="plus" size={14} />{t("servers.create")}</Link> },
  ];
  return (
    <Page title={t("welcome.title")} lead={t("welcome.lead")}>
      <div className="grid lg:grid-cols-[minmax(0,1fr)_300px] gap-12 items-start">
        <ol className="box">
          {steps.map((s, i) => (
            <li key={s.id} className="flex flex-wrap items-center gap-x-5 gap-y-3 px-6 py-5 border-b border-line last:border-0">
              <span aria-hidden="true" className={`grid place-items-center size-8 rounded-full border font-title font-bold ${s.done ? "bg-noerok-soft text-noerok border-transparent" : "border-line2 text-ink2"}`}>
                {s.done ? <Icon name="check" /> : i + 1}
              </span>
              <div className="min-w-0 flex-1 basis-56"><p className="font-semibold text-[15px]">{s.title}</p><p className="text-ink2">{s.note}</p></div>
              {!s.done && <div className="max-sm:w-full max-sm:pl-13">{s.action}</div>}
            </li>
          ))}
        </ol>
        <Lattice width={300} height={330} columns={20} className="hidden lg:block w-full text-line2" />
      </div>
      {making === "network" && <CreateNetwork onClose={() => setMaking(null)} />}
      {making === "key" && <AddKey onClose={() => setMaking(null)} />}
    </Page>
  );
}
