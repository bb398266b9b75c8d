import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState, type FormEvent } from "react";
import { ask } from "~/api/http";
import { useAsk, useList } from "~/api/query";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { ErrorNote } from "~/ui/ErrorNote";
import { Field } from "~/ui/Field";
import { Page, Waiting } from "~/ui/Page";
import { KeyChoice } from "./KeyChoice";
import { NetworkChoice } from "./NetworkChoice";
import { Picks } from "./Picks";
import { Sizes } from "./Sizes";
import { Summary } from "./Summary";
import { UserData } from "./UserData";
import { bodyOf, defaults, type Limits, type Wish } from "./wish";

export function CreateServer() {
  const images = useList("image").data;
  const flavors = useList("flavor").data;
  const networks = useList("network").data;
  const keys = useList("keypair").data;
  const limits = useAsk<{ limits: { absolute: Limits } }>(["limits"], "/compute/v2.1/limits").data?.limits.absolute;
  const usable = useMemo(() => images?.filter((i) => i.status === "active" && !i.os_hidden), [images]);
  const inner = useMemo(() => networks?.filter((n) => !n["router:external"]), [networks]);
  const [typed, setTyped] = useState<Partial<Wish>>({});
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const navigate = useNavigate();
  if (!usable || !flavors || !inner || !keys || !limits) return <Page title={t("create.title")}><Waiting /></Page>;

  const wish: Wish = { ...defaults(usable, flavors, inner, keys, limits), ...typed };
  const set = (part: Partial<Wish>) => setTyped((was) => ({ ...was, ...part }));
  const ready = wish.name.trim() !== "" && wish.image && wish.flavor;
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (!ready || busy) return;
    setBusy(true);
    setError(null);
    try {
      const { server } = await ask<{ server: { id: string } }>("/compute/v2.1/servers", { method: "POST", body: bodyOf(wish) });
      await navigate({ href: wish.count > 1 ? "/servers" : `/servers/${server.id}` });
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  const image = usable.find((i) => i.id === wish.image);
  const flavor = flavors.find((f) => f.id === wish.flavor);
  return (
    <Page title={t("create.title")} lead={t("create.lead")} back={{ to: "/servers", label: t("servers.title") }}>
      <form onSubmit={submit} noValidate className="grid lg:grid-cols-[minmax(0,1fr)_360px] gap-x-12 gap-y-8 items-start">
        <div className="flex flex-col gap-9 min-w-0">
          <div className="grid grid-cols-[minmax(0,1fr)_110px] gap-4">
            <Field label={t("word.name")} value={wish.name} onChange={(name) => set({ name })} autoFocus note={t("create.nameNote")} />
            <Field label={t("create.count")} type="number" value={String(wish.count)} onChange={(n) => set({ count: Math.max(1, Math.min(100, Number(n) || 1)) })} />
          </div>
          <Picks label={t("images.one")} value={wish.image} onChange={(id) => set({ image: id })} options={usable} empty={t("create.noImage")} />
          <Sizes flavors={flavors} value={wish.flavor} onChange={(id) => set({ flavor: id })} limits={limits} count={wish.count} image={image} />
          <NetworkChoice networks={inner} value={wish.networks} onChange={(list) => set({ networks: list })} />
          <KeyChoice keys={keys} value={wish.key} onChange={(key) => set({ key })} />
          <UserData value={wish.userData} onChange={(userData) => set({ userData })} />
        </div>
        <Summary wish={wish} image={image} flavor={flavor} networks={inner} limits={limits}>
          {error !== null && <ErrorNote error={error} />}
          <Button type="submit" look="solid" className="w-full !h-10" isDisabled={!ready}>{busy ? t("do.working") : t("create.do", { n: wish.count })}</Button>
          {wish.name.trim() === "" && wish.image && wish.flavor && <p className="label text-center">{t("create.needsName")}</p>}
        </Summary>
      </form>
    </Page>
  );
}
