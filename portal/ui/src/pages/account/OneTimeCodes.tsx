import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { ask } from "~/api/http";
import { queries, useAsk } from "~/api/query";
import { useSession } from "~/api/session";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Copy } from "~/ui/Copy";
import { FormDialog } from "~/ui/Dialog";
import { ErrorNote } from "~/ui/ErrorNote";
import { Field } from "~/ui/Field";
import { Icon } from "~/ui/icons";
import { Section, Waiting } from "~/ui/Page";
import { Dot } from "~/ui/Status";
import { say } from "~/ui/Toasts";
import { address, inFours, newSecret } from "./otp";
import { Qr } from "./Qr";

interface Codes { one_time_codes: { on: boolean; required: boolean } }
const KEY = ["one-time-codes"];
const PATH = "/hanok/v1/one-time-codes";
const tell = (path: string, method: "PUT" | "POST", one_time_codes: object) =>
  ask<Codes>(path, { method, body: { one_time_codes } }).then((now) => void queries.setQueryData(KEY, now));

/** Six digits of an app besides the password: set up here, and given up here. */
export function OneTimeCodes() {
  const { data, error, refetch } = useAsk<Codes>(KEY, PATH);
  const [asked, setAsked] = useState<"on" | "off" | null>(null);
  const codes = data?.one_time_codes;
  return (
    <Section title={t("codes.title")}>
      {error ? <ErrorNote error={error} retry={refetch} /> : !codes ? <Waiting /> : (
        <div className="box px-5 py-4 flex flex-wrap items-start gap-x-6 gap-y-3">
          <div className="min-w-0 flex-1 basis-72">
            <p className="flex items-center gap-2.5 font-semibold"><Dot tone={codes.on ? "good" : "off"} />{t(codes.on ? "codes.isOn" : "codes.isOff")}</p>
            <p className="text-ink2">{t(codes.required ? "codes.required" : "codes.lead")}</p>
            {codes.on && <p className="label mt-1">{t("codes.programs")} <Link to="/access" className="link">{t("access.title")}</Link></p>}
          </div>
          {codes.on
            ? !codes.required && <Button onPress={() => setAsked("off")}>{t("codes.off")}</Button>
            : <Button look="solid" onPress={() => setAsked("on")}><Icon name="shield" size={14} />{t("codes.set")}</Button>}
        </div>
      )}
      {asked === "on" && <SetUp onClose={() => setAsked(null)} />}
      {asked === "off" && <Off onClose={() => setAsked(null)} />}
    </Section>
  );
}

function Digits({ value, onChange, focus }: { value: string; onChange: (code: string) => void; focus?: boolean }) {
  return <Field label={t("signin.passcode")} value={value} onChange={(text) => onChange(text.replace(/\D/g, "").slice(0, 6))} mono autoFocus={focus} autoComplete="one-time-code" placeholder="123456" name="passcode" />;
}

function SetUp({ onClose }: { onClose: () => void }) {
  const { user } = useSession();
  const [secret] = useState(newSecret);
  const [code, setCode] = useState("");
  return (
    <FormDialog title={t("codes.set")} open onClose={onClose} action={t("codes.on")} ready={code.length === 6} wide
      run={() => tell(PATH, "PUT", { secret, passcode: code }).then(() => say(t("codes.nowOn")))}>
      <div className="grid sm:grid-cols-[220px_minmax(0,1fr)] gap-x-7 gap-y-4 items-start">
        <Qr text={address(secret, user.name, location.hostname)} label={t("codes.qr")} />
        <ol className="flex flex-col gap-4 min-w-0">
          <li><p className="font-semibold">{t("codes.scan")}</p><p className="text-ink2">{t("codes.scanNote")}</p></li>
          <li className="min-w-0"><p className="label">{t("codes.secret")}</p><Copy text={secret} show={inFours(secret)} mono wrap /></li>
          <li><Digits value={code} onChange={setCode} focus /><p className="label mt-1">{t("codes.proof")}</p></li>
        </ol>
      </div>
    </FormDialog>
  );
}

function Off({ onClose }: { onClose: () => void }) {
  const [code, setCode] = useState("");
  return (
    <FormDialog title={t("codes.off")} open onClose={onClose} action={t("codes.off")} danger ready={code.length === 6}
      run={() => tell(`${PATH}/end`, "POST", { passcode: code }).then(() => say(t("codes.nowOff")))}>
      <p className="text-ink2">{t("codes.offNote")}</p>
      <Digits value={code} onChange={setCode} focus />
    </FormDialog>
  );
}
