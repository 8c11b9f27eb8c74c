/** Elements with a class and a text. Text is always a text node: nothing a kernel says is ever parsed. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  text = ''
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.className = `tokmagic-${className}`;
  made.textContent = text;
  return made;
}

/** Set a text, touching the page only if it differs. */
export function setText(node: HTMLElement, text: string): void {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

/** Make `parent` hold exactly these children in this order, moving only what is out of place. */
export function arrange(parent: Element, children: Element[]): void {
  children.forEach((child, place) => {
    if (parent.children[place] !== child) {
      parent.insertBefore(child, parent.children[place] ?? null);
    }
  });
  while (parent.children.length > children.length) {
    parent.lastElementChild?.remove();
  }
}
