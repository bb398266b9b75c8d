import { Label, Radio, RadioGroup } from "react-aria-components";
import type { Flavor, Image } from "~/api/types";
import { t, type Key } from "~/i18n";
import { gib, mib } from "~/i18n/format";
import { room, type Limits } from "./wish";

interface Props { flavors: Flavor[]; value: string | null; onChange: (id: string) => void; limits: Limits; count: number; image?: Image }

/** The sizes as rows; what does not fit says what is short. */
export function Sizes({ flavors, value, onChange, limits, count, image }: Props) {
  const sorted = flavors.toSorted((a, b) => a.ram - b.ram || a.vcpus - b.vcpus);
  return (
    <RadioGroup value={value} onChange={onChange} className="flex flex-col gap-2">
      <Label className="font-semibold text-[15px]">{t("word.size")}</Label>
      <div className="box overflow-hidden">
        {sorted.map((f) => {
          const r = room(f, count, limits, image);
          return (
            <Radio key={f.id} value={f.id} isDisabled={!r.fits}
              className="group grid grid-cols-[20px_minmax(0,1.6fr)_repeat(3,minmax(0,1fr))] items-center gap-2 sm:gap-3 px-4 h-11 border-b border-line last:border-0 cursor-pointer hover:bg-paper data-[selected]:bg-giwa-soft data-[disabled]:text-ink3 data-[focus-visible]:shadow-[inset_3px_0_0_var(--giwa)]">
              <span aria-hidden="true" className="size-4 rounded-full border border-line2 bg-surface group-data-[selected]:border-[5px] group-data-[selected]:border-giwa" />
              <span className="font-semibold leading-tight sm:truncate max-sm:[overflow-wrap:anywhere]">{f.name}</span>
              {r.fits
                ? <><span>{t("word.vcpus", { n: f.vcpus })}</span><span>{mib(f.ram)}</span><span className="text-ink2">{gib(f.disk)}</span></>
                : <span className="col-span-3 text-[13px] truncate">{r.short.map((s) => t(`create.short.${s}` as Key)).join(", ")}</span>}
            </Radio>
          );
        })}
      </div>
    </RadioGroup>
  );
}
