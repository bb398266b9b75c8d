import { useEffect, useState } from "react";
import { useLink } from "~/api/events";
import { whenReach } from "~/api/http";
import { t } from "~/i18n";
import { Dot } from "~/ui/Status";

/** Says when Hanok cannot be reached, and that the page goes on by itself. A short drop is not worth a word. */
export function Banner() {
  const link = useLink();
  const [silent, setSilent] = useState(false);
  const [shown, setShown] = useState(false);
  useEffect(() => whenReach((reached) => setSilent(!reached)), []);
  const lost = link === "lost" || (silent && link !== "live");
  useEffect(() => {
    if (!lost) return setShown(false);
    const timer = setTimeout(() => setShown(true), 700);
    return () => clearTimeout(timer);
  }, [lost]);
  return (
    <div aria-live="polite">
      {shown && (
        <p className="flex items-center gap-2.5 px-4 sm:px-8 py-2 bg-hwang-soft text-hwang border-b border-line">
          <Dot tone="busy" /><b className="font-semibold">{t("link.lost")}</b> {t("link.lostNote")}
        </p>
      )}
      {link === "absent" && !shown && (
        <p className="px-4 sm:px-8 py-1.5 bg-hwang-soft text-hwang border-b border-line text-[13px]">{t("link.absent")}</p>
      )}
    </div>
  );
}
