import { Button as Base, type ButtonProps } from "react-aria-components";
import { cx } from "./cx";

type Look = "solid" | "plain" | "quiet" | "danger";
const looks: Record<Look, string> = {
  solid: "bg-giwa text-on-giwa hover:bg-giwa-strong pressed:bg-giwa-strong font-semibold",
  plain: "bg-surface border border-line2 text-ink hover:border-ink3 hover:bg-paper",
  quiet: "text-ink2 hover:bg-sunk hover:text-ink",
  danger: "bg-seokganju-soft text-seokganju font-semibold hover:brightness-95",
};
export const buttonLook = (look: Look, small = false) => cx(
  "inline-flex items-center justify-center gap-1.5 rounded-[7px] whitespace-nowrap select-none transition-colors duration-100",
  small ? "h-7 px-2 text-[13px]" : "h-[34px] px-3",
  looks[look],
);

interface Props extends Omit<ButtonProps, "className"> {
  look?: Look;
  small?: boolean;
  className?: string;
}

export function Button({ look = "plain", small, className, ...rest }: Props) {
  return <Base {...rest} className={cx(buttonLook(look, small), "disabled:opacity-45 disabled:pointer-events-none", className)} />;
}
