import { useEffect, useState, type FormEvent } from "react";
import { ApiError } from "~/api/http";
import { changePassword, expiredFor } from "~/api/password";
import { useHolder } from "~/api/session";
import { setLanguage, t, useLanguage } from "~/i18n";
import { Button } from "~/ui/Button";
import { ErrorNote } from "~/ui/ErrorNote";
import { Field } from "~/ui/Field";
import { Dancheong, Lattice, Mark } from "~/ui/Lattice";

export function SignIn({ onBegin }: { onBegin: () => void }) {
  const { signIn, ended } = useHolder();
  const lang = useLanguage();
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [domain, setDomain] = useState("Default");
  const [passcode, setPasscode] = useState("");
  const [next, setNext] = useState("");
  const [expired, setExpired] = useState<string | null>(null);
  const [more, setMore] = useState(false);
  /** The password is good, and a code is asked for as well. */
  const [coded, setCoded] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    document.title = "Hanok";
  }, []);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      if (expired) await changePassword(expired, password, next);
      await signIn(user.trim(), expired ? next : password, domain.trim(), passcode.trim() || undefined);
    } catch (failure) {
      const whose = expiredFor(failure);
      if (whose) setExpired(whose);
      else if (failure instanceof ApiError && failure.reason === "passcode-needed") setCoded(true);
      else setError(failure);
      setBusy(false);
    }
  };
  const wrong = error instanceof ApiError && error.status === 401;
  return (
    <div key={lang} className="min-h-dvh grid lg:grid-cols-[minmax(0,1.15fr)_minmax(0,1fr)]">
      <div className="hidden lg:block relative overflow-hidden bg-[#22384a] text-[#f3ede0]" aria-hidden="true">
        <div className="absolute inset-0 grid grid-cols-4 gap-[10px] px-12 pt-12">
          {[0, 1, 2, 3].map((i) => (
            <div key={i} className="bg-[radial-gradient(120%_90%_at_50%_18%,#f3dfae_0%,#d9b878_22%,#8f7a5c_52%,#3a4a54_100%)]">
              <Lattice width={220} height={1150} columns={9} className="h-full w-full text-[#2a2019]" />
            </div>
          ))}
        </div>
        <div className="absolute inset-0 bg-linear-to-t from-[#15232e] from-25% via-[#1a2c3ab3] via-55% to-[#1a2c3a33]" />
        <div className="absolute inset-x-12 bottom-14">
          <p className="font-title font-bold text-[40px] leading-[1.25] max-w-[18ch] text-balance">{t("signin.title")}</p>
          <p className="mt-4 text-[15px] max-w-[44ch] text-pretty text-[#c9d3d6]">{t("signin.lead")}</p>
        </div>
        <Dancheong className="absolute inset-x-0 bottom-0" />
      </div>
      <main className="flex flex-col p-6 sm:p-10">
        <div className="flex items-center justify-between">
          <span className="flex items-center gap-2.5"><Mark size={30} /><span className="font-title font-bold text-[22px]">{t("brand.title")}</span></span>
          <Button look="quiet" small onPress={() => setLanguage(lang === "en" ? "ko" : "en")}>{lang === "en" ? "한국어" : "English"}</Button>
        </div>
        <form onSubmit={submit} className="w-full max-w-[340px] m-auto py-10 flex flex-col gap-4" noValidate>
          <h1 className="text-[22px] font-semibold mb-1">{t("signin.word")}</h1>
          {ended && ended !== "asked" && !error && <p role="status" className="rounded-[8px] bg-hwang-soft text-hwang px-3 py-2">{t(`signin.${ended}`)}</p>}
          <Field label={t("signin.user")} value={user} onChange={(text) => (setUser(text), onBegin())} autoFocus autoComplete="username" name="user" />
          <Field label={t("signin.password")} value={password} onChange={setPassword} type="password" autoComplete="current-password" name="password"
            error={wrong ? t(coded ? "signin.wrongCode" : "signin.wrong") : null} />
          {coded && (
            <>
              <p role="status" className="rounded-[8px] bg-cheong-soft text-cheong px-3 py-2">{t("signin.code")}</p>
              <Field label={t("signin.passcode")} value={passcode} onChange={(text) => setPasscode(text.replace(/\s/g, ""))} name="passcode" autoComplete="one-time-code" autoFocus mono />
            </>
          )}
          {expired && (
            <>
              <p role="status" className="rounded-[8px] bg-hwang-soft text-hwang px-3 py-2">{t("password.expired")}</p>
              <Field label={t("password.new")} value={next} onChange={setNext} type="password" autoComplete="new-password" autoFocus />
            </>
          )}
          {more
            ? (
              <div className="grid grid-cols-2 gap-3">
                <Field label={t("signin.domain")} value={domain} onChange={setDomain} name="domain" />
                {!coded && <Field label={t("signin.passcode")} value={passcode} onChange={setPasscode} name="passcode" autoComplete="one-time-code" />}
              </div>
            )
            : <button type="button" className="self-start text-[13px] text-ink3 hover:text-ink underline underline-offset-3 decoration-line2" onClick={() => setMore(true)}>{t("signin.other")}</button>}
          {error !== null && !wrong && <ErrorNote error={error} />}
          <Button type="submit" look="solid" isDisabled={!user || !password || (expired !== null && !next) || (coded && !passcode)} className="!h-10 mt-1">{busy ? t("do.working") : t("signin.do")}</Button>
          <p className="label mt-2">{t("signin.first")} <code className="font-mono text-[11.5px]">/var/lib/hanok/&#123;admin,demo&#125;-password</code></p>
        </form>
      </main>
    </div>
  );
}
