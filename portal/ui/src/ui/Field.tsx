import type { ReactNode } from "react";
import { FieldError, Input, Label, Text, TextArea, TextField } from "react-aria-components";
import { cx } from "./cx";

interface Props {
  label: string;
  value: string;
  onChange: (value: string) => void;
  note?: ReactNode;
  error?: string | null;
  type?: "text" | "password" | "number" | "email";
  placeholder?: string;
  required?: boolean;
  disabled?: boolean;
  autoFocus?: boolean;
  autoComplete?: string;
  name?: string;
  rows?: number;
  mono?: boolean;
  className?: string;
  hideLabel?: boolean;
}

export function Field(p: Props) {
  const font = p.mono ? "font-mono text-[13px]" : "";
  return (
    <TextField value={p.value} onChange={p.onChange} isRequired={p.required} isDisabled={p.disabled} isInvalid={Boolean(p.error)}
      autoFocus={p.autoFocus} name={p.name} type={p.type ?? "text"} validationBehavior="aria"
      className={cx("flex flex-col gap-1", p.className)}>
      <Label className={p.hideLabel ? "sr-only" : "text-[13px] text-ink2"}>{p.label}</Label>
      {p.rows
        ? <TextArea rows={p.rows} placeholder={p.placeholder} spellCheck={false} className={cx("control", font)} />
        : <Input placeholder={p.placeholder} autoComplete={p.autoComplete ?? "off"} className={cx("control", font)} />}
      {p.note && !p.error && <Text slot="description" className="label">{p.note}</Text>}
      <FieldError className="text-[12.500px] text-seokganju">{p.error}</FieldError>
    </TextField>
  );
}
