import { useState, type FormEvent, type ReactNode } from "react";
import { Dialog as Base, Heading, Modal, ModalOverlay } from "react-aria-components";
import { t } from "~/i18n";
import { Button } from "./Button";
import { ErrorNote } from "./ErrorNote";
import { cx } from "./cx";

interface Props {
  title: string;
  open: boolean;
  onClose: () => void;
  children: ReactNode;
  wide?: boolean;
}

export function Dialog({ title, open, onClose, children, wide }: Props) {
  return (
    <ModalOverlay isOpen={open} onOpenChange={(is) => !is && onClose()} isDismissable
      className="fixed inset-0 z-40 flex items-end sm:items-start justify-center bg-[rgb(var(--shade)/0.38)] sm:p-6 sm:pt-[12vh]">
      <Modal className={cx("rise w-full", wide ? "sm:max-w-2xl" : "sm:max-w-md")}>
        <Base className="box shadow-high outline-none max-h-[86dvh] overflow-auto p-5 sm:p-6 rounded-b-none sm:rounded-b-[10px]">
          <Heading slot="title" className="text-[17px] font-semibold mb-4">{title}</Heading>
          {children}
        </Base>
      </Modal>
    </ModalOverlay>
  );
}

interface FormProps extends Omit<Props, "children"> {
  action: string;
  run: () => Promise<unknown>;
  children?: ReactNode;
  danger?: boolean;
  ready?: boolean;
}

/** A dialog that does one thing: it closes when that is done, and says why when it is not. */
export function FormDialog({ action, run, children, danger, ready = true, ...rest }: FormProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const close = () => {
    setError(null);
    rest.onClose();
  };
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    event.stopPropagation();
    // The button stays enabled meanwhile: one that is not loses the focus, and with it every key.
    if (busy || !ready) return;
    setBusy(true);
    setError(null);
    try {
      await run();
      close();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog {...rest} onClose={close}>
      <form onSubmit={submit} className="flex flex-col gap-4" noValidate>
        {children}
        {error !== null && <ErrorNote error={error} />}
        <div className="flex justify-end gap-2 pt-1">
          <Button onPress={close}>{t("do.cancel")}</Button>
          <Button type="submit" look={danger ? "danger" : "solid"} isDisabled={!ready}>{busy ? t("do.working") : action}</Button>
        </div>
      </form>
    </Dialog>
  );
}
