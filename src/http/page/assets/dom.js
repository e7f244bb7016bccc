// Shorthands for the document.

/**
 * The element with this id, which stands in index.html.
 * @param {string} id
 * @returns {any} of the type that it has there
 */
export const byId = (id) => document.getElementById(id);

/**
 * @param {string} tag
 * @param {Record<string, unknown>} properties of the element; those with a dash are attributes
 * @param {(Node | string)[]} children
 * @returns {any}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-')) made.setAttribute(name, String(value));
    else Object.assign(made, { [name]: value });
  }
  made.append(...children);
  return made;
}

/**
 * Said beside the buttons, and by screen readers.
 * @param {string} text
 */
export function say(text) {
  byId('status').textContent = text;
}
