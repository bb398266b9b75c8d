// Styles of what writes its own while it runs. The pages' policy takes none that stand in the document: no <style>, no
// style attribute. A sheet that a script hands to the document, and a declaration that it makes, are no such thing.

/** While `run` goes on, a <style> that is made is none, and keeps its text in a sheet that the page has adopted. */
export function adopting(run: () => void) {
  const make = document.createElement.bind(document);
  document.createElement = ((name: string) => (name === "style" ? adopted(make) : make(name))) as typeof document.createElement;
  try {
    run();
  } finally {
    // What is left is the one of every document.
    Reflect.deleteProperty(document, "createElement");
  }
}

/** It can be put into the document, filled, and taken away: nobody asks more of it. */
function adopted(make: (name: string) => HTMLElement): HTMLElement {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  const place = make("template");
  Object.defineProperty(place, "textContent", { set: (text: string) => sheet.replaceSync(text), get: () => "" });
  place.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((x) => x !== sheet);
    Element.prototype.remove.call(place);
  };
  return place;
}

/** From now on the style attribute of a span is written as declarations. */
export function declareStyles() {
  HTMLSpanElement.prototype.setAttribute = function set(name: string, value: string) {
    if (name === "style") this.style.cssText = value;
    else Element.prototype.setAttribute.call(this, name, value);
  };
}
