import { Label, Radio, RadioGroup } from "react-aria-components";
import { Link } from "@tanstack/react-router";
import type { Image } from "~/api/types";
import { t } from "~/i18n";
import { bytes } from "~/i18n/format";

interface Props { label: string; value: string | null; onChange: (id: string) => void; options: Image[]; empty: string }

export const card = "group flex flex-col justify-center gap-0.5 min-h-[58px] px-4 py-2.5 rounded-[9px] border border-line2 bg-surface cursor-pointer transition-colors hover:border-ink3 data-[selected]:border-giwa data-[selected]:shadow-[inset_0_0_0_1px_var(--giwa)] data-[selected]:bg-giwa-soft data-[focus-visible]:outline-2 outline-giwa outline-offset-2 data-[disabled]:opacity-55 data-[disabled]:bg-sunk";

export function Picks({ label, value, onChange, options, empty }: Props) {
  return (
    <RadioGroup value={value} onChange={onChange} className="flex flex-col gap-2">
      <Label className="font-semibold text-[15px]">{label}</Label>
      {options.length === 0 && <p className="text-ink2">{empty} <Link to="/images" className="link">{t("images.title")}</Link></p>}
      <div className="grid grid-cols-2 sm:grid-cols-3 gap-2.5">
        {options.map((image) => (
          <Radio key={image.id} value={image.id} className={card}>
            <span className="font-semibold truncate">{image.name}</span>
            <span className="label">{image.disk_format} · {bytes(image.size)}</span>
          </Radio>
        ))}
      </div>
    </RadioGroup>
  );
}
