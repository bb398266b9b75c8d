// Somebody else's words on a page in another language: they stand as a quotation.
import { language, t } from ".";

/** Prose in another language than the page's: more than a name, and no syllable of ours in it. */
const isForeign = (text: string) => language() === "ko" && /[a-z]\S* +\S*[a-z]/i.test(text) && !/[가-힣]/.test(text);

/** For where a sentence of the page introduces it already. */
export const quoted = (text: string): string => (isForeign(text) ? `“${text.replace(/\.$/, "")}”` : text);

/** A text that has no words here, introduced as what it is. */
export const foreign = (text: string): string => (isForeign(text) ? t("said.foreign", { text }) : text);
