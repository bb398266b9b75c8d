import { Component, useEffect, type ReactNode } from "react";
import { t } from "~/i18n";
import { anewWhenThere, isBroken, NotArrived } from "./arrive";
import { Button } from "./Button";
import { ErrorNote } from "./ErrorNote";
import { Icon } from "./icons";

/** What a part of the page failed by. A part that did not come leaves only one way: the page anew, which happens by itself as soon as somebody answers. */
export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const url = error instanceof NotArrived ? error.url : null;
  useEffect(() => (url ? anewWhenThere(url) : undefined), [url]);
  if (!url && !isBroken(error)) return <ErrorNote error={error} retry={retry} />;
  return (
    <ErrorNote error={error}>
      <Button small onPress={() => location.reload()}><Icon name="again" size={14} />{t("error.anew")}</Button>
    </ErrorNote>
  );
}

/** Keeps the failure of what is in it from taking the whole page away. */
export class Boundary extends Component<{ children: ReactNode; className?: string }, { error?: { of: unknown } }> {
  override state: { error?: { of: unknown } } = {};
  static getDerivedStateFromError(of: unknown) {
    return { error: { of } };
  }
  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return <div className={this.props.className}><Failed error={error.of} retry={() => this.setState({ error: undefined })} /></div>;
  }
}
