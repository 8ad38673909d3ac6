// The texts of the page's language.

const all = await (await fetch(new URL("./texts.json", import.meta.url))).json();

export const language = document.documentElement.lang;

/** Return a text, its places in braces filled in. */
export function t(key, facts = {}) {
  return all[key][language].replace(/\{(\w+)\}/g, (_, name) => facts[name]);
}
