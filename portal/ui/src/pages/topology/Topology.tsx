import { Suspense, useMemo, useState } from "react";
import { useList } from "~/api/query";
import { t } from "~/i18n";
import { Boundary } from "~/ui/Boundary";
import { Button } from "~/ui/Button";
import { Empty } from "~/ui/Empty";
import { Icon } from "~/ui/icons";
import { Page, Waiting } from "~/ui/Page";
import { part } from "~/ui/part";
import { CreateNetwork } from "../network/CreateNetwork";
import { plan } from "./layout";
import { Reach } from "./Reach";

const Canvas = part(() => import("./Canvas"));

export function Topology() {
  const networks = useList("network").data;
  const subnets = useList("subnet").data;
  const routers = useList("router").data;
  const ports = useList("port").data;
  const servers = useList("server").data;
  const [making, setMaking] = useState(false);
  const drawn = useMemo(
    () => networks && subnets && routers && ports && servers && plan({ networks, subnets, routers, ports, servers }),
    [networks, subnets, routers, ports, servers],
  );
  const make = <Button onPress={() => setMaking(true)}><Icon name="plus" size={14} />{t("networks.create")}</Button>;
  return (
    <Page title={t("topology.title")} lead={t("topology.lead")} actions={make}>
      {!drawn ? <Waiting /> : drawn.spots.length === 0 ? <div className="box"><Empty title={t("topology.empty")} action={make}>{t("topology.emptyNote")}</Empty></div> : (
        <>
          <div className="box overflow-hidden h-[min(66vh,640px)]"><Boundary className="p-5"><Suspense fallback={<Waiting />}><Canvas plan={drawn} subnets={subnets ?? []} /></Suspense></Boundary></div>
          <Reach ports={ports ?? []} servers={servers ?? []} />
        </>
      )}
      {making && <CreateNetwork onClose={() => setMaking(false)} />}
    </Page>
  );
}
